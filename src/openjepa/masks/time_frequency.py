"""Masks of spectrograms, whose tokens lie on a grid of (time, frequency)."""

from dataclasses import dataclass
from functools import lru_cache
from math import inf, prod, sqrt

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from openjepa.draws import Rows, uniform
from openjepa.masks import check_grid, check_span
from openjepa.masks.blocks import ROOM, TRIES, Blocks, between, block_sides, inside, offsets
from openjepa.masks.random import Random
from openjepa.tokens import Masks


@dataclass(frozen=True, kw_only=True)
class RandomRange:
    """Tokens hidden at random, in every step another share of them, the same for all samples of the step (arXiv:2507.02915)."""

    low: float = 0.6  # least share that is hidden
    high: float = 0.8  # largest share

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high < 1:
            raise ValueError(f"low and high are {self.low} and {self.high}; they are shares of tokens to hide, 0 < low <= high < 1")

    def __call__(self, grid: tuple[int, ...], seed: int, step: int, rows: Rows) -> Masks:
        """As Random; how many are hidden depends on (seed, step), row i on (seed, step, rows[i]) alone."""
        for ratio in (self.low, self.high):
            Random(ratio=ratio)(grid, 0, 0, [0])  # an impossible share is an error at the first step, not at some later one
        return Random(ratio=between((self.low, self.high), uniform(seed, step, [0], 1, "share")[0].item()))(grid, seed, step, rows)


@dataclass(frozen=True, kw_only=True)
class InverseBlock:
    """Blocks to see, everything else to predict, as one target (EAT, arXiv:2401.03497, and data2vec 2.0, arXiv:2212.07525).

    Blocks are added until the context is full; of the last one, random tokens. Here a block may reach over the
    edge of the grid, so that every token lies under equally many; there its middle lies in the grid, and edges are seen half as often.
    """

    ratio: float = 0.8  # share of the tokens that is hidden
    block: int = 5  # tokens along each side of a block

    def __post_init__(self) -> None:
        Random(ratio=self.ratio)
        if self.block < 1:
            raise ValueError(f"block is {self.block}; a block has at least 1 token along each side")

    def __call__(self, grid: tuple[int, ...], seed: int, step: int, rows: Rows) -> Masks:
        """Masks(context [b k], targets [b 1 n-k]), ascending; row i depends on (seed, step, rows[i]) alone."""
        check_grid(grid)
        total = prod(grid)
        keep = Random(ratio=self.ratio)(grid, 0, 0, [0]).context.shape[1]  # ValueError where none or all are hidden
        sides = [min(self.block, side) for side in grid]
        corners = tuple(g + s - 1 for g, s in zip(grid, sides, strict=True))
        u = uniform(seed, step, [int(row) for row in rows], prod(corners) + total, "inverse blocks")
        turn = u[:, : prod(corners)].argsort(1).argsort(1).reshape(-1, *corners)  # when each block is added
        for axis, side in enumerate(sides, 1):  # when each token is first covered
            turn = sliding_window_view(turn, side, axis).min(-1)
        order = np.argsort(turn.reshape(-1, total) + u[:, prod(corners) :], 1)
        context, target = np.sort(order[:, :keep], 1), np.sort(order[:, keep:], 1)
        return Masks(torch.from_numpy(context), torch.from_numpy(target)[:, None])


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """A-JEPA's way from random blocks to time-frequency crosses (arXiv:2311.15830, section 3).

    A step is hard with probability sqrt(progress (1 - start^2) + start^2), else easy. Easy are the blocks of I-JEPA.
    Hard: a few smaller targets, and the context loses every time and every band that a target touches, so that
    nothing at the same time or in the same band gives it away. Where we leave the paper:
    - taken literally, more than a third of hard draws on 64 x 8 tokens leave no context at all. A target is no
      more than `max_f_span` bands high and longer instead, and draws that leave too little are drawn again;
    - the context keeps the same number of tokens whatever the batch, drawn at random among the free ones.
    """

    easy: Blocks = Blocks()
    start: float = 0.01  # probability of a hard step at the beginning; at the end it is 1
    count: int = 3  # hard target blocks
    scale: tuple[float, float] = (0.05, 0.075)  # share of the tokens in one of them
    aspect: tuple[float, float] = (0.75, 1.5)  # its times over its bands, in tokens, where it may have so many bands
    max_f_span: int = 2  # bands of it at most
    context_scale: tuple[float, float] = (0.85, 1.0)  # share of the tokens in the context rectangle, shaped as the grid
    context: float = 0.1  # share of all tokens that a hard context keeps
    min_keep: int = 10  # tokens that it keeps at least

    def __post_init__(self) -> None:
        check_span("scale", self.scale, 1)
        check_span("aspect", self.aspect)
        check_span("context_scale", self.context_scale, 1)
        if not 0 <= self.start <= 1:
            raise ValueError(f"start is {self.start}; it is a probability, from 0 to 1")
        if not 0 < self.context < 1:
            raise ValueError(f"context is {self.context}; it is the share of tokens the context keeps, above 0 and below 1")
        for name in ("count", "max_f_span", "min_keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")

    def hardness(self, progress: float) -> float:
        """Probability of a hard step: the root competence curve (arXiv:1903.09848), 2/3 on average over a run."""
        if not 0 <= progress <= 1:
            raise ValueError(f"progress is {progress}; it is a share of the run, from 0 to 1")
        return min(1.0, sqrt(progress * (1 - self.start**2) + self.start**2))

    def __call__(self, grid: tuple[int, ...], seed: int, step: int, rows: Rows, progress: float = 0.0) -> Masks:
        """Masks(context [b k], targets [b blocks t]), ascending; k, blocks and t from (seed, step, progress), row i also from rows[i].

        ValueError where some size these settings may draw leaves no room for the context, at the first call on this grid.
        """
        check_grid(grid)
        if len(grid) != 2:
            raise ValueError(f"Curriculum is for tokens on a grid of time and frequency, not {grid}; use Blocks or Random")
        check_room(self, grid)
        if uniform(seed, step, [0], 1, "curriculum")[0].item() >= self.hardness(progress):
            return self.easy(grid, seed, step, rows)
        return self.hard(grid, seed, step, [int(row) for row in rows])

    def hard(self, grid: tuple[int, ...], seed: int, step: int, rows: list[int]) -> Masks:
        scale, home, aspect = uniform(seed, step, [0], 3, "cross sizes")[0].tolist()
        target, room = self.sides(grid, scale, aspect), self.easy_home(grid, home)
        left, keep = np.arange(len(rows)), self.keep(grid)
        targets = np.zeros((len(rows), self.count, prod(target)), np.int64)
        free = np.zeros((len(rows), prod(grid)), bool)
        for attempt in range(TRIES):
            if not len(left):
                break
            blocks, rest = self.draw(grid, target, room, seed, step, [rows[i] for i in left], attempt)
            good = rest.sum(1) >= keep
            targets[left[good]], free[left[good]] = blocks[good], rest[good]
            left = left[~good]
        else:
            raise ValueError(self.no_room(grid, target))
        rank = np.where(free, uniform(seed, step, rows, prod(grid), "cross context"), inf)
        context = np.sort(np.argpartition(rank, keep - 1, 1)[:, :keep], 1)
        return Masks(torch.from_numpy(context), torch.from_numpy(targets))

    def keep(self, grid: tuple[int, ...]) -> int:
        """Tokens of a hard context."""
        return max(self.min_keep, round(self.context * prod(grid)))

    def sides(self, grid: tuple[int, ...], scale: float, aspect: float) -> list[int]:
        """Times and bands of a hard target for numbers in [0, 1) that place its scale and aspect; as long as it must be for its area."""
        return block_sides(
            (grid[0], min(grid[1], self.max_f_span)), between(self.scale, scale) * prod(grid), [between(self.aspect, aspect)]
        )

    def easy_home(self, grid: tuple[int, ...], scale: float) -> list[int]:
        return [max(1, round(side * sqrt(between(self.context_scale, scale)))) for side in grid]

    def draw(
        self, grid: tuple[int, ...], target: list[int], home: list[int], seed: int, step: int, rows: list[int], attempt: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Targets [b count t] of one placement per row, and what is free for the context [b n], enough or not."""
        sides = np.array([target] * self.count + [home])
        u = uniform(seed, step, rows, sides.size, f"crosses {attempt}").reshape(-1, *sides.shape)
        corners = (u * (np.array(grid) - sides + 1)).astype(np.int64)  # + 1: the last row must be reachable
        blocks = np.ravel_multi_index(tuple(np.moveaxis(corners[:, :-1], -1, 0)), grid)[:, :, None] + offsets(grid, target)
        free = inside(grid, corners[:, -1], home).reshape(-1, *grid)
        for axis, (long, side) in enumerate(zip(grid, target, strict=True)):
            first, line = corners[:, :-1, axis, None], np.arange(long)
            touched = ((line >= first) & (line < first + side)).any(1)
            free = free & ~(touched[:, :, None] if axis == 0 else touched[:, None])
        return blocks, free.reshape(len(rows), -1)

    def no_room(self, grid: tuple[int, ...], target: list[int]) -> str:
        return (
            f"{self.count} crosses through targets of {target[0]} x {target[1]} on {grid[0]} x {grid[1]} tokens (time x frequency) seldom leave "
            f"{self.keep(grid)} of {prod(grid)} as context: lower scale, count, max_f_span, context or min_keep, or use smaller patches"
        )


@lru_cache
def check_room(masks: Curriculum, grid: tuple[int, ...]) -> None:
    """ValueError unless every target size that may be drawn leaves enough context in at least ROOM of its placements; easy ones too."""
    masks.easy(grid, 0, 0, [0])
    share = np.linspace(0, 1, 9).tolist()
    for target in sorted({tuple(masks.sides(grid, s, a)) for s in share for a in share}):
        free = masks.draw(grid, list(target), masks.easy_home(grid, 0.0), 0, 0, list(range(256)), 0)[1]
        if (free.sum(1) >= masks.keep(grid)).mean() < ROOM:
            raise ValueError(masks.no_room(grid, list(target)))
