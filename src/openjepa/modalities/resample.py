"""Band-limited resampling by a windowed sinc, in pieces: the same bits whatever the pieces.

Samples are rounded to multiples of 2^-23 (24 bits) and weights to multiples of 2^-26, so that float64 sums of
their products are exact in any order. A segment of a long sound therefore equals that part of the whole.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import chain

import numpy as np
import torch
from jaxtyping import Float32, Float64
from numpy.typing import NDArray
from torch import Tensor

ZEROS = 64  # zero crossings of the sinc on either side, at the lower of the two rates
CUT = 0.95  # middle of the edge as a share of the lower Nyquist frequency: flat to 0.9, nothing from 1.0 on
BETA = 10.06  # of the Kaiser window: -100 dB outside the band (Kaiser's rule: 0.1102 (100 - 8.7))
OUTPUTS = 64  # least outputs computed together, for the sake of the matrix product
LARGEST = 2**22  # weights kept at most
SAMPLE, WEIGHT = 2.0**23, 2.0**26
GROUP = 2**21  # numbers laid out for one matrix product


@dataclass(frozen=True)
class Bank:
    """`weights` make `outs` outputs from `ins` + 2 `reach` inputs, of which the first lies `reach` before the first output."""

    up: int  # so many outputs
    down: int  # take as long as so many inputs
    outs: int
    ins: int
    reach: int
    weights: Float64[Tensor, "window outs"]

    def length(self, total: int) -> int:
        """Outputs of `total` inputs: all whose time lies before their end."""
        return -(-total * self.up // self.down)

    def needs(self, first: int, count: int, total: int) -> tuple[int, int]:
        """Begin and end of the inputs, of `total`, that the outputs first, ..., first + count - 1 read."""
        begin, end = first // self.outs * self.ins - self.reach, (-(-(first + count) // self.outs)) * self.ins + self.reach
        return min(max(0, begin), total), min(end, total)


@lru_cache(8)
def bank(source: int, target: int) -> Bank:
    """Filters from `source` to `target` Hz.

    Rates whose ratio has no small terms are taken as the nearest fraction that has: wrong by less than one in 10^5.
    """
    slower = max(1.0, source / target)
    ratio = Fraction(source, target).limit_denominator(min(1024, math.isqrt(int(LARGEST / slower))))
    up, down = ratio.denominator, ratio.numerator
    blocks = -(-OUTPUTS // up)
    outs, ins, shrink = up * blocks, down * blocks, max(1.0, down / up)
    reach = math.ceil(ZEROS * shrink)
    at = (np.arange(-reach, ins + reach)[:, None] - np.arange(outs) * (down / up)) / shrink
    window = np.i0(BETA * np.sqrt(np.clip(1 - (at / ZEROS) ** 2, 0, None))) * (abs(at) < ZEROS)
    weights = CUT * np.sinc(CUT * at) * window
    weights = np.rint(weights / weights.sum(0) * WEIGHT) / WEIGHT
    assert abs(weights).sum(0).max() < 8  # else sums are not exact: 23 + 26 + 3 bits
    return Bank(up, down, outs, ins, reach, torch.from_numpy(weights))


def resample(pieces: Iterable[NDArray[np.float64]], filters: Bank, begin: int, first: int, count: int) -> Float32[Tensor, " count"]:
    """Outputs first, ..., first + count - 1 of a sound whose samples in [-1, 1] from number `begin` on come in `pieces`.

    `begin` is what `filters.needs` says; before the sound and after the last piece there is silence. Values stay in [-1, 1].
    """
    block, blocks = first // filters.outs, -(-(first + count) // filters.outs) - first // filters.outs
    out = torch.empty(blocks, filters.outs)
    window, done = filters.weights.shape[0], 0
    held = np.zeros(begin - (block * filters.ins - filters.reach))
    group = max(1, GROUP // window)
    for piece in chain(_rounded(pieces), [None]):
        if piece is None:  # the end: silence for what is left
            piece = np.zeros(max(0, (blocks - done - 1) * filters.ins + window - len(held)))
        held = np.concatenate([held, piece])
        ready = min(blocks - done, (len(held) - window) // filters.ins + 1)
        laid = torch.from_numpy(held).unfold(0, window, filters.ins) if ready > 0 else None
        for start in range(0, ready, group):
            stop = min(ready, start + group)
            assert laid is not None
            out[done + start : done + stop] = (laid[start:stop] @ filters.weights).float()
        if ready > 0:
            held, done = held[ready * filters.ins :], done + ready
    skip = first - block * filters.outs
    return out.reshape(-1)[skip : skip + count].clamp_(-1, 1).clone()


def _rounded(pieces: Iterable[NDArray[np.float64]]) -> Iterable[NDArray[np.float64]]:
    for piece in pieces:
        yield np.rint(piece * SAMPLE) / SAMPLE
