"""Clips in which one thing passes behind another, with the exact truth of every frame: the tabletop world's own record."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from openjepa.data.dataset import Cut
from openjepa.data.worlds.motion import Motion, events
from openjepa.data.worlds.moving import EVENTS, LID, MAIN, SCREEN
from openjepa.data.worlds.scene import COLOURS, SHAPES
from openjepa.modalities.video import Video, span

if TYPE_CHECKING:
    from openjepa.explore.inputs import Inputs

SEARCHED = 1024  # rows of the world that are looked through
SEED = 8_642  # of the made world: other clips than those a run learns from by default
JUMP = 0.25  # of the picture's side: more than the fastest goes from frame to frame
HIDDEN = 0.5  # a thing is hidden where less than this share of it is in view


@dataclass(frozen=True)
class Thing:
    """Something on the table; one number per frame of the view."""

    name: str
    visible: tuple[float, ...]  # share of it that is in view
    row: tuple[float, ...]  # its middle, hidden or not, as a share of the picture's height from the top
    column: tuple[float, ...]


@dataclass(frozen=True)
class Scene:
    input: str
    name: str
    hidden: tuple[int, ...]  # frames in which the main object is hidden
    covered: tuple[int, ...]  # frames in which a lid lies on the whole table
    things: tuple[Thing, ...]  # the main object first, then others that are hidden at some time


def made(modality: Video) -> Motion:
    """A tabletop at the size of the run's views: nothing on it but the main object, a pebble and the screen; no lid."""
    frames, height, width = modality.size
    sides = (height, width) if 1 / 4 <= width / height <= 4 else (min(height, width),) * 2
    return Motion(seed=SEED, size=sides, frames=max(8, frames), noise=0.1, texture=0.3, objects=2, scale=1.5, lid=0.0)


def world_of(inputs: "Inputs") -> tuple[Motion, str]:
    """The run's own world if that is a tabletop in motion in the order of time, else the made one; and what its inputs are called."""
    if not isinstance(inputs.modality, Video):
        raise ValueError(f"this run learns from {inputs.modality.kind}; scenes are videos: choose a run on videos")
    data = inputs.dataset
    if isinstance(data, Cut) and isinstance(data.world, Motion) and not data.world.shuffled:
        return data.world, "data"
    return made(inputs.modality), "scene"


@lru_cache(8)
def passing(world: Motion) -> tuple[int, ...]:
    """Rows in which the main object passes behind the screen, by the world's own labels."""
    happened, _ = events(world.sample(range(min(SEARCHED, len(world)))))
    found: list[int] = (happened == EVENTS.index("passes behind")).nonzero()[:, 0].tolist()
    return tuple(found)


def scenes(inputs: "Inputs", count: int = 12) -> list[Scene]:
    """Up to `count` of them; first those in which the main object goes in on one side and comes out on the other."""
    world, source = world_of(inputs)
    rows = list(passing(world))
    if not rows:
        return []
    record, clips = world.record(rows), world.sample(rows)
    part = span(world.frames, inputs.modality.size[0], 0.5)
    (height, width), (tall, wide) = world.size, inputs.modality.size[-2:]
    scale = max(tall / height, wide / width)  # a view just covers its size, and the middle of it is taken
    boards = {record.visible.shape[2] + SCREEN, record.visible.shape[2] + LID}
    found = list[tuple[float, Scene]]()
    for i, row in enumerate(rows):
        covered = record.covered[i, part.start : part.stop]
        things = list[Thing]()
        for j in range(record.visible.shape[2]):
            here, seen = record.present[i, part.start : part.stop, j], record.visible[i, part.start : part.stop, j]
            if j != MAIN and (j in boards or not bool((here & (seen < HIDDEN) & ~covered).any())):
                continue
            place = record.positions[i, part.start : part.stop, j] * height * scale
            looks = f"{COLOURS[clips.still.hues[i, j]]} {SHAPES[clips.still.shapes[i, j]]}"
            down = (place[:, 0] - (height * scale - tall) / 2) / tall
            right = (place[:, 1] - (width * scale - wide) / 2) / wide
            things.append(Thing(looks, *(tuple(x.tolist()) for x in (seen, down, right))))
        out = tuple(k for k, share in enumerate(things[0].visible) if share < HIDDEN and not covered[k])
        scene = Scene(f"{source}:{row}", world.name(row), out, tuple(covered.nonzero()[:, 0].tolist()), tuple(things))
        found.append((worth(scene), scene))
    found.sort(key=lambda pair: -pair[0])  # stable: equal ones stay in the order of their rows
    return [scene for value, scene in found[:count] if value]


def worth(scene: Scene) -> float:
    """How much of the main object's longest time out of sight is hidden; 1,000 more where it is seen before and after on one path.

    The table has no ends: who leaves it on one side comes in on the other, which is no passing behind.
    """
    main, stretches = scene.things[0], list[list[int]]()
    for frame in scene.hidden:
        if stretches and stretches[-1][-1] == frame - 1:
            stretches[-1].append(frame)
        else:
            stretches.append([frame])
    values = [0.0]
    for stretch in stretches:
        before, after = stretch[0] - 1, stretch[-1] + 1
        whole = before >= 0 and after < len(main.visible) and not {before, after} & set(scene.covered)
        ways = [abs(line[k + 1] - line[k]) for line in (main.row, main.column) for k in range(before, after)] if whole else [1.0]
        values.append(sum(1 - main.visible[frame] for frame in stretch) + 1000 * (max(ways) < JUMP))
    return max(values)
