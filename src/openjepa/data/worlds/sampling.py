"""How a table is laid: every number of a scene from (seed, row), one named stream of random numbers for each."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from openjepa import draws
from openjepa.data.worlds.drawing import REACH
from openjepa.data.worlds.scene import IVORY, SHAPES, Scene, Table
from openjepa.draws import Rows

MOST_OBJECTS = 6  # more pebbles would not find room beside the largest main object

_Floats = NDArray[np.float64]
_Draw = Callable[..., _Floats]
_RADIUS = 0.12, 0.20  # of the main object's disc of equal area; the triangle's corner then reaches .31
_PEBBLE = 0.045, 0.06
_TURN = math.radians(45)
_GAP = 0.01  # kept free on either side of a line between places, so that a centre is never in doubt
_TRIES = 24  # places tried for a pebble
_SHADES = np.array(  # RGB of COLOURS
    [
        (0.86, 0.16, 0.16), (0.96, 0.52, 0.10), (0.97, 0.84, 0.16), (0.20, 0.66, 0.24), (0.16, 0.76, 0.80),
        (0.16, 0.34, 0.86), (0.52, 0.22, 0.74), (0.96, 0.46, 0.70), (0.95, 0.93, 0.86),
    ]
)  # fmt: skip
_GROUNDS = np.array(  # oak, walnut, slate, moss, clay, linen
    [(0.62, 0.47, 0.31), (0.42, 0.30, 0.22), (0.40, 0.44, 0.49), (0.42, 0.46, 0.36), (0.56, 0.40, 0.34), (0.64, 0.60, 0.52)]
)


def sample(seed: int, rows: Rows, *, noise: float = 0.5, objects: int = 4, width: float = 1.0) -> Scene:
    """Scene i is a pure function of (seed, rows[i]) and the settings.

    `noise` changes the noise and nothing else, `objects` the pebbles and the order of painting. `width`
    of the table is in table heights.
    """
    u: _Draw = partial(_draw, seed, np.asarray(rows, np.int64).tolist())
    pebbles = objects - 1
    unit = min(1.0, width)
    main = _between(u("radius"), _RADIUS) * unit
    small = _between(u("pebble.radius", pebbles), _PEBBLE) * unit
    centre = _main_position(u("place", 3), main[:, 0], width)
    beside = _pebble_positions(u("pebble.place", pebbles * _TRIES * 2).reshape(len(main), pebbles, _TRIES, 2), centre, main, small, width)
    hues = np.concatenate([(u("colour") * IVORY).astype(np.int64), np.full_like(small, IVORY, np.int64)], 1)
    # the main object's shade first, so that more pebbles do not change it
    shade = _SHADES[hues] + 0.12 * (u("shade", objects * 3).reshape(-1, objects, 3) - 0.5)
    return Scene(
        positions=_float(np.concatenate([centre[:, None], beside], 1)),
        radii=_float(np.concatenate([main, small], 1)),
        angles=_float(np.concatenate([_between(u("turn"), (-_TURN, _TURN)), np.zeros_like(small)], 1)),
        shapes=torch.from_numpy(np.concatenate([(u("shape") * len(SHAPES)).astype(np.int64), np.zeros_like(small, np.int64)], 1)),
        hues=torch.from_numpy(hues),
        colours=_float(np.clip(shade, 0, 1)),
        order=torch.from_numpy(u("order", objects).argsort(1).argsort(1)),
        present=torch.from_numpy(np.arange(objects) <= (u("count") * objects).astype(np.int64)),
        table=_table(u, noise),
        width=width,
    )


def _draw(seed: int, rows: Sequence[int], what: str, count: int = 1) -> _Floats:
    return draws.uniform(seed, 0, rows, count, f"tabletop.{what}")


def _between(u: _Floats, ends: tuple[float, float]) -> _Floats:
    return ends[0] + (ends[1] - ends[0]) * u


def _float(values: _Floats) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _main_position(u: _Floats, radius: _Floats, width: float) -> _Floats:
    """(row, column) of the centre, [b 2]: each of the nine places equally often, then anywhere in it.

    The margin is that of the farthest-reaching shape whatever the shape, or the place would tell it.
    """
    cell = np.floor(u[:, :1] * 9).astype(np.int64)
    cell = np.concatenate([cell // 3, cell % 3], 1)
    sides = np.array([1.0, width])
    margin = np.maximum(radius[:, None] * REACH, _GAP)
    low = np.where(cell == 0, margin, cell * sides / 3 + _GAP)
    high = np.where(cell == 2, sides - margin, (cell + 1) * sides / 3 - _GAP)
    return low + (high - low) * u[:, 1:]


def _pebble_positions(u: _Floats, centre: _Floats, main: _Floats, small: _Floats, width: float) -> _Floats:
    """(row, column) of each pebble, [b pebbles 2]: the first of its tries that leaves everything visible.

    A pebble may touch the main object's edge, so that the order of painting shows, but its middle is clear of
    the farthest-reaching shape; pebbles stay apart. When no try is good enough, the roomiest is taken.
    """
    taken = [centre]
    clear = [main[:, 0] * REACH]
    everyone = np.arange(len(u))
    for pebble in range(u.shape[1]):
        radius = small[:, pebble]
        margin = radius[:, None, None]
        places = margin + (np.array([1.0, width]) - 2 * margin) * u[:, pebble]
        room = np.min(
            [np.sqrt(((places - at[:, None]) ** 2).sum(-1)) - (least + radius * wanted)[:, None]
             for at, least, wanted in zip(taken, clear, [0.2] + [1.5] * pebble, strict=True)],
            axis=0,
        )  # fmt: skip
        choice = np.where((room >= 0).any(1), (room >= 0).argmax(1), room.argmax(1))
        taken.append(places[everyone, choice])
        clear.append(radius)
    return np.stack(taken[1:], 1) if len(taken) > 1 else np.zeros((len(u), 0, 2))


def _table(u: _Draw, noise: float) -> Table:
    """A ground of wood, slate or cloth, its stripes and its light."""
    ground = _GROUNDS[(u("ground")[:, 0] * len(_GROUNDS)).astype(np.int64)]
    ground = 0.8 * ground + 0.2 * ground.mean(1, keepdims=True)  # muted: colour belongs to the main object
    ground = ground * _between(u("ground.brightness"), (0.75, 1.1)) + 0.06 * (u("ground.tint", 3) - 0.5)
    contrast = _between(u("contrast"), (0.06, 0.22))
    lamp = u("lamp", 2)
    direction = 2 * math.pi * lamp[:, 0]
    strength = 0.8 * lamp[:, 1:]
    return Table(
        dark=_float(ground * (1 - contrast * 1.6)),
        light=_float(ground * (1 + contrast)),
        angle=_float(math.pi * u("angle")[:, 0]),
        frequency=_float(_between(u("frequency")[:, 0], (2.5, 7.0))),
        phase=_float(u("phase")[:, 0]),
        sharpness=_float(_between(u("sharpness")[:, 0], (1.0, 4.0))),
        bend=_float(_between(u("bend")[:, 0], (0.0, 0.8))),
        lamp=_float(strength * np.stack([np.sin(direction), np.cos(direction)], 1)),
        noise=torch.full((len(ground),), noise, dtype=torch.float32),
        grain=torch.from_numpy((u("grain")[:, 0] * 2.0**53).astype(np.int64)),
    )
