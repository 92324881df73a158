"""ledger.jsonl: every file that could not be used, or was used with a remark, and why."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

SHOWN = 20  # files named in an error; the ledger has them all


@dataclass(frozen=True)
class LedgerEntry:
    path: str  # printable, as `Dataset.name` gives it
    reason: str
    kind: Literal["bad", "note"] = "bad"
    step: int | None = None  # of training; None when found while indexing


class TooManyBad(ValueError):
    """More files were unusable than the run allows."""


class Ledger:
    """Append-only; a file is named once."""

    def __init__(self, path: Path, total: int, max_bad: float) -> None:
        self.path, self.total, self.max_bad = path, total, max_bad
        self.entries = {(entry.path, entry.kind): entry for entry in read_ledger(path)}

    def add(self, entries: Iterable[LedgerEntry]) -> list[LedgerEntry]:
        """Write the entries that are new and return them. TooManyBad lists the files once they pass the limit.

        OSError when the ledger cannot be written.
        """
        new = []
        for entry in entries:
            if (entry.path, entry.kind) not in self.entries:
                self.entries[entry.path, entry.kind] = entry
                new.append(entry)
        if new:
            append(self.path, new)
        bad = [entry for entry in self.entries.values() if entry.kind == "bad"]
        if len(bad) > self.max_bad * self.total:
            listed = "\n  ".join(f"{entry.path}: {entry.reason}" for entry in bad[:SHOWN])
            more = f"\n  and {len(bad) - SHOWN} more, in {self.path}" if len(bad) > SHOWN else ""
            raise TooManyBad(
                f"{len(bad)} of {self.total} files cannot be used, more than the share --data.max-bad {self.max_bad} allows:"
                f"\n  {listed}{more}\nremove or mend them, or raise --data.max-bad"
            )
        return new


def read_ledger(path: Path) -> list[LedgerEntry]:
    """The entries of a ledger, none if there is no such file."""
    entries = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            entries.append(LedgerEntry(**json.loads(line)))
        except (json.JSONDecodeError, TypeError):  # a line cut by a kill
            continue
    return entries


def append(path: Path, entries: list[LedgerEntry]) -> None:
    lines = "".join(json.dumps(asdict(entry)) + "\n" for entry in entries)
    with open(path, "a+b") as file:
        if file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n":
            lines = "\n" + lines  # a line cut by a kill must not swallow the next
        file.write(lines.encode())
        file.flush()
        os.fsync(file.fileno())


def printable(name: str) -> str:
    """A file name for people and JSON: newlines, control characters and bytes that are not UTF-8 as escapes."""
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else f"\\x{ord(c) - 0xDC00:02x}" if 0xDC80 <= ord(c) <= 0xDCFF else repr(c)[1:-1] for c in name)
