"""One JSON line per logged step: readable while it is written, and after a crash."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor


class MetricsWriter:
    """Appends rows to metrics.jsonl; every row has left the process when `write` returns.

    A half-written last line (the process was killed in the middle of it) is cut off first, or the
    next row would be glued to it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists():
            mend(path)
        self.file = path.open("a", encoding="utf-8")

    def write(self, row: Mapping[str, Any]) -> None:
        """One row. Tensors become numbers here; NaN and infinities become null, which JSON has a word for."""
        self.file.write(line(row))
        self.file.flush()

    def close(self) -> None:
        self.file.close()

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All rows, oldest first; none if there is no file. A truncated last line is left out.

    ValueError names any other line that is not a JSON object.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    whole, rest = lines[:-1], lines[-1]  # what follows the last newline is a row still being written
    rows = []
    for number, text in enumerate(whole, 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except ValueError as error:  # includes bytes that are not UTF-8
            raise ValueError(f"{path}, line {number} is not JSON ({error}); delete that line") from error
        if not isinstance(row, dict):
            raise ValueError(f"{path}, line {number} holds {type(row).__name__}, not an object; delete that line")
        rows.append(row)
    if rest.strip():
        try:
            row = json.loads(rest)
        except ValueError:
            return rows
        rows += [row] if isinstance(row, dict) else []
    return rows


def mend(path: Path) -> None:
    """Make the file end with a whole line."""
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)


def line(row: Mapping[str, Any]) -> str:
    """A row as JSON text with its newline."""
    return json.dumps({name: plain(value) for name, value in row.items()}, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """What JSON can hold: numbers out of tensors and arrays, None for numbers that are not finite."""
    if isinstance(value, Tensor) or hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value
