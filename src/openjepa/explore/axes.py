"""The colours of an embedding: three linear axes, so that a guess has an exact place among them."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Axes:
    """The three main axes of one input's target features: a linear map, so a guess has an exact place in it."""

    mean: Float[Tensor, " d"]
    vectors: Float[Tensor, "d 3"]
    std: Float[Tensor, "3"]
    explained: float

    @classmethod
    def of(cls, goals: Float[Tensor, "n d"]) -> "Axes":
        """Exact, by the smaller of the two Gram matrices; each sign is the one with which the scores skew positive."""
        x = goals.double() - goals.double().mean(0)
        n, d = x.shape
        count = min(3, n, d)
        values, vectors = torch.linalg.eigh(x.T @ x if d <= n else x @ x.T)
        values, vectors = values[-count:].flip(0).clamp(min=0), vectors[:, -count:].flip(1)
        if d > n:
            vectors = x.T @ vectors / values.sqrt().clamp(min=1e-12)
        scores = x @ vectors
        vectors = vectors * torch.where(scores.pow(3).sum(0) < 0, -1.0, 1.0)
        missing = 3 - count
        vectors = torch.nn.functional.pad(vectors, (0, missing))
        std = torch.nn.functional.pad((values / n).sqrt(), (0, missing)).clamp(min=1e-12)
        explained = (values.sum() / x.square().sum().clamp(min=1e-12)).item()
        return cls(goals.mean(0), vectors.float(), std.float(), explained)

    def seen(self, x: Float[Tensor, "k d"]) -> Float[Tensor, "k 3"]:
        return (x - self.mean) @ self.vectors / self.std

    def of_guess(self, guess: Float[Tensor, "k d"]) -> tuple[Float[Tensor, "k 3"], Float[Tensor, " k"]]:
        """Its place, and the share of its length that lies outside."""
        less = guess - self.mean
        inside = less @ self.vectors
        whole = less.square().sum(1)
        return inside / self.std, (1 - inside.square().sum(1) / whole.clamp(min=1e-12)).clamp(0, 1).sqrt()
