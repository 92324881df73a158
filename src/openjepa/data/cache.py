"""Decoded pixels on disk, uint8, so that only the first epoch of the first run decodes."""

import dataclasses
import hashlib
import json
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
from openjepa.modalities.image import BadSample

if TYPE_CHECKING:
    from openjepa.data.dataset import Files

VERSION = 2  # of decoding: rises when the same file gives other pixels
LIMIT = 2 * 2**30  # bytes up to which "auto" keeps a cache
SAMPLE = 32  # files decoded to estimate the size
CHUNK = 1024  # pictures decoded at a time: bounds what waits in memory
STALE = 86_400.0  # seconds after which an unfinished cache is taken for a dead one


@dataclass(frozen=True)
class Store:
    """One cache folder: pixels.bin, index.npy [n 3] of (offset, height, width), info.json."""

    path: Path
    index: NDArray[np.int64]
    bad: dict[int, str]  # row -> why it has no pixels
    notes: list[LedgerEntry]

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        return np.memmap(self.path / "pixels.bin", np.uint8, "r")

    @cached_property
    def shape(self) -> tuple[int, int] | None:
        """Height and width if all pictures share them."""
        sizes = {(int(h), int(w)) for h, w in np.unique(self.index[:, 1:], axis=0) if h}
        return sizes.pop() if len(sizes) == 1 else None

    def read(self, rows: NDArray[np.int64]) -> list[Tensor] | Tensor:
        """uint8 [b 3 h w] if all pictures of the store share a size, else a list of [3 h w]."""
        if self.shape:
            each = 3 * self.shape[0] * self.shape[1]
            return torch.from_numpy(self.pixels.reshape(-1, 3, *self.shape)[self.index[rows, 0] // each])
        found = []
        for offset, h, w in self.index[rows]:
            found.append(torch.from_numpy(self.pixels[offset : offset + 3 * h * w].reshape(3, h, w).copy()))
        return found

    def __getstate__(self) -> dict[str, Any]:
        """What goes to a worker process: the memory map is opened again there, not sent."""
        return {k: v for k, v in self.__dict__.items() if k != "pixels"}


def home() -> Path:
    """$OPENJEPA_CACHE, or openjepa in the user's cache folder."""
    if named := os.environ.get("OPENJEPA_CACHE"):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "openjepa"


def open_store(files: "Files", always: bool) -> Store | None:
    """The cache of these files under these decoding settings; built if there is none and it is worthwhile, or always.

    OSError when it cannot be written; no half cache stays behind.
    """
    settings = {k: v for k, v in dataclasses.asdict(files.modality).items() if k in ("size", "crop_scale")}
    told = [VERSION, PIL.__version__, files.fingerprint, settings]
    path = home() / f"pixels-{hashlib.blake2b(json.dumps(told).encode(), digest_size=12).hexdigest()}"
    if store := load(path):
        return store
    if not always and not worthwhile(files):
        return None
    files.notes.clear()  # those of the estimate: each file is remarked on once
    build(files, path)
    return load(path)


def load(path: Path) -> Store | None:
    """A finished and whole cache, if there is one."""
    try:
        info: dict[str, Any] = json.loads((path / "info.json").read_text())
        whole = (path / "pixels.bin").stat().st_size == info["bytes"]
        index = np.load(path / "index.npy")
    except (OSError, EOFError, ValueError, KeyError):  # missing, or damaged and so built again
        return None
    notes = [LedgerEntry(**note) for note in info["notes"]]
    return Store(path, index, {int(row): reason for row, reason in info["bad"].items()}, notes) if whole else None


def worthwhile(files: "Files") -> bool:
    """Whether the decoded pixels are few enough for the limit and the disk."""
    rows = np.linspace(0, len(files) - 1, min(SAMPLE, len(files))).astype(int)
    sizes = []
    for row in rows:
        try:
            sizes.append(files.decode(int(row)).numel())
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
        index, bad = write_pixels(files, temporary / "pixels.bin")
        np.save(temporary / "index.npy", index)
        notes = sorted((dataclasses.asdict(note) for note in files.notes), key=lambda note: str(note["path"]))
        info = {"bytes": (temporary / "pixels.bin").stat().st_size, "bad": bad, "notes": notes}
        (temporary / "info.json").write_text(json.dumps(info))
        if load(path) is None:  # else another process was faster
            shutil.rmtree(path, ignore_errors=True)
            os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_pixels(files: "Files", path: Path) -> tuple[NDArray[np.int64], dict[int, str]]:
    """All pixels to one file. Returns (offset, height, width) of each row, zeros for a bad one, and the reasons of those."""
    index, bad, offset = np.zeros((len(files), 3), np.int64), {}, 0

    def decode(row: int) -> Tensor | str:
        try:
            return files.decode(row)
        except BadSample as error:
            return str(error)

    with open(path, "wb") as file, ThreadPoolExecutor(cores()) as pool:
        for first in range(0, len(files), CHUNK):
            chunk = range(first, min(first + CHUNK, len(files)))
            for row, result in zip(chunk, pool.map(decode, chunk), strict=True):
                if isinstance(result, str):
                    bad[row] = result
                    continue
                file.write(result.numpy().tobytes())
                index[row] = offset, result.shape[1], result.shape[2]
                offset += result.numel()
        file.flush()
        os.fsync(file.fileno())
    return index, bad


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
