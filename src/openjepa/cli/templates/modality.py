"""NAME: what one sample is, in one sentence."""

# A modality is one file: how to read a sample, how to make a view of it, how to cut the view into tokens.
# This one reads .npy recordings [channels time] of a sensor. Change it until it reads yours, then ask
#
#   openjepa doctor --modality NAME:CLASS                       whether it keeps the laws that training relies on
#   openjepa doctor --modality NAME:CLASS --data ./recordings   the same on your own files
#   openjepa train series.jepa --modality NAME:CLASS --data ./recordings --out runs/NAME

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from openjepa.draws import Rows
from openjepa.modalities.drawn import Drawn
from openjepa.modalities.grid import Grid, numbered
from openjepa.modalities.modality import BadSample, Decoded


@dataclass(frozen=True, kw_only=True)
class CLASS(Grid):
    """Recordings of a sensor: channels x time. Fields are plain values; they are stored with every run."""

    kind: ClassVar[str] = "recordings"  # in messages: "no recordings in ./data"
    suffixes: ClassVar[frozenset[str]] = frozenset({".npy"})  # which files are samples
    timed: ClassVar[bool] = True  # a view is a part in time of a longer recording

    channels: int = 3
    size: tuple[int] = (256,)  # numbers per axis of a view; here time steps
    patch: tuple[int] = (16,)  # numbers per token and axis
    rms: float | None = None  # of all recordings; None: taken from the data when training begins

    def decode(self, data: bytes | Sequence[bytes], at: float | None = None) -> Decoded:
        """Bytes of a file to a stored sample [channels time], float32. What cannot be used is a BadSample, never a crash."""
        try:
            x = np.load(io.BytesIO(data if isinstance(data, bytes) else b""), allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise BadSample(f"not a .npy file ({error})") from None
        if not isinstance(x, np.ndarray) or x.ndim != 2 or len(x) != self.channels:
            raise BadSample(f"holds {getattr(x, 'shape', type(x).__name__)}; [{self.channels} channels, time] is wanted")
        if x.shape[1] < self.size[0]:
            raise BadSample(f"{x.shape[1]} time steps; at least {self.size[0]} are wanted")
        if not np.issubdtype(x.dtype, np.number) or not np.isfinite(x).all():
            raise BadSample("holds values that are not finite numbers")
        sample = torch.from_numpy(x.astype(np.float32))
        return Decoded(sample if at is None else self.cut(sample, at))

    def cut(self, sample: Tensor, at: float) -> Tensor:
        """The part in time that a view at `at` in [0, 1) shows."""
        first = int(at * (sample.shape[1] - self.size[0] + 1))
        return sample[:, first : first + self.size[0]]

    @property
    def settled(self) -> bool:
        return self.rms is not None

    def settle(self, samples: Sequence[Tensor]) -> "CLASS":
        """What is left to the data, from some samples; the result is stored with the run."""
        from dataclasses import replace

        rms = torch.stack([sample.square().mean() for sample in samples]).mean().sqrt()
        return replace(self, rms=float(rms.clamp(min=1e-6)))

    def augment(self, samples: Sequence[Tensor] | Tensor, seed: int, step: int, rows: Rows) -> Tensor:
        """Training views [b channels time] of samples already cut in time. Random changes, if any, come from
        openjepa.draws.uniform(seed, step, rows, ...), so that a resumed run sees the same ones."""
        return self.center(samples)

    def center(self, samples: Sequence[Tensor] | Tensor, size: tuple[int, ...] | None = None) -> Tensor:
        """Evaluation views."""
        return torch.stack(list(samples))

    def prepare(self, x: Tensor, channel: int = 1) -> Tensor:
        """Stored numbers to what the encoder reads. Called on every batch, on the training device."""
        return x.float() / (self.rms or 1.0)

    def draw(self, x: Tensor) -> Drawn:
        """One view for pages: RGB bytes [1 h w 3], here one line of grey values per channel, and which token each pixel shows."""
        y = x.float() - x.float().amin()
        grey = (255 * y / y.amax().clamp(min=1e-6)).byte().repeat_interleave(16, 0)
        tokens = numbered(self.places((x.shape[1],)), self.patch).expand(len(grey), -1)
        return Drawn(grey[None, ..., None].expand(-1, -1, -1, 3).contiguous(), tokens[None])
