"""Multi-block masks (I-JEPA, arXiv:2301.08243, section 3) on a grid with any number of axes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import ceil, floor, log, prod
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from openjepa.draws import Rows, uniform
from openjepa.masks import check_grid, check_span
from openjepa.tokens import Masks

TRIES = 256  # placements per sample. With ROOM a sample fails all of them once in 10^12
ROOM = 0.1  # smallest share of placements that must leave enough context, for any size a run may draw


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """A few rectangles to predict and, elsewhere in one large rectangle, a fixed number of context tokens.

    The samples of one step share block sizes, so that they stack; places are each sample's own. Where
    we leave the official code (`parity="ijepa"` keeps it):
    - the context keeps the same number of tokens whatever the batch, drawn at random among the free
      ones. There it is cut to the batch's minimum in raster order, which ties the task to the batch
      size per device and starves the bottom rows;
    - scale and aspect are drawn independently; there one number sets both;
    - every place is reachable; there the last row and column are in no block;
    - blocks placed so that too little context is left are placed again; there they may overlap it.
    """

    count: int = 4  # target blocks
    scale: tuple[float, float] = (0.15, 0.2)  # share of the tokens in one target block
    aspect: tuple[float, float] = (0.75, 1.5)  # a target block's side over its last side, in tokens; for every other side
    context_scale: tuple[float, float] = (0.85, 1.0)  # share of the tokens in the context rectangle, shaped as the grid
    context: float = 0.25  # share of all tokens that the context keeps
    min_context: int = 4  # tokens that the context keeps at least
    parity: Literal["ijepa"] | None = None  # "ijepa": the official sampler with its quirks, masks/official.py

    def __post_init__(self) -> None:
        check_span("scale", self.scale, 1)
        check_span("aspect", self.aspect)
        check_span("context_scale", self.context_scale, 1)
        for name in ("count", "min_context"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 < self.context < 1:
            raise ValueError(f"context is {self.context}; it is the share of tokens the context keeps, above 0 and below 1")
        if self.parity and (self.context, self.min_context) != (Blocks.context, Blocks.min_context):
            raise ValueError(
                f"parity={self.parity!r} lets the batch set the context's size; drop parity, or leave context and min_context alone"
            )

    def __call__(self, grid: tuple[int, ...], seed: int, step: int, rows: Rows) -> Masks:
        """Masks(context [b k], targets [b count t]), ascending; sizes from (seed, step), row i from (seed, step, rows[i]).

        ValueError where some size these settings may draw leaves no room for the context: at the
        first call on this grid, not at the step that happens to draw it.
        """
        check_grid(grid)
        rows = [int(row) for row in rows]
        if self.parity == "ijepa":
            from openjepa.masks.official import official

            return official(self, grid, seed, step, rows)
        check_room(self, grid)
        target, home = self.sizes(grid, seed, step)
        targets, free = self.place(grid, target, home, seed, step, rows)
        keep = self.keep(grid)
        rank = np.where(free, uniform(seed, step, rows, prod(grid), "context"), 2.0)
        context = np.sort(np.argpartition(rank, keep - 1, 1)[:, :keep], 1)
        return Masks(torch.from_numpy(context), torch.from_numpy(targets))

    def keep(self, grid: tuple[int, ...]) -> int:
        """How many tokens the context keeps."""
        return max(self.min_context, round(self.context * prod(grid)))

    def sizes(self, grid: tuple[int, ...], seed: int, step: int) -> tuple[list[int], list[int]]:
        """Sides of this step's target blocks and of its context rectangle, in tokens."""
        scale, context, *aspects = uniform(seed, step, [0], 1 + len(grid), "block sizes")[0].tolist()
        return self.target_sides(grid, scale, aspects), self.context_sides(grid, context)

    def target_sides(self, grid: tuple[int, ...], scale: float, aspects: Sequence[float]) -> list[int]:
        """Sides of a target block for numbers in [0, 1) that place its scale and aspects in their ranges."""
        return block_sides(grid, between(self.scale, scale) * prod(grid), [between(self.aspect, a) for a in aspects])

    def context_sides(self, grid: tuple[int, ...], scale: float) -> list[int]:
        shrink = between(self.context_scale, scale) ** (1 / len(grid))
        return [max(1, round(side * shrink)) for side in grid]

    def place(
        self, grid: tuple[int, ...], target: list[int], home: list[int], seed: int, step: int, rows: list[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Tokens of the target blocks [b count t], and which tokens are free for the context [b n]."""
        left, wanted = np.arange(len(rows)), self.keep(grid)
        targets = np.zeros((len(rows), self.count, prod(target)), np.int64)
        free = np.zeros((len(rows), prod(grid)), bool)
        for attempt in range(TRIES):
            if not len(left):
                return targets, free
            blocks, rest = self.draw(grid, target, home, seed, step, [rows[i] for i in left], attempt)
            good = rest.sum(1) >= wanted
            targets[left[good]], free[left[good]] = blocks[good], rest[good]
            left = left[~good]
        raise ValueError(self.no_room(grid, target))

    def draw(
        self, grid: tuple[int, ...], target: list[int], home: list[int], seed: int, step: int, rows: list[int], attempt: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """One placement per row, enough context or not."""
        sides = np.array([target] * self.count + [home])
        u = uniform(seed, step, rows, sides.size, f"places {attempt}").reshape(-1, *sides.shape)
        corners = (u * (np.array(grid) - sides + 1)).astype(np.int64)  # + 1: the last row must be reachable
        blocks = np.ravel_multi_index(tuple(np.moveaxis(corners[:, :-1], -1, 0)), grid)[:, :, None] + offsets(grid, target)
        free = inside(grid, corners[:, -1], home)
        np.put_along_axis(free, blocks.reshape(len(free), -1), False, 1)
        return blocks, free

    def no_room(self, grid: tuple[int, ...], target: Sequence[int]) -> str:
        block, places, keep = " x ".join(map(str, target)), " x ".join(map(str, grid)), self.keep(grid)
        return (
            f"{self.count} target blocks of {block} on a {places} grid leave fewer than {keep} of {prod(grid)} tokens as context: "
            "lower scale, count, context or min_context, raise context_scale, or use smaller patches"
        )


@lru_cache
def check_room(blocks: Blocks, grid: tuple[int, ...]) -> None:
    """ValueError unless every block size these settings may draw leaves enough context in at least ROOM of its placements."""
    home = blocks.context_sides(grid, 0.0)  # the smallest one: others only leave more
    for target in largest_sides(blocks, grid):
        free = blocks.draw(grid, list(target), home, 0, 0, list(range(256)), 0)[1]
        if (free.sum(1) >= blocks.keep(grid)).mean() < ROOM:
            raise ValueError(blocks.no_room(grid, target))


def largest_sides(blocks: Blocks, grid: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Block sizes that these settings may draw, without those that fit inside another."""
    steps = {1: 2, 2: 33, 3: 7}.get(len(grid), 3)  # a few hundred in all: what falls between differs by a token along a side
    share = np.linspace(0, 1, steps).tolist()
    found = {tuple(blocks.target_sides(grid, s, a)) for s in (0.0, 0.5, 0.75, 1.0) for a in product(share, repeat=len(grid) - 1)}
    return [a for a in sorted(found) if not any(a != b and all(x <= y for x, y in zip(a, b, strict=True)) for b in found)]


def between(span: tuple[float, float], u: float) -> float:
    return span[0] + (span[1] - span[0]) * u


def block_sides(grid: tuple[int, ...], area: float, aspects: Sequence[float]) -> list[int]:
    """Whole sides of a block of about `area` tokens on the grid; aspects[i] is side i over the last side.

    A side that does not fit takes the whole axis, and the others grow to keep the area. Of the whole
    numbers around the wanted sides, those that miss least are taken. A wrong area counts three times
    a wrong side (squared logs): rounding each side alone misses the area by 32 % on 4 x 4 (rms) and
    12 % on 8 x 8, this by 27 and 8 %.
    """
    sides, wanted = [*aspects, 1.0], [float(g) for g in grid]
    fits = set(range(len(grid)))
    while fits:
        cut = prod(grid[i] for i in range(len(grid)) if i not in fits)
        unit = (area / cut / prod(sides[i] for i in fits)) ** (1 / len(fits))
        if not (long := {i for i in fits if unit * sides[i] >= grid[i]}):
            break
        fits -= long
    for i in fits:
        wanted[i] = unit * sides[i]

    def miss(whole: tuple[int, ...]) -> tuple[float, tuple[int, ...]]:
        logs = [log(x / w) for x, w in zip(whole, wanted, strict=True)]
        return 3 * sum(logs) ** 2 + sum(x**2 for x in logs), whole

    around = [{max(1, floor(w)), min(g, ceil(w))} for w, g in zip(wanted, grid, strict=True)]
    best = min(product(*around), key=miss)
    return list(best)


def offsets(grid: tuple[int, ...], sides: Sequence[int]) -> NDArray[np.int64]:
    """Distance of a block's tokens from its first one in raster order, [t]."""
    index: NDArray[np.int64] = np.arange(prod(grid)).reshape(grid)
    return index[tuple(slice(side) for side in sides)].reshape(-1)


def inside(grid: tuple[int, ...], corner: NDArray[np.int64], sides: Sequence[int]) -> NDArray[np.bool_]:
    """Which tokens the block with this first corner [b axes] covers, [b n]."""
    covered = np.ones((len(corner), 1), bool)
    for axis, (g, side) in enumerate(zip(grid, sides, strict=True)):
        line, first = np.arange(g), corner[:, axis, None]
        along = (line >= first) & (line < first + side)
        covered = (covered[:, :, None] & along[:, None]).reshape(len(corner), -1)
    return covered
