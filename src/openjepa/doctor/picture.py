"""Masks on the data's own samples: what the encoder sees, and what it is asked for."""

from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from numpy.typing import NDArray
from PIL import Image as Picture
from torch import Tensor

from openjepa.data.dataset import Dataset
from openjepa.data.loader import Steps, rows_of_step
from openjepa.modalities.drawn import beside
from openjepa.run import Run
from openjepa.tokens import Masks


def first_batch(run: Run, dataset: Dataset, samples: int) -> tuple[Shaped[Tensor, "b c *size"], tuple[Masks, ...]]:
    """The first samples of step 0, cropped and masked as training does."""
    rows = rows_of_step(run.seed, 0, min(run.batch_size, len(dataset)), len(dataset))[:samples]
    images, rows, _ = Steps(dataset, run.batch, run.seed, len(rows), 1).read(0, rows)
    batch = run.batch(images, 0, rows)
    return batch.views[0], batch.masks


def tiles(run: Run, views: Shaped[Tensor, "b c *size"], masks: tuple[Masks, ...]) -> NDArray[np.uint8]:
    """Per sample the view and, for each kind of masks, the context alone and what is asked; a film as a strip. uint8 [h w 3]."""
    cards = []
    for n, view in enumerate(views):
        whole = run.modality.draw(view)
        parts = [whole]
        for drawn in masks:
            parts += [whole.only(drawn.context[n]), whole.asked(drawn.targets[n], border=1)]
        cards.append(beside([part.strip() for part in parts], down=whole.moves or whole.wide))
    return np.asarray(beside(cards, down=True).frames[0].numpy())


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
