"""Where a token is, as a vector: fixed sines and cosines of its coordinates."""

from typing import Literal

import torch
from jaxtyping import Float, Float32
from torch import Tensor

Order = Literal["column-first", "row-first"]
Code = Literal["sincos", "rope"]  # rope: models/rope.py


def sincos(positions: Float32[Tensor, "*b axes"], dim: int, order: Order = "column-first") -> Float[Tensor, "*b {dim}"]:
    """Sine-cosine code of real coordinates: per axis [sin(p w) | cos(p w)], w_j = 10000^(-j / (d / 2)).

    Every axis gets d = dim / axes numbers; where that is not an even number it is rounded up and the
    end of the last axis is cut (V-JEPA's rule). "column-first" begins with the last axis, as the
    I-JEPA and MAE weights expect; "row-first" with the first, as V-JEPA's do. The two are not
    interchangeable between checkpoints. Computed in float32: on a grid of 1,000 places the angle is
    right to 1e-4.
    """
    axes = positions.shape[-1]
    half = -(-dim // (2 * axes))
    frequency = 10_000.0 ** -(torch.arange(half, dtype=torch.float64) / half)
    if order == "column-first":
        positions = positions.flip(-1)
    angle = positions[..., None] * frequency.to(positions)
    return torch.cat([angle.sin(), angle.cos()], -1).flatten(-2)[..., :dim]
