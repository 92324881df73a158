"""Events to waveforms, by arithmetic alone."""

import math

import numpy as np
from numpy.typing import NDArray

from openjepa.data.worlds.events import DURATION, PARTIALS, PIP, SOUNDS, Events
from openjepa.draws import uniform

HARMONIC = np.arange(1.0, PARTIALS + 1)
BELL = np.array([1.0, 1.52, 2.43, 3.71])  # no two of them harmonics of one tone
ATTACK, RELEASE = 0.01, 0.02  # seconds
REFERENCE = 0.5  # seconds that a noise of RMS `level` would last with the energy of a main event
BREADTH = 0.3  # of the band of a noise around each partial, as a share of the pitch
Floats = NDArray[np.float64]


def render(events: Events, rate: int, seconds: float) -> Floats:
    """Waveforms in [-1, 1]: background, pips and the main event."""
    n, longest = round(rate * seconds), DURATION[1] * seconds
    waves = np.zeros((len(events.sound), n + math.ceil(longest * rate)))  # a sound is added whole, its silence, too
    waves[:, :n] = background(events, rate, n)
    for pip in range(events.present.shape[1]):
        shape = pips(events, rate, pip) * events.present[:, pip, None]
        add(waves, events.pip_start[:, pip], shape, rate)
    add(waves, events.start, main(events, rate, longest), rate)
    return waves[:, :n].clip(-1, 1)


def add(waves: Floats, start: Floats, sounds: Floats, rate: int) -> None:
    """Add each sound to its wave, from the first sample at or after `start` seconds on."""
    at = np.ceil(start * rate).astype(np.int64)[:, None] + np.arange(sounds.shape[1])
    waves[np.arange(len(waves))[:, None], at] += sounds


def clock(start: Floats, duration: float, rate: int) -> Floats:
    """Seconds since `start` of the samples from there on that may belong to an event of at most `duration`."""
    return (np.ceil(start * rate) / rate - start)[:, None] + np.arange(math.ceil(duration * rate)) / rate


def main(events: Events, rate: int, longest: float) -> Floats:
    """The main events, all of `longest` seconds: the class says how the pitch moves and which partials sound, and nothing else."""
    t = clock(events.start, longest, rate)
    waves = np.zeros(t.shape)
    # Partials fade towards the Nyquist frequency, in each class where those of the widest glide would
    top = HARMONIC * (events.pitch * 2 ** (events.glide / 2))[:, None]
    amplitude = events.timbre * ((0.47 - top / rate) / 0.05).clip(0, 1)
    for number, name in enumerate(SOUNDS):
        rows = np.flatnonzero(events.sound == number)
        if not len(rows):
            continue
        turns = cycles(name, events, rows, t[rows])
        for partial, ratio in enumerate(BELL if name == "bell" else HARMONIC):
            angle = ratio * turns + events.phase[rows, partial, None]
            part = sine(angle)
            if name == "noise":
                inner, outer = (wander(events, rows, t[rows], 2 * partial + i) for i in range(2))
                part = part * inner + sine(angle + 0.25) * outer
            waves[rows] += amplitude[rows, partial, None] * part
    waves *= envelope(t, events.duration, events.decay)
    energy = (waves**2).sum(1) / rate
    waves *= (events.level * np.sqrt(REFERENCE / np.maximum(energy, 1e-12)))[:, None]
    return waves


def cycles(name: str, events: Events, rows: NDArray[np.int64], t: Floats) -> Floats:
    """Periods of the lowest partial since the beginning."""
    turns: Floats
    pitch, duration, glide, speed = (v[rows, None] for v in (events.pitch, events.duration, events.glide, events.speed))
    if name in ("rise", "fall"):  # octaves per second are constant
        octaves = glide / duration * (1 if name == "rise" else -1)
        first = 2 ** (-octaves * duration / 2)
        turns = pitch * first * (2 ** (octaves * t) - 1) / (octaves * math.log(2))
    elif name == "warble":
        swing = 2 ** (glide / 8) - 1
        turns = pitch * (t - swing * (np.cos(2 * math.pi * speed * t) - 1) / (2 * math.pi * speed))
    else:
        turns = pitch * t
    return turns


def sine(turns: Floats) -> Floats:
    """Sine of so many whole turns; in float32 after the whole turns are dropped, which is twice as fast."""
    wave: Floats = np.sin((turns - np.floor(turns)).astype(np.float32) * np.float32(2 * math.pi)).astype(np.float64)
    return wave


def wander(events: Events, rows: NDArray[np.int64], t: Floats, which: int) -> Floats:
    """A random number that changes smoothly, as fast as the noise band is broad."""
    at = t * (BREADTH * events.pitch[rows, None])
    knots = math.ceil(float(at.max(initial=0))) + 2
    values = uniform(0, which, events.grain[rows].tolist(), knots, "soundscape.band") - 0.5
    left = at.astype(np.int64)
    share = at - left
    share = share * share * (3 - 2 * share)
    return np.take_along_axis(values, left, 1) * (1 - share) + np.take_along_axis(values, left + 1, 1) * share


def envelope(t: Floats, duration: Floats, decay: Floats) -> Floats:
    """Loudness over an event: up within ATTACK, down by `decay` nepers, off within RELEASE; 0 outside."""
    left = duration[:, None] - t
    edge = smooth(t / ATTACK) * smooth(left / RELEASE)
    return edge * np.exp(-(decay / duration)[:, None] * t)


def smooth(x: Floats) -> Floats:
    x = x.clip(0, 1)
    return x * x * (3 - 2 * x)


def pips(events: Events, rate: int, pip: int) -> Floats:
    """One short pure tone for each clip."""
    t = clock(events.pip_start[:, pip], PIP, rate)
    window = np.where(t < PIP, 0.5 - 0.5 * np.cos(2 * math.pi * t / PIP), 0.0)
    wave: Floats = events.pip_level[:, pip, None] * window * sine(events.pip_pitch[:, pip, None] * t)
    return wave


def background(events: Events, rate: int, n: int) -> Floats:
    """Coloured noise whose loudness swells."""
    if not events.hush.any():
        return np.zeros((len(events.hush), n))
    white = uniform(0, 0, events.grain.tolist(), n, "soundscape.noise") - 0.5
    bins = np.arange(n // 2 + 1) * (rate / n)
    shape = np.maximum(bins, 50.0) ** (-events.tilt[:, None] / 2)
    shape /= np.sqrt((shape**2).mean(1, keepdims=True) / 12)  # 1 / 12 is the variance of the white noise
    depth, speed, phase = events.swell.T[:, :, None]
    loudness = 1 + depth * np.sin(2 * math.pi * (speed * np.arange(n) / rate + phase))
    noise: Floats = np.fft.irfft(np.fft.rfft(white) * shape, n) * loudness * events.hush[:, None]
    return noise
