"""Multi-block masks (I-JEPA, arXiv:2301.08243, section 3) on a grid with any number of axes."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from openjepa.draws import uniform
from openjepa.tokens import Masks

TRIES = 64  # placements drawn for a sample before the sizes are called impossible


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """A few rectangles to predict and, elsewhere in one large rectangle, a fixed number of context tokens.

    The samples of one step share block sizes, so that they stack; places are each sample's own. The
    context keeps the same number of tokens whatever the batch, drawn at random among the free ones:
    the official code cuts to the batch's minimum in raster order, which ties the task to the batch
    size and starves the bottom of the image. Scale and aspect are drawn independently (the official
    code uses one number for both), and every place is reachable (its last row and column are not).
    """

    count: int = 4  # target blocks
    scale: tuple[float, float] = (0.15, 0.2)  # share of the grid in one target block
    aspect: tuple[float, float] = (0.75, 1.5)  # first side over last side
    context_scale: tuple[float, float] = (0.85, 1.0)  # share of the grid in the context rectangle
    context: float = 0.25  # share of all tokens that the context keeps
    min_context: int = 1  # tokens
    parity: Literal["ijepa"] | None = None  # "ijepa": the official sampler with its quirks

    def __call__(self, grid: tuple[int, ...], seed: int, step: int, rows: Sequence[int]) -> Masks:
        """Masks(context [b k], targets [b count t]), ascending; a pure function of (seed, step, row).

        ValueError where the sizes leave no room for the context.
        """
        if self.parity == "ijepa":
            from openjepa.masks.official import official

            return official(self, grid, seed, step, len(rows))
        total, rows = prod(grid), np.asarray(rows, np.int64)
        keep = max(self.min_context, round(self.context * total))
        draw = uniform(seed, step, [0], 2 + 2 * len(grid), "block sizes")[0]
        target = sides(grid, between(self.scale, draw[0]), [between(self.aspect, u) for u in draw[2 : 1 + len(grid)]])
        context = sides(grid, between(self.context_scale, draw[1]), [1.0] * (len(grid) - 1))
        if total - prod(target) < keep:
            raise ValueError(self.impossible(grid, target, keep))
        free = np.zeros((len(rows), total), bool)
        corners = np.zeros((len(rows), self.count, len(grid)), np.int64)
        left = np.arange(len(rows))
        for attempt in range(TRIES):
            places, open_ = self.place(grid, target, context, seed, step, rows[left], attempt)
            good = open_.sum(1) >= keep
            free[left[good]], corners[left[good]] = open_[good], places[good]
            left = left[~good]
            if not len(left):
                break
        else:
            raise ValueError(self.impossible(grid, target, keep))
        rank = np.where(free, uniform(seed, step, rows, total, "context"), 2.0)
        kept = np.sort(np.argpartition(rank, keep - 1, 1)[:, :keep], 1)
        inside = np.stack(np.meshgrid(*(np.arange(s) for s in target), indexing="ij"), -1).reshape(-1, len(grid))
        index = np.ravel_multi_index(tuple(np.moveaxis(corners[:, :, None] + inside, -1, 0)), grid)
        return Masks(torch.from_numpy(kept), torch.from_numpy(index))

    def place(
        self, grid: tuple[int, ...], target: list[int], context: list[int], seed: int, step: int, rows: NDArray[np.int64], attempt: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Corners of the target blocks [b count axes], and the tokens left free for the context [b n]."""
        axes = len(grid)
        u = uniform(seed, step, rows, (self.count + 1) * axes, f"places {attempt}").reshape(len(rows), self.count + 1, axes)
        # + 1: the last row must be reachable
        corner = (u[:, :-1] * (np.array(grid) - target + 1)).astype(np.int64)
        home = (u[:, -1:] * (np.array(grid) - context + 1)).astype(np.int64)
        free = cover(grid, home, context)[:, 0] & ~cover(grid, corner, target).any(1)
        return corner, free

    def impossible(self, grid: tuple[int, ...], target: list[int], keep: int) -> str:
        block = " x ".join(map(str, target))
        return (
            f"{self.count} target blocks of {block} on a {' x '.join(map(str, grid))} grid leave fewer than {keep} tokens as context; "
            "lower scale, count or context, or use smaller patches"
        )


def between(span: tuple[float, float], u: float) -> float:
    return span[0] + (span[1] - span[0]) * float(u)


def sides(grid: tuple[int, ...], scale: float, aspect: list[float]) -> list[int]:
    """Whole sides of a block that fills `scale` of the grid; aspect[i] is side i over the last side."""
    wanted = scale * prod(grid)
    last = (wanted / prod(aspect)) ** (1 / len(grid))
    return [min(g, max(1, round(last * a))) for g, a in zip(grid, [*aspect, 1.0], strict=True)]


def cover(grid: tuple[int, ...], corner: NDArray[np.int64], size: list[int]) -> NDArray[np.bool_]:
    """Which tokens each block covers, [b blocks n]."""
    covered = np.ones((*corner.shape[:2], *([1] * len(grid))), bool)
    for axis, (g, s) in enumerate(zip(grid, size, strict=True)):
        shape = [1] * len(grid)
        shape[axis] = g
        first = corner[:, :, axis].reshape(*corner.shape[:2], *([1] * len(grid)))
        line = np.arange(g).reshape(shape)
        covered = covered & (line >= first) & (line < first + s)
    return covered.reshape(*corner.shape[:2], prod(grid))
