"""Time series: one or many channels of any length to windows, windows to patches in time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Shaped
from numpy.typing import NDArray
from torch import Tensor

from openjepa.draws import Rows, uniform
from openjepa.modalities.drawn import Drawn
from openjepa.modalities.grid import Grid, numbered, positions
from openjepa.modalities.modality import BadSample, Decoded
from openjepa.modalities.scaling import FLAT, robust_asinh, standardised
from openjepa.modalities.series_files import cases
from openjepa.modalities.traces import traces
from openjepa.tokens import Tokens, unless_all


@dataclass(frozen=True, kw_only=True)
class Series(Grid):
    """Windows of `size` time steps. Shorter series are padded at their end; NaN in a view means "no value here".

    A token is a patch of all channels at one time (`layout="joint"`, position (time,)) or of one channel
    ("per_channel", position (channel, time), or (x, y, z, time) with `coordinates`). It is valid if at least half
    of its numbers are real; the others are 0. Scaling per window happens when a view is made, not in `patchify`:
    the numbers of a token depend on no other token of the view.
    """

    kind: ClassVar[str] = "series"
    many: ClassVar[bool] = True
    suffixes: ClassVar[frozenset[str]] = frozenset({".csv", ".tsv", ".npy", ".npz", ".ts", ".parquet"})
    timed: ClassVar[bool] = True
    decoded_by: ClassVar[tuple[str, ...]] = ("channels", "size", "patch")

    channels: int = 1
    size: tuple[int, ...] = (512,)  # time steps in a view
    patch: tuple[int, ...] = (16,)  # time steps in a patch
    layout: Literal["joint", "per_channel"] = "joint"
    # standard: mean 0, std 1 per window and channel. asinh: asinh((x - median) / (IQR / 1.349)) per window and channel,
    # with the std where the IQR is 0. data: with `mean` and `std` of the whole data, see `settle`.
    scale: Literal["standard", "asinh", "data", "none"] = "standard"
    mean: tuple[float, ...] | None = None  # per channel, for scale="data"
    std: tuple[float, ...] | None = None
    coordinates: tuple[tuple[float, ...], ...] | None = None  # of each channel; neighbours should be about 1 apart

    def __post_init__(self) -> None:
        if len(self.size) != 1 or len(self.patch) != 1 or self.channels < 1:
            raise ValueError(
                f"size {self.size} and patch {self.patch} must each be one number of time steps, channels ({self.channels}) 1 or more"
            )
        super().__post_init__()
        if self.coordinates is not None:
            widths = {len(c) for c in self.coordinates}
            if self.layout != "per_channel" or len(self.coordinates) != self.channels or len(widths) != 1 or 0 in widths:
                raise ValueError(
                    f"{len(self.coordinates)} coordinates of {sorted(widths)} numbers for {self.channels} channels, layout {self.layout!r}: "
                    'there must be one (x, y, z) per channel, and layout="per_channel"'
                )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != self.channels:
                raise ValueError(f"{name} has {len(values)} numbers for {self.channels} channels")

    # -- files

    def decode(self, data: bytes | Sequence[bytes], at: float | None = None) -> Decoded:
        """The one series in a file, [channels time] float32; missing values interpolated, which the note says."""
        if not isinstance(data, bytes):
            raise BadSample(f"{len(data)} files for one series")
        found = list(cases(data, self.channels))
        if len(found) != 1:
            raise BadSample(f"{len(found)} series in one file; read_each gives them one by one")
        if isinstance(found[0], BadSample):
            raise found[0]
        values, note = self.clean(found[0].values)
        return Decoded(values if at is None else self.cut(values, at), joined(found[0].note, note))

    def read_each(self, data: bytes, name: str = "") -> Iterator[tuple[Decoded | BadSample, str | None]]:
        """Every series of a file with its label, or why that one cannot be used."""
        for case in cases(data, self.channels):
            if isinstance(case, BadSample):
                yield case, None
                continue
            try:
                values, note = self.clean(case.values)
                yield Decoded(values, joined(case.note, note)), case.label
            except BadSample as bad:
                yield BadSample(f"{case.where}: {bad}" if case.where else str(bad)), case.label

    def clean(self, values: NDArray[np.float64]) -> tuple[Float32[Tensor, "c t"], str | None]:
        """Numbers that can be learned from, float32: NaN interpolated in time, at the ends the nearest value.

        BadSample for another number of channels, fewer steps than make two tokens, infinity, or a channel with no value.
        """
        c, t = values.shape
        if c != self.channels:
            raise BadSample(f"{c} channels of {t} time steps, wanted channels={self.channels}; set channels={c} or convert the file")
        if 2 * t < min(3 * self.patch[0], 2 * self.size[0]):
            raise BadSample(f"{t} time steps, less than one and a half patches of {self.patch[0]}: one token to see and one to predict")
        with np.errstate(over="ignore"):
            values = values.astype(np.float32)  # beyond 3.4e38 becomes infinite
        if np.isinf(values).any():
            raise BadSample(f"infinite, or too large for float32, in channel {np.isinf(values).any(1).argmax()}")
        gone = np.isnan(values)
        if gone.all(1).any():
            raise BadSample(f"channel {gone.all(1).argmax()} has no value at all")
        steps = np.arange(t)
        for channel in np.flatnonzero(gone.any(1)):
            hole = gone[channel]
            values[channel, hole] = np.interp(steps[hole], steps[~hole], values[channel, ~hole])
        count = int(gone.sum())
        return torch.from_numpy(
            np.ascontiguousarray(values)
        ), f"{count} of {gone.size} values were missing and are interpolated" if count else None

    def cut(self, sample: Shaped[Tensor, "c t"], at: float) -> Shaped[Tensor, "c part"]:
        """The window at `at` in [0, 1) of the places a window has in it; all of a shorter one."""
        t, length = sample.shape[1], self.size[0]
        start = min(int(at * (t - length + 1)), t - length) if t > length else 0
        return sample[:, start : start + length]

    # -- views

    @property
    def settled(self) -> bool:
        return self.scale != "data" or (self.mean is not None and self.std is not None)

    def settle(self, samples: Sequence[Tensor]) -> "Series":
        """With mean and std per channel over all time steps of `samples`, where scale="data" and none are set."""
        if self.settled:
            return self
        whole = torch.cat([sample.double() for sample in samples], 1)
        mean, std = whole.mean(1), whole.std(1, correction=0)
        std = torch.where(std > FLAT * whole.abs().amax(1), std, 1.0)  # constant: centred only
        return replace(self, mean=self.mean or tuple(mean.tolist()), std=self.std or tuple(std.tolist()))

    def augment(self, samples: Sequence[Tensor] | Tensor, seed: int, step: int, rows: Rows) -> Float32[Tensor, "b c t"]:
        """The scaled window of each; a sample that was not cut in time is cut at random, pure in (seed, step, row)."""
        return self.view(samples, uniform(seed, step, rows, 1, "window")[:, 0].tolist(), self.size[0])

    def center(self, samples: Sequence[Tensor] | Tensor, size: tuple[int, ...] | None = None) -> Float32[Tensor, "b c t"]:
        """The scaled window of each; the middle of a sample that was not cut in time."""
        return self.view(samples, [0.5] * len(samples), (size or self.size)[0])

    def view(self, samples: Sequence[Tensor] | Tensor, at: Sequence[float], length: int) -> Float32[Tensor, "b c t"]:
        shape, windows = replace(self, size=(length,)), np.full((len(samples), self.channels, length), np.nan, np.float32)
        for window, sample, place in zip(windows, samples, at, strict=True):
            part = shape.cut(sample, place)
            window[:, : part.shape[1]] = part.numpy()
        scale = {"standard": standardised, "asinh": robust_asinh}.get(self.scale)
        return torch.from_numpy(windows if scale is None else scale(windows))

    def prepare(self, x: Shaped[Tensor, "..."], channel: int = 1) -> Float[Tensor, "..."]:
        """float32, standardised with the data's statistics where scale="data"; a view is scaled already otherwise."""
        if self.scale != "data":
            return x.float()
        if self.mean is None or self.std is None:
            raise ValueError('scale="data" needs mean and std; settle(samples) takes them from samples')
        shape = [self.channels if axis == channel % x.ndim else 1 for axis in range(x.ndim)]
        mean, std = (torch.tensor(v, device=x.device).view(shape) for v in (self.mean, self.std))
        return (x - mean) / std

    # -- tokens

    @property
    def tied(self) -> tuple[int, ...]:
        """Axes of the grid that copy each other, for masks.tubes.Tied: a channel hidden alone is read off its neighbours."""
        return (0,) if self.layout == "per_channel" else ()

    @property
    def patch_dim(self) -> int:
        """Numbers in one token."""
        return self.patch[0] * (self.channels if self.layout == "joint" else 1)

    def places(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """(patches,) or, per channel, (channels, patches) of `size` time steps. A remainder is an error."""
        along = super().places(size)
        return along if self.layout == "joint" else (self.channels, *along)

    def patchify(self, x: Shaped[Tensor, "b c t"]) -> Tokens:
        """Tokens [b n patch_dim]; in a joint one (time, channel). `valid` is None when every token is real."""
        if self.layout == "joint":
            tokens = super().patchify(x)
            values, where = tokens.values, tokens.positions
        else:
            grid = self.places(tuple(x.shape[2:]))
            values = self.prepare(x, channel=1).reshape(len(x), -1, self.patch[0])
            where = self.where(grid, x.device).expand(len(x), -1, -1)
        gone = values.isnan()
        return Tokens(values.masked_fill(gone, 0), where, self.enough(gone))

    def valid(self, x: Shaped[Tensor, "b c t"]) -> Bool[Tensor, "b n"] | None:
        """Which tokens of a view are real, as patchify says; None: all of them."""
        if self.layout == "joint":
            gone = x.isnan().unflatten(2, (-1, self.patch[0])).transpose(1, 2).flatten(2)
        else:
            gone = x.isnan().reshape(len(x), -1, self.patch[0])
        return self.enough(gone)

    def enough(self, gone: Bool[Tensor, "b n d"]) -> Bool[Tensor, "b n"] | None:
        """At least half of the numbers are there."""
        valid: Tensor = 2 * gone.sum(-1) <= gone.shape[-1]
        return unless_all(valid)

    def pad(self, view: Shaped[Tensor, "b c t"]) -> tuple[Tensor, Tensor]:
        """The first half of the window; padding is NaN, so that there are no other numbers to put in it."""
        steps = torch.arange(view.shape[2], device=view.device)
        half = view.float().masked_fill(2 * steps >= view.shape[2], torch.nan)
        return half, half.clone()

    def where(self, grid: tuple[int, ...], device: torch.device | None = None) -> Float32[Tensor, "1 n axes"]:
        """(channel, time) or (x, y, z, time) of each token of one channel, time in patches."""
        where = positions(grid, device)
        if self.coordinates is None:
            return where
        place = torch.tensor(self.coordinates, dtype=torch.float32, device=device)
        return torch.cat([place[where[0, :, 0].long()], where[0, :, 1:]], -1)[None]

    def unpatchify(self, values: Float[Tensor, "b n d"], size: tuple[int, ...] | None = None) -> Float[Tensor, "b c t"]:
        """Exact inverse of patchify (after `prepare`); 0 where a view is padded."""
        if self.layout == "joint":
            return super().unpatchify(values, size)
        return values.reshape(len(values), self.channels, *(size or self.size))

    def draw(self, x: Shaped[Tensor, "c t"]) -> Drawn:
        """One view as traces, a lane per channel; grey where it is padded, lines between patches."""
        picture = torch.from_numpy(traces(x.float().cpu().numpy(), self.patch[0]))
        tokens = numbered(self.places((x.shape[1],)), (self.patch[0],) if self.layout == "joint" else (1, self.patch[0]))
        lanes = tokens.reshape(-1, x.shape[1])  # one for all channels, or one for each
        for axis in (0, 1):
            lanes = lanes.repeat_interleave(picture.shape[axis] // lanes.shape[axis], axis)
        return Drawn(picture[None], lanes[None])


def joined(*notes: str | None) -> str | None:
    return "; ".join(note for note in notes if note) or None
