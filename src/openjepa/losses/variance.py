"""Variance and covariance of features: what keeps them from collapsing when nothing else does (VICReg, arXiv:2105.04906)."""

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

EPS = 1e-4  # beside a variance, before its root


def variance_and_covariance(
    x: Float[Tensor, "n d"], valid: Bool[Tensor, " n"] | None = None
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """(how far the std of a feature falls short of 1, mean over features; squared covariances of two features, summed over d).

    Section 4.1, equations 1 to 4, in float32 with the unbiased covariance, over the rows that are `valid`.
    """
    d, x = x.shape[1], x.float()
    if valid is None:
        count: Tensor | int = len(x)
        x = x - x.mean(0)
    else:
        real, count = valid[:, None], valid.sum()
        x = (x - x.masked_fill(~real, 0).sum(0) / count).masked_fill(~real, 0)
    covariance = x.T @ x / (count - 1)
    own = covariance.diagonal()
    short = F.relu(1 - (own + EPS).sqrt()).mean()
    others = (covariance.square().sum() - own.square().sum()) / d
    return short, others
