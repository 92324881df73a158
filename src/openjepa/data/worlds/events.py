"""What sounds in a soundscape and when: every number from (seed, row), one named stream of random numbers for each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray as Array
from numpy.typing import NDArray

from openjepa import draws
from openjepa.draws import Rows

SOUNDS = ("tone", "rise", "fall", "warble", "bell", "noise")
MOST_EVENTS = 6  # more pips would not find room beside the longest main event
REGISTERS = 5
LOWEST, HIGHEST = 160.0, 1600.0  # Hz, of the main event; each register is 8 semitones wide
PARTIALS = 4
PIP = 0.04  # seconds
DURATION = 0.2, 0.35  # of the main event, as a share of the clip
_GAP = 0.03  # seconds kept free between events, and as a share on either side of a line between registers or thirds
_TRIES = 24  # times tried for a pip

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Events:
    """The main event of each clip, its pips and its background. Times in seconds, pitches in Hz, levels of 1 at full scale."""

    sound: Int64[Array, " b"]  # of the main event, number in SOUNDS
    pitch: Float64[Array, " b"]  # of its lowest partial, at its middle where it glides
    start: Float64[Array, " b"]
    duration: Float64[Array, " b"]
    level: Float64[Array, " b"]  # its energy is that of a noise of this RMS that lasts half a second
    decay: Float64[Array, " b"]  # nepers from its beginning to its end
    timbre: Float64[Array, "b partials"]  # amplitudes
    phase: Float64[Array, "b partials"]  # turns
    glide: Float64[Array, " b"]  # octaves that a rise or fall covers; a warble swings by an eighth of it either way
    speed: Float64[Array, " b"]  # swings of a warble per second
    present: Bool[Array, "b pips"]
    pip_start: Float64[Array, "b pips"]
    pip_pitch: Float64[Array, "b pips"]
    pip_level: Float64[Array, "b pips"]  # amplitude
    tilt: Float64[Array, " b"]  # the background's power falls as frequency^-tilt
    hush: Float64[Array, " b"]  # its RMS
    swell: Float64[Array, "b 3"]  # depth, swings per second and phase in turns of its loudness
    grain: Int64[Array, " b"]  # which noise


def sample(seed: int, rows: Rows, *, seconds: float, noise: float, events: int) -> Events:
    """Clip i is a pure function of (seed, rows[i]) and the settings. `noise` changes the background's loudness and nothing else,
    `events` the pips. Nothing but `sound` looks at the sound, so nothing else can tell it."""
    u = partial(_draw, seed, np.asarray(rows, np.int64).tolist())
    pips = events - 1
    duration = seconds * _between(u("duration"), DURATION)[:, 0]
    centre = _middle(u("time", 2), duration, seconds)
    register = np.floor(u("register")[:, 0] * REGISTERS) + _inside(u("pitch")[:, 0])
    return Events(
        sound=(u("sound")[:, 0] * len(SOUNDS)).astype(np.int64),
        pitch=LOWEST * (HIGHEST / LOWEST) ** (register / REGISTERS),
        start=centre - duration / 2,
        duration=duration,
        level=_between(u("level"), (math.log(0.05), math.log(0.1)), np.exp)[:, 0],
        decay=_between(u("decay"), (0.0, 3.0))[:, 0],
        timbre=np.concatenate([np.ones((len(duration), 1)), _between(u("timbre", PARTIALS - 1), (0.2, 0.8))], 1),
        phase=u("phase", PARTIALS),
        glide=_between(u("glide"), (0.7, 1.0))[:, 0],
        speed=_between(u("speed"), (5.0, 9.0))[:, 0],
        present=np.arange(1, events) <= (u("count") * events).astype(np.int64),
        pip_start=_pip_times(u("pip.time", pips * _TRIES).reshape(len(duration), pips, _TRIES), centre, duration, seconds) - PIP / 2,
        pip_pitch=_between(u("pip.pitch", pips), (math.log(LOWEST), math.log(HIGHEST)), np.exp),
        pip_level=_between(u("pip.level", pips), (math.log(0.08), math.log(0.16)), np.exp),
        tilt=_between(u("tilt"), (0.0, 1.5))[:, 0],
        hush=noise * _between(u("hush"), (math.log(0.02), math.log(0.04)), np.exp)[:, 0],
        swell=np.stack([0.4 * u("swell")[:, 0], _between(u("swell.speed"), (0.3, 2.0))[:, 0], u("swell.phase")[:, 0]], 1),
        grain=(u("grain")[:, 0] * 2.0**53).astype(np.int64),
    )


def _draw(seed: int, rows: Sequence[int], what: str, count: int = 1) -> _Floats:
    return draws.uniform(seed, 0, rows, count, f"soundscape.{what}")


def _between(u: _Floats, ends: tuple[float, float], through: np.ufunc = np.positive) -> _Floats:
    values: _Floats = through(ends[0] + (ends[1] - ends[0]) * u)
    return values


def _inside(u: _Floats) -> _Floats:
    """A place in a cell of width 1, never so near its border that the answer is in doubt."""
    return _between(u, (_GAP, 1 - _GAP))


def _middle(u: _Floats, duration: _Floats, seconds: float) -> _Floats:
    """Middle of the main event, [b]: each third equally often, then anywhere in it that leaves the event whole."""
    third = np.floor(u[:, 0] * 3)
    low = np.maximum((third + _GAP) * seconds / 3, duration / 2)
    high = np.minimum((third + 1 - _GAP) * seconds / 3, seconds - duration / 2)
    middle: _Floats = low + (high - low) * u[:, 1]
    return middle


def _pip_times(u: _Floats, centre: _Floats, duration: _Floats, seconds: float) -> _Floats:
    """Middle of each pip, [b pips]: the first of its tries that is apart from all other events; else the loneliest."""
    taken, reach = [centre], [duration / 2 + PIP / 2 + _GAP]
    everyone = np.arange(len(u))
    for pip in range(u.shape[1]):
        times = _between(u[:, pip], (PIP / 2, seconds - PIP / 2))
        room = np.min([abs(times - at[:, None]) - least[:, None] for at, least in zip(taken, reach, strict=True)], axis=0)
        choice = np.where((room >= 0).any(1), (room >= 0).argmax(1), room.argmax(1))
        taken.append(times[everyone, choice])
        reach.append(np.full(len(u), PIP + _GAP))
    return np.stack(taken[1:], 1) if len(taken) > 1 else np.zeros((len(u), 0))
