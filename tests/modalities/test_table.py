import io
from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import nn

from openjepa.doctor.conformance import broken, check
from openjepa.modalities.modality import BadSample
from openjepa.modalities.table import Table
from openjepa.modalities.table_files import Column
from openjepa.run import read_modality, write_modality

DATA = b"""age,city,weight,kind
30,Oslo,70.5,p
40,Rome,,q
,Oslo,60,p
50,"Paris, France",80,
20,?,75,q
"""
TABLE = Table.fit(DATA, target="kind")
NAN = float("nan")


def test_fit_tells_numbers_from_categories_and_leaves_the_target_out():
    age, city, weight = TABLE.columns
    assert (age.name, age.categories, age.mean) == ("age", None, 35) and age.std == pytest.approx(np.std([30, 40, 50, 20]))
    assert city.categories == ("Oslo", "Paris, France", "Rome") and weight.mean == pytest.approx(np.mean([70.5, 60, 80, 75]))
    assert TABLE.target == "kind" and TABLE.size == TABLE.grid == (3,) and TABLE.settled and not Table().settled
    ages = Table.fit(DATA, target="kind", categorical=["age"], most=2).columns[0]
    assert len(ages.categories) == 2
    constant = Table.fit(b"a,b\n5,\n5,\n").columns
    assert constant == (Column(name="a", mean=5.0, std=1.0), Column(name="b"))
    with pytest.raises(ValueError, match="no column 'sort'; there are age, city, weight, kind"):
        Table.fit(DATA, target="sort")


def test_rows_are_numbers_codes_and_nan():
    rows = TABLE.read_many(DATA)
    assert [label for _, label in rows] == ["p", "q", "p", None, "q"]
    want = [[30, 0, 70.5], [40, 2, NAN], [NAN, 0, 60], [50, 1, 80], [20, NAN, 75]]
    assert np.array_equal(torch.cat([x for x, _ in rows]).numpy(), np.array(want, np.float32), equal_nan=True)


def test_columns_are_found_by_name_and_unknown_categories_are_said():
    ((decoded, label),) = TABLE.read_each(b"extra;weight;city;age\nx;70;Bern;30\n")
    assert decoded.pixels.tolist() == [[30, 3, 70]] and label is None
    assert decoded.note == "'Bern' in column 'city' is no known category"
    with pytest.raises(BadSample, match="no column 'weight'; there are age, city"):
        TABLE.read_many(b"age,city\n1,Oslo\n")


def test_a_bad_row_names_its_line_and_spoils_no_other():
    data = b'age,city,weight,kind\n30,Oslo,70,p\n30,Oslo,70\n\nold,Rome,70,q\n1e99,Rome,70,q\n30,"two\nlines",70,q\n30,Rome,1,2,3\n'
    found = [str(decoded) if isinstance(decoded, BadSample) else decoded.pixels.tolist() for decoded, _ in TABLE.read_each(data)]
    assert found == [
        [[30, 0, 70]],
        "line 3 has 3 cells, the header 4",
        "line 5: 'old' in column 'age' is not a finite number",
        "line 6: '1e99' in column 'age' is not a finite number",
        [[30, 3, 70]],
        "line 9 has 5 cells, the header 4",
    ]
    with pytest.raises(BadSample, match="line 3"):
        TABLE.read_many(data)
    assert Table.fit(data, target="kind").columns[1].categories == ("Oslo", "Rome", "two\nlines")


def explicit(linear: nn.Linear, table: Table, row: list[float]) -> torch.Tensor:
    """Tokens after the linear map, from its columns: w_j, b_j, m_j (missing) and E[j][c], with the names they have in papers."""
    count, w = len(table.columns), linear.weight.T
    number, bias, gone, rest = w[:count], w[count : 2 * count], w[2 * count : 3 * count], w[3 * count :]
    tokens, first = [rest[-1] + linear.bias], 0
    for j, (column, x) in enumerate(zip(table.columns, row, strict=True)):
        token = bias[j] + linear.bias
        width = 0 if column.categories is None else len(column.categories) + 1
        if np.isnan(x):
            token = token + gone[j]
        elif width:
            token = token + rest[first : first + width][int(x)]
        else:
            token = token + number[j] * (x - column.mean) / column.std
        tokens.append(token)
        first += width
    return torch.stack(tokens)


def test_a_linear_map_of_the_tokens_is_w_x_plus_b_and_an_embedding_per_category():
    linear = nn.Linear(TABLE.patch_dim, 19)
    rows = [[30, 0, 70.5], [40, 2, NAN], [NAN, 3, 60], [NAN, NAN, NAN]]
    tokens = TABLE.patchify(torch.tensor(rows)[:, None])
    assert tokens.valid is None and tokens.positions.tolist() == [[[-1], [0], [1], [2]]] * 4
    want = torch.stack([explicit(linear, TABLE, row) for row in rows])
    assert torch.allclose(linear(tokens.values), want, atol=1e-5)


def test_missing_cells_are_tokens_or_not_valid():
    rows = torch.tensor([[30, 0, 70.5], [40, NAN, NAN]])[:, None]
    invalid = Table(columns=TABLE.columns, missing="invalid")
    tokens = invalid.patchify(rows)
    assert tokens.valid.tolist() == [[True] * 4, [True, True, False, False]] and (tokens.values[~tokens.valid] == 0).all()
    assert torch.equal(invalid.valid(rows), tokens.valid) and TABLE.valid(rows) is None
    assert invalid.patchify(rows[:1]).valid is None and invalid.valid(rows[:1]) is None
    with pytest.raises(BadSample, match="line 2: 1 of 3 cells hold a value"):
        invalid.read_many(b"age,city,weight\n30,,\n")


@pytest.mark.parametrize("missing", ["token", "invalid"])
def test_unpatchify_gives_the_row_back(missing):
    table = Table(columns=TABLE.columns, missing=missing)
    rows = torch.tensor([[30, 0, 70.5], [40, 3, NAN], [NAN, NAN, 60]])[:, None]
    assert torch.allclose(table.unpatchify(table.patchify(rows).values), table.prepare(rows), equal_nan=True, atol=0, rtol=0)


@pytest.mark.parametrize("missing", ["token", "invalid"])
def test_conformance(missing):
    table = Table(columns=TABLE.columns, target="kind", missing=missing)
    assert [str(fault) for fault in broken(check(table, files=[b"age,city,weight\n30,Oslo,70\n"]))] == []


def test_a_fitted_table_is_stored_with_the_run():
    assert read_modality(write_modality(TABLE)) == TABLE


def test_views_are_the_rows():
    rows = [x for x, _ in TABLE.read_many(DATA)]
    view = TABLE.augment(rows, 1, 2, range(5))
    assert view.shape == (5, 1, 3) and torch.equal(view.nan_to_num(-1), torch.stack(rows).nan_to_num(-1))


def test_parquet_is_read_as_csv_is():
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    buffer = io.BytesIO()
    columns = {
        "age": [30, 40, None, 50, 20],
        "city": ["Oslo", "Rome", "Oslo", "Paris, France", None],
        "weight": [70.5, None, 60.0, 80.0, 75.0],
        "kind": ["p", "q", "p", None, "q"],
    }
    pq.write_table(pa.table(columns), buffer)
    assert Table.fit(buffer.getvalue(), target="kind") == TABLE
    for (a, x), (b, y) in zip(TABLE.read_many(buffer.getvalue()), TABLE.read_many(DATA), strict=True):
        assert x == y and torch.equal(a.nan_to_num(-1), b.nan_to_num(-1))


def test_damaged_files_are_rows_or_say_why():
    rng = np.random.default_rng(0)
    for k in range(100):
        damaged = bytearray(DATA[: rng.integers(len(DATA))] if k % 3 == 0 else DATA)
        for at in rng.integers(0, max(len(damaged), 1), rng.integers(1, 6) * bool(damaged) * (k % 3 > 0)):
            damaged[at] = damaged[at] ^ 1 << rng.integers(8)
        for read in (lambda d: list(TABLE.read_each(d)), Table.fit):
            with suppress(BadSample):
                read(bytes(damaged))


def test_settings_that_cannot_be():
    column = Column(name="a")
    for wrong, said in [
        ({"columns": (column, column)}, "names must differ"),
        ({"columns": (column,), "target": "a"}, "target is none of them"),
        ({"columns": (column,), "size": (2,)}, "size is how many"),
    ]:
        with pytest.raises(ValueError, match=said):
            Table(**wrong)
    with pytest.raises(ValueError, match="std must be above 0"):
        Column(name="a", std=0.0)
    with pytest.raises(ValueError, match=r"Table\.fit"):
        Table().read_many(DATA)
    for data, reason in [(b"", "empty"), (b"a,a\n1,2\n", "each differently")]:
        with pytest.raises(BadSample, match=reason):
            Table.fit(data)


def test_a_picture_has_bars_up_and_down_and_grey_where_missing():
    picture = TABLE.draw(torch.tensor([[50, NAN, 60.0]])).frames[0].numpy()
    assert picture.shape == (128, 96, 3)
    assert (picture[50, 10] == (31, 119, 180)).all() and (picture[75, 10] == 255).all()  # above the mean
    assert (picture[30, 40] == 225).all()
    assert (picture[80, 80] == (214, 94, 18)).all() and (picture[55, 80] == 255).all()  # below it
