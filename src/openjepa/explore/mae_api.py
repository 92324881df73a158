"""The questions of the panel that paints: one mask, and the error over shares of it."""

from dataclasses import dataclass

import torch

from openjepa.explore.explorer import Explorer
from openjepa.explore.jepa_api import boxes, script
from openjepa.explore.mae import Hiding
from openjepa.explore.question import Box
from openjepa.explore.routes import Answer, post
from openjepa.explore.shelf import Shelf

MOST = 256  # forward passes behind one curve


@dataclass(frozen=True, kw_only=True)
class MaeAsked:
    run: str
    input: str
    of: str | None = None  # the run whose input it is, where that is another one
    step: int | None = None
    ratio: float | None = None
    seed: int = 0
    sampler: Hiding = "random"
    hidden: tuple[int, ...] | None = None
    targets: tuple[Box, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class CurveAsked:
    run: str
    input: str
    ratios: tuple[float, ...]
    seeds: int
    step: int | None = None
    sampler: Hiding = "random"


@dataclass(frozen=True)
class Skills:
    """1 - error / reference's error: 0 is no better."""

    mean_colour: float | None  # against the mean of the visible patches
    inpaint: float | None  # against colours that flow in from them


@dataclass(frozen=True)
class Painted:
    """Beside the maps hidden, error, constant_error and the frames seen, composite, output, as_trained; see mae.Painted."""

    mse: float
    skill: Skills
    constant_mse: float
    inpaint_mse: float
    norm_pix: bool
    leaks: bool
    ratio: float
    python: str


@dataclass(frozen=True)
class Curve:
    ratios: tuple[float, ...]
    mean: list[float]
    low: list[float]
    high: list[float]


@post("mae/predict", MaeAsked)
def predict(shelf: Shelf, asked: MaeAsked) -> Answer:
    explorer = shelf.explorer(asked.run, asked.step)
    name = asked.input if asked.of is None else explorer.inputs.borrow(shelf.inputs_of(shelf.run(asked.of)), asked.input)
    how = {"ratio": asked.ratio, "seed": asked.seed, "sampler": asked.sampler, "hidden": asked.hidden, "targets": asked.targets}
    found = explorer.mae(name, **how)  # type: ignore[arg-type]
    mse, constant = found.mse, found.constant_mse
    meta = Painted(
        mse=mse,
        skill=Skills(1 - mse / constant if constant else None, 1 - mse / found.inpaint_mse if found.inpaint_mse else None),
        constant_mse=constant,
        inpaint_mse=found.inpaint_mse,
        norm_pix=explorer.mae_model.config.norm_pix,
        leaks=found.leaks,
        ratio=found.hidden.float().mean().item(),
        python=python(explorer, asked, None if name == asked.input else str(shelf.run(asked.of or "").folder)),
    )
    maps = ("hidden", "seen", "composite", "output", "as_trained", "error", "constant_error")
    tensors: dict[str, torch.Tensor] = {name: getattr(found, name) for name in maps}
    return Answer(meta, tensors)


@post("mae/curve", CurveAsked)
def curve(shelf: Shelf, asked: CurveAsked) -> Answer:
    """Error over the share that is hidden: mean, least and most over seeds, on this input."""
    explorer = shelf.explorer(asked.run, asked.step)
    if not asked.ratios or asked.seeds < 1 or len(asked.ratios) * asked.seeds > MOST:
        raise ValueError(f"{len(asked.ratios)} ratios and {asked.seeds} seeds; give at least one of each, and at most {MOST} in all")
    found = [
        [explorer.mae(asked.input, ratio=ratio, seed=seed, sampler=asked.sampler).mse for seed in range(asked.seeds)]
        for ratio in asked.ratios
    ]
    many = torch.tensor(found, dtype=torch.float64)
    return Answer(Curve(asked.ratios, many.mean(1).tolist(), many.amin(1).tolist(), many.amax(1).tolist()))


def python(explorer: Explorer, asked: MaeAsked, lender: str | None) -> str:
    if asked.hidden is not None:
        how = f"hidden={list(asked.hidden)}"
    elif asked.targets:
        how = f"targets={boxes(asked.targets)}"
    else:
        how = f"ratio={asked.ratio}, seed={asked.seed}, sampler={asked.sampler!r}"
    name = repr(asked.input) if lender is None else f"explorer.inputs.borrow({lender!r}, {asked.input!r})"
    return script(explorer, f"explorer.mae({name}, {how})")
