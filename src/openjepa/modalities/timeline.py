"""When each frame of a video is shown, and which packets must be decoded to see it."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
MILLISECOND = Fraction(1, 1000)


@dataclass(frozen=True)
class Packet:
    """One compressed frame, in the order of decoding. Times are in ticks of the stream's clock."""

    pts: int | None  # when it is shown
    dts: int | None  # when it is decoded
    key: bool  # it needs no other
    shown: bool = True  # not only there for others to refer to


@dataclass(frozen=True)
class Timeline:
    """The frames of a video in the order in which they are shown.

    times:   when each is shown, in ticks, ascending, [n].
    tick:    seconds.
    packets: which packet brings each frame, [n]; None where only decoding tells: then frame i is the i-th that comes out.
    starts:  from which packet on to decode for it, [n]: the keyframe before.
    """

    times: Ints
    tick: Fraction
    packets: Ints | None = None
    starts: Ints | None = None

    def count(self, fps: float | None) -> int:
        """Frames at a uniform rate from the first to the last; without a rate all frames as they are."""
        if fps is None:
            return len(self.times)
        span = int(self.times[-1]) - int(self.times[0])
        return int((span + self.slack) * self.tick * rate(fps)) + 1

    def shown(self, fps: float | None, places: Sequence[int]) -> Ints:
        """Which frame is shown at each of `places` of the uniform rate: the last that is not later than place / fps."""
        if fps is None:
            return np.asarray(places, np.int64)
        first, step = int(self.times[0]), 1 / (rate(fps) * self.tick)
        at = np.array([first + int(place * step + self.slack) for place in places], np.int64)
        return np.searchsorted(self.times, at, "right").astype(np.int64) - 1

    @property
    def slack(self) -> Fraction:
        """Ticks by which the times themselves are rounded, at most a millisecond: Matroska writes 33, 67, 100 ms for 30 per second."""
        return min(Fraction(1), MILLISECOND / self.tick)


def rate(fps: float) -> Fraction:
    """Frames per second as a ratio: 29.97 is 2997/100, not its nearest double."""
    return Fraction(fps).limit_denominator(100_000)


def timeline(packets: Sequence[Packet], tick: Fraction, declared: Fraction | None) -> Timeline | None:
    """From the packets of a video alone, if their times can be trusted: all there, all different, none absurd.

    `declared` is how long the file says it is, in seconds.
    """
    times = [(packet.pts, i) for i, packet in enumerate(packets) if packet.shown]
    known = [(pts, i) for pts, i in times if pts is not None]
    decoded = [packet.dts for packet in packets if packet.dts is not None]
    if len(known) < len(times) or len({pts for pts, _ in known}) < len(known) or any(a > b for a, b in pairwise(decoded)):
        return None
    keys = [(pts, i) for pts, i in known if packets[i].key]
    if keys:  # what is shown before the first keyframe refers to frames that the file does not have
        known = [(pts, i) for pts, i in known if pts >= keys[0][0]]
    known.sort()
    if not known or (declared is not None and (known[-1][0] - known[0][0]) * tick > 2 * declared + 10):
        return None
    pairs = np.array(known, np.int64)
    return Timeline(pairs[:, 0], tick, pairs[:, 1], starts(known, keys))


def starts(frames: Sequence[tuple[int, int]], keys: Sequence[tuple[int, int]]) -> Ints:
    """For each (time, packet) the last keyframe that comes before it both when decoding and when shown; else the first packet."""
    found = np.zeros(len(frames), np.int64)
    packets = np.array([i for _, i in keys], np.int64)
    for n, (pts, i) in enumerate(frames):
        k = int(np.searchsorted(packets, i, "right")) - 1
        while k >= 0 and keys[k][0] > pts:
            k -= 1
        found[n] = keys[k][1] if k >= 0 else 0
    return found
