"""Decoded samples on disk, so that only the first epoch of the first run decodes."""

import dataclasses
import hashlib
import json
import math
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from torch import Tensor

from openjepa.data.ledger import LedgerEntry
from openjepa.modalities.modality import BadSample, TooLong

if TYPE_CHECKING:
    from openjepa.data.dataset import Files

VERSION = 3  # of decoding: rises when the same file gives other numbers
LIMIT = 2 * 2**30  # bytes up to which "auto" keeps a cache
SAMPLE = 32  # files decoded to estimate the size
CHUNK = 1024  # samples decoded at a time: bounds what waits in memory
STALE = 86_400.0  # seconds after which an unfinished cache is taken for a dead one


@dataclass(frozen=True)
class Store:
    """One cache folder: samples.bin, index.npy [n 1+axes] of (offset in numbers, shape [c *axes]), info.json."""

    path: Path
    dtype: np.dtype[Any]
    index: NDArray[np.int64]
    bad: dict[int, str]  # row -> why it is not there
    notes: list[LedgerEntry]

    @cached_property
    def numbers(self) -> NDArray[Any]:
        return np.memmap(self.path / "samples.bin", self.dtype, "c")  # copy on write: torch wants what it may write to

    @cached_property
    def shape(self) -> tuple[int, ...] | None:
        """[c *axes] if all samples share it."""
        shapes = {tuple(map(int, shape)) for shape in np.unique(self.index[:, 1:], axis=0) if shape.all()}
        return shapes.pop() if len(shapes) == 1 else None

    def read(self, rows: NDArray[np.int64]) -> list[Tensor] | Tensor:
        """[b c *axes] if all samples of the store share a shape, else a list of [c *axes]."""
        if self.shape:
            return torch.from_numpy(self.numbers.reshape(-1, *self.shape)[self.index[rows, 0] // math.prod(self.shape)])
        return [self.sample(int(row)).clone() for row in rows]

    def sample(self, row: int) -> Tensor:
        """[c *axes], not copied."""
        offset, *shape = self.index[row].tolist()
        return torch.from_numpy(self.numbers[offset : offset + math.prod(shape)].reshape(shape))

    def __getstate__(self) -> dict[str, Any]:
        """What goes to a worker process: the memory map is opened again there, not sent."""
        return {k: v for k, v in self.__dict__.items() if k != "numbers"}


def home() -> Path:
    """$OPENJEPA_CACHE, or openjepa in the user's cache folder."""
    if named := os.environ.get("OPENJEPA_CACHE"):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "openjepa"


def open_store(files: "Files", always: bool) -> Store | None:
    """The cache of these files under these decoding settings; built if there is none and it is worthwhile, or always.

    OSError when it cannot be written; no half cache stays behind.
    """
    kept, kind = files.modality.decoded_by, type(files.modality)
    settings = {k: v for k, v in dataclasses.asdict(files.modality).items() if kept is None or k in kept}
    told = [VERSION, PIL.__version__, files.fingerprint, f"{kind.__module__}:{kind.__qualname__}", settings]
    path = home() / f"samples-{hashlib.blake2b(json.dumps(told).encode(), digest_size=12).hexdigest()}"
    if store := load(path):
        return store
    if not always and not worthwhile(files):
        return None
    files.notes.clear()  # those of the estimate: each file is remarked on once
    try:
        build(files, path)
    except TooLong:  # what is too long to be kept is decoded part by part
        files.notes.clear()
        return None
    return load(path)


def load(path: Path) -> Store | None:
    """A finished and whole cache, if there is one."""
    try:
        info: dict[str, Any] = json.loads((path / "info.json").read_text())
        np.dtype(info["dtype"])
        whole = (path / "samples.bin").stat().st_size == info["bytes"]
        index = np.load(path / "index.npy")
    except (OSError, EOFError, ValueError, KeyError, TypeError):  # missing, or damaged and so built again
        return None
    notes = [LedgerEntry(**note) for note in info["notes"]]
    return Store(path, np.dtype(info["dtype"]), index, {int(row): reason for row, reason in info["bad"].items()}, notes) if whole else None


def worthwhile(files: "Files") -> bool:
    """Whether the decoded samples are few enough for the limit and the disk."""
    rows = np.linspace(0, len(files) - 1, min(SAMPLE, len(files))).astype(int)
    sizes = []
    for row in rows:
        try:
            sizes.append(files.decode(int(row)).nbytes)
        except BadSample:
            continue
    estimate = float(np.mean(sizes)) * len(files) if sizes else 0.0
    place = next(p for p in (home(), *home().absolute().parents) if p.exists())
    return 0 < estimate <= LIMIT and shutil.disk_usage(place).free > 2 * estimate


def build(files: "Files", path: Path) -> None:
    """Decode every file once, in threads (Pillow decodes without Python's lock), and write under a temporary name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.mkdir()
    try:
        index, dtype, bad = write_samples(files, temporary / "samples.bin")
        np.save(temporary / "index.npy", index)
        notes = sorted((dataclasses.asdict(note) for note in files.notes), key=lambda note: str(note["path"]))
        info = {"bytes": (temporary / "samples.bin").stat().st_size, "dtype": dtype, "bad": bad, "notes": notes}
        (temporary / "info.json").write_text(json.dumps(info))
        if load(path) is None:  # else another process was faster
            shutil.rmtree(path, ignore_errors=True)
            os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_samples(files: "Files", path: Path) -> tuple[NDArray[np.int64], str, dict[int, str]]:
    """All samples to one file. Returns (offset, shape) of each row, zeros for a bad one, their dtype, and the reasons of the bad."""
    found: dict[int, tuple[int, ...]] = {}
    bad, offset, dtype = dict[int, str](), 0, "uint8"

    def decode(row: int) -> Tensor | str:
        try:
            return files.decode(row)
        except TooLong:
            raise
        except BadSample as error:
            return str(error)

    with open(path, "wb") as file, ThreadPoolExecutor(cores()) as pool:
        for first in range(0, len(files), CHUNK):
            chunk = range(first, min(first + CHUNK, len(files)))
            for row, result in zip(chunk, pool.map(decode, chunk), strict=True):
                if isinstance(result, str):
                    bad[row] = result
                    continue
                numbers = result.numpy()
                dtype = numbers.dtype.str
                file.write(numbers.tobytes())
                found[row] = (offset, *numbers.shape)
                offset += numbers.size
        file.flush()
        os.fsync(file.fileno())
    width = len(next(iter(found.values()), (0,)))
    return np.array([found.get(row, (0,) * width) for row in range(len(files))], np.int64), dtype, bad


def sweep(path: Path) -> None:
    """Remove what a killed process left of this cache."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        try:
            newest = max(p.stat().st_mtime for p in (left, *left.iterdir()))
        except OSError:  # another process has just finished or removed it
            continue
        if time.time() - newest > STALE or left.name.endswith(f".{os.getpid()}.tmp"):
            shutil.rmtree(left, ignore_errors=True)


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
