"""A sketch of an embedding: the patch that a linear map reads out of it, beside what it reads out of the true one.

Not what the model sees: a ridge regression from target features to pixels, fitted on the bank. What it
cannot read from the true embedding it cannot read from a guess, so the two stand side by side with R2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from openjepa.explore.question import Box, Mode, question

if TYPE_CHECKING:
    from openjepa.explore.explorer import Explorer

HELD_OUT = 4  # every fourth sample judges the map
LEAST = 8  # samples
DECAY = 1e-2  # of the mean curvature


@dataclass(frozen=True)
class Ridge:
    """pixels = (features - mean) @ weight + bias, and how much of held-out pixels it explains."""

    mean: Float[Tensor, " d"]
    weight: Float[Tensor, "d e"]
    bias: Float[Tensor, " e"]
    r2: float

    @classmethod
    def fit(cls, goals: Float[Tensor, "b n d"], patches: Float[Tensor, "b n e"]) -> "Ridge":
        """ValueError for too few samples."""
        if len(goals) < LEAST:
            raise ValueError(f"{len(goals)} samples to learn a sketch from; at least {LEAST} are wanted")
        judge = torch.arange(len(goals)) % HELD_OUT == 0
        held_x, held_y = goals[judge].flatten(0, 1), patches[judge].flatten(0, 1)
        found = cls.solve(goals[~judge].flatten(0, 1), patches[~judge].flatten(0, 1), 0.0)
        miss = (found(held_x) - held_y).square().mean() / (held_y - held_y.mean(0)).square().mean().clamp(min=1e-12)
        return cls.solve(goals.flatten(0, 1), patches.flatten(0, 1), 1 - miss.item())

    @classmethod
    def solve(cls, x: Float[Tensor, "m d"], y: Float[Tensor, "m e"], r2: float) -> "Ridge":
        mean, bias = x.mean(0), y.mean(0)
        less = x - mean
        curvature = less.T @ less
        curvature += DECAY * curvature.diagonal().mean().clamp(min=1e-6) * torch.eye(len(curvature))
        return cls(mean, torch.linalg.solve(curvature, less.T @ (y - bias)), bias, r2)

    def __call__(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b e"]:
        return (x - self.mean) @ self.weight + self.bias


@dataclass(frozen=True)
class Sketch:
    """Frames uint8 [t h w 3]: the input with the hidden patches read out of the true embedding, the guess, and the mean of the data."""

    true: UInt8[Tensor, "t h w 3"]
    guess: UInt8[Tensor, "t h w 3"]
    mean: UInt8[Tensor, "t h w 3"]
    r2_true: float  # on held-out samples: the most that this sketch can show
    r2_guess: float  # on the hidden patches of this input, of the pixels' variance there
    bank: int


@torch.no_grad()
def sketch(explorer: "Explorer", name: str, targets: Sequence[Box], context: Box | None = None, mode: Mode = "strict") -> Sketch:
    """Read true, guessed and mean embeddings of the hidden patches out as pixels."""
    modality = explorer.modality
    asked = question(modality, targets, context, mode, explorer.jepa_model.config.union)
    explorer.bank.grow()
    ridge = explorer.bank.once("ridge", Ridge.fit)
    answer = explorer.ask(name, asked)
    places = torch.cat(asked.holes)
    holes = places + modality.registers
    truth = answer.looked.patches.values[0].cpu()
    answers = {
        "true": answer.goals[places],
        "guess": torch.cat(answer.guesses),
        "mean": explorer.bank.mean[holes],
    }
    frames, pixels = {}, {which: ridge(features) for which, features in answers.items()}
    for which, patch in pixels.items():
        canvas = truth.clone()
        canvas[holes] = patch
        frames[which] = modality.draw(modality.unpatchify(canvas[None], modality.size)[0]).frames
    here = truth[holes]
    miss = (pixels["guess"] - here).square().mean() / (here - here.mean(0)).square().mean().clamp(min=1e-12)
    return Sketch(**frames, r2_true=ridge.r2, r2_guess=1 - miss.item(), bank=len(explorer.bank.names))
