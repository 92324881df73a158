"""Decoded pixels on disk, uint8, so that only the first epoch of the first run decodes."""

import dataclasses
import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from openjepa.data.ledger import LedgerEntry
from openjepa.modalities.image import BadSample

if TYPE_CHECKING:
    from openjepa.data.dataset import Files

VERSION = 1  # of decoding: rises when the same file gives other pixels
LIMIT = 2 * 2**30  # bytes up to which "auto" keeps a cache
SAMPLE = 32  # files decoded to estimate the size


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
        """Height and width if all pictures share them and none is missing."""
        first = self.index[0, 1:]
        return (int(first[0]), int(first[1])) if not self.bad and (self.index[:, 1:] == first).all() else None

    def read(self, rows: NDArray[np.int64]) -> list[Tensor] | Tensor:
        """uint8 [b 3 h w] if all pictures of the store share a size, else a list of [3 h w]."""
        if self.shape:
            return torch.from_numpy(self.pixels.reshape(-1, 3, *self.shape)[rows])
        found = []
        for offset, h, w in self.index[rows]:
            found.append(torch.from_numpy(self.pixels[offset : offset + 3 * h * w].reshape(3, h, w).copy()))
        return found


def home() -> Path:
    """$OPENJEPA_CACHE, or openjepa in the user's cache folder."""
    if named := os.environ.get("OPENJEPA_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "openjepa"


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
    place = next(p for p in (home(), *home().parents) if p.exists())
    return 0 < estimate <= LIMIT and shutil.disk_usage(place).free > 2 * estimate


def open_store(files: "Files") -> Store:
    """The cache of these files under these decoding settings, built if there is none.

    OSError when it cannot be written; no half cache stays behind.
    """
    settings = {k: v for k, v in dataclasses.asdict(files.modality).items() if k in ("size", "crop_scale")}
    key = hashlib.blake2b(json.dumps([VERSION, files.fingerprint, settings]).encode(), digest_size=12).hexdigest()
    path = home() / f"pixels-{key}"
    if not (path / "info.json").exists():
        build(files, path)
    info: dict[str, Any] = json.loads((path / "info.json").read_text())
    notes = [LedgerEntry(**note) for note in info["notes"]]
    return Store(path, np.load(path / "index.npy"), {int(row): reason for row, reason in info["bad"].items()}, notes)


def build(files: "Files", path: Path) -> None:
    """Decode every file once, in threads (Pillow decodes without Python's lock), and write under a temporary name."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    index, bad, offset = np.zeros((len(files), 3), np.int64), {}, 0

    def decode(row: int) -> Tensor | str:
        try:
            return files.decode(row)
        except BadSample as error:
            return str(error)

    try:
        with open(temporary / "pixels.bin", "wb") as file, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for first in range(0, len(files), 1024):  # bounds what waits in memory
                chunk = range(first, min(first + 1024, len(files)))
                for row, result in zip(chunk, pool.map(decode, chunk), strict=True):
                    if isinstance(result, str):
                        bad[row] = result
                        continue
                    file.write(result.numpy().tobytes())
                    index[row] = offset, result.shape[1], result.shape[2]
                    offset += result.numel()
            file.flush()
            os.fsync(file.fileno())
        np.save(temporary / "index.npy", index)
        info = {"bad": bad, "notes": [dataclasses.asdict(note) for note in files.notes]}
        (temporary / "info.json").write_text(json.dumps(info))
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
