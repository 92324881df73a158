"""A person's question, boxes drawn on the grid, as the masks that training uses."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Literal

import torch
from jaxtyping import Int64
from torch import Tensor

from openjepa.modalities.modality import Modality
from openjepa.tokens import Masks

Mode = Literal["strict", "peek"]
MOST = 64  # holes: a mask drawn at random is as many boxes


@dataclass(frozen=True)
class Box:
    """A part of the grid, in tokens, one number per axis: image (row, column), video (time, row, column), sound (time, band)."""

    at: tuple[int, ...]
    size: tuple[int, ...]

    def inside(self, grid: tuple[int, ...]) -> "Box":
        """Itself. ValueError where it leaves the grid."""
        if len(self.at) != len(grid) or len(self.size) != len(grid):
            raise ValueError(f"box {list(self.at)} of {list(self.size)} for a grid of {len(grid)} axes; give {len(grid)} numbers each")
        if any(a < 0 or s < 1 or a + s > g for a, s, g in zip(self.at, self.size, grid, strict=True)):
            raise ValueError(f"box at {list(self.at)} of {list(self.size)} leaves the grid {list(grid)}; move it, or make it smaller")
        return self


def numbers(box: Box, grid: tuple[int, ...]) -> Int64[Tensor, " k"]:
    """The tokens of a box, in raster order, counted on the grid."""
    part = tuple(slice(a, a + s) for a, s in zip(box.at, box.size, strict=True))
    return torch.arange(prod(grid)).reshape(grid)[part].flatten()


@dataclass(frozen=True)
class Question:
    """What is hidden, what is shown, what is asked."""

    masks: Masks  # of one sample, registers counted
    holes: tuple[Int64[Tensor, " _"], ...]  # tokens of each box on the grid
    context: Int64[Tensor, " seen"]  # tokens that are seen, on the grid
    boxes: tuple[Box, ...]
    together: bool  # all holes are one target, as where training asks for a union

    def of_each(self, answers: Tensor) -> list[Tensor]:
        """What was said of each hole, [k d], from answers [1 blocks t d]."""
        if not self.together:
            return [answers[0, i, : len(hole)] for i, hole in enumerate(self.holes)]
        asked = torch.cat(self.holes).unique()  # sorted
        return [answers[0, 0, torch.searchsorted(asked, hole.contiguous())] for hole in self.holes]


def question(
    modality: Modality, targets: Sequence[Box], context: Box | None = None, mode: Mode = "strict", together: bool = False
) -> Question:
    """Masks that hide `targets` and show `context`, by default all the rest.

    strict: what is asked is never seen, as in I-JEPA's training (no overlap); peek: it is, too.
    ValueError for boxes outside the grid, none at all, or nothing left to see.
    """
    grid = modality.grid
    if not 1 <= len(targets) <= MOST:
        raise ValueError(f"{len(targets)} holes; ask for 1 to {MOST}")
    holes = tuple(numbers(box.inside(grid), grid) for box in targets)
    seen = torch.ones(prod(grid), dtype=torch.bool) if context is None else torch.zeros(prod(grid), dtype=torch.bool)
    if context is not None:
        seen[numbers(context.inside(grid), grid)] = True
    if mode == "strict":
        seen[torch.cat(holes)] = False
    known = seen.nonzero()[:, 0]
    if not len(known):
        raise ValueError("nothing is left to see; make the holes smaller, or the context larger")
    if together:
        blocks, valid = torch.cat(holes).unique()[None, None], None
    else:
        longest = max(map(len, holes))
        blocks = torch.stack([torch.cat([hole, hole[:1].expand(longest - len(hole))]) for hole in holes])[None]
        there = torch.tensor([[place < len(hole) for place in range(longest)] for hole in holes])[None]
        valid = None if bool(there.all()) else there
    masks = Masks(known[None], blocks, None, valid).behind(modality.registers)
    return Question(masks, holes, known, tuple(targets), together)


def windows(grid: tuple[int, ...], size: tuple[int, ...], fixed: Sequence[tuple[int, int]] = ()) -> Int64[Tensor, "w axes"]:
    """Where a box of `size` can lie on the grid, in raster order; `fixed` are pairs (axis, place) that do not move."""
    held = dict(fixed)
    ranges = [[held[i]] if i in held else range(g - s + 1) for i, (g, s) in enumerate(zip(grid, size, strict=True))]
    return torch.tensor(list(product(*ranges)))


def tokens_of(places: Int64[Tensor, "w axes"], size: tuple[int, ...], grid: tuple[int, ...]) -> Int64[Tensor, "w k"]:
    """The tokens of the box of `size` at each place."""
    steps = torch.tensor([prod(grid[i + 1 :]) for i in range(len(grid))])
    offsets = numbers(Box((0,) * len(grid), size), grid)
    return (places * steps).sum(1, keepdim=True) + offsets


def spiral(places: Int64[Tensor, "w axes"], start: Sequence[int]) -> list[int]:
    """Numbers of the places, nearest to `start` first."""
    away = (places - torch.tensor(list(start))).double().norm(dim=1)
    order: list[int] = torch.argsort(away, stable=True).tolist()
    return order
