"""What a run hides while it trains, drawn by its own sampler."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from jaxtyping import Bool, Int, Shaped, UInt8
from torch import Tensor

from openjepa.explore.inputs import Inputs
from openjepa.explore.routes import Answer, post
from openjepa.explore.shelf import Shelf
from openjepa.objectives.jepa import JEPAConfig
from openjepa.run import Run
from openjepa.tokens import Masks

MOST = 24  # masks in one answer
Over = Literal["batch", "steps"]


@dataclass(frozen=True, kw_only=True)
class MasksAsked:
    """`over` batch: samples 0 to n - 1 at `step`, which share what is drawn once a step; steps: one sample at n steps from there on."""

    run: str
    input: str | None = None
    n: int = 8
    seed: int | None = None  # None: the run's own
    step: int = 0
    over: Over = "batch"


@post("masks/sample", MasksAsked)
def sample(shelf: Shelf, asked: MasksAsked) -> Answer:
    """For each kind of masks that the run learns from: what is seen (context0, ...) and what is asked (targets0, ...)."""
    listed = shelf.run(asked.run)
    here = shelf.inputs_of(listed)
    run = here.run
    if not 1 <= asked.n <= MOST:
        raise ValueError(f"{asked.n} masks; ask for 1 to {MOST}")
    if not 0 <= asked.step <= run.steps:
        raise ValueError(f"step {asked.step} of a run of {run.steps} steps; give 0 to {run.steps}")
    seed = run.seed if asked.seed is None else asked.seed
    view = blank(run) if asked.input is None else here.view(asked.input)
    steps = [asked.step] if asked.over == "batch" else [min(asked.step + i, run.steps) for i in range(asked.n)]
    row, count = row_of(here, asked.input), asked.n if asked.over == "batch" else 1
    # The official samplers cut a batch to its shortest context, so that all of it must be drawn
    drawn_at_once = max(count, run.batch_size) if any(getattr(one, "parity", None) for one in samplers(run)) else count
    drawn = [tuple(m.map(lambda x: x[:count]) for m in draw(run, view, seed, step, row, drawn_at_once)) for step in steps]
    kinds = [[masks[at] for masks in drawn] for at in range(len(drawn[0]))]
    tensors, told = dict[str, Tensor](), []
    for at, kind in enumerate(kinds):
        context, targets = maps(kind, run)
        tensors |= {f"context{at}": context, f"targets{at}": targets}
        told.append(shares(context, targets) | {"name": name(run, at)})
    meta = {
        "kinds": told,
        "steps": run.steps,
        "step": asked.step,
        "seed": seed,
        "row": row,
        "union": isinstance(run.objective, JEPAConfig) and run.objective.union,
        "grid": run.modality.grid,
        "python": python(str(listed.folder), view, asked.input, seed, steps, row, drawn_at_once),
    }
    return Answer(meta, tensors)


def draw(run: Run, view: Shaped[Tensor, "c *size"], seed: int, step: int, row: int, count: int) -> tuple[Masks, ...]:
    """As the loader does it for `count` samples of a batch from `row` on, all of them looking like `view`."""
    views = view.expand(count, *view.shape)
    return run.objective.collate(views, run.modality, seed, step, range(row, row + count), step / run.steps).masks


def samplers(run: Run) -> tuple[Any, ...]:
    return run.objective.samplers if isinstance(run.objective, JEPAConfig) else (run.objective.masks,)


def name(run: Run, at: int) -> str:
    """The sampler with its settings."""
    return str(samplers(run)[at])


def row_of(here: Inputs, name: str | None) -> int:
    """The number that training knows a sample by; 0 for one that it never saw."""
    source, key, _ = ("upload", "", 0.5) if name is None else here.parse(name)
    return int(key) if source == "data" else 0


def blank(run: Run) -> Shaped[Tensor, "c *size"]:
    """A view without content: masks depend on its shape, and on padding, of which it has none."""
    return run.modality.center([run.modality.example(0, 0)])[0].nan_to_num()


def maps(kind: Sequence[Masks], run: Run) -> tuple[UInt8[Tensor, "n *grid"], UInt8[Tensor, "n blocks *grid"]]:
    """Masks on the grid: 1 where seen, 1 where asked."""
    grid, registers = run.modality.grid, run.modality.registers
    total = registers + prod(grid)
    seen = [marked(masks.context, masks.context_valid, total) for masks in kind]
    asked = [marked(masks.targets, masks.target_valid, total) for masks in kind]
    blocks = max(part.shape[1] for part in asked)
    asked = [torch.cat([part, part.new_zeros(len(part), blocks - part.shape[1], total)], 1) for part in asked]
    context, targets = torch.cat(seen)[:, registers:], torch.cat(asked)[:, :, registers:]
    return context.unflatten(1, grid), targets.unflatten(2, grid)


def marked(index: Int[Tensor, "*b k"], valid: Bool[Tensor, "*b k"] | None, total: int) -> UInt8[Tensor, "*b n"]:
    """1 at the tokens `index`; padding marks nothing."""
    there = torch.ones_like(index, dtype=torch.uint8) if valid is None else valid.to(torch.uint8)
    return torch.zeros(*index.shape[:-1], total, dtype=torch.uint8).scatter_reduce(-1, index, there, "amax")


def shares(context: UInt8[Tensor, "n *grid"], targets: UInt8[Tensor, "n blocks *grid"]) -> dict[str, Any]:
    """Shares of all tokens, mean and standard deviation over the masks."""
    seen, blocks = context.flatten(1).double(), targets.flatten(2).double()
    asked = blocks.amax(1)
    drawn = blocks.sum(2)[blocks.sum(2) > 0]
    return {
        "blocks": targets.shape[1],
        "context": spread(seen.mean(1)),
        "asked": spread(asked.mean(1)),
        "block": spread(drawn / seen.shape[1]),
        "twice": spread(1 - asked.sum(1) / blocks.sum((1, 2)).clamp(min=1)),  # of what is asked, how much by two blocks or more
        "both": spread((seen * asked).mean(1)),
        "neither": spread(((1 - seen) * (1 - asked)).mean(1)),
    }


def spread(x: Shaped[Tensor, " n"]) -> dict[str, float]:
    return {"mean": x.mean().item(), "std": x.std(correction=0).item()}


def python(folder: str, view: Tensor, name: str | None, seed: int, steps: Sequence[int], row: int, count: int) -> str:
    """The library call that draws the same masks."""
    shape = ", ".join(map(str, view.shape))
    padded = name is not None and view.is_floating_point() and bool(view.isnan().any())
    more = "from openjepa.explore.inputs import Inputs\n" if padded else ""
    looks = (
        f"Inputs(opened).view({name!r}).expand({count}, {shape})" if padded else f"torch.zeros({count}, {shape})  # its shape alone matters"
    )
    rows = f"range({row}, {row + count})"
    return (
        f"import torch\n\nfrom openjepa.checkpoint import load_run\n{more}\n"
        f"opened = load_run({folder!r})\nrun = opened.run\nview = {looks}\n"
        f"masks = [\n    run.objective.collate(view, run.modality, {seed}, step, {rows}, step / run.steps).masks\n"
        f"    for step in {list(steps)}\n]\n"
    )
