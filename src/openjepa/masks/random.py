"""Tokens hidden at random (MAE, arXiv:2111.06377)."""

from dataclasses import dataclass
from math import prod

import torch

from collections.abc import Sequence

from openjepa.draws import uniform
from openjepa.tokens import Masks


@dataclass(frozen=True, kw_only=True)
class Random:
    """Every sample hides its own random `ratio` of the tokens; the context is the rest."""

    ratio: float = 0.75

    def __call__(self, grid: tuple[int, ...], seed: int, step: int, rows: Sequence[int]) -> Masks:
        total = prod(grid)
        keep = int(total * (1 - self.ratio))
        if not 1 <= keep < total:
            raise ValueError(f"ratio {self.ratio} of {total} tokens leaves {keep} as context; it must leave at least 1 and hide at least 1")
        order = torch.from_numpy(uniform(seed, step, rows, total, "random")).argsort(1)
        return Masks(order[:, :keep].sort(1).values, order[:, None, keep:].sort(2).values)
