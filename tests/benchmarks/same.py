"""Do a transcribed step and ours compute the same? Both train for a few steps on the same images and masks."""

from collections.abc import Callable

import torch
from torch import Tensor

from openjepa.engine import Engine
from openjepa.objectives.objective import Objective
from openjepa.run import Run
from openjepa.tokens import Batch


def losses(run: Run, objective: Objective, theirs: Callable[[Tensor, Batch], float]) -> list[tuple[float, float]]:
    """(their loss, our loss) of four steps in float32; `theirs` makes a step from standardised images and our batch."""
    engine = Engine(run, objective, torch.device("cpu"), "float32")
    found = []
    for step in range(4):
        view = torch.randint(
            0, 256, (run.batch_size, 3, *run.modality.size), dtype=torch.uint8, generator=torch.Generator().manual_seed(step)
        )
        batch = run.objective.collate(view, run.modality, 0, step, range(run.batch_size))
        found.append((theirs(run.modality.prepare(view), batch), float(engine.step(batch, step)[0].loss)))
    return found


def check(found: list[tuple[float, float]]) -> None:
    assert all(abs(theirs - ours) < 1e-4 for theirs, ours in found), found
    assert abs(found[0][0] - found[-1][0]) > 1e-3  # and they move
