"""Tokens hidden at random (MAE, arXiv:2111.06377)."""

from dataclasses import dataclass
from math import prod

import numpy as np
import torch

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
        keep = int(total * (1 - self.ratio) + 1e-6)  # 1 - 0.9 is a little below 0.1 in binary
        if not 1 <= keep < total:
            raise ValueError(
                f"ratio {self.ratio} leaves {keep} of {total} tokens as context; at least 1 must stay and 1 be hidden: "
                "use smaller patches, larger samples or another ratio"
            )
        order = np.argsort(uniform(seed, step, [int(row) for row in rows], total, "random"), 1)
        context, target = np.sort(order[:, :keep], 1), np.sort(order[:, keep:], 1)
        return Masks(torch.from_numpy(context), torch.from_numpy(target)[:, None])
