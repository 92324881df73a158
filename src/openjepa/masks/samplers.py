"""All mask samplers: config values called with (grid, seed, step, rows).

A sampler whose `__call__` has a parameter `progress` is told how far training is (A-JEPA's curriculum);
one with a method `among` can mask ragged samples.
"""

from collections.abc import Callable
from inspect import signature
from typing import TypeAlias

from jaxtyping import Bool
from torch import Tensor

from openjepa.draws import Rows
from openjepa.masks.blocks import Blocks
from openjepa.masks.future import Future
from openjepa.masks.multiblock import MultiBlock
from openjepa.masks.random import Random
from openjepa.masks.time_frequency import Curriculum, InverseBlock, RandomRange
from openjepa.masks.tubes import Tied, Tube
from openjepa.tokens import Masks

Sampler: TypeAlias = Blocks | Random | MultiBlock | Tube | Tied | Future | RandomRange | InverseBlock | Curriculum


def draw(
    sampler: Callable[..., Masks],
    grid: tuple[int, ...],
    seed: int,
    step: int,
    rows: Rows,
    progress: float = 0.0,
    valid: Bool[Tensor, "b n"] | None = None,
) -> Masks:
    """Masks of these samples; `progress` from 0 to 1, `valid` False at the padding of ragged samples.

    ValueError for ragged samples and a sampler that needs them all of one length.
    """
    if valid is not None and not bool(valid.all()):
        among = getattr(sampler, "among", None)
        if among is None:
            raise ValueError(f"{type(sampler).__name__} masks need samples of one length; for ragged ones use Random")
        return among(grid, valid, seed, step, rows)  # type: ignore[no-any-return]
    if "progress" in signature(sampler).parameters:
        return sampler(grid, seed, step, rows, progress=progress)
    return sampler(grid, seed, step, rows)
