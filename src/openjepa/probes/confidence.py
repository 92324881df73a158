"""How sure a score is: intervals for accuracies and for differences between two methods on the same test samples."""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from openjepa import draws

Z95 = 1.959963984540054  # two-sided 95 % of a normal


def wilson(right: float, count: int, z: float = Z95) -> tuple[float, float]:
    """Interval for an accuracy of `right` in `count` (Wilson, JASA 1927): sound at 0, at 1 and for few samples."""
    if count < 1 or not 0 <= right <= count:
        raise ValueError(f"{right} right of {count}; an interval wants at least one test sample")
    p, spread = right / count, z * z / count
    middle = (p + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(p * (1 - p) / count + spread / (4 * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def paired_gain(ours: Bool[Tensor, " m"], floor: Bool[Tensor, " m"], draws_of: int = 2000, seed: int = 0) -> tuple[float, float, float]:
    """Gain in accuracy of `ours` over `floor`, with its 95 % bootstrap interval over test samples.

    Both judge the same samples, so the interval resamples samples, keeping the pair together: it is narrower than
    comparing two separate intervals, and right. Only the counts of (+1, 0, -1) matter, so each resample is one multinomial draw.
    """
    difference = ours.long() - floor.long()
    count = len(difference)
    shares = [(difference == value).double().mean().item() for value in (1, 0, -1)]
    rng = np.random.default_rng(draws.key(seed, "bootstrap"))
    sampled = rng.multinomial(count, np.array(shares) / sum(shares), size=draws_of)
    gains = (sampled[:, 0] - sampled[:, 2]) / count
    low, high = np.quantile(gains, [0.025, 0.975])
    return shares[0] - shares[2], float(low), float(high)


def check(x: Float[Tensor, "n d"], y: Int[Tensor, " n"] | None, classes: int) -> None:
    """ValueError when features and labels cannot be probed; says which and what to do."""
    if not x.isfinite().all():
        rows = (~x.isfinite()).any(1).sum().item()
        raise ValueError(f"{rows} of {len(x)} feature rows hold NaN or infinity; the checkpoint diverged, probe an earlier one with --step")
    if y is None:
        return
    if len(x) != len(y):
        raise ValueError(f"{len(x)} feature rows but {len(y)} labels; give one label per row")
    check_labels(y, classes)


def check_labels(y: Int[Tensor, " n"], classes: int) -> None:
    """ValueError for labels that cannot be learnt."""
    there = torch.unique(y)
    if len(there) < 2:
        raise ValueError(f"all {len(y)} labels are one class; a probe needs samples of at least 2")
    if there.min() < 0 or there.max() >= classes:
        raise ValueError(f"labels run from {int(there.min())} to {int(there.max())}; {classes} classes are numbered from 0")
