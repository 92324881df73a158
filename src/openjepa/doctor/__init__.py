"""Look before spending anything: machine, data, masks, memory, speed, and combinations known to go wrong."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from openjepa.data.cache import worthwhile
from openjepa.data.dataset import BadRow, Dataset, Files, open_dataset, settled
from openjepa.data.ledger import LedgerEntry
from openjepa.data.loader import choose_workers
from openjepa.doctor.advice import Facts, Finding, expected_mb, findings
from openjepa.doctor.cost import measure, size
from openjepa.doctor.machine import machine
from openjepa.doctor.masks import MaskReport, simulate
from openjepa.run import Run

SAMPLE = 64  # samples decoded
Say = Callable[[str], None]


@dataclass
class Diagnosis:
    """What was found; a part that was not looked at is None."""

    machine: dict[str, Any]
    data: dict[str, Any] | None = None
    masks: MaskReport | None = None
    model: dict[str, Any] | None = None
    speed: dict[str, Any] | None = None
    findings: list[Finding] = field(default_factory=list)
    dataset: Dataset | None = None
    run: Run | None = None  # as it would be trained: with what it leaves to the data taken from it

    @property
    def problems(self) -> int:
        return sum(finding.level == "problem" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        masks = self.masks.to_dict() if self.masks else None
        parts = {"machine": self.machine, "data": self.data, "masks": masks, "model": self.model, "speed": self.speed}
        return parts | {"findings": [asdict(finding) for finding in self.findings]}


def examine(
    run: Run, base: Run | None = None, *, masks: int = 1000, steps: int = 3, out: Path | None = None, say: Say = lambda text: None
) -> Diagnosis:
    """Look at a run on this machine. Writes nothing, and keeps no cache of decoded samples.

    Args:
        base: the recipe, to see what was changed.
        masks: samples whose masks are drawn.
        steps: optimizer steps timed; 0 leaves speed out.
        out: where the run would be written, to see whether checkpoints fit.
        say: told what is being done.

    Raises:
        ValueError: data or device are not there, or settings do not fit each other.
    """
    opened = None
    if run.data.path and not run.modality.settled:  # as training does before its first step
        opened = index(run, say)
        run = replace(run, modality=settled(run.modality, opened.dataset))
    width = run.objective.encoder.dim
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    say(f"timing matrix products of width {width}")
    found = Diagnosis(machine(run.device, run.precision, width))
    device, precision = torch.device(found.machine["device"]), str(found.machine["precision"])
    facts = Facts(run, base, free_mb=found.machine["free_mb"], free_disk=shutil.disk_usage(nearest(out or Path())).free, busy=busy)
    if masks:
        say(f"drawing {masks} masks")
        found.masks = simulate(run, masks)
        facts = replace(facts, masks=found.masks)
    cost = size(run, precision)
    facts = replace(facts, size=cost)
    found.model = asdict(cost) | {"tokens": int(np.prod(run.modality.grid)), "grid": list(run.modality.grid)}
    if run.data.path:
        opened = opened or index(run, say)
        found.dataset, found.run = opened.dataset, run
        facts, found.data = look_at_data(facts, opened)
        fits = facts.free_mb is None or cost.state / 2**20 < facts.free_mb
        if steps and fits and run.batch_size <= len(found.dataset):
            say(f"timing {steps} steps")
            timed = measure(run, found.dataset, device, precision, steps)
            facts = replace(facts, speed=timed)
            workers = run.workers if run.workers >= 0 else choose_workers()
            found.speed = asdict(timed) | {
                "images_per_s": run.batch_size / timed.seconds,
                "load_images_per_s": run.batch_size / timed.load * max(1, workers),
                "workers": workers,
                "expected_mb": expected_mb(run, cost, timed),
                "eta_s": run.steps * pace(timed.seconds, timed.load, workers),
            }
    found.findings = findings(facts)
    return found


def pace(seconds: float, load: float, workers: int) -> float:
    """Seconds per step with its data: workers read while the step computes, the main process cannot."""
    return max(seconds, load / workers) if workers else seconds + load


@dataclass(frozen=True)
class Opened:
    """The data, what indexing has to report, and how long it took."""

    dataset: Dataset
    entries: list[LedgerEntry]
    seconds: float


def index(run: Run, say: Say) -> Opened:
    """Open the data of a run, without a cache."""
    say(f"indexing {run.data.path}")
    began = time.perf_counter()
    dataset, entries = open_dataset(run.data.path, run.modality, "off", run.data.exclude)
    return Opened(dataset, entries, time.perf_counter() - began)


def look_at_data(facts: Facts, opened: Opened) -> tuple[Facts, dict[str, Any]]:
    """Decode a sample of the data."""
    run, dataset, entries = facts.run, opened.dataset, opened.entries
    rows = np.unique(np.linspace(0, len(dataset) - 1, min(SAMPLE, len(dataset))).astype(int)).tolist()
    shapes, broken = [], list[tuple[str, str]]()
    began = time.perf_counter()
    for row in rows:
        try:
            shapes.append(tuple(dataset.read([row])[0].shape[1:]))
        except BadRow as bad:
            broken.append((dataset.name(row), bad.reason))
    seconds = (time.perf_counter() - began) / len(rows)
    fits = [len(shape) == len(run.modality.size) for shape in shapes]  # a sound becomes a spectrogram only in its view
    small = sum(ok and any(a < b for a, b in zip(shape, run.modality.size, strict=True)) for ok, shape in zip(fits, shapes, strict=True))
    unusable = [entry for entry in entries if entry.kind == "bad"]
    caches = isinstance(dataset, Files) and (run.data.cache == "on" or (run.data.cache == "auto" and worthwhile(dataset)))
    told = {
        "path": run.data.path,
        "fingerprint": dataset.fingerprint,
        "images": len(dataset),
        "labels": {name: len(labels.names) for name, labels in dataset.labels.items()},
        "index_s": opened.seconds,
        "unusable": len(unusable),
        "sampled": len(rows),
        "sampled_bad": len(broken),
        "bad": ([(entry.path, entry.reason) for entry in unusable] + broken)[:20],
        "kind": run.modality.kind,
        "decoded": [[min(axis), max(axis)] for axis in zip(*shapes, strict=True)],
        "smaller_than_view": small,
        "decode_ms": 1000 * seconds if isinstance(dataset, Files) else None,  # a world is drawn, in batches
        "cached": caches,
    }
    facts = replace(
        facts, images=len(dataset), labels=tuple(dataset.labels), bad=len(unusable), sampled=len(rows), sampled_bad=len(broken), small=small
    )
    return facts, told


def nearest(path: Path) -> Path:
    """The closest folder above `path` that exists."""
    path = path.absolute()
    while not path.is_dir() or not os.access(path, os.R_OK):
        if path == path.parent:
            break
        path = path.parent
    return path
