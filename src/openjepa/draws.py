"""Random numbers as a pure function of (seed, step, sample): nothing to save, nothing to replay.

A counter-based generator (the SplitMix64 finaliser of Steele, Lea and Flood, OOPSLA 2014, applied
to a chain of keys) gives every sample of every step its own stream, whatever the batch, the worker
or the rank that asks for it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = Sequence[int] | NDArray[np.int64]  # which samples

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def key(*parts: int | str) -> int:
    """One 64-bit key from several integers or names, order mattering."""
    state = np.zeros(1, np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            words = part.encode() if isinstance(part, str) else [part & 0xFFFFFFFFFFFFFFFF]
            for word in words:
                state = _mix((state + _GOLDEN) ^ np.uint64(word))
    return int(state[0])


def uniform(seed: int, step: int, rows: Rows, count: int, stream: str) -> NDArray[np.float64]:
    """Numbers in [0, 1), [len(rows), count]: row i depends on (seed, step, rows[i], stream) alone.

    `stream` names the use ("crop", "blocks"), so that two uses of one sample are independent.
    """
    base = np.uint64(key(seed, step, stream))
    with np.errstate(over="ignore"):
        row = _mix((np.asarray(rows, np.int64).astype(np.uint64) + np.uint64(1)) * _GOLDEN ^ base)
        state = row[:, None] + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
        bits = _mix(state) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53
