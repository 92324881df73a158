"""Scenes to pictures: signed distances, one soft pixel at every edge, many scenes at once.

Per pixel only + - * / sqrt, min, max and floor are used. IEEE 754 rounds these one way, so a row has
the same bits in any batch; sin or exp may differ between a vector loop and its scalar tail.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from openjepa import draws
from openjepa.data.worlds.scene import SHAPES, Scene, Table

Plane = NDArray[np.float32]  # [b h w], or something that broadcasts to it
NOISE_CELLS = 32  # noise cells per table height: at 32 pixels one cell is one pixel
_RIM = np.float32(0.035)  # width of the darker edge of an object, in table heights
_CHUNK_PIXELS = 1 << 16  # drawn at once: the planes of a chunk stay in the second-level cache

# Sizes of the shapes for radius 1; all have the area pi of the unit disc.
_HALF_SIDE = math.sqrt(math.pi) / 2
_INRADIUS = math.sqrt(math.pi / (3 * math.sqrt(3)))
_ARM = 0.36  # half the width of a cross's arm, as a share of its length from the centre
_ARM_LENGTH = math.sqrt(math.pi / (8 * _ARM - 4 * _ARM**2))
_HOLE = 0.52  # inner over outer radius of a ring
_OUTER = 1 / math.sqrt(1 - _HOLE**2)
REACH = 2 * _INRADIUS  # farthest point of any shape from its centre: the triangle's corner


def _disc(y: Plane, x: Plane, r: Plane) -> Plane:
    distance: Plane = np.sqrt(y * y + x * x) - r
    return distance


def _square(y: Plane, x: Plane, r: Plane) -> Plane:
    distance: Plane = np.maximum(np.abs(y), np.abs(x)) - np.float32(_HALF_SIDE) * r
    return distance


def _triangle(y: Plane, x: Plane, r: Plane) -> Plane:
    """Pointing up: one side below, two above at 60 degrees."""
    slope = np.abs(x) * np.float32(math.sqrt(3) / 2) - y * np.float32(0.5)
    distance: Plane = np.maximum(slope, y) - np.float32(_INRADIUS) * r
    return distance


def _cross(y: Plane, x: Plane, r: Plane) -> Plane:
    y, x = np.abs(y), np.abs(x)
    length, width = np.float32(_ARM_LENGTH) * r, np.float32(_ARM * _ARM_LENGTH) * r
    distance: Plane = np.maximum(np.maximum(y, x) - length, np.minimum(y, x) - width)
    return distance


def _ring(y: Plane, x: Plane, r: Plane) -> Plane:
    middle, half = np.float32(_OUTER * (1 + _HOLE) / 2) * r, np.float32(_OUTER * (1 - _HOLE) / 2) * r
    distance: Plane = np.abs(np.sqrt(y * y + x * x) - middle) - half
    return distance


DISTANCES: dict[str, Callable[[Plane, Plane, Plane], Plane]] = {
    "disc": _disc,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "ring": _ring,
}
"""Signed distance to each shape's edge from (row, column) about its centre, for a radius; negative inside."""


def render(scene: Scene, size: tuple[int, int]) -> UInt8[Tensor, "b 3 h w"]:
    """The scenes as RGB pictures of `size` (height, width), whose shape must be the table's (within a pixel)."""
    height, width = size
    if abs(width - height * scene.width) > 1:
        raise ValueError(
            f"the table is {scene.width:g} times as wide as high, a picture of {height}x{width} would distort it;"
            f" ask for {height}x{round(height * scene.width)}"
        )
    step = max(1, _CHUNK_PIXELS // (height * width))
    chunks = [_render_chunk(scene.take(slice(i, i + step)), size) for i in range(0, len(scene), step)]
    return torch.from_numpy(np.concatenate(chunks) if chunks else np.empty((0, 3, *size), np.uint8))


def _render_chunk(scene: Scene, size: tuple[int, int]) -> NDArray[np.uint8]:
    pixel = np.float32(1 / size[0])
    y = (np.arange(size[0], dtype=np.float32) + np.float32(0.5))[None, :, None] * pixel
    x = (np.arange(size[1], dtype=np.float32) + np.float32(0.5))[None, None, :] * pixel
    picture = _table(scene.table, y, x)
    layers = scene.order.argsort(1).numpy()
    for layer in range(layers.shape[1]):
        _paint(picture, scene, layers[:, layer], y, x, pixel)
    lamp = scene.table.lamp.numpy()[:, :, None, None]
    picture *= 1 + lamp[:, :1] * (y[:, None] - np.float32(0.5)) + lamp[:, 1:] * (x[:, None] - np.float32(scene.width / 2))
    if scene.table.noise.any():
        _add_noise(picture, scene.table)
    np.clip(picture, 0, 1, out=picture)
    picture *= 255
    picture += np.float32(0.5)
    return picture.astype(np.uint8)


def _column(values: Tensor) -> Plane:
    """One number per scene, [b], to be combined with planes."""
    return np.asarray(values.numpy(), np.float32)[:, None, None]


def _turned(angle: Plane, y: Plane, x: Plane) -> tuple[Plane, Plane]:
    """(row, column) as seen by something turned clockwise by `angle`."""
    cos, sin = (f(angle.astype(np.float64)).astype(np.float32) for f in (np.cos, np.sin))
    return y * cos - x * sin, x * cos + y * sin


def _wave(u: Plane) -> Plane:
    """A smooth wave of period 1 between 0 and 1: smoothstep of a triangle wave, in exact arithmetic."""
    u = np.abs((u - np.floor(u)) * np.float32(2) - np.float32(1))
    return u * u * (np.float32(3) - np.float32(2) * u)


def _table(table: Table, y: Plane, x: Plane) -> Plane:
    """The bare table, [b 3 h w] in 0..1."""
    along, across = _turned(_column(table.angle), y, x)
    across *= _column(table.frequency)
    across += _column(table.phase) + _column(table.bend) * _wave(along * np.float32(1.3) + _column(table.phase))
    grain = (_wave(across) - np.float32(0.5)) * _column(table.sharpness) + np.float32(0.5)
    np.clip(grain, 0, 1, out=grain)
    dark, light = (tone.numpy()[:, :, None, None] for tone in (table.dark, table.light))
    ground: Plane = dark + (light - dark) * grain[:, None]
    return ground


def _paint(picture: Plane, scene: Scene, layer: NDArray[np.int64], y: Plane, x: Plane, pixel: np.float32) -> None:
    """Paint object layer[i] on picture i, in place, where there is one."""
    everyone = np.arange(len(layer))
    shapes, present = scene.shapes.numpy()[everyone, layer], scene.present.numpy()[everyone, layer]
    for kind, name in enumerate(SHAPES):
        rows = np.flatnonzero(present & (shapes == kind))
        if not len(rows):
            continue
        which = rows, layer[rows]
        centre, colour = scene.positions.numpy()[which], scene.colours.numpy()[which][:, :, None, None]
        angle, radius = (t.numpy()[which][:, None, None] for t in (scene.angles, scene.radii))
        here = _turned(angle, y - centre[:, :1, None], x - centre[:, 1:, None])
        distance = DISTANCES[name](*here, radius)[:, None]
        rim = np.clip(distance / _RIM + np.float32(1), 0, 1)
        cover = np.clip(np.float32(0.5) - distance / pixel, 0, 1)
        below = picture[rows]
        picture[rows] = below + cover * (colour * (np.float32(1) - np.float32(0.35) * rim) - below)


def _add_noise(picture: Plane, table: Table) -> None:
    """Independent uniform noise per cell and channel, in place: 16 bits of one hash for each channel."""
    height, width = picture.shape[2:]
    cells = NOISE_CELLS, math.ceil(NOISE_CELLS * width / height)
    hashed = draws.uniform(0, 0, table.grain.tolist(), cells[0] * cells[1], "tabletop.noise")
    bits = (hashed * 2.0**48).astype(np.int64).reshape(-1, *cells)
    if (height, width) != cells:
        rows, columns = (np.arange(n) * NOISE_CELLS // height for n in (height, width))
        bits = bits[:, rows[:, None], columns[None, :]]
    gain = _column(table.noise) * np.float32(0.6 / 65535)
    for channel in range(3):
        value = ((bits >> (16 * channel)) & 0xFFFF).astype(np.float32)
        picture[:, channel] += (value - np.float32(65535 / 2)) * gain
