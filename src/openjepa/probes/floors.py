"""What a score must beat: chance, raw pixels, and the same encoder before its first step.

Pixels and the untrained encoder go through the very same probes as the trained one. Here is what the first two need;
the untrained encoder is `load_encoder(run, untrained=True)`.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from openjepa import draws

MOST_PIXELS = 32 * 32  # larger images are averaged down to about as many places before the PCA


def majority(y: Int[Tensor, " n"], test_y: Int[Tensor, " m"], classes: int) -> float:
    """Accuracy of naming the most frequent training class for every test sample."""
    return (test_y == y.bincount(minlength=classes).argmax()).double().mean().item()


def pixels(images: UInt8[Tensor, "b c h w"]) -> UInt8[Tensor, "b d"]:
    """Images as rows of bytes; more than 32 x 32 places are averaged down to that many, keeping the shape of the picture."""
    h, w = images.shape[2:]
    if h * w > MOST_PIXELS:
        shrink = math.sqrt(MOST_PIXELS / (h * w))
        size = (max(1, round(h * shrink)), max(1, round(w * shrink)))
        images = adaptive_avg_pool2d(images.float(), size).round().to(torch.uint8)
    return images.flatten(1)


@dataclass(frozen=True)
class PCA:
    """Projection on the directions of largest variance of a training set."""

    mean: Float[Tensor, " d"]
    axes: Float[Tensor, "d r"]

    def __call__(self, x: UInt8[Tensor, "m d"] | Float[Tensor, "m d"]) -> Float[Tensor, "m r"]:
        return torch.cat([part.to(self.mean.dtype).sub(self.mean) @ self.axes for part in torch.split(x, 8192)])


def pca(x: UInt8[Tensor, "n d"] | Float[Tensor, "n d"], width: int, *, rounds: int = 4, seed: int = 0) -> PCA:
    """The first `width` principal axes (fewer when n or d is smaller), largest first.

    Randomised subspace iteration (Halko, Martinsson and Tropp, SIAM Review 2011, algorithm 4.4): the covariance of
    32 x 32 x 3 pixels would cost ten times as much to form and diagonalise.
    """
    x = x.float() if x.dtype == torch.uint8 else x
    mean = x.mean(0)
    x = x - mean
    width = min(width, *x.shape)
    rng = torch.Generator().manual_seed(draws.key(seed, "pca") % 2**63)
    sketch = torch.randn(x.shape[1], min(width + 16, *x.shape), generator=rng).to(x)
    for _ in range(rounds):
        sketch = torch.linalg.qr(x.T @ (x @ sketch)).Q
    _, _, turn = torch.linalg.svd(torch.linalg.qr(x @ sketch).R)
    return PCA(mean, sketch @ turn.T[:, :width])
