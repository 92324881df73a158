"""Does the target drop noise and keep content? Disturb the hidden patches alone and see how far it moves.

Two disturbances of the same energy: noise, and what another sample has at the same place. An untrained
encoder is the control: only with it beside is a ratio evidence that something was learnt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from openjepa.explore.bank import norm
from openjepa.explore.question import Box, numbers
from openjepa.models.own import AnyEncoder
from openjepa.tokens import Tokens

if TYPE_CHECKING:
    from openjepa.explore.explorer import Explorer

Kind = Literal["noise", "shuffle"]
DRAWS = 4  # of the noise, and as many other samples


@dataclass(frozen=True)
class Moved:
    """How far things moved, as a share of their own variance over this input's places."""

    who: Literal["trained", "untrained"]
    pixels: float
    noise: float  # the target, under noise
    structured: float  # the target, under other content of the same energy
    selectivity: float | None  # structured / noise; None where noise moved nothing


@torch.no_grad()
def noise_test(
    explorer: "Explorer", name: str, targets: Sequence[Box], kind: Kind = "noise", amount: float = 0.4, seed: int = 0
) -> list[Moved]:
    """`amount`: standard deviation of the noise, of standardised numbers. ValueError without another sample, or for an amount of 0."""
    if not 0 < amount <= 4:
        raise ValueError(f"amount is {amount}; give more than 0 and at most 4 standard deviations")
    jepa, modality, grid = explorer.jepa_model, explorer.modality, explorer.grid
    hidden = modality.registers + torch.cat([numbers(box.inside(grid), grid) for box in targets]).unique()
    explorer.bank.grow(max(0, 2 * DRAWS - explorer.bank.tried))
    patches, bank = explorer.look(name).patches, explorer.bank.patches
    others = explorer.bank.others(name)
    if bank is None or not others:
        raise ValueError("no other sample to take content from; the run's data cannot be read")
    generator = torch.Generator().manual_seed(seed)
    truth = patches.values[0, hidden].cpu()
    noises = torch.stack([disturbed(truth, kind, amount, generator) - truth for _ in range(DRAWS)])
    content = torch.stack([bank[others[i % len(others)]][hidden] for i in range(DRAWS)]) - truth
    content = content * (noises.flatten(1).norm(dim=1) / content.flatten(1).norm(dim=1).clamp(min=1e-9))[:, None, None]
    whole = patches.values[0].cpu()
    pixels = noises.square().mean().item() / max(spread_of(whole), 1e-12)

    def targets_of(encoder: AnyEncoder | None, values: Tensor) -> Tensor:
        many = Tokens(values.to(explorer.device), patches.positions.expand(len(values), -1, -1))
        return norm(jepa.targets(many) if encoder is None else jepa.mixed(encoder, many)).cpu()

    found = []
    for who, encoder in (("trained", None), ("untrained", explorer.untrained)):
        before = targets_of(encoder, patches.values)[0]
        scale = max(spread_of(before), 1e-12)
        moves = [
            (targets_of(encoder, with_delta(patches.values, hidden, deltas))[:, hidden] - before[hidden]).square().mean().item() / scale
            for deltas in (noises, content)
        ]
        found.append(Moved(who, pixels, moves[0], moves[1], moves[1] / moves[0] if moves[0] > 0 else None))  # type: ignore[arg-type]
    return found


def disturbed(truth: Float[Tensor, "k e"], kind: str, amount: float, generator: torch.Generator) -> Float[Tensor, "k e"]:
    if kind == "noise":
        return truth + amount * torch.randn(truth.shape, generator=generator)
    if kind == "shuffle":  # the numbers of each patch, in another order
        order = torch.rand(truth.shape, generator=generator).argsort(1)
        return truth + min(1.0, amount) * (truth.gather(1, order) - truth)
    raise ValueError(f"no disturbance {kind!r}; there are noise, shuffle")


def with_delta(values: Float[Tensor, "1 n e"], hidden: Int64[Tensor, " k"], deltas: Float[Tensor, "m k e"]) -> Float[Tensor, "m n e"]:
    many = values.repeat(len(deltas), 1, 1)
    many[:, hidden] += deltas.to(values.device)
    return many


def spread_of(x: Float[Tensor, "n e"]) -> float:
    """Mean variance over the places of one input."""
    return (x - x.mean(0)).square().mean().item()
