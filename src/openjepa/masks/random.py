"""Tokens hidden at random (MAE, arXiv:2111.06377)."""

from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor

from openjepa.draws import Rows, uniform
from openjepa.masks import check_grid
from openjepa.tokens import Masks


@dataclass(frozen=True, kw_only=True)
class Random:
    """Every sample hides its own random `ratio` of the tokens; the context is the rest.

    The context keeps floor(tokens x (1 - ratio)), as MAE's code does: 49 of 196 at 0.75.
    """

    ratio: float = 0.75  # share of the tokens that is hidden

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1:
            raise ValueError(f"ratio is {self.ratio}; it is the share of tokens to hide, above 0 and below 1")

    def __call__(self, grid: tuple[int, ...], seed: int, step: int, rows: Rows) -> Masks:
        """Masks(context [b k], targets [b 1 n-k]), ascending; row i depends on (seed, step, rows[i]) alone.

        ValueError where nothing would be left to see or to predict.
        """
        check_grid(grid)
        total = prod(grid)
        keep = self.keep(total)
        if not 1 <= keep < total:
            raise ValueError(
                f"ratio {self.ratio} leaves {keep} of {total} tokens as context; at least 1 must stay and 1 be hidden: "
                "use smaller patches, larger samples or another ratio"
            )
        order = np.argsort(rank(total, seed, step, rows), 1)
        context, target = np.sort(order[:, :keep], 1), np.sort(order[:, keep:], 1)
        return Masks(torch.from_numpy(context), torch.from_numpy(target)[:, None])

    def keep(self, total: int) -> int:
        """How many of `total` tokens the context keeps."""
        return int(total * (1 - self.ratio) + 1e-6)  # 1 - 0.9 is a little below 0.1 in binary

    def ragged(self, lengths: Rows, total: int, seed: int, step: int, rows: Rows) -> Masks:
        """`among` for samples whose first `lengths[i]` of `total` tokens are real."""
        valid = np.arange(total) < np.asarray(lengths, np.int64)[:, None]
        return self.among((total,), torch.from_numpy(valid), seed, step, rows)

    def among(self, grid: tuple[int, ...], valid: Bool[Tensor, "b n"], seed: int, step: int, rows: Rows) -> Masks:
        """Masks of ragged samples: the same share of each one's own real tokens, lists padded to the longest of the batch.

        Padding is at the end of a list and points at a padded token of that sample. Row i's real entries depend
        on (seed, step, rows[i]) and which of its tokens are real; where all are, they are those of `__call__`.
        At least one token stays and one is hidden; ValueError for a sample with fewer than two.
        """
        check_grid(grid)
        real = valid.numpy()
        length = real.sum(1)
        if (length < 2).any():
            at = int(np.argmin(length))
            raise ValueError(
                f"sample {list(rows)[at]} has {length[at]} real tokens; at least 1 must stay and 1 be hidden: "
                "use smaller patches, or leave out samples this short"
            )
        keep = np.clip(np.floor(length * (1 - self.ratio) + 1e-6).astype(np.int64), 1, length - 1)
        order = np.argsort(np.where(real, rank(prod(grid), seed, step, rows), 2.0), 1)
        context, context_valid = part(order, np.zeros_like(keep), keep)
        target, target_valid = part(order, keep, length)
        if context_valid.all() and target_valid.all():
            return Masks(torch.from_numpy(context), torch.from_numpy(target)[:, None])
        return Masks(*map(torch.from_numpy, (context, target[:, None], context_valid, target_valid[:, None])))


def rank(total: int, seed: int, step: int, rows: Rows) -> NDArray[np.float64]:
    """A number per token, [b total], by which tokens are chosen."""
    return uniform(seed, step, [int(row) for row in rows], total, "random")


def part(order: NDArray[np.int64], start: NDArray[np.int64], stop: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Entries start[i] to stop[i] of every row, ascending, and padding behind them: its index and where it is none."""
    at = start[:, None] + np.arange((stop - start).max())
    valid = at < stop[:, None]
    # A row shorter than the longest has padded tokens, and they come last in `order`
    index = np.where(valid, np.take_along_axis(order, np.minimum(at, order.shape[1] - 1), 1), order[:, -1:])
    by = np.argsort(np.where(valid, index, order.shape[1]), 1, kind="stable")
    return np.take_along_axis(index, by, 1), np.take_along_axis(valid, by, 1)
