"""How wrong is the guess of what comes next? The energy of every time step of a clip, given all the steps before it.

Training compares with features of the whole clip, so the energy of a step depends on what comes after it: a
change later on would be seen early. `sees="past"` takes the target features of a step from the clip up to that step
alone; then nothing before a change can differ. `sees="whole"` is training's own comparison, equal to `Explorer.jepa`
with everything before the step as context.
"""

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from openjepa.explore.bank import norm
from openjepa.explore.edits import Edit
from openjepa.explore.question import Box, Question, question
from openjepa.masks.future import Future
from openjepa.objectives.jepa import distances
from openjepa.tokens import Tokens

if TYPE_CHECKING:
    from openjepa.explore.explorer import Explorer

Sees = Literal["past", "whole"]


@dataclass(frozen=True)
class Surprise:
    """Of the edited clip first, then of the clip as it is; NaN at time step 0, which nothing comes before."""

    curve: Float[Tensor, " t"]  # mean energy of a step's tokens, in units of the training loss
    untouched: Float[Tensor, " t"]
    energy: Float[Tensor, "t h w"]  # of each token
    energy_untouched: Float[Tensor, "t h w"]
    still: Float[Tensor, " t"]  # energy of saying that the step before it, as the target encoder saw it then, goes on
    still_untouched: Float[Tensor, " t"]
    clip: Shaped[Tensor, "3 frames height width"]  # the edited one
    first: int  # the first time step that holds a changed frame
    asked: tuple[int, ...]  # steps that training asks for with just this past; none where it never asks for the future
    note: str


@torch.no_grad()
def surprise(explorer: "Explorer", name: str, edit: Edit | None = None, sees: Sees = "past") -> Surprise:
    """The clip and the clip with an `edit`, side by side. ValueError for what is no video, or has one time step."""
    grid, jepa, edit = explorer.grid, explorer.jepa_model, edit or Edit()
    if len(grid) != 3 or grid[0] < 2:
        raise ValueError(f"a grid of {list(grid)}: two time steps or more are wanted; choose a run on videos with a smaller patch in time")
    view = explorer.inputs.view(name)
    edited = edit(view)
    views = torch.stack([edited, view]).to(explorer.device)
    whole = explorer.modality.patchify(views).blank()
    goals = jepa.targets(whole) if sees == "whole" else None
    token, asked, note = training(explorer)
    energy, still = torch.full((2, *grid), torch.nan), torch.full((2, grid[0]), torch.nan)
    each = prod(grid[1:])
    before: Tensor | None = None  # layer-normed features of the clip up to the step before
    for step in range(grid[0]):
        far = (step + 1) * each
        past = first(whole, far) if sees == "past" else whole
        known = goals if goals is not None else jepa.targets(past)
        normed = norm(known)
        if step:
            masks = following(explorer, step).masks.map(lambda x: x.expand(2, *x.shape[1:]).to(explorer.device))
            said = jepa.answer(past, masks, token, known, normed)
            energy[:, step] = distances(said.guesses[:, 0], said.goals[:, 0], jepa.config.loss).unflatten(1, grid[1:]).cpu()
            assert before is not None
            still[:, step] = distances(before[:, -each:], normed[:, far - each : far], jepa.config.loss).mean(1).cpu()
        before = normed if sees == "past" else norm(jepa.targets(first(whole, far)))
    curves = energy.flatten(2).mean(2)
    frame = explorer.modality.size[0] // grid[0]
    changed = (edited != view).flatten(2).any(2).any(0).nonzero()
    begin = int(changed[0, 0]) // frame if len(changed) else grid[0]
    return Surprise(curves[0], curves[1], energy[0], energy[1], still[0], still[1], edited, begin, asked, note)


def first(tokens: Tokens, count: int) -> Tokens:
    """The first `count` in raster order: time comes first."""
    return Tokens(tokens.values[:, :count], tokens.positions[:, :count])


def following(explorer: "Explorer", step: int) -> Question:
    """Time step `step`, given all before it."""
    rest = explorer.grid[1:]
    return question(explorer.modality, [Box((step, 0, 0), (1, *rest))], Box((0, 0, 0), (step, *rest)))


def training(explorer: "Explorer") -> tuple[int, tuple[int, ...], str]:
    """The mask token to ask with, the steps that training asks for with just their past, and what to say of it."""
    samplers, steps = explorer.jepa_model.config.samplers, explorer.grid[0]
    for token, sampler in enumerate(samplers):
        if isinstance(sampler, Future) and sampler.axis in (0, -3):
            seen = min(max(1, round(sampler.past * steps)), steps - 1)
            ahead = steps - seen if sampler.steps is None else sampler.steps
            also = "" if ahead == 1 else f", together with the {ahead - 1} after it"
            return token, (seen,), f"in training step {seen} was asked for with just this past{also}; other steps are further from training"
    names = " and ".join(sorted({type(sampler).__name__ for sampler in samplers}))
    return 0, (), f"this run's masks ({names}) never asked for the future: the curve is out of its training's distribution"
