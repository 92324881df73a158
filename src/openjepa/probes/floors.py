"""What a score must beat: chance, raw pixels, and the same encoder before its first step.

Pixels and the untrained encoder go through the very same probes as the trained one. Here is what the first two need;
the untrained encoder is `load_encoder(run, untrained=True)`.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from openjepa import draws
from openjepa.models.positions import sincos
from openjepa.tokens import Tokens

MOST_PIXELS = 32 * 32  # larger views are averaged down to about as many places before the PCA


def majority(y: Int[Tensor, " n"], test_y: Int[Tensor, " m"], classes: int) -> float:
    """Accuracy of naming the most frequent training class for every test sample."""
    return (test_y == y.bincount(minlength=classes).argmax()).double().mean().item()


def pixels(views: Shaped[Tensor, "b c *size"]) -> Shaped[Tensor, "b d"]:
    """Views as rows of numbers; more than 32 x 32 places are averaged down to that many, keeping the shape of the view.

    Bytes stay bytes; of floats, NaN (padding) reads as 0.
    """
    if views.is_floating_point():
        views = views.nan_to_num(0.0)
    size = views.shape[2:]
    if math.prod(size) > MOST_PIXELS and len(size) <= 3:
        shrink = (MOST_PIXELS / math.prod(size)) ** (1 / len(size))
        pool: Any = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[len(size) - 1]
        small: Tensor = pool(views.float(), tuple(max(1, round(n * shrink)) for n in size))
        views = small if views.is_floating_point() else small.round().to(views.dtype)
    return views.flatten(1)


@dataclass(frozen=True)
class PCA:
    """Projection on the directions of largest variance of a training set."""

    mean: Float[Tensor, " d"]
    axes: Float[Tensor, "d r"]

    def __call__(self, x: Shaped[Tensor, "m d"]) -> Float[Tensor, "m r"]:
        return torch.cat([part.to(self.mean.dtype).sub(self.mean) @ self.axes for part in torch.split(x, 8192)])


def pca(x: Shaped[Tensor, "n d"], width: int, *, rounds: int = 4, seed: int = 0) -> PCA:
    """The first `width` principal axes (fewer when n or d is smaller), largest first.

    Randomised subspace iteration (Halko, Martinsson and Tropp, SIAM Review 2011, algorithm 4.4): the covariance of
    32 x 32 x 3 pixels would cost ten times as much to form and diagonalise.
    """
    x = x if x.is_floating_point() else x.float()
    mean = x.mean(0)
    x = x - mean
    width = min(width, *x.shape)
    rng = torch.Generator().manual_seed(draws.key(seed, "pca") % 2**63)
    sketch = torch.randn(x.shape[1], min(width + 16, *x.shape), generator=rng).to(x)
    for _ in range(rounds):
        sketch = torch.linalg.qr(x.T @ (x @ sketch)).Q
    _, _, turn = torch.linalg.svd(torch.linalg.qr(x @ sketch).R)
    return PCA(mean, sketch @ turn.T[:, :width])


PATCHES = 4096  # patches that the axes of PatchCode are fitted on


@dataclass(frozen=True)
class PatchCode:
    """Raw patches as tokens, the floor of the attentive probe: [principal components of the patch | code of its place | 0 ...].

    As wide as the encoder's tokens, so that the probe is as large; without the code a patch would not say where it is.
    """

    axes: PCA
    scale: float  # brings the components to a mean square of 1
    place: int  # numbers for the place
    dim: int

    @property
    def fingerprint(self) -> str:
        """Of everything that decides the tokens."""
        state = hashlib.sha256(repr((self.scale, self.place, self.dim)).encode())
        for part in (self.axes.mean, self.axes.axes):
            state.update(part.contiguous().numpy().tobytes())
        return state.hexdigest()

    def __call__(self, patches: Tokens) -> Tokens:
        values = patches.values.float()
        if patches.valid is not None:
            values = values.masked_fill(~patches.valid[..., None], 0.0)
        seen = self.axes(values.flatten(0, 1)).unflatten(0, values.shape[:2]) * self.scale
        token = torch.cat([seen, sincos(patches.positions, self.place)], -1)
        return Tokens(F.pad(token, (0, self.dim - token.shape[-1])), patches.positions, patches.valid)


def patch_code(some: Tokens, dim: int, seed: int = 0) -> PatchCode:
    """Fitted on the patches of `some` training samples; a quarter of `dim` tells the place."""
    pairs = 2 * some.positions.shape[-1]
    dim = max(dim, 4 * pairs)
    place = dim // 4 // pairs * pairs
    values = some.values.float()
    rows = values.flatten(0, 1) if some.valid is None else values[some.valid]
    axes = pca(rows[:: -(-len(rows) // PATCHES)], dim - place, seed=seed)
    return PatchCode(axes, 1 / max(1e-6, axes(rows).square().mean().sqrt().item()), place, dim)
