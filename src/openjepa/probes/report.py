"""The result of a probe: every score beside its floors, as JSON and as a table."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
FORMAT = 1
METHODS = ("encoder", "untrained", "pixels", "summary", "majority", "chance")  # in the order of the table


@dataclass(frozen=True)
class Row:
    """One score: a probe of one question on one method's features."""

    label: str  # the question: "class", "shape", ...
    probe: str  # knn, linear, 1-shot, 5-shot, 1%
    method: str  # encoder, untrained, pixels, summary; majority and chance look at no features
    accuracy: float  # 0..1; the mean over draws for few-shot
    low: float  # 95 %: Wilson over test samples, for few-shot Student's t over draws
    high: float
    sd: float | None  # over draws, few-shot only
    gains: dict[str, tuple[float, float, float]]  # encoder only: floor -> (gain, low, high), paired, 95 %
    per_class: dict[str, tuple[float, int]]  # class -> (accuracy, test samples); empty for few-shot
    detail: dict[str, Any]  # knn: accuracy by k; linear: C and the held-out accuracies; few-shot: every draw


@dataclass(frozen=True)
class ProbeReport:
    """All rows, what they were measured on, and what a reader must know about it."""

    run: str
    step: int
    objective: str
    data: dict[str, Any]  # path, fingerprint, samples
    test: dict[str, Any]  # path, fingerprint, samples, held_out: whether it was split off `data`
    settings: dict[str, Any]
    rows: tuple[Row, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    bad: tuple[tuple[str, str], ...]  # (file, reason)
    created: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}

    def row(self, label: str, probe: str, method: str = "encoder") -> Row:
        """One score. ValueError names what there is."""
        for row in self.rows:
            if (row.label, row.probe, row.method) == (label, probe, method):
                return row
        there = ", ".join(sorted({f"{row.label}/{row.probe}" for row in self.rows}))
        raise ValueError(f"no score {label}/{probe}/{method}; there are {there}")

    def text(self) -> str:
        """The table, for a terminal: one block per question, one line per method, one column per probe, in percent."""
        lines = []
        for label in unique(row.label for row in self.rows):
            probes = unique(row.probe for row in self.rows if row.label == label)
            lines.append(f"{label:<12}" + "".join(f"{probe:>22}" for probe in probes))
            for method in METHODS:
                cells = [cell(row) for p in probes for row in self.rows if (row.label, row.probe, row.method) == (label, p, method)]
                if cells:
                    lines.append(f"  {method:<10}" + "".join(f"{text:>22}" for text in cells))
        lines += [f"warning: {text}" for text in self.warnings] + [f"note: {text}" for text in self.notes]
        return "\n".join(lines)

    def write(self, folder: Path) -> Path:
        """<folder>/<step>-<time>.json, atomically. OSError when it cannot be written."""
        folder.mkdir(parents=True, exist_ok=True)
        stamp = self.created.replace(":", "").replace("-", "")
        path = folder / f"{self.step:08d}-{stamp}.json"
        count = 1
        while path.exists():  # two probes within a second
            count += 1
            path = folder / f"{self.step:08d}-{stamp}-{count}.json"
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(self.to_dict(), indent=1))
        os.replace(temporary, path)
        return path


def cell(row: Row) -> str:
    """52.1 [51.1, 53.1]; chance is exact and has no interval."""
    if row.method == "chance":
        return f"{100 * row.accuracy:.1f}"
    if row.sd is not None:
        return f"{100 * row.accuracy:.1f} +- {100 * row.sd:.1f}"
    return f"{100 * row.accuracy:.1f} [{100 * row.low:.1f}, {100 * row.high:.1f}]"


def unique(values: Iterable[T]) -> tuple[T, ...]:
    """Without repeats, in order."""
    return tuple(dict.fromkeys(values))
