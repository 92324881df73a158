"""How things move on a table: every number of a clip from (seed, row).

The main object drifts at constant speed in a mild curve and never turns back: where it reaches an edge it comes in at
the opposite one, so that it is equally often everywhere at every moment whichever way it goes. On a table with ends
the place alone would tell the way: who moves right starts, on average, farther left and ends farther right. The
pebbles roll straight and bounce. One of them, the guest, may appear or vanish. A screen stands somewhere; the main
object passes in front of it or behind it. In some clips a lid covers the whole table around the middle of the clip.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from numpy.typing import NDArray
from torch import Tensor

from openjepa import draws
from openjepa.data.worlds.drawing import REACH
from openjepa.data.worlds.sampling import sample as still_scenes
from openjepa.data.worlds.scene import IVORY, SHAPES, Scene
from openjepa.draws import Rows

MAIN, GUEST, SCREEN, LID = 0, 1, -2, -1  # which object is which; pebbles lie between guest and screen
WAYS = ("right", "down", "left", "up")
SPEEDS = {"slow": (0.03, 0.045), "medium": (0.055, 0.07), "fast": (0.08, 0.1)}  # table heights per frame
EVENTS = ("none", "appears", "vanishes", "passes behind")
SCREEN_SIDE = 0.32  # in table heights: hides nearly all of the largest main object

_Floats = NDArray[np.float64]
_RADIUS = 0.09, 0.12  # of the main object: smaller than on the still table, to have room to move
_SPREAD = np.radians(38)  # a way is its axis give or take this much; 45 would leave no gap between ways
_BEND = np.tan(np.radians(15))  # at most this much off the heading at the first and last frame
_ROLL = 0.01, 0.05  # of pebbles, table heights per frame
_SIDE = np.sqrt(np.pi)  # of a square with the area of the unit disc


@dataclass(frozen=True)
class Clips:
    """b clips of t frames with k objects. `still` holds what does not change: looks, order of painting, light."""

    still: Scene
    positions: Float32[Tensor, "b t k 2"]  # (row, column) in table heights
    present: Bool[Tensor, "b t k"]
    grain: Int64[Tensor, "b t"]  # which noise
    middle: Float32[Tensor, "b 2"]  # where the main object is at the middle of the clip, which may lie between two frames
    way: Int64[Tensor, " b"]  # of WAYS: from the first frame to the last, were there no edges
    speed: Int64[Tensor, " b"]  # of SPEEDS
    change: Int64[Tensor, " b"]  # of EVENTS, as far as the guest goes: none, appears or vanishes
    when: Int64[Tensor, " b"]  # first frame after the guest's change, -1 where it does not change

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, index: Tensor | slice) -> "Clips":
        """The clips `index` picks, in its order."""
        changed = {name: value[index] for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, still=self.still.take(index), **changed)

    def reordered(self, times: Int64[Tensor, "b t"]) -> "Clips":
        """The same frames, frame times[i, j] of clip i at place j."""
        clip = torch.arange(len(self))[:, None]
        return replace(self, positions=self.positions[clip, times], present=self.present[clip, times], grain=self.grain[clip, times])

    def scenes(self) -> Scene:
        """All frames of all clips as one batch of still scenes, [b * t], clip after clip."""
        clips = self.still.take(torch.arange(len(self)).repeat_interleave(self.positions.shape[1]))
        table = replace(clips.table, grain=self.grain.flatten())
        return replace(clips, positions=self.positions.flatten(0, 1), present=self.present.flatten(0, 1), table=table)


def sample(
    seed: int,
    rows: Rows,
    frames: int,
    *,
    noise: float,
    flicker: bool = True,
    objects: int = 4,
    lid: float = 0.5,
    texture: float = 1.0,
    scale: float = 1.0,
    width: float = 1.0,
) -> Clips:
    """Clip i is a pure function of (seed, rows[i]) and the settings; objects are [main, guest, pebbles, screen, lid].

    `noise` and `flicker` change the noise and nothing else, `objects` (2 or more) the pebbles and the order of painting,
    `lid` (share of clips) only where there is a lid, `texture` only the contrast of the stripes. `scale` is the main object's
    size over the usual one, and leaves it less room to move.
    """
    index = np.asarray(rows, np.int64)
    u = partial(_draw, seed, index)
    change = np.maximum((u("change")[:, 0] * 4).astype(np.int64) - 1, 0)  # half the clips none, a quarter each appears and vanishes
    still = _furnish(still_scenes(draws.key(seed, "motion"), index, noise=noise, objects=objects, width=width), change, scale, u)
    if texture != 1:  # the usual contrast keeps its bits
        table, tone = still.table, (still.table.dark + still.table.light) / 2
        still = replace(still, table=replace(table, dark=tone + texture * (table.dark - tone), light=tone + texture * (table.light - tone)))
    unit, sides, count = min(1.0, width), np.array([1.0, width]), len(index)
    tau: _Floats = np.arange(frames, dtype=np.float64) - (frames - 1) / 2  # time from the middle, in frames

    radii = still.radii.numpy().astype(np.float64)
    way = (u("way")[:, 0] * len(WAYS)).astype(np.int64)
    speed = (u("speed")[:, 0] * len(SPEEDS)).astype(np.int64)
    # the margin is that of the farthest-reaching shape whatever the shape, or the place would tell it
    margin = radii[:, :1] * REACH
    room = sides - 2 * margin
    start = room * u("place", 2)
    positions = np.empty((count, frames, objects + 2, 2))
    moved = _drifting(u, way, speed, tau) * unit
    positions[:, :, MAIN] = margin[:, None] + np.mod(start[:, None] + moved, room[:, None])
    for pebble in range(1, objects):
        positions[:, :, pebble] = _rolling(partial(u, of=pebble), radii[:, pebble, None], sides, tau, unit)
    edge = SCREEN_SIDE / 2 * unit
    positions[:, :, SCREEN] = (edge + (sides - 2 * edge) * u("screen", 2))[:, None]
    positions[:, :, LID] = sides / 2

    when = np.where(change > 0, 2 + (u("when")[:, 0] * (frames - 3)).astype(np.int64), -1)  # 2 frames at least on either side
    time = np.arange(frames)
    here = np.empty((count, frames, objects + 2), bool)
    here[:, :, MAIN] = here[:, :, SCREEN] = True
    here[:, :, GUEST:objects] = (u("present", objects - 1) < 0.5)[:, None]
    after = time >= when[:, None]
    here[:, :, GUEST] = np.where(change[:, None] == 0, here[:, :, GUEST], after == (change[:, None] == 1))
    here[:, :, LID] = (u("lid") < lid) & covered(frames)

    grain = (u("grain", frames) * 2.0**53).astype(np.int64)
    return Clips(
        still=still,
        positions=torch.from_numpy(positions.astype(np.float32)),
        present=torch.from_numpy(here),
        grain=torch.from_numpy(grain if flicker else np.repeat(grain[:, :1], frames, 1)),
        middle=torch.from_numpy((margin + start).astype(np.float32)),
        **{name: torch.from_numpy(values) for name, values in (("way", way), ("speed", speed), ("change", change), ("when", when))},
    )


def covered(frames: int) -> NDArray[np.bool_]:
    """At which of `frames` the lid is on, [frames], where there is one: 3 of 8 of them, symmetric about the middle."""
    inside: NDArray[np.bool_] = np.abs(np.arange(frames) - (frames - 1) / 2) < frames * 3 / 16
    return inside


def _draw(seed: int, rows: NDArray[np.int64], what: str, count: int = 1, of: int = 0) -> _Floats:
    return draws.uniform(seed, of, rows, count, f"motion.{what}")


def _drifting(u: Callable[..., _Floats], way: NDArray[np.int64], speed: NDArray[np.int64], tau: _Floats) -> _Floats:
    """How far the main object is from where it is at the middle of the clip, were there no edges, [b t 2].

    A parabola: from the first frame to the last it goes along its heading, and it may curve to either side.
    """
    low, high = np.array(list(SPEEDS.values()))[speed].T
    pace = low + (high - low) * u("pace")[:, 0]
    angle = way * (np.pi / 2) + _SPREAD * (2 * u("heading")[:, 0] - 1)
    # to float32 at once: sin and cos may differ in the last bit of float64 between a vector loop and its tail
    heading = np.stack([np.sin(angle), np.cos(angle)], 1).astype(np.float32).astype(np.float64)
    aside = np.stack([heading[:, 1], -heading[:, 0]], 1)
    bend = _BEND * (2 * u("bend") - 1) / (2 * tau[-1]) * tau**2
    moved: _Floats = pace[:, None, None] * (tau[:, None] * heading[:, None] + bend[..., None] * aside[:, None])
    return moved


def _rolling(u: Callable[..., _Floats], radius: _Floats, sides: _Floats, tau: _Floats, unit: float) -> _Floats:
    """A pebble that rolls straight and is thrown back by the edges, [b t 2]: a drift unfolded, then folded at the edges."""
    room = sides - 2 * radius
    angle = 2 * np.pi * u("roll.angle")
    heading = np.concatenate([np.sin(angle), np.cos(angle)], 1).astype(np.float32).astype(np.float64)
    pace = (_ROLL[0] + (_ROLL[1] - _ROLL[0]) * u("roll.pace")) * unit
    far = np.mod((2 * room * u("roll.place", 2))[:, None] + tau[:, None] * (heading * pace)[:, None], 2 * room[:, None])
    return radius[:, None] + np.minimum(far, 2 * room[:, None] - far)


def _furnish(scene: Scene, change: NDArray[np.int64], scale: float, u: Callable[..., _Floats]) -> Scene:
    """The scene with a main object small enough to move, a screen and a lid: plain squares in shades of grey."""
    unit = min(1.0, scene.width)
    radii = scene.radii.clone()
    radii[:, 0] = torch.from_numpy((_RADIUS[0] + (_RADIUS[1] - _RADIUS[0]) * u("radius")[:, 0]) * scale * unit)
    # the lid reaches a little beyond the table, so that nothing shines through its soft edge
    boards = torch.tensor([SCREEN_SIDE * unit, max(1.0, scene.width) + 0.02]) / _SIDE
    tone = (0.2 + 0.6 * u("tone", 2))[..., None] + 0.08 * (u("tint", 6).reshape(-1, 2, 3) - 0.5)
    two = torch.ones(len(scene), 2)
    return replace(
        scene,
        positions=torch.cat([scene.positions, torch.zeros(len(scene), 2, 2)], 1),
        radii=torch.cat([radii, (two * boards).float()], 1),
        angles=torch.cat([scene.angles, 0 * two], 1),
        shapes=torch.cat([scene.shapes, (SHAPES.index("square") * two).long()], 1),
        hues=torch.cat([scene.hues, (IVORY * two).long()], 1),
        colours=torch.cat([scene.colours, torch.from_numpy(tone.astype(np.float32))], 1),
        order=_order(scene.order, change),
        present=torch.cat([scene.present, two.bool()], 1),
    )


def _order(order: Int64[Tensor, "b objects"], change: NDArray[np.int64]) -> Int64[Tensor, "b k"]:
    """What lies on what: the lid on all, the guest under it, the screen under everything where the guest changes, else on the rest.

    So nothing but the lid ever hides the guest, and a clip has one event at most.
    """
    height = order.float()
    top = order.shape[1]
    height[:, GUEST] = top + 1
    screen = torch.from_numpy(np.where(change > 0, -1.0, top))
    lid = torch.full_like(screen, top + 2)
    return torch.cat([height, torch.stack([screen, lid], 1).float()], 1).argsort(1).argsort(1)
