"""Multi-block masks of clips: blocks hidden through time, the context is what no block covers (V-JEPA, arXiv:2404.08471, section 3.2)."""

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from openjepa.draws import Rows, uniform
from openjepa.masks import check_grid, check_span
from openjepa.tokens import Masks

TRIES = 256  # draws per sample
ROOM = 0.1  # smallest share of draws that must leave and cover enough tokens
TRIALS = 512  # draws by which counts are settled and room is judged


@dataclass(frozen=True, kw_only=True)
class MultiBlock:
    """Some blocks to predict, as one target, and a context from all that they leave. Time is the first of three axes.

    The defaults are V-JEPA's short-range masks; its long-range ones are `MultiBlock(count=2, scale=(0.7, 0.7))`.
    Where we leave the official code (`parity="vjepa"` keeps it):
    - context and target have the same number of tokens in every sample of every step, drawn at random among
      those that are free and those that are covered. There both are cut to the batch's minimum in raster order, which
      ties the task to the batch size per device and starves the last frames;
    - samples draw sizes of their own; there a batch shares one;
    - draws that leave or cover too little are drawn again.
    """

    count: int = 8  # blocks
    scale: tuple[float, float] = (0.15, 0.15)  # share of a frame's tokens in one block
    time: tuple[float, float] = (1.0, 1.0)  # share of the time steps that a block lasts
    aspect: tuple[float, float] = (0.75, 1.5)  # a block's height over its width, in tokens
    context: float | None = None  # share of all tokens that the context keeps; None: what nine draws in ten leave
    target: float | None = None  # share of all tokens that is predicted; None: what nine draws in ten cover
    parity: Literal["vjepa"] | None = None  # "vjepa": the official sampler with its quirks, masks/official.py

    def __post_init__(self) -> None:
        check_span("scale", self.scale, 1)
        check_span("time", self.time, 1)
        check_span("aspect", self.aspect)
        if self.count < 1:
            raise ValueError(f"count is {self.count}; it must be at least 1")
        for name in ("context", "target"):
            share = getattr(self, name)
            if share is not None and not 0 < share < 1:
                raise ValueError(f"{name} is {share}; it is a share of all tokens, above 0 and below 1")
        if self.parity and (self.context, self.target) != (None, None):
            raise ValueError(
                f"parity={self.parity!r} lets the batch set the sizes of context and target; drop parity, or context and target"
            )

    def __call__(self, grid: tuple[int, ...], seed: int, step: int, rows: Rows) -> Masks:
        """Masks(context [b k], targets [b 1 t]), ascending; row i depends on (seed, step, rows[i]) alone.

        ValueError where these settings leave or cover too little on this grid.
        """
        check_grid(grid)
        if len(grid) != 3:
            raise ValueError(f"MultiBlock is for tokens on a grid of time, rows and columns, not {grid}; use Blocks or Random")
        rows = [int(row) for row in rows]
        if self.parity == "vjepa":
            from openjepa.masks.official import official3d

            return official3d(self, grid, seed, step, rows)
        keep, ask = counts(self, grid)
        covered = self.place(grid, keep, ask, seed, step, rows)
        total = prod(grid)
        # Free tokens below 1, covered ones above: one partition gives a random part of each
        order = np.argpartition(uniform(seed, step, rows, total, "multiblock") + covered, (keep - 1, total - ask), 1)
        context, target = np.sort(order[:, :keep], 1), np.sort(order[:, total - ask :], 1)
        return Masks(torch.from_numpy(context), torch.from_numpy(target)[:, None])

    def place(self, grid: tuple[int, ...], keep: int, ask: int, seed: int, step: int, rows: list[int]) -> NDArray[np.bool_]:
        """Tokens under a block, [b n]: at least `ask`, leaving at least `keep`."""
        left, found = np.arange(len(rows)), np.zeros((len(rows), prod(grid)), bool)
        for attempt in range(TRIES):
            if not len(left):
                return found
            covered = self.draw(grid, seed, step, [rows[i] for i in left], attempt)
            under = covered.sum(1)
            good = (under >= ask) & (under <= prod(grid) - keep)
            found[left[good]] = covered[good]
            left = left[~good]
        raise ValueError(self.no_room(grid, keep, ask))

    def draw(self, grid: tuple[int, ...], seed: int, step: int, rows: list[int], attempt: int) -> NDArray[np.bool_]:
        """Tokens under the blocks of one draw per row, [b n], whatever their number."""
        u = uniform(seed, step, rows, 3 + 3 * self.count, f"multiblock {attempt}")
        sides = self.sides(grid, u[:, :3])
        corners = (u[:, 3:].reshape(-1, self.count, 3) * (np.array(grid) - sides + 1)[:, None]).astype(np.int64)  # + 1: up to the last row
        lines = []
        for axis, side in enumerate(grid):
            at, first = np.arange(side), corners[:, :, axis, None]
            lines.append(((at >= first) & (at < first + sides[:, None, axis, None])).astype(np.float32))
        time, high, wide = lines
        area = (high[..., None] * wide[:, :, None]).reshape(len(u), self.count, -1)
        return (time.transpose(0, 2, 1) @ area > 0).reshape(len(u), -1)

    def sides(self, grid: tuple[int, ...], u: NDArray[np.float64]) -> NDArray[np.int64]:
        """Time steps, rows and columns of a block, [b 3], for numbers in [0, 1) that place time, scale and aspect.

        A side that does not fit takes the whole axis, and the other grows to keep the area.
        """
        steps, height, width = grid
        low, high = np.array([self.time, self.scale, self.aspect]).T
        time, scale, aspect = (low + u * (high - low)).T
        area = np.maximum(scale * height * width, 1.0)
        rows = np.clip(np.rint(np.sqrt(area * aspect)), 1, height)
        columns = np.clip(np.rint(area / rows), 1, width)
        rows = np.where(columns == width, np.clip(np.rint(area / columns), 1, height), rows)
        lasts = np.clip(np.rint(time * steps), 1, steps)
        return np.stack([lasts, rows, columns], 1).astype(np.int64)

    def no_room(self, grid: tuple[int, ...], keep: int, ask: int) -> str:
        return (
            f"{self.count} blocks of {self.scale[0]:g} to {self.scale[1]:g} of a frame on a {' x '.join(map(str, grid))} grid seldom leave "
            f"{keep} of {prod(grid)} tokens as context and cover {ask}: change scale or count, lower context or target, or use smaller patches"
        )


@lru_cache
def counts(masks: MultiBlock, grid: tuple[int, ...]) -> tuple[int, int]:
    """How many tokens the context keeps and the target asks for. ValueError where too few draws give them."""
    total = prod(grid)
    under = masks.draw(grid, 0, 0, list(range(TRIALS)), 0).sum(1)
    usable = np.sort(under[under < total])  # on small grids some draws cover everything
    if not len(usable):
        raise ValueError(masks.no_room(grid, 1, 1))
    low, high = usable[len(usable) // 10], usable[len(usable) - 1 - len(usable) // 10]
    keep = int(total - high) if masks.context is None else max(1, round(masks.context * total))
    ask = int(low) if masks.target is None else max(1, round(masks.target * total))
    if ((under >= ask) & (under <= total - keep)).mean() < ROOM:
        raise ValueError(masks.no_room(grid, keep, ask))
    return keep, ask
