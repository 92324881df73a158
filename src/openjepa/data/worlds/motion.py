"""The tabletop in motion: short clips with exact labels, made by arithmetic.

Six questions about a clip: which `direction` and at which `speed` the main object (the only one in colour) moved; in
which `quarter` of the table it is at the middle of the clip, asked where a lid hides it then; which `event` there was;
and its `shape` and `colour`. No frame on its own says anything about direction or speed, because place and motion are
drawn apart on a table without ends (see `moving`). Everything is a pure function of (seed, row).
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor

from openjepa import draws
from openjepa.data.labels import LabelSet
from openjepa.data.worlds.drawing import render
from openjepa.data.worlds.moving import EVENTS, LID, MAIN, SCREEN, SCREEN_SIDE, SPEEDS, WAYS, Clips, sample
from openjepa.data.worlds.sampling import MOST_OBJECTS
from openjepa.data.worlds.scene import COLOURS, IVORY, SHAPES
from openjepa.data.worlds.visibility import visible
from openjepa.draws import Rows

VERSION = 1  # of the clips: rises when the same (seed, row) gives other bits
QUARTERS = ("top left", "top right", "bottom left", "bottom right")
_CLEAR = 0.03  # a hidden object nearer than this to a line between quarters is not asked about: a pixel of 32


@dataclass(frozen=True)
class Frames:
    """What is where in every frame, in the order in which frames are shown. Objects: main, guest, pebbles, screen, lid."""

    positions: Float32[Tensor, "b t k 2"]  # (row, column) of the centre in table heights, hidden or not
    present: Bool[Tensor, "b t k"]
    visible: Float32[Tensor, "b t k"]  # share in view, in steps of about 1/78; 0 where absent
    covered: Bool[Tensor, "b t"]  # the lid is on
    time: Int64[Tensor, "b t"]  # when each frame is: 0, 1, ... unless shuffled
    when: Int64[Tensor, " b"]  # time of the event: the first with or without the guest, or with the main object behind; -1: none


@dataclass(frozen=True, kw_only=True)
class Motion:
    """`count` clips of tabletops, numbered; another `seed` gives other clips, so train and test never meet."""

    kind: ClassVar[str] = "videos"

    count: int = 20_000
    seed: int = 0
    size: tuple[int, int] = (32, 32)  # height, width in pixels
    frames: int = 16
    noise: float = 0.5  # unpredictable texture, 0..1: +-.3 x noise of full scale, per cell and channel
    flicker: bool = True  # other noise in every frame; False: the same noise throughout a clip
    objects: int = 4  # the main one and at most this many less one pebbles; screen and lid come on top
    lid: float = 0.5  # share of clips in which the table is covered for the middle 3/8 of the frames
    texture: float = 1.0  # contrast of the table's stripes, 0 to 1
    scale: float = 1.0  # of the main object
    shuffled: bool = False  # frames in random order, another one for each clip: the control for motion

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count={self.count} clips; a world has at least 1")
        if min(self.size) < 8 or not 1 / 4 <= self.size[1] / self.size[0] <= 4:
            raise ValueError(f"size={self.size[0]}x{self.size[1]}; sides of at least 8 pixels, none over 4 times the other, are wanted")
        if self.frames < 8:
            raise ValueError(f"frames={self.frames}; at least 8 are wanted, for something to be seen before and after the lid")
        for name, value in (("noise", self.noise), ("lid", self.lid), ("texture", self.texture)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name}={value:g}; a number from 0 to 1 is wanted")
        if not 0.5 <= self.scale <= 2:
            raise ValueError(f"scale={self.scale:g}; from 0.5 to 2, or the main object is too small to see or has no room to move")
        if not 2 <= self.objects <= MOST_OBJECTS:
            raise ValueError(f"objects={self.objects}; from 2 (one pebble, to appear and vanish) to {MOST_OBJECTS} fit on the table")

    def __len__(self) -> int:
        return self.count

    @property
    def fingerprint(self) -> str:
        """Hash of everything the clips depend on."""
        text = f"tabletop-motion {VERSION} {self.count} {self.seed} {self.size} {self.frames} {float(self.noise)!r}"
        text += f" {self.flicker} {self.objects} {float(self.lid)!r} {float(self.texture)!r} {float(self.scale)!r} {self.shuffled}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the directions: the question to ask when only one is asked."""
        return WAYS

    def name(self, row: int) -> str:
        """What to call a row on a page."""
        return f"tabletop-motion seed {self.seed} row {row}"

    def sample(self, rows: Rows) -> Clips:
        """The clips of `rows`, frames in the order of time. Raises ValueError for a row outside 0..count-1."""
        index = np.asarray(rows, np.int64)
        if len(index) and not (index.min() >= 0 and index.max() < self.count):
            raise ValueError(f"rows {index.min()}..{index.max()} of a world with rows 0..{self.count - 1}; raise count or ask for fewer")
        width = self.size[1] / self.size[0]
        return sample(
            self.seed,
            index,
            self.frames,
            noise=self.noise,
            flicker=self.flicker,
            objects=self.objects,
            lid=self.lid,
            texture=self.texture,
            scale=self.scale,
            width=width,
        )

    def times(self, rows: Rows) -> Int64[Tensor, "b t"]:
        """When each shown frame of `rows` is: 0, 1, 2, ... or, shuffled, in another order."""
        if not self.shuffled:
            return torch.arange(self.frames).expand(len(rows), -1)
        return torch.from_numpy(draws.uniform(self.seed, 0, rows, self.frames, "motion.shuffle").argsort(1))

    def read(self, rows: Rows, at: object = None) -> UInt8[Tensor, "b 3 t h w"]:
        """As every dataset reads: RGB clips, each whole wherever `at` lies; no row can be unreadable."""
        pictures = render(self.sample(rows).reordered(self.times(rows)).scenes(), self.size)
        clips: Tensor = pictures.unflatten(0, (len(rows), self.frames)).transpose(1, 2).contiguous()
        return clips

    def record(self, rows: Rows) -> Frames:
        """The exact record of every frame of `rows`, as shown."""
        clips, times = self.sample(rows), self.times(rows)
        shown = clips.reordered(times)
        scenes, k = shown.scenes(), shown.positions.shape[2]
        seen = [visible(scenes, j, [i for i in range(k) if i != j]) for j in range(k)]
        return Frames(
            positions=shown.positions,
            present=shown.present,
            visible=torch.stack(seen, 1).reshape(len(rows), self.frames, k),
            covered=shown.present[:, :, LID],
            time=times,
            when=events(clips)[1],
        )

    @cached_property
    def labels(self) -> dict[str, LabelSet]:
        """The six answers for every row, -1 where a question is not asked: from the paths, nothing is drawn."""
        return labels(self.sample(range(self.count)))


def labels(clips: Clips) -> dict[str, LabelSet]:
    """The six right answers for each clip."""
    middle = torch.tensor([0.5, clips.still.width / 2])
    below, right = (clips.middle > middle).long().unbind(1)
    asked = clips.present[:, :, LID].any(1) & ((clips.middle - middle).abs() > _CLEAR).all(1)
    answers = {
        "direction": (WAYS, clips.way),
        "speed": (tuple(SPEEDS), clips.speed),
        "occluded": (QUARTERS, torch.where(asked, 2 * below + right, -1)),
        "event": (EVENTS, events(clips)[0]),
        "shape": (SHAPES, clips.still.shapes[:, MAIN]),
        "colour": (COLOURS[:IVORY], clips.still.hues[:, MAIN]),
    }
    return {question: LabelSet(names, values) for question, (names, values) in answers.items()}


def events(clips: Clips) -> tuple[Int64[Tensor, " b"], Int64[Tensor, " b"]]:
    """(which of EVENTS, -1 where it is in doubt; first time at which it has happened, -1 where none has).

    The main object passes behind the screen when its centre is behind it, half a radius from the edge or more, in at
    least 2 frames, and not behind it in at least 2; where its centre never is, it does not. The form does not matter,
    or the event would tell the shape. Frames under the lid do not count.
    """
    event, when = clips.change.clone(), clips.when.clone()
    counts = ~clips.present[:, :, LID]
    away = (clips.positions[:, :, MAIN] - clips.positions[:, :, SCREEN]).abs().amax(2)
    depth = SCREEN_SIDE / 2 * min(1.0, clips.still.width) - away  # of the centre behind the screen
    hidden, clear = (depth >= clips.still.radii[:, MAIN, None] / 2) & counts, (depth < 0) & counts
    behind = (hidden.sum(1) >= 2) & (clear.sum(1) >= 2)
    passes = torch.where(behind, EVENTS.index("passes behind"), torch.where((clear == counts).all(1), 0, -1))
    still = event == 0
    event[still] = passes[still]
    when[still] = torch.where(behind, hidden.long().argmax(1), -1)[still]
    return event, when
