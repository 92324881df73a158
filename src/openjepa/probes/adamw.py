"""AdamW (arXiv:1711.05101) on a stack of models: first axis the model, each with its own learning rate and decay."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

BETAS = (0.9, 0.999)
EPS = 1e-8
CHUNK = 2**17  # numbers updated at a time, so that the eight passes over them stay in the cache


class AdamW:
    """torch.optim.AdamW takes one rate per tensor; here it is one per row of each tensor. Gradients are used up."""

    def __init__(self, weights: Sequence[Float[Tensor, "g ..."]]) -> None:
        self.weights, self.count = list(weights), 0
        self.moments = [(torch.zeros_like(w), torch.zeros_like(w)) for w in self.weights]

    @torch.no_grad()
    def step(self, rates: Float[Tensor, " g"], decays: Float[Tensor, " g"], clip: float | None = None) -> None:
        """One update; `clip` is the largest gradient norm of one model over all its weights."""
        self.count += 1
        used = [(w, m, v) for w, (m, v) in zip(self.weights, self.moments, strict=True) if w.grad is not None]
        if clip is not None:
            norms = sum((w.grad.flatten(1).square().sum(1) for w, _, _ in used), torch.zeros_like(rates)).sqrt()  # type: ignore[union-attr]
            scale = (clip / (norms + 1e-6)).clamp(max=1)
            for w, _, _ in used:
                w.grad.mul_(scale.view(-1, *[1] * (w.ndim - 1)))  # type: ignore[union-attr]
        speed, root = rates / (1 - BETAS[0] ** self.count), (1 - BETAS[1] ** self.count) ** 0.5
        for w, m, v in used:
            for i, (rate, keep) in enumerate(zip(speed.tolist(), (1 - rates * decays).tolist(), strict=True)):
                whole = (t[i].view(-1).split(CHUNK) for t in (w, w.grad, m, v))  # type: ignore[index]
                for weight, gradient, first, second in zip(*whole, strict=True):
                    first.lerp_(gradient, 1 - BETAS[0])
                    second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
                    weight.mul_(keep).addcdiv_(first, second.sqrt().div_(root).add_(EPS), value=-rate)
            w.grad = None
