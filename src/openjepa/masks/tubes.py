"""Masks that are the same all along some axes: a tube through every frame, a moment of every electrode."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from openjepa.draws import Rows
from openjepa.masks import check_grid
from openjepa.masks.blocks import Blocks
from openjepa.masks.random import Random
from openjepa.tokens import Masks


@dataclass(frozen=True, kw_only=True)
class Tied:
    """Masks drawn on the grid of the other axes and repeated along `axes`.

    For axes that copy each other: one lead of an ECG, or one frame of a video, hidden alone is read
    off its neighbour.
    """

    masks: Random | Blocks = Random()  # on the grid without the tied axes
    axes: tuple[int, ...] = (0,)  # of the tokens' grid, from 0, along which a mask does not change

    def __post_init__(self) -> None:
        if not self.axes or len(set(self.axes)) < len(self.axes) or min(self.axes) < 0:
            raise ValueError(f"axes is {self.axes}; it names each axis that is tied once, counting from 0")

    def __call__(self, grid: tuple[int, ...], seed: int, step: int, rows: Rows) -> Masks:
        """Masks with ascending lists, as long as the untied ones times the tokens along the tied axes.

        ValueError where an axis is not there or none is left untied, and whatever `masks` says.
        """
        return repeat(self.masks(self.free(grid), seed, step, rows), grid, self.axes)

    def among(self, grid: tuple[int, ...], valid: Bool[Tensor, "b n"], seed: int, step: int, rows: Rows) -> Masks:
        """Masks of ragged samples. An untied place counts as real where any token along the tied axes is."""
        if not isinstance(self.masks, Random):
            raise ValueError(f"{type(self.masks).__name__} masks need samples of one length; for ragged ones use Random")
        free = self.free(grid)
        places = valid.reshape(-1, *grid)
        for axis in sorted(self.axes, reverse=True):
            places = places.any(axis + 1)
        masks = repeat(self.masks.among(free, places.flatten(1), seed, step, rows), grid, self.axes)
        here = [valid.gather(1, index.flatten(1)).reshape(index.shape) for index in (masks.context, masks.targets)]
        if bool(here[0].all() and here[1].all()):
            return masks
        return Masks(masks.context, masks.targets, *here)

    def free(self, grid: tuple[int, ...]) -> tuple[int, ...]:
        check_grid(grid)
        if max(self.axes) >= len(grid) or len(self.axes) == len(grid):
            raise ValueError(f"axes {self.axes} of a grid {grid} are to be tied; they must be fewer than its axes, counting from 0")
        return tuple(side for axis, side in enumerate(grid) if axis not in self.axes)


@dataclass(frozen=True, kw_only=True)
class Tube:
    """The same random places hidden in every time step (VideoMAE, arXiv:2203.12602, section 3.3). Time is the first axis."""

    ratio: float = 0.9  # share of the places, and of the tokens, that is hidden

    def __post_init__(self) -> None:
        Random(ratio=self.ratio)

    def __call__(self, grid: tuple[int, ...], seed: int, step: int, rows: Rows) -> Masks:
        """Masks(context [b k], targets [b 1 n-k]), ascending; row i depends on (seed, step, rows[i]) alone."""
        return Tied(masks=Random(ratio=self.ratio))(grid, seed, step, rows)


def repeat(masks: Masks, grid: tuple[int, ...], axes: Sequence[int]) -> Masks:
    """Masks on the grid without `axes` as masks on `grid`, ascending. Padded lists stay padded at their end."""
    index = np.arange(prod(grid)).reshape(grid)
    table = torch.from_numpy(np.moveaxis(index, axes, range(-len(axes), 0)).reshape(-1, prod(grid[axis] for axis in axes)).copy())

    def along(chosen: Int[Tensor, "*b k"], valid: Bool[Tensor, "*b k"] | None) -> tuple[Tensor, Tensor | None]:
        every = table[chosen].flatten(-2)
        if valid is None:
            return every.sort(-1).values, None
        there = valid[..., None].expand(*valid.shape, table.shape[1]).flatten(-2)
        order = every.masked_fill(~there, index.size).argsort(-1)
        return every.gather(-1, order), there.gather(-1, order)

    context, context_valid = along(masks.context, masks.context_valid)
    targets, target_valid = along(masks.targets, masks.target_valid)
    return Masks(context, targets, context_valid, target_valid)
