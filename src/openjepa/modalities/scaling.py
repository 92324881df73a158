"""Scaling of each row of an array by its own statistics; NaN, where there is no value, stays and does not count."""

import numpy as np
from numpy.typing import NDArray

FLAT = 1e-7  # a row whose std is below this share of its largest value is constant: about one step of float32
NORMAL = 1.349  # interquartile range of a standard normal


def standardised(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean 0 and std 1 along the last axis; NaN stays, constant rows become 0."""
    middle, std = moments(x)
    return ((x - middle) / std).astype(np.float32)


def robust_asinh(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """asinh of the distance from the median in robust standard deviations: linear near 0, logarithmic for outliers."""
    std = moments(x)[1]
    ranked = np.sort(x.astype(np.float64), -1)  # NaN last
    last = np.maximum((~np.isnan(ranked)).sum(-1, keepdims=True) - 1, 0)

    def quantile(q: float) -> NDArray[np.float64]:
        place = q * last
        low, high = np.floor(place).astype(np.int64), np.ceil(place).astype(np.int64)
        below, above = np.take_along_axis(ranked, low, -1), np.take_along_axis(ranked, high, -1)
        value: NDArray[np.float64] = below + (place - low) * (above - below)
        return value

    spread = (quantile(0.75) - quantile(0.25)) / NORMAL
    spread = np.where(spread > FLAT * std, spread, std)
    return np.arcsinh((x - quantile(0.5)) / spread).astype(np.float32)


def moments(x: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and std of what is not NaN along the last axis, in float64; the std of a constant row is infinite."""
    real = ~np.isnan(x)
    count = np.maximum(real.sum(-1, keepdims=True), 1)
    values = np.where(real, x, 0).astype(np.float64)
    mean = values.sum(-1, keepdims=True) / count
    std = np.sqrt((np.where(real, values - mean, 0) ** 2).sum(-1, keepdims=True) / count)
    return mean, np.where(std > FLAT * np.abs(values).max(-1, keepdims=True), std, np.inf)
