"""Text of numbers or words in rows: its encoding, its delimiter, its cells."""

import csv
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from openjepa.modalities.modality import BadSample

MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "?", "-"})  # cells that say "no value", in lower case
LOOKED_AT = 20  # lines from which the delimiter is told


def text_of(data: bytes) -> str:
    """UTF-8, or UTF-16 with its byte order mark. BadSample for anything else."""
    code = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(code)
    except UnicodeDecodeError as error:
        raise BadSample(f"not {error.encoding} text: byte {error.start} cannot be decoded; save it as UTF-8") from None
    if "\0" in text:
        raise BadSample("not text: it holds zero bytes")
    return text


def delimiter_of(lines: Sequence[str]) -> str:
    """The delimiter by which the first lines have the same number of cells; " " stands for any white space.

    A comma comes after ";" and tab: it may be a decimal comma between them.
    """
    lines = [line for line in lines[:LOOKED_AT] if line.strip()]
    for mark in ";\t, ":
        counts = {len(line.split(mark if mark != " " else None)) for line in lines}
        if len(counts) == 1 and counts != {1}:
            return mark
    return (
        max(",;\t", key=lambda mark: sum(line.count(mark) for line in lines)) if any(m in line for m in ",;\t" for line in lines) else " "
    )


def split(lines: Sequence[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Number (from 1) and cells of every line that is not empty; quotes as in csv."""
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    try:
        for cells in reader:
            if len(cells) > 1 and delimiter == " " and cells[-1] == "":
                cells.pop()  # white space at the end
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise BadSample(f"line {reader.line_num}: {error}") from None


def number(cell: str, decimal_comma: bool = False) -> float | None:
    """Value of a cell, NaN where it is missing, None where it is no number."""
    if cell.strip().lower() in MISSING:
        return float("nan")
    try:
        return float(cell.replace(",", ".") if decimal_comma else cell)
    except ValueError:
        return None


def is_header(cells: Sequence[str]) -> bool:
    """Whether a first row names the columns: some cells are words and none is a number."""
    values = [number(cell, True) for cell in cells]
    return None in values and all(value is None or np.isnan(value) for value in values)


def matrix(
    lines: Sequence[str], delimiter: str, columns: Sequence[int] | None = None, width: int | None = None, first: int = 1
) -> NDArray[np.float64]:
    """Numbers of the lines, [rows columns], NaN where missing. BadSample names the line of a cell that is none.

    `columns` selects; every row must have `width` cells, by default as many as the first; `first` is the number of lines[0].
    """
    if not any(line.strip() for line in lines):
        raise BadSample("no rows of numbers in it")
    try:
        return np.loadtxt(lines, ndmin=2, delimiter=None if delimiter == " " else delimiter, comments=None, usecols=columns)
    except (ValueError, OverflowError):
        pass  # missing cells, quotes, decimal commas, ragged rows or words: slowly, to say where
    rows = []
    for at, cells in split(lines, delimiter):
        width, line = width or len(cells), at + first - 1
        if len(cells) != width:
            raise BadSample(f"line {line} has {len(cells)} cells, the others {width}")
        kept = [cells[i] for i in columns] if columns is not None else cells
        values = [number(cell, delimiter != ",") for cell in kept]
        if None in values:
            at_fault = kept[values.index(None)]
            raise BadSample(f"line {line}: {at_fault[:40]!r} is not a number")
        rows.append(values)
    if not rows:  # quotes around nothing
        raise BadSample("no rows of numbers in it")
    return np.array(rows, np.float64)
