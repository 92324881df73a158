"""Traces of a series as a picture, with numpy alone."""

import numpy as np
from numpy.typing import NDArray

COLOURS = np.array([(31, 119, 180), (214, 94, 18), (44, 140, 60), (180, 40, 70), (120, 90, 180), (120, 80, 60)], np.uint8)
PAD, LINE, PAPER = (225, 225, 228), (236, 236, 240), (255, 255, 255)
WIDTH = 512  # pixels at least


def traces(x: NDArray[np.float32], patch: int) -> NDArray[np.uint8]:
    """[h w 3]: a lane per channel of [c t], each between its own extremes; NaN is drawn as grey paper."""
    c, t = x.shape
    lane = max(12, min(96, 384 // c))
    across = -(-WIDTH // t)  # pixels per time step
    width = t * across
    picture = np.full((c * lane, width, 3), PAPER, np.uint8)
    picture[:, :: patch * across] = LINE
    column = (np.arange(width) + 0.5) / across - 0.5  # in time steps
    steps = np.arange(t)
    for channel, values in enumerate(x):
        rows = picture[channel * lane : (channel + 1) * lane]
        real = np.isfinite(values)
        rows[:, np.repeat(~real, across)] = PAD
        rows[-1] = np.where(channel + 1 < c, LINE, rows[-1])
        if not real.any():
            continue
        low, high = values[real].min(), values[real].max()
        y = np.interp(column, steps[real], values[real])
        y = (lane - 5) * (high - y) / max(float(high) - float(low), 1e-30) + 2 if high > low else np.full(width, lane / 2)
        after = np.append(y[1:], y[-1])
        top, bottom = np.floor(np.minimum(y, after)), np.ceil(np.maximum(y, after))  # the line to the next column, unbroken
        depth = np.arange(lane)[:, None]
        ink = (depth >= top) & (depth <= np.maximum(bottom, top + 1)) & np.repeat(real, across)
        rows[ink] = COLOURS[channel % len(COLOURS)]
    return picture
