"""metrics.jsonl as columns, read on from where the last look ended, and thinned for drawing."""

import json
import math
import os
import secrets
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
DRAWN = 2000  # points of one curve from which on it is thinned
OPEN = 32  # files whose columns stay in memory
SEAL = 4096  # bytes before the cursor that must not have changed
LINES = 1000  # parsed at a time: json holds Python's lock, and others wait meanwhile


class MetricTable:
    """The rows of one file. What is not a number is NaN; a line that is still being written waits.

    A file that was replaced or rewritten (a run that is resumed does so) starts the table again, under another `name`.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.lock = path, threading.Lock()
        self.begin()

    def begin(self) -> None:
        self.name = secrets.token_hex(4)
        self.inode, self.seal = 0, b""
        self.end, self.skipped = 0, 0  # bytes read; whole lines that hold no row
        self.ends: NDArray[np.int64] = np.empty(0, np.int64)  # of every row, in bytes
        self.numbers: dict[str, Numbers] = {"step": np.empty(0)}
        self.texts: dict[str, list[str | None]] = {}

    def __len__(self) -> int:
        return len(self.ends)

    def refresh(self) -> "MetricTable":
        """Read what was added. Without a file the table is empty."""
        with self.lock:
            try:
                with open(self.path, "rb") as file:
                    self.follow(file)
            except OSError:  # none yet, or deleted while viewed
                if self.end:
                    self.begin()
        return self

    def follow(self, file: BinaryIO) -> None:
        stat = os.fstat(file.fileno())
        file.seek(max(0, self.end - SEAL))
        if stat.st_size < self.end or (self.end and (stat.st_ino != self.inode or file.read(len(self.seal)) != self.seal)):
            self.begin()
        self.inode = stat.st_ino
        if stat.st_size == self.end:
            return
        file.seek(self.end)
        data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        if whole:
            self.append(whole)
            self.seal = (self.seal + whole)[-SEAL:]

    def append(self, data: bytes) -> None:
        """Whole lines to rows."""
        lines = data.split(b"\n")[:-1]
        ends = self.end + np.cumsum([len(line) + 1 for line in lines])
        rows, at = list[Mapping[str, Any]](), list[int]()
        for first in range(0, len(lines), LINES):
            some = lines[first : first + LINES]
            for place, row in enumerate(parsed(some), first):
                if isinstance(row, dict) and isinstance(row.get("step"), int | float):
                    rows.append(row)
                    at.append(place)
        self.skipped += len(lines) - len(rows)
        self.end += len(data)
        before, keys = len(self), dict.fromkeys(key for row in rows for key in row)
        self.ends = np.concatenate([self.ends, ends[at]]) if at else self.ends
        for key in {**dict.fromkeys(self.numbers), **dict.fromkeys(self.texts), **keys}:
            self.extend(key, [row.get(key) for row in rows], before)

    def extend(self, key: str, values: Sequence[Any], before: int) -> None:
        """A column by these values; a key that comes late has nothing before."""
        if key in self.texts or (key not in self.numbers and any(isinstance(value, str) for value in values)):
            known = self.texts.setdefault(key, [None] * before)
            known.extend(value if isinstance(value, str) else None for value in values)
            return
        known_numbers = self.numbers.get(key, np.full(before, np.nan))
        self.numbers[key] = np.concatenate([known_numbers, floats(values)])

    def row_at(self, cursor: int) -> int | None:
        """How many rows end at or before a cursor; None where no line ends there."""
        row = int(np.searchsorted(self.ends, cursor, "right"))
        return row if cursor in (0, self.end) or (row and self.ends[row - 1] == cursor) else None

    def segments(self) -> NDArray[np.int64]:
        """A number for every row that grows where the step does not: the run went on from an earlier checkpoint there."""
        back = np.diff(self.numbers["step"], prepend=-np.inf) <= 0
        return np.cumsum(back)

    def seconds(self, batch_size: int) -> Numbers:
        """Time spent on steps until each row, from the speed of each logged stretch (as report.sections.elapsed sums it)."""
        step, speed = self.numbers["step"], self.numbers.get("images_per_s", np.empty(0))
        told = np.nan_to_num(speed) > 0 if len(speed) else np.zeros(len(step), bool)
        taken = np.diff(step[told], prepend=0.0).clip(min=0) * batch_size / speed[told] if told.any() else np.empty(0)
        added = np.zeros(len(step))
        added[told] = taken
        return np.cumsum(added)


@lru_cache(OPEN)
def table(path: Path) -> MetricTable:
    """The table of a file, the same one each time."""
    return MetricTable(path)


def parsed(lines: Sequence[bytes]) -> list[Any]:
    """One JSON value per line; None for a line that holds none."""
    try:
        found: list[Any] = json.loads(b"[" + b",".join(lines) + b"]")
        if len(found) == len(lines):  # a line could hold two
            return found
    except ValueError:
        pass
    return [value_of(line) for line in lines]


def value_of(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def floats(values: Sequence[Any]) -> Numbers:
    """NaN for all that is no finite number."""
    try:
        found = np.array(values, np.float64)
        if found.ndim == 1:
            found[~np.isfinite(found)] = np.nan
            return found
    except (TypeError, ValueError, OverflowError):
        pass
    return np.array([float(v) if isinstance(v, int | float) and math.isfinite(v) else np.nan for v in values])


def plain(values: Numbers) -> list[float | None]:
    """For JSON: null instead of NaN, whole numbers without a point."""
    return [None if v != v else int(v) if v.is_integer() and abs(v) < 2**53 else v for v in values.tolist()]


def buckets(segments: NDArray[np.int64], most: int = DRAWN) -> tuple[NDArray[np.int64], int]:
    """The first row of each bucket and the length of a bucket: two points each make at most about `most`. None spans two segments."""
    size = math.ceil(2 * len(segments) / most)
    begins = np.flatnonzero(np.diff(segments, prepend=-1))
    ends = np.append(begins[1:], len(segments))
    return np.concatenate([np.arange(begin, end, size) for begin, end in zip(begins, ends, strict=True)]), size


def extremes(values: Numbers, first: NDArray[np.int64]) -> Numbers:
    """Least and largest number of each bucket, in the order in which they came: no spike is lost, unlike by taking every tenth."""
    bucket = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(values))))
    low = np.lexsort((values, bucket))[first]  # NaN sorts last, so only a bucket without numbers begins with it
    high = np.lexsort((-values, bucket))[first]
    found: Numbers = values[np.stack([np.minimum(low, high), np.maximum(low, high)], 1).ravel()]
    return found
