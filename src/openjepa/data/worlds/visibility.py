"""How much of each object can be seen: the share of points spread evenly over it that nothing covers."""

from functools import cache

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor

from openjepa.data.worlds.drawing import DISTANCES
from openjepa.data.worlds.scene import SHAPES, Scene

_SPACING = 0.2  # of the points, in radii: about 78 points, whatever the shape
_CHUNK = 2_000  # scenes at once


def visible(scene: Scene, which: int, behind: list[int]) -> Float32[Tensor, " b"]:
    """Share of object `which` that those of `behind` leave to be seen, 0..1 in steps of about 1/78; 0 where it is absent."""
    parts = [_visible(scene.take(slice(i, i + _CHUNK)), which, behind) for i in range(0, len(scene), _CHUNK)]
    return torch.cat(parts) if parts else torch.zeros(0)


def _visible(scene: Scene, which: int, behind: list[int]) -> Float32[Tensor, " b"]:
    y, x, weight = (table[scene.shapes[:, which].numpy()] for table in _points())
    angle = scene.angles[:, which, None].numpy().astype(np.float64)
    radius, centre = scene.radii[:, which, None].numpy(), scene.positions[:, which].numpy()
    row = centre[:, :1] + radius * (y * np.cos(angle) + x * np.sin(angle))
    column = centre[:, 1:] + radius * (x * np.cos(angle) - y * np.sin(angle))
    seen = np.repeat(scene.present[:, which, None].numpy(), y.shape[1], 1)
    for other in behind:
        over = (scene.present[:, other] & (scene.order[:, other] > scene.order[:, which])).numpy()
        for kind in np.unique(scene.shapes[over, other].numpy()):
            at = np.flatnonzero(over & (scene.shapes[:, other].numpy() == kind))
            seen[at] &= _outside(scene, at, other, SHAPES[kind], row[at], column[at])
    return torch.from_numpy(((seen * weight).sum(1) / weight.sum(1)).astype(np.float32))


def _outside(
    scene: Scene, at: NDArray[np.int64], other: int, shape: str, row: NDArray[np.float64], column: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether each point, [b p], lies outside the object `other` of its scene."""
    centre, radius = scene.positions[at, other].numpy(), scene.radii[at, other, None].numpy()
    angle = scene.angles[at, other, None].numpy().astype(np.float64)
    y, x = row - centre[:, :1], column - centre[:, 1:]
    down, across = y * np.cos(angle) - x * np.sin(angle), x * np.cos(angle) + y * np.sin(angle)
    outside: NDArray[np.bool_] = DISTANCES[shape](down.astype(np.float32), across.astype(np.float32), radius) > 0
    return outside


@cache
def _points() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(row, column, 1 or 0) of points inside each shape of radius 1, [shapes p]; the 0s fill up the shorter ones."""
    line = np.arange(-1.9, 2, _SPACING) + _SPACING / 3  # off the axes of symmetry, where edges lie
    y, x = (z.ravel() for z in np.meshgrid(line, line, indexing="ij"))
    inside = [DISTANCES[shape](y.astype(np.float32), x.astype(np.float32), np.ones(1, np.float32)) < 0 for shape in SHAPES]
    most = max(int(part.sum()) for part in inside)
    tables = np.zeros((3, len(SHAPES), most))
    for kind, part in enumerate(inside):
        tables[:, kind, : part.sum()] = y[part], x[part], np.ones(part.sum())
    return tables[0], tables[1], tables[2]
