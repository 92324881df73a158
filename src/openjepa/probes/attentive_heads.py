"""Attentive pooling with a linear classifier, many of them at once: one stack of weights, first axis the head.

V-JEPA's probe (arXiv:2404.08471, appendix; depth 1): a learned query q attends to the tokens x,
y = q + attention(q, LN(x)) without an output projection, z = y + MLP(LN(y)), classes = linear(z). V-JEPA 2's (arXiv:2506.09985,
depth 4) passes the tokens through depth - 1 self-attention blocks first. Layer norms have eps 1e-5, GELU is exact.

The query is the same for every sample, so keys and values of single tokens are never formed: the score of a token is its
inner product with Wk q, and the values are mixed before Wv is applied, once per sample. That is exact, and the cost of
depth 1 hardly depends on the number of tokens. The bias of the keys cancels in the softmax; it is kept because the
published weights have it.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

Weights = dict[str, Tensor]  # name -> [heads ...]; matrices are [heads in out]
EPS = 1e-5
STD = 0.02  # of all weights at the start, biases 0


def parameters(dim: int, classes: int, depth: int = 1) -> int:
    """Numbers in one head, classifier included: 11 dim^2 for depth 1 and 12 dim^2 for each block more, nearly.

    V-JEPA's released depth-1 probe holds dim^2 + dim more, an output projection that its forward pass never applies.
    """
    cross, block, linear = 11 * dim**2 + 13 * dim, 12 * dim**2 + 13 * dim, (dim + 1) * classes
    return cross + (depth - 1) * block + linear


def shapes(dim: int, classes: int, depth: int) -> dict[str, tuple[int, ...]]:
    """Of every weight of one head."""
    found: dict[str, tuple[int, ...]] = {"query": (dim,)}

    def linear(name: str, fan_in: int, fan_out: int) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = (fan_in, fan_out), (fan_out,)

    for part in [*(f"blocks.{i}" for i in range(depth - 1)), "cross"]:
        for norm in ("norm1", "norm2"):
            found[f"{part}.{norm}.weight"] = found[f"{part}.{norm}.bias"] = (dim,)
        if part == "cross":
            for name in ("q", "k", "v"):
                linear(f"{part}.{name}", dim, dim)
        else:
            linear(f"{part}.qkv", dim, 3 * dim)
            linear(f"{part}.proj", dim, dim)
        linear(f"{part}.fc1", dim, 4 * dim)
        linear(f"{part}.fc2", 4 * dim, dim)
    linear("linear", dim, classes)
    return found


def initial(dim: int, classes: int, depth: int, rng: torch.Generator) -> Weights:
    """One head, [1 ...]: N(0, .02), biases 0, norms 1 and 0.

    The last map of each residual branch is divided by sqrt(2 layer): self-attention blocks count from 1, and the
    cross-attention block has the number of the last of them (recipes 3.6), 1 when there is none.
    """
    weights = {}
    for name, shape in shapes(dim, classes, depth).items():
        if name == "query" or (name.endswith(".weight") and ".norm" not in name):
            weights[name] = STD * torch.randn(1, *shape, generator=rng)
        else:
            weights[name] = torch.full((1, *shape), float(".norm" in name and name.endswith(".weight")))
    for layer in range(1, depth):
        weights[f"blocks.{layer - 1}.proj.weight"] /= math.sqrt(2 * layer)
        weights[f"blocks.{layer - 1}.fc2.weight"] /= math.sqrt(2 * layer)
    weights["cross.fc2.weight"] /= math.sqrt(2 * max(1, depth - 1))
    return weights


def floats(dim: int, tokens: int, heads: int, classes: int, depth: int) -> int:
    """Numbers that one sample leaves in memory per head until its gradient is taken, nearly."""
    cross = 2 * heads * (tokens + dim) + 20 * dim + 3 * classes
    return cross + (depth - 1) * (20 * tokens * dim + 2 * heads * tokens**2) + (depth > 1) * 2 * tokens * dim


def norm(x: Float[Tensor, "... d"], eps: float = EPS) -> Float[Tensor, "... d"]:
    """Layer norm without weight and bias."""
    return F.layer_norm(x, x.shape[-1:], eps=eps)


def affine(x: Float[Tensor, "g n d"], weights: Mapping[str, Tensor], name: str) -> Float[Tensor, "g n d"]:
    return torch.addcmul(weights[f"{name}.bias"][:, None], x, weights[f"{name}.weight"][:, None])


def linear(x: Float[Tensor, "g n d"], weights: Mapping[str, Tensor], name: str) -> Float[Tensor, "g n e"]:
    """Every head's own matrix."""
    return torch.baddbmm(weights[f"{name}.bias"][:, None], x, weights[f"{name}.weight"])


def mlp(x: Float[Tensor, "g n d"], weights: Mapping[str, Tensor], part: str, eps: float = EPS) -> Float[Tensor, "g n d"]:
    """x + MLP(LN(x))."""
    y = affine(norm(x, eps), weights, f"{part}.norm2")
    return x + linear(F.gelu(linear(y, weights, f"{part}.fc1")), weights, f"{part}.fc2")


def logits(
    weights: Mapping[str, Tensor],
    x: Float[Tensor, "b n d"],
    valid: Bool[Tensor, "b n"] | None,
    heads: int,
    depth: int,
    eps: float = EPS,
) -> Float[Tensor, "g b classes"]:
    """What each head of the stack says of tokens `x`; `heads` are attention heads. Tokens not `valid` are never looked at."""
    hidden, seen = None if valid is None else ~valid, read(weights, x, valid, heads, depth, eps)
    if depth == 1:
        mixed = mix(weights, norm(x, eps), hidden, heads)
    else:
        mixed = torch.cat([mix(one(weights, i), norm(own, eps), hidden, heads) for i, own in enumerate(seen)])
    # LN's weight and bias commute with the mixing: its weights sum to 1
    y = torch.addcmul(weights["cross.norm1.bias"][:, None, None], mixed, weights["cross.norm1.weight"][:, None, None])
    value = weights["cross.v.weight"].unflatten(2, (heads, -1)).permute(0, 2, 1, 3)  # [g h d e]
    got = (y @ value).transpose(1, 2).flatten(2) + weights["cross.v.bias"][:, None]
    return linear(mlp(weights["query"][:, None] + got, weights, "cross", eps), weights, "linear")


def attention(
    weights: Mapping[str, Tensor], x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None, heads: int, depth: int, eps: float = EPS
) -> Float[Tensor, "b n"]:
    """How much the query of the first head of the stack looks at each token: the mean over its attention heads, which sums to 1."""
    own = read(weights, x, valid, heads, depth, eps)[0]
    shares = look(one(weights, 0), norm(own, eps), None if valid is None else ~valid, heads)
    return shares[:, 0].mean(1)


def one(weights: Mapping[str, Tensor], i: int) -> Weights:
    """A stack of head `i` alone."""
    return {name: w[i : i + 1] for name, w in weights.items()}


def read(
    weights: Mapping[str, Tensor], x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None, heads: int, depth: int, eps: float
) -> Float[Tensor, "g b n d"]:
    """Tokens as the query of each head finds them: after depth - 1 self-attention blocks of its own."""
    own: Tensor = x.expand(len(weights["query"]), *x.shape)
    for i in range(depth - 1):
        own = block(weights, f"blocks.{i}", own, valid, heads, eps)
    return own


def mix(
    weights: Mapping[str, Tensor], x: Float[Tensor, "b n d"], hidden: Bool[Tensor, "b n"] | None, heads: int
) -> Float[Tensor, "g h b d"]:
    """Normed tokens `x`, the same for every head of the stack, averaged with each one's attention weights."""
    shares = look(weights, x, hidden, heads)
    mixed = shares.flatten(1, 2) @ x  # one product for all
    return mixed.view(len(x), *shares.shape[1:3], -1).permute(1, 2, 0, 3)


def look(
    weights: Mapping[str, Tensor], x: Float[Tensor, "b n d"], hidden: Bool[Tensor, "b n"] | None, heads: int
) -> Float[Tensor, "b g h n"]:
    """Attention weights of each query over normed tokens `x`, the same for every head of the stack."""
    g, d = weights["query"].shape
    q = linear(weights["query"][:, None], weights, "cross.q").view(g, 1, heads, -1) / math.sqrt(d // heads)
    key = weights["cross.k.weight"].unflatten(2, (heads, -1))  # [g d h e]
    ask = (key * q).sum(3).transpose(1, 2) * weights["cross.norm1.weight"][:, None]  # [g h d]
    scores = F.linear(x, ask.flatten(0, 1)).transpose(1, 2)  # [b gh n]
    if hidden is not None:
        scores = scores.masked_fill(hidden[:, None], -torch.inf)
    shares: Tensor = scores.softmax(-1).unflatten(1, (g, heads))
    return shares


def block(
    weights: Mapping[str, Tensor],
    part: str,
    x: Float[Tensor, "g b n d"],
    valid: Bool[Tensor, "b n"] | None,
    heads: int,
    eps: float = EPS,
) -> Float[Tensor, "g b n d"]:
    """A pre-norm self-attention block, each head of the stack on tokens of its own."""
    g, b, n, d = x.shape
    flat = x.reshape(g, b * n, d)
    qkv = linear(affine(norm(flat, eps), weights, f"{part}.norm1"), weights, f"{part}.qkv")
    q, k, v = qkv.view(g * b, n, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
    mask = None if valid is None else valid.repeat(g, 1)[:, None, None]
    seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(g, b * n, d)
    return mlp(flat + linear(seen, weights, f"{part}.proj"), weights, part, eps).view(g, b, n, d)
