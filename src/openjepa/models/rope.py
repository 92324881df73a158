"""Where a token is, as a rotation of queries and keys: attention then sees distances, not places (RoPE, arXiv:2104.09864).

With several axes each has its own part of every head, as in V-JEPA 2 (arXiv:2506.09985, section 2.1).
"""

from typing import Literal

import torch
from jaxtyping import Float, Float32
from torch import Tensor

Style = Literal["interleaved", "official"]


def rotations(
    positions: Float32[Tensor, "b n axes"], head_dim: int, style: Style = "interleaved", stretch: float = 1.0
) -> Float32[Tensor, "2 b 1 n r"]:
    """Cosine and sine for every token and every rotated number of a head, broadcasting over heads.

    Each axis turns 2 floor(floor(head_dim / axes) / 2) numbers, first axis first; what is left at the
    end of a head stays as it is. Neighbours (2k, 2k + 1) are a pair, turned by position x w_k with
    w_k = 10000^(-k / pairs). "official" are the angles of V-JEPA 2's released weights: there they run
    0, 1, ..., pairs - 1, 0, 1, ... over the numbers, so that the two of a pair get different angles and
    it is no rotation. `stretch` multiplies rows and columns, the last two axes, before that. ValueError where a head is too narrow to have one pair per axis.
    """
    axes = positions.shape[-1]
    pairs = head_dim // axes // 2
    if pairs < 1:
        raise ValueError(
            f"heads of width {head_dim} are too narrow for rope on {axes} axes; use fewer heads so that each has {2 * axes} or more"
        )
    if stretch != 1:
        positions = positions * positions.new_tensor([1.0] * (axes - 2) + [stretch] * min(2, axes))
    frequency = 10_000.0 ** -(torch.arange(pairs, dtype=torch.float64) / pairs)
    angle = positions[..., None] * frequency.to(positions)
    angle = angle.repeat_interleave(2, -1) if style == "interleaved" else torch.cat([angle, angle], -1)
    angle = angle.flatten(-2)[:, None]
    return torch.stack([angle.cos(), angle.sin()])


def rotate(x: Float[Tensor, "b h n e"], rope: Float32[Tensor, "2 b 1 n r"]) -> Float[Tensor, "b h n e"]:
    """Queries or keys with the first r numbers of each head turned, computed in float32."""
    cos, sin = rope
    turned = x[..., : cos.shape[-1]].float()
    crossed = torch.stack([-turned[..., 1::2], turned[..., ::2]], -1).flatten(-2)
    turned = (turned * cos + crossed * sin).to(x.dtype)
    return torch.cat([turned, x[..., cos.shape[-1] :]], -1)
