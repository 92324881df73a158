"""Predict what comes: the context is the past."""

from dataclasses import dataclass
from math import prod

import torch

from openjepa.draws import Rows
from openjepa.masks import check_grid
from openjepa.tokens import Masks


@dataclass(frozen=True, kw_only=True)
class Future:
    """The context is every token of the first time steps, the target is all of those that follow, or the next few.

    Nothing is drawn: all samples have the same masks.
    """

    past: float = 0.5  # share of the time steps in the context
    steps: int | None = None  # time steps to predict after it; None: all the rest
    axis: int = 0  # of the tokens' grid that is time; -1 is the last one

    def __post_init__(self) -> None:
        if not 0 < self.past < 1:
            raise ValueError(f"past is {self.past}; it is the share of time steps to see, above 0 and below 1")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps is {self.steps}; it must be at least 1, or None for all that follow")

    def __call__(self, grid: tuple[int, ...], seed: int, step: int, rows: Rows) -> Masks:
        """Masks(context [b k], targets [b 1 t]), ascending. ValueError where the time axis has too few steps."""
        check_grid(grid)
        if not -len(grid) <= self.axis < len(grid):
            raise ValueError(f"axis is {self.axis}, but the grid {grid} has {len(grid)} axes")
        length = grid[self.axis]
        seen = min(max(1, round(self.past * length)), length - 1)
        ahead = length - seen if self.steps is None else self.steps
        if seen < 1 or ahead > length - seen:
            raise ValueError(
                f"{length} time steps do not hold {max(seen, 1)} of the past and {max(ahead, 1)} of the future: "
                "lower past or steps, use smaller patches in time, or longer samples"
            )
        index = torch.arange(prod(grid)).reshape(grid).movedim(self.axis, 0)
        lists = (index[:seen], index[seen : seen + ahead])
        context, target = (part.flatten().sort().values.repeat(len(rows), 1) for part in lists)
        return Masks(context, target[:, None])
