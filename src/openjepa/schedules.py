"""What changes over a run, as closed forms of progress.

Progress is a share of the run from 0 to 1. Learning rate and weight decay of the step about to be
taken read (step + 1) / steps, the momentum after it step / steps: the counting of I-JEPA's code.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Linear:
    """Straight from `start` to `final`."""

    start: float
    final: float

    def __call__(self, progress: float) -> float:
        return self.start + (self.final - self.start) * progress


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """Half a cosine from `start` to `final`."""

    start: float
    final: float

    def __call__(self, progress: float) -> float:
        return self.final + (self.start - self.final) * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True, kw_only=True)
class WarmupCosine:
    """Straight from `start` to `peak` over the first `warmup` of the run, then half a cosine to `final`."""

    start: float
    peak: float
    final: float
    warmup: float  # share of the run

    def __post_init__(self) -> None:
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup is {self.warmup}; it is a share of the run, at least 0 and below 1")

    def __call__(self, progress: float) -> float:
        if progress < self.warmup:
            return self.start + (self.peak - self.start) * progress / self.warmup
        return Cosine(start=self.peak, final=self.final)((progress - self.warmup) / (1 - self.warmup))
