"""A thousand masks of a run: how many tokens they keep and ask for, and how often each place."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from openjepa.run import Run
from openjepa.tokens import Masks

SHADES = " ░▒▓█"
PER_STEP = 10  # samples drawn per step: block sizes change with the step


@dataclass(frozen=True)
class MaskReport:
    """Counts are tokens per sample, (least, most). Coverage is the share of samples that use a place, [*grid]."""

    samples: int
    grid: tuple[int, ...]
    context: tuple[int, int]
    targets: tuple[int, int]  # per block
    blocks: int
    asked: tuple[float, float]  # share of places in any target
    context_coverage: NDArray[np.float64]
    target_coverage: NDArray[np.float64]
    overlap: int  # places that one sample had in its context and in a target

    def to_dict(self) -> dict[str, object]:
        return {
            "samples": self.samples,
            "grid": list(self.grid),
            "context_tokens": list(self.context),
            "target_blocks": self.blocks,
            "target_tokens": list(self.targets),
            "asked_share": list(self.asked),
            "context_coverage": self.context_coverage.round(4).tolist(),
            "target_coverage": self.target_coverage.round(4).tolist(),
            "overlap": self.overlap,
        }


def simulate(run: Run, samples: int = 1000) -> MaskReport:
    """Draw masks as training does. ValueError where the masks do not fit the grid."""
    total = int(np.prod(run.modality.grid))
    kept, asked, context, targets, share = np.zeros(total), np.zeros(total), [], [], []
    overlap = blocks = 0
    for step in range(-(-samples // PER_STEP)):
        rows = np.arange(step * PER_STEP, min(samples, (step + 1) * PER_STEP))
        masks = draw(run, step, rows)
        inside, wanted = used(masks.context, total), used(masks.targets.flatten(1), total)
        kept += inside.sum(0)
        asked += wanted.sum(0)
        overlap += int((inside & wanted).sum())
        context.append(masks.context.shape[1])
        targets.append(masks.targets.shape[2])
        share += wanted.mean(1).tolist()
        blocks = masks.targets.shape[1]
    return MaskReport(
        samples,
        run.modality.grid,
        (min(context), max(context)),
        (min(targets), max(targets)),
        blocks,
        (min(share), max(share)),
        (kept / samples).reshape(run.modality.grid),
        (asked / samples).reshape(run.modality.grid),
        overlap,
    )


def draw(run: Run, step: int, rows: Sequence[int] | NDArray[np.int64]) -> Masks:
    """The masks of these samples, without their pixels; where there are several configurations, of the first. Registers are no places."""
    view = torch.zeros(1).expand(len(rows), run.modality.channels, *run.modality.size)
    masks, registers = run.objective.collate(view, run.modality, run.seed, step, rows).masks[0], run.modality.registers
    return Masks(masks.context[:, registers:] - registers, masks.targets - registers)


def used(index: Int[Tensor, "b k"], total: int) -> NDArray[np.bool_]:
    """Which of `total` places each sample uses, [b total]."""
    found: NDArray[np.bool_] = torch.zeros(len(index), total, dtype=torch.bool).scatter_(1, index, True).numpy()
    return found


def heat_map(coverage: NDArray[np.float64]) -> list[str]:
    """One line per row of places, two characters each, from the least (blank) to the most covered (full)."""
    flat = coverage.reshape(-1, coverage.shape[-1])
    low, high = flat.min(), flat.max()
    level = np.zeros(flat.shape, int) if high == low else ((flat - low) / (high - low) * (len(SHADES) - 1)).round().astype(int)
    if high == low and high > 0:
        level[:] = len(SHADES) - 1
    return ["".join(2 * SHADES[i] for i in line) for line in level]
