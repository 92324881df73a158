"""Step k's batch: which samples, decoded, cropped and masked, as a pure function of (seed, k)."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from openjepa import draws
from openjepa.data.cache import cores
from openjepa.data.dataset import BadRow, Dataset
from openjepa.data.ledger import LedgerEntry
from openjepa.tokens import Batch

MakeBatch = Callable[[Any, int, NDArray[np.int64]], Batch]
SUBSTITUTES = 64  # rows tried in place of a bad one before the data is given up


class WorkerDied(OSError):
    """A loader process was ended from outside."""


@lru_cache(maxsize=2)
def permutation(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    """The order of epoch `epoch`: every sample once."""
    return np.argsort(draws.uniform(seed, epoch, np.arange(n), 1, "order")[:, 0], kind="stable")


def rows_of_step(seed: int, step: int, batch_size: int, n: int) -> NDArray[np.int64]:
    """The samples of one step: without replacement within each epoch, whoever asks.

    An epoch that ends inside a batch is continued by the next, so that no sample is left out.
    """
    if batch_size > n:
        raise ValueError(
            f"a batch of {batch_size} is larger than the data, which has {n} samples; set --batch-size {n} or lower, or add data"
        )
    first = step * batch_size
    places = np.arange(first, first + batch_size)
    return np.concatenate([permutation(seed, int(e), n)[places[places // n == e] % n] for e in np.unique(places // n)])


@dataclass(frozen=True)
class Loaded:
    batch: Batch
    entries: list[LedgerEntry]

    def pin_memory(self) -> "Loaded":
        """Called by the DataLoader, which cannot look into a dataclass."""
        return Loaded(self.batch.map(Tensor.pin_memory), self.entries)


class Steps(torch.utils.data.Dataset[Loaded | ValueError]):
    """Item k is the batch of step k, made in whichever process asks for it.

    A ValueError is handed over, not raised: it would arrive from a worker as a traceback in a string.
    """

    def __init__(self, dataset: Dataset, make_batch: MakeBatch, seed: int, batch_size: int, steps: int) -> None:
        self.dataset, self.make_batch, self.seed, self.batch_size, self.steps = dataset, make_batch, seed, batch_size, steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Loaded | ValueError:
        rows = rows_of_step(self.seed, step, self.batch_size, len(self.dataset))
        try:
            images, rows, entries = self.read(step, rows)
            batch = self.make_batch(images, step, rows)
        except ValueError as error:
            return error
        notes = getattr(self.dataset, "notes", [])
        entries += notes
        notes.clear()
        return Loaded(batch, entries)

    def read(self, step: int, rows: NDArray[np.int64]) -> tuple[Any, NDArray[np.int64], list[LedgerEntry]]:
        """The samples of these rows, each at its place in time; a bad one gives way to the next row that can be read."""
        try:
            return self.dataset.read(rows, self.at(step, rows)), rows, []
        except BadRow:
            pass
        images, rows, entries = [], rows.copy(), []
        for i, row in enumerate(rows.tolist()):
            for _ in range(SUBSTITUTES):
                try:
                    images.append(self.dataset.read([row], self.at(step, [row]))[0])
                    break
                except BadRow as bad:
                    entries.append(LedgerEntry(self.dataset.name(row), bad.reason, step=step))
                    row = (row + 1) % len(self.dataset)
            else:
                wanted = self.dataset.name(int(rows[i]))
                raise ValueError(
                    f"step {step}: {wanted} cannot be read, nor any of the {SUBSTITUTES - 1} files after it "
                    f"({entries[-1].path}: {entries[-1].reason}); is the data still where it was?"
                )
            rows[i] = row
        return images, rows, entries

    def at(self, step: int, rows: draws.Rows) -> NDArray[np.float64]:
        """Where in time each sample is looked at in this step, 0 to 1."""
        return draws.uniform(self.seed, step, rows, 1, "time")[:, 0]


class Loader:
    """Batches of steps `start` to `steps`, in order, the same to the bit whatever the number of workers.

    `workers` processes load ahead, two batches each; 0 loads in this process, -1 chooses.
    """

    def __init__(
        self, dataset: Dataset, make_batch: MakeBatch, *, seed: int, batch_size: int, start: int, steps: int, workers: int, pin: bool
    ) -> None:
        rows_of_step(seed, 0, batch_size, len(dataset))  # refuses a batch that is too large
        self.steps = Steps(dataset, make_batch, seed, batch_size, steps)
        self.start, self.workers, self.pin = start, workers if workers >= 0 else choose_workers(), pin

    def __iter__(self) -> Iterator[tuple[int, Batch, list[LedgerEntry], float]]:
        """(step, batch, ledger entries, seconds waited for it).

        Raises:
            ValueError: a bad file has no readable neighbour, or the masks cannot be drawn.
            WorkerDied: a loader process was killed, usually for want of memory.
        """
        todo = range(self.start, len(self.steps))
        source = self.processes(todo) if self.workers and todo else (self.steps[k] for k in todo)
        for step in todo:
            asked = time.perf_counter()
            loaded = self.take(source)
            if isinstance(loaded, ValueError):
                raise loaded
            yield step, loaded.batch, loaded.entries, time.perf_counter() - asked

    def take(self, source: Iterator[Loaded | ValueError]) -> Loaded | ValueError:
        try:
            return next(source)
        except RuntimeError as error:
            if "DataLoader worker" not in str(error) or "Caught" in str(error):
                raise
            raise WorkerDied(
                f"a loader process died ({str(error).splitlines()[0]}); usually memory or shared memory (/dev/shm) ran out: "
                f"use fewer --workers than {self.workers}, or --workers 0 to load in the main process"
            ) from error

    def processes(self, todo: range) -> Iterator[Loaded | ValueError]:
        before = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
        source = iter(
            DataLoader(
                self.steps,
                batch_size=None,
                sampler=todo,
                num_workers=self.workers,
                pin_memory=self.pin,
                prefetch_factor=2,
                worker_init_fn=quiet,
            )
        )
        if before is not None and threading.current_thread() is threading.main_thread():
            # torch's handler would raise in the middle of whatever step is running when a worker dies; `take` finds out too
            signal.signal(signal.SIGCHLD, before)
        return source


def choose_workers() -> int:
    """One process for two cores, up to eight: the step itself needs the rest."""
    return max(1, min(8, cores() // 2))


def quiet(worker: int) -> None:
    """A worker computes in one thread, and leaves Ctrl-C and the first SIGTERM to the main process.

    `timeout` and job schedulers send SIGTERM to the whole group, and the main process needs batches
    until it has saved.
    """
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, leave_it_once)


def leave_it_once(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_DFL)
