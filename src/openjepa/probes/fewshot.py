"""Few labels: logistic regression on 1 or 5 samples per class, or on 1 % of them, several draws."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from jaxtyping import Float, Int
from torch import Tensor

from openjepa.probes import linear
from openjepa.probes.splits import draw_per_class

BUDGETS: Mapping[str, float] = {"1-shot": 1, "5-shot": 5, "1%": 0.01}
TRIES = 5
# Two-sided 95 % quantiles of Student's t for 1, 2, ... degrees of freedom
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


@dataclass(frozen=True)
class FewShot:
    """Test accuracy of each draw; try i draws the same samples for every encoder, so tries can be compared in pairs."""

    tries: tuple[float, ...]
    samples: int  # training samples of one draw

    @property
    def mean(self) -> float:
        return mean(self.tries)

    @property
    def sd(self) -> float:
        return stdev(self.tries)


def run(
    x: Float[Tensor, "n d"],
    y: Int[Tensor, " n"],
    test: Float[Tensor, "m d"],
    test_y: Int[Tensor, " m"],
    classes: int,
    budget: float,
    *,
    tries: int = TRIES,
    seed: int = 0,
) -> FewShot:
    """Logistic regression on `budget` samples per class (an int) or that share of each class (a float below 1)."""
    if tries < 2:
        raise ValueError(f"tries is {tries}; at least 2 draws are needed for a spread, 5 are usual")
    scores, count = [], 0
    for attempt in range(tries):
        rows = draw_per_class(y, budget, seed * 1000 + attempt).to(x.device)
        count = len(rows)
        probe = linear.fit(x[rows], y[rows], classes, seed=seed)
        scores.append((probe.predict(test) == test_y).double().mean().item())
    return FewShot(tuple(scores), count)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean over draws (Student's t). It says nothing of another test set."""
    quantile = T95[len(values) - 2] if len(values) - 2 < len(T95) else 2.1
    half = quantile * stdev(values) / math.sqrt(len(values))
    return mean(values) - half, mean(values) + half
