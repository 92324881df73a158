"""What a set of tokens still tells apart: spread, rank, and how much of it is only their place. Functions of tensors."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

TOKENS = 2048  # rows behind a covariance; D x D work on them is under 2 % of a training step
PAIRS = 512  # rows behind the mean cosine


def describe(x: Float[Tensor, "b t d"], index: Int[Tensor, "b t"], n: int) -> dict[str, Tensor]:
    """Spread, rank and position of tokens that sit at places `index` of `n`."""
    d = x.shape[-1]
    content = (x - place_means(x, index, n)[0][index]).flatten(0, 1)
    some = chosen(len(content), TOKENS).to(x.device)
    flat, content = x.flatten(0, 1), content[some]
    std = flat.std(0)
    unit = F.normalize(flat[some], dim=-1)
    first, second = unit[:PAIRS], F.normalize(content[:PAIRS], dim=-1)
    eigenvalues = spectrum(content)
    return {
        "std": std.mean(),
        "std_min": std.min(),
        "dead": (std < 0.01 * std.median()).float().mean(),
        "spread": unit.std(0).mean() * d**0.5,
        "participation": participation(content),
        "effective_rank": effective_rank(eigenvalues),
        "participation_pooled": participation(x.mean(1)),
        "cosine": off_diagonal_mean(first @ first.T),
        "cosine_centred": off_diagonal_mean((second @ second.T).abs()),
        "position_share": position_share(x, index, n),
    }


def place_means(x: Float[Tensor, "b t d"], index: Int[Tensor, "b t"], n: int) -> tuple[Float[Tensor, "n d"], Float[Tensor, " n"]]:
    """Mean token of every place (zero where there is none), and how many it has."""
    flat = index.flatten()
    counts = x.new_zeros(n).index_add_(0, flat, x.new_ones(len(flat)))
    sums = x.new_zeros(n, x.shape[-1]).index_add_(0, flat, x.flatten(0, 1))
    return sums / counts.clamp(min=1)[:, None], counts


def position_share(x: Float[Tensor, "b t d"], index: Int[Tensor, "b t"], n: int) -> Float[Tensor, ""]:
    """Share of the variance that knowing the place explains, 0 to 1; NaN with one sample.

    One-way random-effects analysis of variance over places of unequal counts. The variance of the
    place means alone would be too large by (variance within a place) / (samples per place): 1/b of
    a purely random signal would look like position.
    """
    means, counts = place_means(x, index, n)
    total, groups = counts.sum(), (counts > 0).sum()
    grand = (means * counts[:, None]).sum(0) / total
    within = (x - means[index]).square().sum() / (total - groups)
    between = (counts * (means - grand).square().sum(-1)).sum() / (groups - 1)
    per_place = (total - counts.square().sum() / total) / (groups - 1)
    place = ((between - within) / per_place).clamp(min=0)
    return place / (place + within)


def spectrum(x: Float[Tensor, "n d"]) -> Float[Tensor, " m"]:
    """Eigenvalues of the covariance, through the smaller of the two Gram matrices."""
    x = x - x.mean(0)
    gram = x.T @ x if x.shape[0] >= x.shape[1] else x @ x.T
    values: Tensor = torch.linalg.eigvalsh(gram / max(1, len(x) - 1))
    return values.clamp(min=0)


def effective_rank(eigenvalues: Float[Tensor, " m"]) -> Float[Tensor, ""]:
    """exp H(l / sum l); NaN when nothing varies."""
    entropy: Tensor = torch.special.entr(eigenvalues / eigenvalues.sum()).sum()
    return entropy.exp()


def participation(x: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Participation ratio of the covariance, without its eigenvalues: tr(C)^2 / |C|^2."""
    x = x - x.mean(0)
    x = x / x.square().mean().sqrt()  # scale-free, and fourth powers stay inside float32
    gram = x.T @ x if x.shape[0] >= x.shape[1] else x @ x.T
    return gram.trace().square() / gram.square().sum()


def off_diagonal_mean(pairs: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    n = len(pairs)
    return (pairs.sum() - pairs.trace()) / max(1, n * (n - 1))


def chosen(n: int, most: int) -> Int[Tensor, " m"]:
    """`most` of n indices, or all: always the same ones, and no stride that could fall on one column of the grid."""
    if n <= most:
        return torch.arange(n)
    return torch.randperm(n, generator=torch.Generator().manual_seed(0))[:most].sort().values
