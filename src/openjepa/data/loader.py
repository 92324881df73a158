"""Step k's batch: which samples, decoded, cropped and masked, as a pure function of (seed, k)."""

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from openjepa import draws
from openjepa.data.dataset import BadRow, Dataset
from openjepa.data.ledger import LedgerEntry
from openjepa.tokens import Batch

MakeBatch = Callable[[Any, int, NDArray[np.int64]], Batch]
SUBSTITUTES = 64  # neighbours tried for a bad sample before the data is given up


@lru_cache(maxsize=2)
def permutation(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    """The order of epoch `epoch`: every sample once."""
    return np.random.default_rng(draws.key(seed, epoch, "order")).permutation(n)


def rows_of_step(seed: int, step: int, batch_size: int, n: int) -> NDArray[np.int64]:
    """The samples of one step: without replacement within each epoch, whoever asks."""
    if batch_size > n:
        raise ValueError(
            f"a batch of {batch_size} is larger than the data, which has {n} images; set --batch-size {n} or lower, or add images"
        )
    first = step * batch_size
    places = np.arange(first, first + batch_size)
    return np.concatenate([permutation(seed, int(e), n)[places[places // n == e] % n] for e in np.unique(places // n)])


@dataclass(frozen=True)
class Loaded:
    batch: Batch
    entries: list[LedgerEntry]


class Steps(torch.utils.data.Dataset[Loaded]):
    """Item k is the batch of step k, made in whichever process asks for it."""

    def __init__(self, dataset: Dataset, make_batch: MakeBatch, seed: int, batch_size: int, steps: int) -> None:
        self.dataset, self.make_batch, self.seed, self.batch_size, self.steps = dataset, make_batch, seed, batch_size, steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Loaded:
        rows = rows_of_step(self.seed, step, self.batch_size, len(self.dataset))
        images, rows, entries = self.read(step, rows)
        notes = getattr(self.dataset, "notes", [])
        entries += notes
        notes.clear()
        return Loaded(self.make_batch(images, step, rows), entries)

    def read(self, step: int, rows: NDArray[np.int64]) -> tuple[Any, NDArray[np.int64], list[LedgerEntry]]:
        """The images of these rows; a bad one gives way to the next row that can be read."""
        entries: list[LedgerEntry] = []
        rows = rows.copy()
        for _ in range(SUBSTITUTES * len(rows)):
            try:
                return self.dataset.read(rows), rows, entries
            except BadRow as bad:
                entries.append(LedgerEntry(self.dataset.name(bad.row), bad.reason, step=step))
                rows[rows == bad.row] = (bad.row + 1) % len(self.dataset)
        raise ValueError(
            f"step {step}: no readable image found near {self.dataset.name(int(rows[0]))!r} in {SUBSTITUTES} tries; check the data"
        )


class Loader:
    """Batches of steps `start` to `steps`, in order, the same whatever the number of workers."""

    def __init__(
        self, dataset: Dataset, make_batch: MakeBatch, *, seed: int, batch_size: int, start: int, steps: int, workers: int, pin: bool
    ) -> None:
        rows_of_step(seed, 0, batch_size, len(dataset))  # refuses a batch that is too large
        self.steps = Steps(dataset, make_batch, seed, batch_size, steps)
        self.start, self.workers, self.pin = start, workers if workers >= 0 else choose_workers(), pin

    def __iter__(self) -> Iterator[tuple[int, Batch, list[LedgerEntry], float]]:
        """(step, batch, ledger entries, seconds waited for it)."""
        source: Iterator[Loaded] = self.processes() if self.workers else (self.steps[k] for k in range(self.start, len(self.steps)))
        for step in range(self.start, len(self.steps)):
            asked = time.perf_counter()
            loaded = next(source)
            yield step, loaded.batch, loaded.entries, time.perf_counter() - asked

    def processes(self) -> Iterator[Loaded]:
        indices = range(self.start, len(self.steps))
        return iter(
            DataLoader(
                self.steps,
                batch_size=None,
                sampler=indices,
                num_workers=self.workers,
                pin_memory=self.pin,
                prefetch_factor=2,
                worker_init_fn=quiet,
            )
        )


def choose_workers() -> int:
    """One process for two cores, up to eight: the step itself needs the rest."""
    import os

    return max(1, min(8, (os.cpu_count() or 1) // 2))


def quiet(worker: int) -> None:
    """Ctrl-C is the main process's to answer; a worker computes in one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
