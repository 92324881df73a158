"""Nearest neighbours vote: a probe that trains nothing, so it can run during pretraining.

Protocol (DINO's and DINOv3's kNN, written anew): features are L2-normalised, each of the k most similar
training samples votes for its class with weight exp(cosine / .07). Unlike theirs, features are first
centred by the *training* mean: the common direction that JEPA features share says nothing and makes all
cosines look alike. `center=False` gives the published form.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from openjepa.probes.confidence import check

NEIGHBOURS = (10, 20, 100, 200)
DEFAULT = 20
TEMPERATURE = 0.07


@dataclass(frozen=True)
class Near:
    """The nearest training samples of every test sample, nearest first. They do not depend on what is asked of them."""

    cosines: Float[Tensor, "m k"]
    indices: Int[Tensor, "m k"]


@torch.no_grad()
def search(
    x: Float[Tensor, "n d"], test: Float[Tensor, "m d"], most: int = max(NEIGHBOURS), *, center: bool = True, chunk: int = 1024
) -> Near:
    """The `most` nearest, or all of fewer. Test samples are compared `chunk` at a time: chunk x n similarities in memory."""
    if center:
        mean = x.mean(0)
        x, test = x - mean, test - mean
    x, test = unit(x), unit(test)
    most = min(most, len(x))
    near = [(part @ x.T).topk(most) for part in torch.split(test, chunk)]  # sorted
    if not near:
        return Near(x[:0, :0], torch.empty(0, 0, dtype=torch.int64))
    return Near(torch.cat([part.values for part in near]), torch.cat([part.indices for part in near]))


@torch.no_grad()
def predict(
    x: Float[Tensor, "n d"],
    y: Int[Tensor, " n"],
    test: Float[Tensor, "m d"],
    classes: int,
    *,
    neighbours: Sequence[int] = NEIGHBOURS,
    temperature: float = TEMPERATURE,
    center: bool = True,
    chunk: int = 1024,
    near: Near | None = None,
) -> dict[int, Int[Tensor, " m"]]:
    """The class of each test sample, for every k of `neighbours`; a k above n asks all n.

    `near`: what `search` found for the same x and test, to ask another question of them. ValueError for features that are not finite.
    """
    check(x, y, classes)
    check(test, None, classes)
    if not len(test):
        return dict.fromkeys(neighbours, y[:0])
    near = near or search(x, test, max(neighbours), center=center, chunk=chunk)
    return {k: tally(near, y, classes, k, temperature).argmax(1) for k in neighbours}


def tally(near: Near, y: Int[Tensor, " n"], classes: int, k: int = DEFAULT, temperature: float = TEMPERATURE) -> Float[Tensor, "m classes"]:
    """Votes for each class of the `k` nearest, each with weight exp(cosine / temperature)."""
    weights, votes = (near.cosines[:, :k] / temperature).exp(), y[near.indices[:, :k]]
    return weights.new_zeros(len(votes), classes).scatter_add_(1, votes, weights)


def unit(x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Rows of length one; a row of zeros stays zero."""
    return torch.nn.functional.normalize(x, dim=1)


def accuracy(
    x: Float[Tensor, "n d"],
    y: Int[Tensor, " n"],
    test: Float[Tensor, "m d"],
    test_y: Int[Tensor, " m"],
    k: int = DEFAULT,
    center: bool = True,
) -> float:
    """Share of the test samples whose class the `k` nearest training samples name."""
    classes = int(y.max()) + 1
    guess = predict(x, y, test, classes, neighbours=(k,), center=center)[k]
    return (guess == test_y).double().mean().item()
