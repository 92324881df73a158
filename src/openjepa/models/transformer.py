"""The pre-norm transformer block and its one attention function."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32
from torch import Tensor, nn

from openjepa.models.rope import rotate

# The kernel of scaled_dot_product_attention is slow in bf16 on CPUs at short lengths, its backward most of all
LONG = 1000  # tokens from which the fused kernel wins there too


Residual = Literal["compute", "float32"]  # the stream that blocks add to: in the type that computes, or float32


def attention(
    q: Float[Tensor, "b h t e"], k: Float[Tensor, "b h n e"], v: Float[Tensor, "b h n e"], keys: Bool[Tensor, "#b 1 #q n"] | None = None
) -> Float[Tensor, "b h t e"]:
    """Softmax attention, to those tokens where `keys` is True (to all without it).

    Two matmuls in bf16 on a CPU while sequences are short, the fused kernel everywhere else.
    """
    if k.shape[-2] < LONG and q.dtype == torch.bfloat16 and q.device.type == "cpu":
        scores = (q * (1 / math.sqrt(q.shape[-1]))) @ k.transpose(-2, -1)
        if keys is not None:
            scores = scores.masked_fill(~keys, -math.inf)
        out: Tensor = scores.softmax(-1) @ v
        return out
    if keys is not None:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=keys)
    return F.scaled_dot_product_attention(q, k, v)


def attended(valid: Bool[Tensor, "b n"] | None) -> Bool[Tensor, "b 1 1 n"] | None:
    """`valid` as the keys of attention. A sample that is all padding attends to itself: a softmax over nothing is NaN."""
    return None if valid is None else (valid | ~valid.any(1, keepdim=True))[:, None, None]


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); exact GELU.

    Plain tensors in and out: the unit that torch.compile and FSDP see.
    """

    def __init__(self, dim: int, heads: int, mlp: float, eps: float = 1e-6) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"width {dim} does not split into {heads} heads; choose a divisor of {dim}")
        hidden = round(dim * mlp)
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=eps), nn.LayerNorm(dim, eps=eps)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        last: int | None = None,
        rope: Float32[Tensor, "2 b 1 n r"] | None = None,
        keys: Bool[Tensor, "#b 1 #q n"] | None = None,
    ) -> Float[Tensor, "b t d"]:
        """All tokens attend; with `last`, only the last `last` of them are updated and returned.

        Keys and values still come from every token, so those are the same numbers at a lower price.
        `rope` (models/rope.py) turns queries and keys; `keys` is False at tokens that none may attend to.
        """
        # The residual stream may be kept in float32 while the rest computes in bfloat16
        dtype = self.norm1.weight.dtype
        y = self.norm1(x.to(dtype))
        if last is None or last == x.shape[1]:
            q, k, v = self.qkv(y).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        else:
            d = x.shape[-1]
            weight, bias = self.qkv.weight, self.qkv.bias
            x = x[:, -last:]
            q = F.linear(y[:, -last:], weight[:d], bias[:d]).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            k, v = F.linear(y, weight[d:], bias[d:]).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if rope is not None:
            q, k = rotate(q, rope[:, :, :, -q.shape[2] :]), rotate(k, rope)
        x = x + self.proj(attention(q, k, v, keys).transpose(1, 2).flatten(2))
        out: Tensor = x + self.fc2(F.gelu(self.fc1(self.norm2(x.to(dtype)))))
        return out


def initialise(module: nn.Module, std: float | None, rescale: bool = False) -> None:
    """Linear weights N(0, std), biases 0, norms 1 and 0 (I-JEPA, arXiv:2301.08243, as its code trains).

    Without `std` the weights are Xavier-uniform, as MAE's (arXiv:2111.06377).
    `rescale` divides the last map of each residual branch of layer l by sqrt(2 l), as V-JEPA 2 does
    and as I-JEPA's constructor does before its training script undoes it.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            if std is None:
                nn.init.xavier_uniform_(part.weight)
            else:
                nn.init.normal_(part.weight, std=std)
            nn.init.zeros_(part.bias)
    blocks = [part for part in module.modules() if isinstance(part, Block)] if rescale else []
    with torch.no_grad():
        for layer, block in enumerate(blocks, 1):
            block.proj.weight.div_(math.sqrt(2 * layer))
            block.fc2.weight.div_(math.sqrt(2 * layer))
