"""Files of series: csv, npy, npz, .ts (sktime, UCR/UEA archive) and parquet to arrays [channels time]."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openjepa.modalities.arrays import array_of, arrays_of, columns_of
from openjepa.modalities.delimited import delimiter_of, is_header, matrix, number, split, text_of
from openjepa.modalities.modality import BadSample

LABELS = ("label", "labels", "class", "classes", "target", "targets", "y")  # names of what is no series
TIMES = ("", "time", "timestamp", "date", "datetime", "index")  # names of a first column that is no channel


@dataclass(frozen=True)
class Case:
    """One series as it stands in a file, [channels time] with NaN where a value is missing."""

    values: NDArray[np.float64]
    label: str | None = None
    where: str = ""  # "line 12", "array 'run3'"
    note: str | None = None


def cases(data: bytes, channels: int) -> Iterator[Case | BadSample]:
    """Every series in a file, or why that one cannot be used. What it is, the content tells, not the name.

    `channels` decides which axis of an array is time (see `orient`). BadSample is raised where the
    whole file cannot be read.
    """
    if not data:
        raise BadSample("the file is empty")
    if data.startswith(b"PAR1"):
        yield from parquet_cases(columns_of(data), channels)
    elif data.startswith(b"PK"):
        yield from npz_cases(arrays_of(data), channels)
    elif data.startswith(b"\x93NUMPY"):
        yield oriented(array_of(data), channels)
    else:
        lines = text_of(data).splitlines()
        content = next((line for line in lines if line.strip() and not line.startswith("#")), "")
        yield from ts_cases(lines) if content.startswith("@") else iter([csv_case(lines, channels)])


def orient(array: NDArray[Any], channels: int, rows_are_time: bool = False) -> tuple[NDArray[np.float64], str | None]:
    """[channels time] of [t], [c t] or [t c], and a note where that was not as the file's kind has it.

    The axis that has `channels` entries is the channel axis; if none has, the longer one is time. Of a square
    the kind of file decides (arrays [c t], csv one row per time step).
    """
    array = np.asarray(array, np.float64)
    if array.ndim == 1:
        return array[None], None
    if array.ndim != 2:
        raise BadSample(f"an array with {array.ndim} axes {list(array.shape)}; a series has [time], [channels time] or [time channels]")
    rows, columns = array.shape
    if rows != columns and channels in (rows, columns):
        turn, why = columns == channels, f"channels={channels}"
    elif rows != columns:
        turn, why = rows > columns, "the longer axis"
    else:
        turn, why = rows_are_time, ""
    note = f"[{rows}, {columns}]: its {'rows' if turn else 'columns'} are taken as time steps, by {why}" if turn != rows_are_time else None
    return (array.T if turn else array), note


def oriented(
    array: NDArray[Any], channels: int, label: str | None = None, where: str = "", rows_are_time: bool = False, note: str | None = None
) -> Case | BadSample:
    try:
        values, turned = orient(array, channels, rows_are_time)
    except BadSample as bad:
        return BadSample(f"{where}: {bad}" if where else str(bad))
    return Case(values, label, where, "; ".join(n for n in (note, turned) if n) or None)


def csv_case(lines: list[str], channels: int) -> Case | BadSample:
    """One series, a row per time step. A first column of times is left out where its header says so and channels fit."""
    first = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")), 0)
    lines = lines[first:]
    delimiter = delimiter_of(lines)
    names = next((cells for _, cells in split(lines[:1], delimiter)), [])
    if not names:
        raise BadSample("no rows in it")
    columns, note, head = None, None, is_header(names)
    if head and len(names) == channels + 1 and names[0].lower() in TIMES:
        columns, note = list(range(1, len(names))), f"its first column, {names[0]!r}, is not used"
    array = matrix(lines[head:], delimiter, columns, len(names) if head else None, first + head + 1)
    return oriented(array, channels, rows_are_time=True, note=note)


def npz_cases(arrays: dict[str, NDArray[Any]], channels: int) -> Iterator[Case | BadSample]:
    """One array [n c t] or [n t c] of n series, [n t] beside n labels, or an array per series."""
    names = [name for name in arrays if name.lower() in LABELS]
    labels = [text(v) for v in arrays[names[0]].reshape(-1)] if names else None
    series = {name: a for name, a in arrays.items() if name not in names}
    if any(a.dtype.kind in "US" for a in series.values()):
        raise BadSample(
            f"text in array {next(n for n, a in series.items() if a.dtype.kind in 'US')!r}; labels are named {', '.join(LABELS)}"
        )
    items = [(f"array {name!r}", a) for name, a in series.items()]
    if len(items) == 1 and (items[0][1].ndim == 3 or (items[0][1].ndim == 2 and labels and len(labels) == len(items[0][1]) > 1)):
        items = [(f"{items[0][0]}[{i}]", a) for i, a in enumerate(items[0][1])]
    if not items or (labels is not None and len(labels) != len(items)):
        raise BadSample(f"{len(items)} series and {len(labels or ())} labels")
    for i, (where, a) in enumerate(items):
        yield oriented(a, channels, labels[i] if labels else None, where)


def parquet_cases(columns: dict[str, list[Any]], channels: int) -> Iterator[Case | BadSample]:
    """Columns of lists: a series per row, a channel per column, and perhaps a label. Columns of numbers: one series."""
    lists = [name for name, column in columns.items() if any(isinstance(v, list) for v in column)]
    if lists:
        rest = [name for name in columns if name not in lists]
        label = next((name for name in rest if name.lower() in LABELS), rest[0] if len(rest) == 1 else None)
        for i, row in enumerate(zip(*(columns[name] for name in lists), strict=True)):
            said = None if label is None or columns[label][i] is None else text(columns[label][i])
            yield stacked([[] if v is None else v for v in row], said, f"row {i}")
        return
    names = list(columns)
    skipped = names[0] if len(names) == channels + 1 and names[0].lower() in TIMES else None
    try:
        array = np.array([columns[name] for name in names if name != skipped], np.float64)
    except (TypeError, ValueError, OverflowError):
        raise BadSample(f"columns that are not all numbers: {', '.join(names)[:200]}") from None
    note = None if skipped is None else f"its first column, {skipped!r}, is not used"
    yield oriented(array.T, channels, rows_are_time=True, note=note)


def ts_cases(lines: list[str]) -> Iterator[Case | BadSample]:
    """sktime's format: '#' remarks, '@key value' lines, '@data', then a series per line, channels apart by ':', its label last."""
    settings: dict[str, list[str]] = {}
    begin = 0
    for at, line in enumerate(lines):
        if line.startswith("@"):
            key, *values = line[1:].split() or [""]
            settings[key.lower()] = values
            if key.lower() == "data":
                begin = at + 1
                break
    if not begin:
        raise BadSample("truncated: a .ts file without @data")
    if said(settings, "timestamps"):
        raise BadSample("@timeStamps true: series with time stamps are not read; resample them to a fixed rate")
    labelled, known = said(settings, "classlabel") or said(settings, "targetlabel"), set(settings.get("classlabel", [])[1:])
    for at, line in enumerate(lines[begin:], begin + 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.strip().split(":")
        label = fields.pop().strip() if labelled else None
        if known and label not in known:
            yield BadSample(f"line {at}: it ends in {str(label)[:40]!r}, which is none of the labels {', '.join(sorted(known))[:200]}")
            continue
        found = stacked([numbers(field) for field in fields], label, f"line {at}")
        yield checked(found, settings) if isinstance(found, Case) else found


def checked(case: Case, settings: dict[str, list[str]]) -> Case | BadSample:
    """The header's own counts: what differs is a damaged line."""
    dimensions, length = settings.get("dimensions"), settings.get("serieslength")
    wanted = [int(v[0]) if v and v[0].isdecimal() else n for v, n in zip((dimensions, length), case.values.shape, strict=True)]
    if list(case.values.shape) != wanted:
        return BadSample(f"{case.where}: {list(case.values.shape)} channels and steps, the header says {wanted}")
    return case


def said(settings: dict[str, list[str]], key: str) -> bool:
    return settings.get(key, [""])[:1] == ["true"]


def numbers(field: str) -> list[float] | str:
    """Values apart by commas, or the cell that is none."""
    cells = field.split(",")
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        values = [number(cell) for cell in cells]
        return cells[values.index(None)] if None in values else [v for v in values if v is not None]


def stacked(rows: list[Any], label: str | None, where: str) -> Case | BadSample:
    """A case from the values of its channels, which must be equally many numbers."""
    for row in rows:
        if isinstance(row, str):
            return BadSample(f"{where}: {row[:40]!r} is not a number")
    lengths = sorted({len(row) for row in rows})
    if len(lengths) != 1:
        return BadSample(f"{where}: channels of {' and '.join(map(str, lengths))} time steps" if lengths else f"{where}: no channel")
    try:
        return Case(np.array(rows, np.float64).reshape(len(rows), -1), label, where)
    except (TypeError, ValueError, OverflowError):
        return BadSample(f"{where}: cells that are not numbers")


def text(value: Any) -> str:
    """A label as text: 1, 1.0 and numpy's 1 are the same one."""
    value = value.item() if isinstance(value, np.generic) else value
    value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
