"""What changes over a run, as closed forms of progress.

Progress is a share of the run from 0 to 1. Two countings meet here, both from I-JEPA's code, and
its numbers are only met with both: the learning rate and weight decay *of* step i (from 0) count
that step as done and read (i + 1) / steps; the momentum *after* it reads i / steps. So the first
step already warms up, the last one ends exactly at `final`, and the momentum never quite gets there.

`stretch` plans the schedule for a run that much longer and stops it where the run ends (V-JEPA's
`ipe_scale`, 1.25 there: its learning rate ends at 7.5e-5, not 1e-6). A warm-up is not stretched.
"""

import math
from dataclasses import dataclass, fields


class _Schedule:
    """Construction checks that every schedule shares."""

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if not math.isfinite(value):
                raise ValueError(f"{type(self).__name__}.{field.name} is {value}; it must be a finite number")
        stretch: float = getattr(self, "stretch", 1.0)
        if stretch < 1:
            raise ValueError(f"{type(self).__name__}.stretch is {stretch}; at least 1, the length of the plan over the length of the run")


@dataclass(frozen=True, kw_only=True)
class _Between(_Schedule):
    start: float
    final: float
    stretch: float = 1.0  # length of the plan over the length of the run


@dataclass(frozen=True, kw_only=True)
class Linear(_Between):
    """Straight from `start` to `final`."""

    def __call__(self, progress: float) -> float:
        return self.start + (self.final - self.start) * _share(progress) / self.stretch


@dataclass(frozen=True, kw_only=True)
class Cosine(_Between):
    """Half a cosine from `start` to `final`."""

    def __call__(self, progress: float) -> float:
        return _half_cosine(self.start, self.final, _share(progress) / self.stretch)


@dataclass(frozen=True, kw_only=True)
class WarmupCosine(_Schedule):
    """Straight from `start` to `peak` over the first `warmup` of the run, then half a cosine to `final`."""

    start: float
    peak: float
    final: float
    warmup: float  # share of the run
    stretch: float = 1.0  # length of the plan over the length of the run

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"warmup is {self.warmup}; it is a share of the run, from 0 to 1, not a number of steps or epochs")

    def __call__(self, progress: float) -> float:
        if _share(progress) < self.warmup:
            return self.start + (self.peak - self.start) * progress / self.warmup
        rest = self.stretch - self.warmup
        return _half_cosine(self.peak, self.final, (progress - self.warmup) / rest if rest else 0.0)


def _half_cosine(start: float, final: float, share: float) -> float:
    return final + (start - final) * 0.5 * (1 + math.cos(math.pi * share))


def _share(progress: float) -> float:
    if not 0 <= progress <= 1:
        raise ValueError(f"progress is {progress}; it is a share of the run, from 0 to 1: divide the step by the number of steps")
    return progress
