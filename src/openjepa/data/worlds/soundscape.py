"""The soundscape: one sound that lasts and some short pips over a background, with exact labels and no download.

Four questions with one right answer each, all about the same clip: what `sound` the main event is, in which `register` its
pitch and in which third of the `time` its middle lies, and the `count` of all events. The six sounds have the same
loudness, durations, envelopes and amplitudes of partials, drawn without looking at the sound, so nothing but how
its pitch moves and which partials it has gives it away. Everything is a pure function of (seed, row).
"""

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from openjepa.data.labels import LabelSet
from openjepa.data.worlds.events import HIGHEST, LOWEST, MOST_EVENTS, REGISTERS, SOUNDS, Events, sample
from openjepa.data.worlds.synthesis import render
from openjepa.draws import Rows

VERSION = 1  # of the sounds: rises when the same (seed, row) gives other samples
TOGETHER = 2**22  # samples computed at a time: what is in memory, times eight bytes and some arrays
NAMES = ("lowest", "low", "middle", "high", "highest")
TIMES = ("early", "middle", "late")


@dataclass(frozen=True, kw_only=True)
class Soundscape:
    """`count` sound clips, numbered; another `seed` gives other clips, so train and test never meet."""

    kind: ClassVar[str] = "sounds"

    count: int = 20_000
    seed: int = 0
    rate: int = 16_000  # samples per second
    seconds: float = 2.0
    noise: float = 0.5  # background, 0..1: RMS of 0.02 to 0.04 x noise of full scale
    events: int = 4  # at most, the main one included: each number from 1 to `events` equally often

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count={self.count} clips; a world has at least 1")
        if not 8_000 <= self.rate <= 192_000:
            raise ValueError(f"rate={self.rate}; from 8000 to 192000 samples per second are wanted")
        if not 1 <= self.seconds <= 60:
            raise ValueError(f"seconds={self.seconds:g}; from 1 to 60 are wanted")
        if not 0 <= self.noise <= 1:
            raise ValueError(f"noise={self.noise:g}; a number from 0 (none) to 1 is wanted")
        if not 1 <= self.events <= MOST_EVENTS:
            raise ValueError(f"events={self.events}; from 1 to {MOST_EVENTS} find room in a clip")

    def __len__(self) -> int:
        return self.count

    @property
    def fingerprint(self) -> str:
        """Hash of everything the clips depend on."""
        text = f"soundscape {VERSION} {self.count} {self.seed} {self.rate} {float(self.seconds)!r} {float(self.noise)!r} {self.events}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the sounds: the question to ask when only one is asked."""
        return SOUNDS

    def name(self, row: int) -> str:
        """What to call a row on a page."""
        return f"soundscape seed {self.seed} row {row}"

    def sample(self, rows: Rows) -> Events:
        """What happens in `rows`. Raises ValueError for a row outside 0..count-1."""
        index = np.asarray(rows, np.int64)
        if len(index) and not (index.min() >= 0 and index.max() < self.count):
            raise ValueError(f"rows {index.min()}..{index.max()} of a world with rows 0..{self.count - 1}; raise count or ask for fewer")
        return sample(self.seed, rows, seconds=self.seconds, noise=self.noise, events=self.events)

    def read(self, rows: Rows, at: object = None) -> Float32[Tensor, "b 1 n"]:
        """The whole clips of `rows`, in [-1, 1]; no row can be unreadable. Who needs a part in time cuts it."""
        together = max(1, int(TOGETHER / (self.rate * self.seconds)))
        waves = torch.empty(len(rows), 1, round(self.rate * self.seconds))
        for first in range(0, len(rows), together):
            some = slice(first, first + together)
            waves[some, 0] = torch.from_numpy(render(self.sample(rows[some]), self.rate, self.seconds)).float()
        return waves

    @cached_property
    def labels(self) -> dict[str, LabelSet]:
        """sound, register, time and count of every row: from the events, nothing is played."""
        return labels(self.sample(range(self.count)), self.seconds, self.events)


def labels(events: Events, seconds: float, most: int) -> dict[str, LabelSet]:
    """The four right answers for each clip; `most` is the largest count that is a class."""
    register = np.log(events.pitch / LOWEST) / math.log(HIGHEST / LOWEST) * REGISTERS
    third = (events.start + events.duration / 2) * 3 / seconds
    answers = {
        "sound": (SOUNDS, events.sound),
        "register": (NAMES, register.astype(np.int64).clip(0, REGISTERS - 1)),
        "time": (TIMES, third.astype(np.int64).clip(0, 2)),
        "count": (tuple(str(n + 1) for n in range(most)), events.present.sum(1)),
    }
    return {question: LabelSet(names, torch.from_numpy(values)) for question, (names, values) in answers.items()}
