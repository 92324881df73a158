"""The tabletop: one coloured shape and some ivory pebbles on a textured table, with exact labels and no download.

Four questions with one right answer each, all about the same picture: `shape`, `colour` and `place` of
the main object (the large one, the only one in colour) and the `count` of all objects. The five shapes
have the same area, and place, size, colour, turn, table and light are drawn without looking at the
shape, so nothing but its form gives it away. Everything is a pure function of (seed, row).
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from openjepa.data.labels import LabelSet
from openjepa.data.worlds.drawing import render
from openjepa.data.worlds.sampling import MOST_OBJECTS, sample
from openjepa.data.worlds.scene import COLOURS, IVORY, SHAPES, Scene
from openjepa.draws import Rows

VERSION = 1  # of the pictures: rises when the same (seed, row) gives other bits
PLACES = tuple(f"{row} {column}" for row in ("top", "middle", "bottom") for column in ("left", "centre", "right"))


@dataclass(frozen=True, kw_only=True)
class Tabletop:
    """`count` pictures of tabletops, numbered; another `seed` gives other tables, so train and test never meet."""

    kind: ClassVar[str] = "images"

    count: int = 20_000
    seed: int = 0
    size: tuple[int, int] = (32, 32)  # height, width in pixels
    noise: float = 0.5  # unpredictable texture, 0..1: +-.3 x noise of full scale, per cell and channel
    objects: int = 4  # at most, the main one included: each number from 1 to `objects` equally often

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count={self.count} pictures; a world has at least 1")
        if min(self.size) < 8 or not 1 / 4 <= self.size[1] / self.size[0] <= 4:
            raise ValueError(f"size={self.size[0]}x{self.size[1]}; sides of at least 8 pixels, none over 4 times the other, are wanted")
        if not 0 <= self.noise <= 1:
            raise ValueError(f"noise={self.noise:g}; a number from 0 (none) to 1 (+-.3 of full scale) is wanted")
        if not 1 <= self.objects <= MOST_OBJECTS:
            raise ValueError(f"objects={self.objects}; from 1 to {MOST_OBJECTS} fit on the table")

    def __len__(self) -> int:
        return self.count

    @property
    def fingerprint(self) -> str:
        """Hash of everything the pictures depend on."""
        text = f"tabletop {VERSION} {self.count} {self.seed} {self.size} {float(self.noise)!r} {self.objects}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the shapes: the question to ask when only one is asked."""
        return SHAPES

    def name(self, row: int) -> str:
        """What to call a row on a page."""
        return f"tabletop seed {self.seed} row {row}"

    def sample(self, rows: Rows) -> Scene:
        """The scenes of `rows`. Raises ValueError for a row outside 0..count-1."""
        index = np.asarray(rows, np.int64)
        if len(index) and not (index.min() >= 0 and index.max() < self.count):
            raise ValueError(f"rows {index.min()}..{index.max()} of a world with rows 0..{self.count - 1}; raise count or ask for fewer")
        return sample(self.seed, rows, noise=self.noise, objects=self.objects, width=self.size[1] / self.size[0])

    def render(self, rows: Rows) -> UInt8[Tensor, "b 3 h w"]:
        """The pictures of `rows`, RGB."""
        return render(self.sample(rows), self.size)

    def read(self, rows: Rows, at: object = None) -> UInt8[Tensor, "b 3 h w"]:
        """As every dataset reads; no row can be unreadable, and a picture has no time."""
        return self.render(rows)

    @cached_property
    def labels(self) -> dict[str, LabelSet]:
        """shape, colour, place and count of every row: from the scenes, nothing is drawn."""
        return labels(self.sample(range(self.count)), self.objects)


def labels(scene: Scene, objects: int) -> dict[str, LabelSet]:
    """The four right answers for each scene; `objects` is the largest count that is a class."""
    row, column = (scene.positions[:, 0] * torch.tensor([3, 3 / scene.width])).long().clamp(0, 2).unbind(1)
    answers = {
        "shape": (SHAPES, scene.shapes[:, 0]),
        "colour": (COLOURS[:IVORY], scene.hues[:, 0]),
        "place": (PLACES, row * 3 + column),
        "count": (tuple(str(n + 1) for n in range(objects)), scene.present.sum(1) - 1),
    }
    return {question: LabelSet(names, values) for question, (names, values) in answers.items()}
