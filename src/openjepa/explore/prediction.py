"""What the predictor says of hidden places, what was right, and what simpler answers would have scored.

The energy is the run's own training distance, never a cosine: against the mean of the data a cosine looks
good on a model that knows nothing. The references take no peek: they come from the visible tokens alone.
"""

import time
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from openjepa.explore.bank import norm
from openjepa.explore.question import Question, tokens_of, windows
from openjepa.objectives.jepa import JEPA, distance, distances

if TYPE_CHECKING:
    from openjepa.explore.explorer import Explorer, Looked

COMPARED = 2**26  # numbers in one comparison at a time: 256 MiB


@dataclass(frozen=True)
class Score:
    """Of one hole, or of all. Skill is 1 - energy / reference's energy: 0 is no better, below 0 worse."""

    energy: float  # in units of the training loss
    mean: float | None  # skill against the mean of the data at each place; None while the bank is empty
    gist: float | None  # against the mean of the visible tokens' own features; None when not asked for
    copy: float | None  # against the features of the nearest visible token
    rank_image: tuple[int, int] | None  # of the true content among all windows of this input, 1 is best, of how many
    rank_bank: tuple[int, int] | None  # among the same place of other samples


@dataclass(frozen=True)
class Predicted:
    """Maps are shaped as the grid, NaN where nothing was asked."""

    scores: tuple[Score, ...]  # one per hole
    total: Score
    loss: float  # the run's training loss of this very question
    context: UInt8[Tensor, "*grid"]  # 1 where the encoder saw
    energy: Float[Tensor, "*grid"]
    skill: Float[Tensor, "*grid"]  # against the mean of the place
    pca_true: Float[Tensor, "*grid 3"]  # the target's three main axes in this input, in their standard deviations
    pca_guess: Float[Tensor, "*grid 3"]  # the guess in the same axes
    resid: Float[Tensor, "*grid"]  # share of the guess's length outside these axes
    explained: float  # share of the target's variance that the three axes hold
    land: Float[Tensor, "*windows"]  # energy of the first hole's guess against each window of its size
    land_true: tuple[int, ...]  # the window that is the hole itself
    land_min: tuple[int, ...]
    bank: int  # samples behind `mean` and rank_bank
    seconds: dict[str, float]


@torch.no_grad()
def predict(explorer: "Explorer", name: str, asked: Question, quick: bool) -> Predicted:
    """Ask the predictor and judge it. `quick` leaves gist and copy out."""
    jepa, grid = explorer.jepa_model, explorer.grid
    began = time.perf_counter()
    answer = explorer.ask(name, asked)
    said, goals, guesses = answer.prediction, answer.goals, answer.guesses
    loss = distance(said.guesses, said.goals, said.valid, jepa.config.loss).item()
    middle = time.perf_counter()
    registers, n = explorer.modality.registers, prod(grid)
    references = referenced(explorer, answer.looked, asked, quick)
    energy, skill, resid = (torch.full((n,), torch.nan) for _ in range(3))
    pca_guess = torch.full((n, 3), torch.nan)
    axes = answer.looked.axes
    scores, sums = list[Score](), list[dict[str, Tensor]]()
    land, land_true, land_min = torch.empty(0), (0,) * len(grid), (0,) * len(grid)
    for number, (hole, guess) in enumerate(zip(asked.holes, guesses, strict=True)):
        found = {"own": distances(guess, goals[hole], jepa.config.loss)}
        found |= {which: distances(values[hole], goals[hole], jepa.config.loss) for which, values in references.items()}
        energy[hole] = found["own"]
        if "mean" in found:
            skill[hole] = 1 - found["own"] / found["mean"]
        pca_guess[hole], resid[hole] = axes.of_guess(guess)
        places, values = landscape(guess, goals, asked, number, grid, jepa)
        mine = int((places == torch.tensor(asked.boxes[number].at)).all(1).nonzero()[0, 0])
        if number == 0:
            land = values.reshape([len(places[:, axis].unique()) for axis in range(len(grid))])
            land_true, land_min = tuple(places[mine].tolist()), tuple(places[int(values.argmin())].tolist())
        scores.append(score(found, rank(values, mine), bank_rank(explorer, name, guess, hole, registers, jepa, found["own"])))
        sums.append(found)
    every = {which: torch.cat([found[which] for found in sums]) for which in sums[0]}
    context = torch.zeros(n, dtype=torch.uint8)
    context[asked.context] = 1
    return Predicted(
        scores=tuple(scores),
        total=score(every, scores[0].rank_image if len(scores) == 1 else None, scores[0].rank_bank if len(scores) == 1 else None),
        loss=loss,
        context=context.reshape(grid),
        energy=energy.reshape(grid),
        skill=skill.reshape(grid),
        pca_true=axes.seen(goals).reshape(*grid, 3),
        pca_guess=pca_guess.reshape(*grid, 3),
        resid=resid.reshape(grid),
        explained=axes.explained,
        land=land,
        land_true=land_true,
        land_min=land_min,
        bank=len(explorer.bank.names),
        seconds={"predict": middle - began, "post": time.perf_counter() - middle},
    )


def score(found: dict[str, Tensor], rank_image: tuple[int, int] | None, rank_bank: tuple[int, int] | None) -> Score:
    own = found["own"].mean().item()
    least = {which: found[which].mean().item() for which in ("mean", "gist", "copy") if which in found}
    # a reference that is right to the bit, as a copy of what is not hidden, leaves nothing to be better at
    skills = {which: 1 - own / least[which] if least.get(which) else None for which in ("mean", "gist", "copy")}
    return Score(own, skills["mean"], skills["gist"], skills["copy"], rank_image, rank_bank)


def referenced(explorer: "Explorer", looked: "Looked", asked: Question, quick: bool) -> dict[str, Float[Tensor, "n d"]]:
    """What simpler answers would say of every place of the grid, in the units of the goals."""
    registers, found = explorer.modality.registers, dict[str, Tensor]()
    bank = explorer.bank.goals
    if bank is not None:
        found["mean"] = explorer.bank.mean[registers:]
    if quick:
        return found
    patches = looked.patches
    shown = asked.masks.context.to(explorer.device)
    # by the target encoder on the visible tokens only: it has not seen the hole through attention
    mixed = explorer.jepa_model.targets(patches.take(shown))
    visible = norm(mixed)[0, registers:].cpu()
    everywhere = patches.positions[0, registers:].cpu()
    near = torch.cdist(everywhere, everywhere[asked.context]).argmin(1)
    return found | {"gist": visible.mean(0).expand(len(everywhere), -1), "copy": visible[near]}


def landscape(
    guess: Float[Tensor, "k d"], goals: Float[Tensor, "n d"], asked: Question, number: int, grid: tuple[int, ...], jepa: JEPA
) -> tuple[Int64[Tensor, "w axes"], Float[Tensor, " w"]]:
    """The energy function itself: the guess against every window of this input. Of a video a window moves in space alone."""
    box = asked.boxes[number]
    places = windows(grid, box.size, [(0, box.at[0])] if len(grid) == 3 else [])
    tokens = tokens_of(places, box.size, grid)
    step = max(1, COMPARED // (tokens.shape[1] * goals.shape[1]))
    parts = [distances(guess.expand(len(part), -1, -1), goals[part], jepa.config.loss).mean(1) for part in tokens.split(step)]
    return places, torch.cat(parts)


def rank(values: Float[Tensor, " w"], mine: int) -> tuple[int, int] | None:
    """How many windows have a lower energy than the true one, plus one; None where there is no other."""
    return (1 + int((values < values[mine]).sum()), len(values)) if len(values) > 1 else None


def bank_rank(
    explorer: "Explorer",
    name: str,
    guess: Float[Tensor, "k d"],
    hole: Int64[Tensor, " k"],
    registers: int,
    jepa: JEPA,
    own: Float[Tensor, " k"],
) -> tuple[int, int] | None:
    """Rank of the true content among the same place of other samples."""
    bank, others = explorer.bank.goals, explorer.bank.others(name)
    if bank is None or not others:
        return None
    there = bank[:, hole + registers][list(others)]  # places first: a copy of the whole bank takes longer than the predictor
    step = max(1, COMPARED // guess.numel())
    energies = torch.cat([distances(guess.expand(len(part), -1, -1), part, jepa.config.loss).mean(1) for part in there.split(step)])
    return 1 + int((energies < own.mean()).sum()), len(others) + 1
