"""A sample on a regular grid: image 2 axes, video 3, spectrogram 2, time series 1."""

from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from openjepa.modalities.modality import Modality
from openjepa.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class Grid(Modality):
    """How a sample is cut into patches. It has no parameters: a ViT stem is this plus a linear map."""

    patch: tuple[int, ...]  # numbers per patch and axis, e.g. (4, 4)

    def __post_init__(self) -> None:
        if len(self.size) != len(self.patch) or not 1 <= len(self.size) <= 3:
            raise ValueError(f"size {self.size} and patch {self.patch} must name the same 1, 2 or 3 axes")
        self.places(self.size)

    @property
    def grid(self) -> tuple[int, ...]:
        """Patches per axis at the training size."""
        return self.places(self.size)

    @property
    def patch_dim(self) -> int:
        """Numbers in one patch."""
        return self.channels * prod(self.patch)

    def places(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Patches per axis of a sample of `size`. A remainder is an error, never a silent crop."""
        if any(s % p or s < p for s, p in zip(size, self.patch, strict=True)):
            fit = tuple(max(p, s // p * p) for s, p in zip(size, self.patch, strict=True))
            raise ValueError(f"size {size} is not a whole number of patches {self.patch}; {fit} would be")
        return tuple(s // p for s, p in zip(size, self.patch, strict=True))

    def patchify(self, x: Shaped[Tensor, "b c *size"]) -> Tokens:
        """Cut any whole number of patches, in raster order; inside a patch (row, column, channel)."""
        grid, axes = self.places(tuple(x.shape[2:])), len(self.patch)
        b = x.shape[0]  # len() would fix the batch size of an exported graph
        x = x.reshape(b, self.channels, *(n for pair in zip(grid, self.patch, strict=True) for n in pair))
        x = x.permute(0, *range(2, 2 * axes + 2, 2), *range(3, 2 * axes + 3, 2), 1)
        # Cut first: what is stored is smaller than the floats it becomes
        values = self.prepare(x.contiguous(), channel=-1).reshape(b, prod(grid), self.patch_dim)
        return Tokens(values, positions(grid, x.device).expand(b, -1, -1))

    def unpatchify(self, values: Float[Tensor, "b n d"], size: tuple[int, ...] | None = None) -> Float[Tensor, "b c ..."]:
        """Inverse of patchify (after `prepare`) for samples of `size`, by default the training size."""
        size = size or self.size
        grid, axes = self.places(size), len(self.patch)
        x = values.reshape(len(values), *grid, *self.patch, self.channels)
        order = [n for i in range(axes) for n in (1 + i, 1 + axes + i)]
        return x.permute(0, 2 * axes + 1, *order).reshape(len(values), self.channels, *size)


def numbered(grid: tuple[int, ...], patch: tuple[int, ...]) -> Int64[Tensor, "*size"]:
    """The token of every number of a view, in raster order."""
    tokens = torch.arange(prod(grid)).reshape(grid)
    for axis, times in enumerate(patch):
        tokens = tokens.repeat_interleave(times, axis)
    return tokens


def positions(grid: tuple[int, ...], device: torch.device | None = None) -> Float[Tensor, "1 n axes"]:
    """Coordinates of every patch in raster order, in patch units, float32."""
    lines = [torch.arange(g, dtype=torch.float32, device=device) for g in grid]
    return torch.stack(torch.meshgrid(*lines, indexing="ij"), -1).reshape(1, -1, len(grid))
