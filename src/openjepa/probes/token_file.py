"""Features of every token, for probes that pool for themselves: float16 on disk, read a batch at a time.

A file `<key>.tokens` holds the numbers, row after row, and `<key>.tokens.json`, written last, what they are. Tokens come from a
layer norm, so that float16 keeps three digits of each; the bytes of one sample lie side by side, so that a random batch
costs one read per sample.
"""

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from numpy.typing import NDArray
from torch import Tensor

LARGEST = 65504.0  # of float16
CHUNK = 2**24  # bytes hashed at a time


@dataclass(frozen=True)
class TokenFeatures:
    """Tokens of some samples, [n tokens d], on disk or in memory. `rows` picks among those stored."""

    stored: Shaped[NDArray[Any], "m tokens d"]
    rows: Int[Tensor, " n"]
    valid: Bool[Tensor, "m tokens"] | None = None  # False where a ragged sample is padded
    views: int = 1  # of each sample, whose tokens stand side by side in `stored`: samples of their own to a probe

    @staticmethod
    def of(x: Float[Tensor, "n tokens d"], valid: Bool[Tensor, "n tokens"] | None = None) -> "TokenFeatures":
        """Tokens that are in memory anyway."""
        return TokenFeatures(x.numpy(), torch.arange(len(x)), valid)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: Shaped[Tensor, " k"]) -> "TokenFeatures":
        """Some of the samples, by a boolean or by numbers; copies nothing."""
        return replace(self, rows=self.rows[which])

    @property
    def tokens(self) -> int:
        """Of one view."""
        return int(self.stored.shape[1]) // self.views

    @property
    def dim(self) -> int:
        return int(self.stored.shape[2])

    def batch(
        self, which: Int[Tensor, " b"] | slice, device: torch.device | str = "cpu"
    ) -> tuple[Float[Tensor, "bv tokens d"], Bool[Tensor, "bv tokens"] | None]:
        """Tokens of samples `which` on `device`, float32 unless float64 is stored, and which of them are real. Padding reads as 0.

        All views of the first sample, then all of the next.
        """
        rows = self.rows[which]
        x = torch.from_numpy(self.stored[rows.numpy()]).to(device).reshape(-1, self.tokens, self.dim)
        x = x if x.dtype == torch.float64 else x.float()
        if self.valid is None:
            return x, None
        valid = self.valid[rows].to(device).reshape(-1, self.tokens)
        return x.masked_fill_(~valid[..., None], 0.0), valid


class TokenWriter:
    """Takes tokens chunk by chunk, in the order of the data, to disk; to memory where there is no `path`."""

    def __init__(self, path: Path | None, views: int = 1) -> None:
        self.views = views  # whose tokens stand side by side
        self.path, self.shape, self.count = path, (0, 0), 0
        self.values, self.valid = list[NDArray[np.float16]](), list[Tensor]()
        self.file: Any = None
        if path is not None:
            self.temporary = path.with_name(f".{path.name}.{os.getpid()}-{id(self)}.tmp")  # two methods may share a path
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self.file = self.temporary.open("wb")
            except OSError as error:
                warnings.warn(f"token features are kept in memory: cannot write {path} ({error.strerror})", stacklevel=2)
                self.path = None

    def drop(self) -> None:
        """Remove an unfinished file."""
        if self.file is not None:
            with contextlib.suppress(OSError):
                self.file.close()
            self.temporary.unlink(missing_ok=True)
            self.file = None

    def add(self, x: Float[Tensor, "b tokens d"], valid: Bool[Tensor, "b tokens"] | None = None) -> None:
        """Tokens of the next samples. ValueError when they are not finite or not of the shape of those before."""
        real = x if valid is None else x.masked_fill(~valid[..., None], 0.0)
        broken = int((~real.isfinite()).flatten(1).any(1).sum())
        if broken:
            self.drop()
            raise ValueError(f"tokens of {broken} samples hold NaN or infinity; the checkpoint diverged, probe an earlier one with --step")
        shape = (x.shape[1], x.shape[2])
        if self.count and shape != self.shape:
            self.drop()
            raise ValueError(f"samples have {self.shape[0]} and {shape[0]} tokens; an attentive probe wants them padded to one number")
        values = real.clamp(-LARGEST, LARGEST).half().contiguous().numpy()
        self.shape = shape
        if self.file is not None:
            try:
                self.file.write(values.data)
            except OSError as error:
                self.drop()
                raise OSError(error.errno, f"token features need more room ({error.strerror})", str(self.path)) from None
        else:
            self.values.append(values)
        self.count += len(values)
        if valid is not None:
            self.valid.append(valid.cpu())

    def close(self, rows: Sequence[int], bad: Sequence[tuple[str, str]]) -> TokenFeatures:
        """Finish the file; `rows` are the samples' numbers in the data set."""
        valid = torch.cat(self.valid) if self.valid else None
        if self.path is None:
            return TokenFeatures(np.concatenate(self.values), torch.arange(self.count), valid, self.views)
        self.file.close()
        self.file = None
        told = {
            "shape": [self.count, *self.shape],
            "views": self.views,
            "rows": list(rows),
            "bad": list(bad),
            "valid": None if valid is None else valid.int().tolist(),
            "sha256": digest(self.temporary),
        }
        os.replace(self.temporary, self.path)
        beside = self.temporary.with_suffix(".json.tmp")
        beside.write_text(json.dumps(told))
        os.replace(beside, f"{self.path}.json")
        return mapped(self.path, told)


def mapped(path: Path, told: dict[str, Any]) -> TokenFeatures:
    stored = np.memmap(path, np.float16, "r", shape=tuple(told["shape"]))
    valid = None if told["valid"] is None else torch.tensor(told["valid"], dtype=torch.bool)
    return TokenFeatures(stored, torch.arange(len(stored)), valid, told.get("views", 1))


def load(path: Path | None) -> tuple[TokenFeatures, list[int]] | None:
    """Tokens kept earlier and their samples' numbers; None when there are none or the file is damaged."""
    if path is None or not path.exists():
        return None
    try:
        told = json.loads(Path(f"{path}.json").read_text())
        if told["sha256"] == digest(path):
            return mapped(path, told), told["rows"]
    except (OSError, KeyError, TypeError, ValueError):
        pass
    return None


def digest(path: Path) -> str:
    """Of the bytes of a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(CHUNK):
            found.update(part)
    return found.hexdigest()
