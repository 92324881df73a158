"""What content has this embedding? The windows of other samples whose target features lie nearest to a guess."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from openjepa.explore.question import Box, Mode, question, tokens_of, windows

if TYPE_CHECKING:
    from openjepa.explore.explorer import Explorer


@dataclass(frozen=True)
class Hit:
    """A window of another sample. `distance`: mean squared difference of layer-normed features; 0 is equal, two unrelated ones have 2."""

    input: str
    name: str
    at: tuple[int, ...]
    size: tuple[int, ...]
    distance: float


@torch.no_grad()
def neighbours(
    explorer: "Explorer", name: str, targets: Sequence[Box], target: int = 0, k: int = 6, context: Box | None = None, mode: Mode = "strict"
) -> list[Hit]:
    """The best window of each of the `k` nearest samples, nearest first; the input itself is left out."""
    grid, registers = explorer.grid, explorer.modality.registers
    if not 0 <= target < len(targets):
        raise ValueError(f"hole {target} of {len(targets)}; count from 0")
    asked = question(explorer.modality, targets, context, mode, explorer.jepa_model.config.union)
    if explorer.patient:
        explorer.bank.grow()
    bank, others = explorer.bank.goals, list(explorer.bank.others(name))
    if bank is None or not others:
        return []
    guess = explorer.ask(name, asked).guesses[target]
    box = asked.boxes[target]
    places = windows(grid, box.size, [(0, box.at[0])] if len(grid) == 3 else [])
    tokens = tokens_of(places, box.size, grid)
    features = bank[others][:, registers:]
    # |a - b|^2 by products: every guess against every token of the bank once, then sums along windows
    apart = guess.square().sum(1)[:, None, None] + features.square().sum(-1)[None] - 2 * torch.einsum("kd,bnd->kbn", guess, features)
    energies = sum(apart[i][:, tokens[:, i]] for i in range(len(guess))) / guess.numel()
    assert isinstance(energies, torch.Tensor)
    best, where = energies.min(1)
    nearest = best.argsort()[:k].tolist()
    return [
        Hit(
            input=(its := explorer.bank.names[others[i]]),
            name=explorer.inputs.title(its)[0],
            at=tuple(places[int(where[i])].tolist()),
            size=box.size,
            distance=max(0.0, best[i].item()),
        )
        for i in nearest
    ]
