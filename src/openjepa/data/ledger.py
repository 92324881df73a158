"""ledger.jsonl: every file that could not be used, or was used with a remark, and why."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class LedgerEntry:
    path: str
    reason: str
    kind: Literal["bad", "note"] = "bad"
    step: int | None = None  # of training; None when found while indexing


class TooManyBad(ValueError):
    """More files were unusable than the run allows."""


class Ledger:
    """Append-only; a file is named once."""

    def __init__(self, path: Path, total: int, max_bad: float) -> None:
        self.path, self.total, self.max_bad = path, total, max_bad
        self.entries: dict[tuple[str, str], LedgerEntry] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    entry = LedgerEntry(**json.loads(line))
                except (json.JSONDecodeError, TypeError):  # a line cut by a kill
                    continue
                self.entries[entry.path, entry.kind] = entry

    def add(self, entries: Iterable[LedgerEntry]) -> list[LedgerEntry]:
        """Write the entries that are new and return them. TooManyBad lists the files once they pass the limit."""
        new = []
        for entry in entries:
            if (entry.path, entry.kind) not in self.entries:
                self.entries[entry.path, entry.kind] = entry
                new.append(entry)
        if new:
            with open(self.path, "a") as file:
                file.writelines(json.dumps(asdict(entry)) + "\n" for entry in new)
        bad = [entry for entry in self.entries.values() if entry.kind == "bad"]
        if len(bad) > self.max_bad * self.total:
            shown = "\n  ".join(f"{entry.path!r}: {entry.reason}" for entry in bad[:20])
            more = f"\n  and {len(bad) - 20} more, in {self.path}" if len(bad) > 20 else ""
            raise TooManyBad(
                f"{len(bad)} of {self.total} files cannot be used, more than the share --data.max-bad {self.max_bad} allows:\n  {shown}{more}\n"
                "remove or mend them, or raise --data.max-bad"
            )
        return new
