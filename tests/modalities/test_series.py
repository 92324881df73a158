import io
import zipfile
from statistics import fmean, pstdev

import numpy as np
import pytest
import torch

from openjepa.doctor.conformance import broken, check
from openjepa.modalities.arrays import array_of
from openjepa.modalities.modality import BadSample
from openjepa.modalities.series import Series

SHAPE = (5, 77)  # channels, time steps
LAYOUTS = [
    Series(channels=5, size=(21,), patch=(7,)),
    Series(channels=5, size=(21,), patch=(7,), layout="per_channel"),
    Series(channels=5, size=(21,), patch=(7,), layout="per_channel", coordinates=tuple((i * 1.5, i * i, -i) for i in range(5))),
    Series(channels=5, size=(21,), patch=(7,), scale="data", mean=(1.0, 2, 3, 4, 5), std=(1.0, 2, 3, 4, 5)),
]
each = pytest.mark.parametrize("series", LAYOUTS, ids=["joint", "per_channel", "coordinates", "data"])


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(3, 2, shape).astype(np.float32)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def csv(array: np.ndarray, mark: str = ",", header: str = "") -> bytes:
    rows = [mark.join(f"{v:.9g}" for v in row) for row in array]
    return "\n".join([header] * bool(header) + rows).encode()


def ts(cases: list[np.ndarray], labels: list[str], **settings: object) -> bytes:
    head = {"timeStamps": "false", "dimensions": len(cases[0]), "classLabel": "true " + " ".join(sorted(set(labels))), **settings}
    rows = [":".join(",".join(f"{v:.9g}" for v in row) for row in case) + f":{label}" for case, label in zip(cases, labels, strict=True)]
    return "\n".join(["# a remark, with: marks", *(f"@{k} {v}" for k, v in head.items()), "@data", *rows]).encode()


# -- tokens


@each
def test_tokens_are_what_a_slow_loop_cuts_out(series):
    x = torch.from_numpy(noise(3, 5, 21))
    tokens, whole = series.patchify(x), series.prepare(x)
    assert tokens.valid is None and tokens.values.shape == (3, int(np.prod(series.grid)), series.patch_dim)
    for b in range(3):
        for value, where in zip(tokens.values[b], tokens.positions[b], strict=True):
            cut = whole[b, :, int(where[-1]) * 7 : int(where[-1]) * 7 + 7]
            if series.layout == "joint":
                assert torch.equal(value, cut.T.flatten())
                continue
            place = [tuple(c) for c in series.coordinates].index(tuple(where[:3].tolist())) if series.coordinates else int(where[0])
            assert torch.equal(value, cut[place])
    assert torch.equal(series.unpatchify(tokens.values), whole)
    longer = torch.from_numpy(noise(2, 5, 35))
    assert torch.equal(series.unpatchify(series.patchify(longer).values, (35,)), series.prepare(longer))


@each
def test_padding_is_nan_in_a_view_and_invalid_zeros_in_tokens(series):
    """11 of 21 steps: the second patch has 4 of 7 and counts, with 10 it has 3 and does not."""
    for steps, second in ((11, True), (10, False)):
        view = series.center([torch.from_numpy(noise(5, steps))])
        assert view.shape == (1, 5, 21) and view[..., :steps].isfinite().all() and view[..., steps:].isnan().all()
        tokens = series.patchify(view)
        along = tokens.positions[0, :, -1]
        assert torch.equal(tokens.valid[0], torch.where(along == 1, torch.tensor(second), along == 0))
        assert torch.equal(tokens.valid, series.valid(view))
        assert torch.equal(series.unpatchify(tokens.values), series.prepare(view).nan_to_num(0))


@each
@pytest.mark.parametrize("scale", ["standard", "asinh", "none"])
def test_conformance(series, scale):
    if series.scale != "data":
        series = type(series)(**{**vars(series), "scale": scale})
    assert [str(fault) for fault in broken(check(series, files=[npy(noise(*SHAPE)), csv(noise(*SHAPE).T)]))] == []


def test_settings_that_cannot_be():
    for wrong, said in [
        ({"size": (20,), "patch": (7,)}, "whole number of patches"),
        ({"size": (4, 4), "patch": (2, 2)}, "one number of time steps"),
        ({"coordinates": ((1.0, 2.0),)}, 'layout="per_channel"'),
        ({"coordinates": ((1.0, 2.0), (1.0,)), "channels": 2, "layout": "per_channel"}, "one \\(x, y, z\\) per channel"),
        ({"mean": (1.0, 2.0)}, "2 numbers for 1 channels"),
    ]:
        with pytest.raises(ValueError, match=said):
            Series(**{"size": (21,), "patch": (7,), **wrong})


# -- windows and scaling


def test_windows_reach_both_ends_and_the_middle_is_central():
    series, x = Series(size=(21,), patch=(7,)), torch.arange(77.0)[None]
    starts = [int(series.cut(x, at)[0, 0]) for at in np.linspace(0, 1, 2000, endpoint=False)]
    assert sorted(set(starts)) == list(range(77 - 21 + 1)) and max(np.bincount(starts)) - min(np.bincount(starts)) <= 1
    assert int(series.cut(x, 0.5)[0, 0]) == (77 - 21) // 2
    assert torch.equal(series.cut(x[:, :10], 0.7), x[:, :10])


def test_a_whole_sample_is_cut_at_random_and_a_cut_one_is_left_alone():
    series = Series(size=(21,), patch=(7,), scale="none")
    x = torch.arange(77.0)[None]
    views = series.augment([x] * 300, 1, 2, range(300))
    assert len({int(v) for v in views[:, 0, 0]}) > 50
    assert torch.equal(series.augment([x], 1, 2, [17])[0], views[17])
    assert not torch.equal(series.augment([x] * 300, 1, 3, range(300)), views)
    assert torch.equal(series.augment([x[:, 3:24]], 1, 2, [0])[0], x[:, 3:24])


def test_standard_is_mean_0_and_std_1_per_window_and_channel():
    x = noise(5, 21)
    got = Series(channels=5, size=(28,), patch=(7,)).center([torch.from_numpy(x)])[0]
    for channel, values in enumerate(x.tolist()):
        want = [(v - fmean(values)) / pstdev(values) for v in values]
        assert got[channel, :21].tolist() == pytest.approx(want, abs=1e-6)


def test_asinh_is_robust_and_its_quantiles_are_numpys():
    series, x = Series(channels=1, size=(28,), patch=(7,), scale="asinh"), noise(1, 23)
    quarter, median, rest = np.quantile(x.astype(np.float64), [0.25, 0.5, 0.75])
    want = np.arcsinh((x - median) / ((rest - quarter) / 1.349))
    assert np.allclose(series.center([torch.from_numpy(x)])[0, :, :23].numpy(), want, atol=1e-6)
    wild = x.copy()
    wild[0, 5] = 1e6
    changed = series.center([torch.from_numpy(wild)])[0, 0, :23].numpy()
    assert np.abs(np.delete(changed - want[0], 5)).max() < 0.3 and 10 < changed[5] < 20
    spiky = torch.zeros(1, 28)
    spiky[0, 3] = 5  # the quartiles are equal: its std is used
    assert series.center([spiky]).isfinite().all() and series.center([spiky])[0, 0, 3] > 1


@pytest.mark.parametrize("scale", ["standard", "asinh"])
@pytest.mark.parametrize("value", [0.0, 0.1, -7.3e5, 3e38])
def test_a_constant_channel_is_zero_not_nan(scale, value):
    series = Series(channels=2, size=(21,), patch=(7,), scale=scale)
    x = torch.stack([torch.full((17,), value), torch.from_numpy(noise(17))])
    view = series.center([x])[0]
    assert (view[0, :17] == 0).all() and view[1, :17].std() > 0.5 and view[:, 17:].isnan().all()


def test_a_small_wave_on_a_large_offset_survives():
    wave = torch.sin(torch.arange(21.0))
    view = Series(size=(21,), patch=(7,)).center([(1e4 + wave)[None]])[0, 0]
    assert np.corrcoef(view, wave)[0, 1] > 0.999


def test_data_statistics_come_from_all_time_steps_and_are_stored():
    samples = [torch.from_numpy(noise(2, t, seed=t)) for t in (9, 40, 21)]
    samples = [torch.cat([s, torch.full((1, s.shape[1]), 4.0)]) for s in samples]
    series = Series(channels=3, size=(21,), patch=(7,), scale="data")
    assert not series.settled
    with pytest.raises(ValueError, match="settle"):
        series.patchify(series.center(samples))
    settled = series.settle(samples)
    whole = np.concatenate([s.numpy() for s in samples], 1).astype(np.float64)
    assert settled.settled and np.allclose(settled.mean, whole.mean(1)) and np.allclose(settled.std, [*whole.std(1)[:2], 1])
    tokens = settled.patchify(settled.center(samples))
    assert settled.unpatchify(tokens.values)[2, 0].mean() == pytest.approx(
        float((samples[2][0].mean() - settled.mean[0]) / settled.std[0]), abs=1e-5
    )


# -- files


@pytest.mark.parametrize(
    "data",
    [
        npy(noise(*SHAPE)),
        npy(noise(*SHAPE).T),
        npy(np.asfortranarray(noise(*SHAPE).astype(">f8"))),
        npz(run=noise(*SHAPE)),
        csv(noise(*SHAPE).T),
        csv(noise(*SHAPE).T, ";"),
        csv(noise(*SHAPE).T, "\t", "\t".join("abcde")),
        csv(noise(*SHAPE).T, "  ", "a b c d e"),
        csv(noise(*SHAPE).T, ";").replace(b".", b","),
        csv(np.c_[np.arange(77), noise(*SHAPE).T], header="time,1a,2a,3a,4a,5a"),
        b"# made by us\n\n" + csv(noise(*SHAPE).T, header="a,b,c,d,e") + b"\n\n",
        csv(noise(*SHAPE).T).decode().replace("\n", "\r\n").encode("utf-16"),
        ts([noise(*SHAPE)], ["x"]),
    ],
    ids=["npy", "npy [t c]", "npy >f8", "npz", "csv", "semicolon", "tab", "spaces", "decimal comma", "times", "remarks", "utf-16", "ts"],
)
def test_every_format_gives_the_same_series(data):
    got = LAYOUTS[0].decode(data).pixels
    assert got.dtype == torch.float32 and torch.equal(got, torch.from_numpy(noise(*SHAPE)))


def test_which_axis_is_time_is_said_where_it_was_decided():
    series = LAYOUTS[0]
    assert series.decode(npy(noise(5, 77))).note is None and series.decode(csv(noise(77, 5))).note is None
    assert "channels=5" in series.decode(npy(noise(77, 5))).note and "channels=5" in series.decode(csv(noise(5, 77))).note
    series = Series(channels=5, size=(4,), patch=(2,))
    short = noise(5, 4)  # fewer steps than channels
    assert torch.equal(series.decode(npy(short.T)).pixels, torch.from_numpy(short))
    square = noise(5, 5)
    assert torch.equal(series.decode(npy(square)).pixels, torch.from_numpy(square))
    assert torch.equal(series.decode(csv(square)).pixels, torch.from_numpy(square.T))
    for wrong in (noise(7, 30), noise(30, 7)):
        with pytest.raises(BadSample, match="7 channels of 30 time steps, wanted channels=5"):
            series.decode(npy(wrong))


def test_a_time_column_is_left_out_only_where_the_header_names_it():
    x = np.c_[np.arange(77), noise(*SHAPE).T]
    assert "'Timestamp', is not used" in LAYOUTS[0].decode(csv(x, header="Timestamp,a,b,c,d,e")).note
    dated = csv(noise(*SHAPE).T).replace(b"\n", b"\n2024-01-01 10:00,")
    assert torch.equal(LAYOUTS[0].decode(b"date,a,b,c,d,e\n2024-01-01 09:59," + dated).pixels, torch.from_numpy(noise(*SHAPE)))
    with pytest.raises(BadSample, match="6 channels"):
        LAYOUTS[0].decode(csv(x))


def test_missing_values_are_interpolated_and_said():
    data = b"a,b\n,1\n2,?\n4,NaN\n,2\n8,4\n,5\n"
    decoded = Series(channels=2, size=(8,), patch=(4,)).decode(data)
    assert decoded.pixels[0].tolist() == [2, 2, 4, 6, 8, 8]
    assert torch.allclose(decoded.pixels[1], torch.tensor([1, 4 / 3, 5 / 3, 2, 4, 5]))
    assert decoded.note == "5 of 12 values were missing and are interpolated"


BAD = {
    "the file is empty": b"",
    "no value at all": b"1,\n2,\n3,\n4,\n5,\n6,\n",
    "infinite, or too large for float32, in channel 1": b"1,2\n1,1e39\n1,2\n1,2\n1,2\n1,2",
    "line 3 has 3 cells, the others 2": b"a,b\n1,2\n1,2,3\n1,2\n",
    "line 3: 'oops' is not a number": b"1,2\n3,4\noops,6\n",
    "line 1: 'x' is not a number": b"x,2\n3,4\n5,6\n",
    "5 time steps, less than one and a half patches of 4": npy(np.ones((2, 5))),
    "0 time steps": npy(np.ones((2, 0))),
    "no rows": b"a,b\n",
    "3 axes": npy(np.ones((2, 3, 4))),
    "zero bytes": b"1,2\0\n3,4",
    "not utf-8": b"1,2\n\xff\xff,4",
    "objects would need pickle": npy(np.array([{"a": 1}], dtype=object)),
    "truncated: 88 bytes for an array": npy(np.ones((2, 6)))[:-8],
    "complex": npy(np.ones(4, complex)),
    "2 series in one file": npz(x=np.ones((2, 2, 9))),
    "no array": npz(),
    "damaged .npz": npz(x=np.ones((2, 2, 9)))[:-30],
    "2 series and 3 labels": npz(x=np.ones((2, 2, 9)), y=np.arange(3)),
    "without @data": b"@timeStamps false\n@classLabel true 1 2\n",
    "time stamps are not read": b"@timeStamps true\n@data\n1,2:1,2:a",
    "none of the labels a": ts([np.ones((2, 9))], ["a"])[:-2],
    "line 6: channels of 8 and 9 time steps": ts([np.ones((2, 9))], ["a"]).replace(b",1:", b":", 1),
    "header says \\[2, 8\\]": ts([np.ones((2, 9))], ["a"], seriesLength=8),
}


@pytest.mark.parametrize("reason", BAD)
def test_what_cannot_be_a_series_says_why(reason):
    data = BAD[reason]
    with pytest.raises(BadSample, match=reason):
        Series(channels=2, size=(8,), patch=(4,)).decode(data)


def test_a_header_that_promises_too_much_allocates_nothing():
    """np.load would ask for 7 TB here."""
    data = npy(np.ones((2, 9)))
    assert data.count(b"(2, 9), ") == 1
    with pytest.raises(BadSample, match="truncated"):
        array_of(data.replace(b"(2, 9), }        ", b"(999999999, 999)}"))


def test_a_bomb_in_an_archive_is_refused(monkeypatch):
    from openjepa.modalities import arrays

    monkeypatch.setattr(arrays, "LARGEST", 1000)
    with pytest.raises(BadSample, match="decompression bomb"):
        LAYOUTS[0].decode(npz(x=np.zeros((5, 100_000))))


# -- files of many


def test_files_of_many_series_and_labels():
    series = Series(channels=2, size=(8,), patch=(4,))
    some, labels = [noise(2, t, seed=t) for t in (9, 6, 30)], ["b", "a", "b"]
    same = [noise(2, 11, seed=k) for k in range(3)]
    for data, wanted, said in [
        (ts(some, labels), some, labels),
        (npz(**{f"s{i}": x.T for i, x in enumerate(some)}, label=np.array(labels)), some, labels),
        (npz(X=np.stack(same), y=np.array([1.0, 2, 1])), same, ["1", "2", "1"]),
        (npz(X=np.stack(same).swapaxes(1, 2)), same, [None] * 3),
    ]:
        got = series.read_many(data)
        assert [label for _, label in got] == said
        assert all(torch.equal(x, torch.from_numpy(y)) for (x, _), y in zip(got, wanted, strict=True))
    flat = Series(size=(8,), patch=(4,)).read_many(npz(x=np.arange(22.0).reshape(2, 11), labels=np.array([3, 4])))
    assert [label for _, label in flat] == ["3", "4"] and flat[1][0].tolist() == [list(range(11, 22))]


def test_one_bad_series_does_not_spoil_the_others():
    series = Series(channels=2, size=(8,), patch=(4,))
    some = [noise(2, 9, seed=k) for k in range(4)]
    some[1][0] = np.nan
    data = ts(some, ["a", "b", "a", "b"]).replace(b"nan", b"?")
    lines = data.split(b"\n")
    lines[-2] = lines[-2].replace(b",", b",x", 1)
    data = b"\n".join(lines)
    each = list(series.read_each(data))
    assert [isinstance(found, BadSample) for found, _ in each] == [False, True, True, False]
    assert "line 7: channel 0 has no value" in str(each[1][0]) and "line 8" in str(each[2][0]) and "not a number" in str(each[2][0])
    with pytest.raises(BadSample, match="line 7"):
        series.read_many(data)


def test_parquet():
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")

    def saved(**columns: object) -> bytes:
        buffer = io.BytesIO()
        pq.write_table(pa.table(columns), buffer)
        return buffer.getvalue()

    series = Series(channels=2, size=(8,), patch=(4,))
    a, b = noise(9), noise(9, seed=1)
    one = series.decode(saved(time=list(range(9)), left=a, right=b))
    assert torch.equal(one.pixels, torch.from_numpy(np.stack([a, b]))) and "'time', is not used" in one.note
    data = saved(left=[a, a[:7]], right=[b, b[:7]], kind=["x", None])
    got = series.read_many(data)
    assert [label for _, label in got] == ["x", None] and torch.equal(got[1][0], torch.from_numpy(np.stack([a[:7], b[:7]])))
    holes = series.decode(saved(left=[1.0, None, 3.0, 4.0, None, None], right=[1.0] * 6)).pixels
    assert holes[0].tolist() == [1, 2, 3, 4, 4, 4]
    with pytest.raises(BadSample, match="not all numbers"):
        series.decode(saved(left=["p", "q"], right=[1.0, 2.0]))
    fuzz(series, data, 60)


def test_a_missing_pyarrow_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"openjepa\[parquet\]"):
        LAYOUTS[0].decode(b"PAR1....")


def fuzz(series: Series, data: bytes, tries: int) -> None:
    """Truncated, with flipped bits or overwritten bytes: samples or BadSample, whatever comes."""
    rng = np.random.default_rng(len(data))
    for k in range(tries):
        broken = bytearray(data[: rng.integers(len(data))] if k % 3 == 0 else data)
        for at in rng.integers(0, max(len(broken), 1), rng.integers(1, 8) * bool(broken) * (k % 3 > 0)):
            broken[at] = broken[at] ^ 1 << rng.integers(8) if k % 3 == 1 else rng.integers(256)
        try:
            for found, _ in series.read_each(bytes(broken)):
                if not isinstance(found, BadSample):
                    assert found.pixels.isfinite().all() and len(found.pixels) == series.channels
                    assert series.patchify(series.center([found.pixels])).values.isfinite().all()
        except BadSample:
            pass


@pytest.mark.parametrize("kind", ["npy", "npz", "csv", "ts", "zip"])
def test_damaged_files_are_samples_or_say_why(kind):
    x = noise(2, 40)
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as archive:
        archive.writestr("x.npy", npy(x))
    data = {
        "npy": npy(x),
        "npz": npz(x=x, y=np.array(["a"])),
        "csv": csv(x.T, header="u,v"),
        "ts": ts([x, x], ["a", "b"]),
        "zip": stored.getvalue(),
    }
    fuzz(Series(channels=2, size=(16,), patch=(8,)), data[kind], 300)


# -- pictures


def test_a_picture_has_a_lane_per_channel_that_follows_the_series():
    series = Series(channels=2, size=(48,), patch=(8,))
    x = torch.stack([torch.linspace(0, 1, 48), torch.linspace(1, 0, 48)])
    x[:, 36:] = torch.nan
    picture = series.draw(x).frames[0].numpy()
    lane, width = len(picture) // 2, picture.shape[1]
    assert picture.dtype == np.uint8 and width >= 512
    for k, falls in ((0, True), (1, False)):
        ink = (picture[k * lane : (k + 1) * lane].astype(int).max(-1) - picture[k * lane : (k + 1) * lane].min(-1)) > 60  # coloured
        row = [np.flatnonzero(ink[:, c]).mean() for c in (width // 10, 6 * width // 10)]
        assert (row[1] < row[0] - lane / 3) == falls
        assert not ink[:, 4 * width // 5 :].any() and ink[:, : 7 * width // 10].any(0).all()


# -- real data


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "channels", "shortest", "longest", "counts"),
    [
        ("ArrowHead", 1, 251, 251, (36, 175)),
        ("BasicMotions", 6, 100, 100, (40, 40)),
        ("GunPoint", 1, 150, 150, (50, 150)),
        ("ItalyPowerDemand", 1, 24, 24, (67, 1029)),
        ("JapaneseVowels", 12, 7, 29, (270, 370)),
    ],
)
def test_the_archive_reads_as_its_source_file_says(data_root, name, channels, shortest, longest, counts):
    folder = data_root / "timeseries_ucr" / name
    series, lengths = Series(channels=channels, size=(16,), patch=(4,)), []
    for part, count in zip(("TRAIN", "TEST"), counts, strict=True):
        each = list(series.read_each((folder / f"{name}_{part}.ts").read_bytes()))
        assert len(each) == count and all(label is not None and decoded.note is None for decoded, label in each)
        lengths += [decoded.pixels.shape[1] for decoded, _ in each]
    assert (min(lengths), max(lengths)) == (shortest, longest)


@pytest.mark.data
def test_ts_and_csv_of_the_archive_agree(data_root):
    """The .csv holds one series a row, label first, made by others from the same problem."""
    folder = data_root / "timeseries_ucr/GunPoint"
    table = np.loadtxt(folder / "GunPoint_TRAIN.csv", delimiter=",")
    got = Series(size=(16,)).read_many((folder / "GunPoint_TRAIN.ts").read_bytes())
    assert [float(label) for _, label in got] == table[:, 0].tolist()
    assert np.array_equal(torch.cat([x for x, _ in got]).numpy(), table[:, 1:].astype(np.float32))


@pytest.mark.data
def test_real_files_survive_damage(data_root):
    data = (data_root / "timeseries_ucr/JapaneseVowels/JapaneseVowels_TRAIN.ts").read_bytes()
    fuzz(Series(channels=12, size=(28,), patch=(4,)), data[:9000], 60)
