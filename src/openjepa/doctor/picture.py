"""Masks on the data's own images: what the encoder sees, and what it is asked for."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image as Picture
from torch import Tensor

from openjepa.data.dataset import Dataset
from openjepa.data.loader import Steps, rows_of_step
from openjepa.modalities.image import Image
from openjepa.run import Run
from openjepa.tokens import Masks

COLOURS = np.array([(230, 80, 60), (60, 140, 230), (240, 180, 40), (90, 190, 90), (170, 100, 210), (80, 200, 200)])
GAP = 4  # pixels between tiles


def first_batch(run: Run, dataset: Dataset, samples: int) -> tuple[UInt8[Tensor, "b 3 h w"], Masks]:
    """The first samples of step 0, cropped and masked as training does."""
    rows = rows_of_step(run.seed, 0, min(run.batch_size, len(dataset)), len(dataset))[:samples]
    images, rows, _ = Steps(dataset, run.batch, run.seed, len(rows), 1).read(0, rows)
    batch = run.batch(images, 0, rows)
    return batch.views[0], batch.masks[0]


def tiles(run: Run, views: UInt8[Tensor, "b 3 h w"], masks: Masks) -> NDArray[np.uint8]:
    """One line per sample: the view, the context alone, the targets tinted by block; uint8 [h w 3]."""
    lines = []
    for view, context, targets in zip(views, masks.context, masks.targets, strict=True):
        pixels = view.permute(1, 2, 0).numpy()
        seen = shade(pixels, run, [context.tolist()])
        asked = tint(pixels, run, targets.tolist())
        gap = np.full((pixels.shape[0], GAP, 3), 255, np.uint8)
        lines.append(np.concatenate([pixels, gap, seen, gap, asked], 1))
    between = np.full((GAP, lines[0].shape[1], 3), 255, np.uint8)
    parts = [part for line in lines for part in (between, line)][1:]
    return np.concatenate(parts)


def cells(run: Run, places: Sequence[int]) -> list[tuple[slice, slice]]:
    """The pixels of each place."""
    modality = run.modality
    if not isinstance(modality, Image):
        raise ValueError(f"--picture draws masks on images, and these are {modality.kind}; leave it out")
    (_, columns), (ph, pw) = modality.grid, modality.patch
    return [(slice(p // columns * ph, (p // columns + 1) * ph), slice(p % columns * pw, (p % columns + 1) * pw)) for p in places]


def shade(pixels: NDArray[np.uint8], run: Run, groups: Sequence[Sequence[int]]) -> NDArray[np.uint8]:
    """Only these places; the rest is grey."""
    out = np.full_like(pixels, 128)
    for cell in cells(run, [place for group in groups for place in group]):
        out[cell] = pixels[cell]
    return out


def tint(pixels: NDArray[np.uint8], run: Run, blocks: Sequence[Sequence[int]]) -> NDArray[np.uint8]:
    """The image, darker, with each block in its colour. Where blocks meet, the later one shows."""
    out = (pixels * 0.35).astype(np.uint8)
    for number, block in enumerate(blocks):
        for cell in cells(run, block):
            out[cell] = (0.55 * pixels[cell] + 0.45 * COLOURS[number % len(COLOURS)]).astype(np.uint8)
    return out


def save(path: Path, pixels: NDArray[np.uint8]) -> None:
    """A PNG, enlarged to whole multiples until it is at least 600 pixels wide."""
    factor = max(1, -(-600 // pixels.shape[1]))
    Picture.fromarray(pixels.repeat(factor, 0).repeat(factor, 1)).save(path, "PNG")


def blocks(pixels: NDArray[np.uint8], width: int) -> str:
    """The picture for a terminal of `width` columns in 24-bit colour: a half block per two pixels."""
    height = max(2, round(pixels.shape[0] * min(width, pixels.shape[1]) / pixels.shape[1] / 2) * 2)
    small = np.asarray(Picture.fromarray(pixels).resize((min(width, pixels.shape[1]), height), Picture.Resampling.BOX))
    lines = []
    for upper, lower in zip(small[::2], small[1::2], strict=True):
        parts = [f"\x1b[38;2;{u[0]};{u[1]};{u[2]}m\x1b[48;2;{v[0]};{v[1]};{v[2]}m▀" for u, v in zip(upper, lower, strict=True)]
        lines.append("".join(parts) + "\x1b[0m")
    return "\n".join(lines)
