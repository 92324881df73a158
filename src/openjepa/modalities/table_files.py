"""Files of tables: rows of cells, and what kind of thing each column holds."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import fsum, isfinite, sqrt

from openjepa.modalities.arrays import columns_of
from openjepa.modalities.delimited import MISSING, delimiter_of, number, split, text_of
from openjepa.modalities.modality import BadSample

Cells = list[str]


@dataclass(frozen=True, kw_only=True)
class Column:
    """What a column holds: a number with its mean and std, or one of some categories."""

    name: str
    mean: float = 0.0
    std: float = 1.0
    categories: tuple[str, ...] | None = None  # None: a number. What is none of them is "unknown", category len(categories)

    def __post_init__(self) -> None:
        if not self.std > 0 or not isfinite(self.mean + self.std):
            raise ValueError(f"column {self.name!r} has mean {self.mean} and std {self.std}; std must be above 0")


def table(data: bytes) -> tuple[Cells, Iterator[tuple[str, Cells | BadSample]]]:
    """Header and rows of a csv or parquet file, each row with where it stands, or what is wrong with it."""
    if data.startswith(b"PAR1"):
        columns = columns_of(data)
        return list(columns), (
            (f"row {i}", ["" if v is None else str(v) for v in row]) for i, row in enumerate(zip(*columns.values(), strict=True))
        )
    lines = text_of(data).splitlines(keepends=True)
    rows = split(lines, delimiter_of(lines))
    _, header = next(rows, (0, []))
    if not header or len(set(header)) != len(header):
        raise BadSample(
            f"the first line must name the columns, each differently; it is {','.join(header)[:100]!r}" if header else "the table is empty"
        )

    def checked() -> Iterator[tuple[str, Cells | BadSample]]:
        for line, cells in rows:
            wrong = BadSample(f"line {line} has {len(cells)} cells, the header {len(header)}")
            yield f"line {line}", cells if len(cells) == len(header) else wrong

    return header, checked()


def describe(name: str, cells: Cells, categorical: bool, most: int) -> Column:
    """The column that these cells are."""
    said = [cell for cell in cells if cell.lower() not in MISSING]
    values = [number(cell) for cell in said]
    if categorical or None in values:
        return Column(name=name, categories=tuple(sorted(cell for cell, _ in Counter(said).most_common(most))))
    finite = [v for v in values if v is not None and isfinite(v)]
    mean = fsum(finite) / max(len(finite), 1)
    std = sqrt(fsum((v - mean) ** 2 for v in finite) / max(len(finite), 1))
    return Column(name=name, mean=mean, std=std if std > 1e-12 * abs(mean) else 1.0)
