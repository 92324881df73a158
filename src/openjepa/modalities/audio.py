"""Sounds: bytes of a file to a waveform, waveforms to log-mel spectrograms, spectrograms to patches."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Shaped
from torch import Tensor

from openjepa.draws import Rows, key, uniform
from openjepa.modalities import sound
from openjepa.modalities.drawn import Drawn
from openjepa.modalities.fbank import fbank, frame_samples
from openjepa.modalities.grid import Grid, numbered
from openjepa.modalities.modality import BadSample, Decoded

SHADES = np.array([(4, 4, 20), (58, 15, 98), (138, 34, 106), (210, 66, 67), (246, 132, 24), (252, 205, 60), (255, 253, 220)], np.float64)
RANGE = 1.25  # a picture shows views from -RANGE to RANGE: two and a half standard deviations either way


@dataclass(frozen=True, kw_only=True)
class Audio(Grid):
    """Log-mel spectrograms [1 time mel] of mono sounds; the defaults are AudioMAE's and A-JEPA's (arXiv:2207.06405, 2311.15830).

    A view has size[0] frames. Long sounds are cut in time; a short one is followed by zeros, put in before
    normalising, as AudioMAE does, or with short="repeat" said again and again, as in A-JEPA.
    """

    kind: ClassVar[str] = "sounds"
    suffixes: ClassVar[frozenset[str]] = frozenset(
        ".wav .wave .flac .ogg .oga .opus .mp3 .aif .aiff .au .caf .w64 .m4a .aac .m4b .mka .weba .mp4 .webm .mkv .mov".split()  # noqa: SIM905  one line to read
    )
    timed: ClassVar[bool] = True
    decoded_by: ClassVar[tuple[str, ...]] = ("rate", "window_ms")

    channels: int = 1
    size: tuple[int, int] = (1024, 128)  # frames, mel bands
    patch: tuple[int, int] = (16, 16)  # frames, mel bands
    rate: int = 16_000  # samples per second, to which every file is brought
    window_ms: float = 25.0
    hop_ms: float = 10.0  # from frame to frame
    short: Literal["pad", "repeat"] = "pad"
    gain: float = 0.0  # training views are louder or softer by up to so many dB; 6 in A-JEPA
    mean: float | None = None  # of the log-mel values of the data; None: taken from it before training
    std: float | None = None  # what is read is (log-mel - mean) / (2 std), AudioMAE's convention

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels != 1:
            raise ValueError(f"channels is {self.channels}; sounds are read as mono, so it must be 1")
        if not sound.RATES[0] <= self.rate <= sound.RATES[1]:
            raise ValueError(f"rate is {self.rate}; it must be from {sound.RATES[0]} to {sound.RATES[1]} samples per second")
        window, hop = frame_samples(self.rate, self.window_ms, self.hop_ms)
        if window < 2 or hop < 1:
            raise ValueError(
                f"window_ms is {self.window_ms:g}, hop_ms {self.hop_ms:g}; at {self.rate} Hz these are {window} and {hop} samples"
            )
        if self.short not in ("pad", "repeat"):
            raise ValueError(f"short is {self.short!r}; short sounds are followed by zeros ('pad') or repeated ('repeat')")
        if not 0 <= self.gain < math.inf:
            raise ValueError(f"gain is {self.gain}; it is a number of dB, 0 or more")
        if self.std is not None and not self.std > 0:
            raise ValueError(f"std is {self.std}; it must be above 0")

    @property
    def settled(self) -> bool:
        return self.mean is not None and self.std is not None

    def samples(self, frames: int) -> int:
        """Waveform samples that so many frames read."""
        window, hop = frame_samples(self.rate, self.window_ms, self.hop_ms)
        return (frames - 1) * hop + window

    def decode(self, data: bytes | Sequence[bytes], at: float | None = None) -> Decoded:
        """The waveform, float32 [1 n] in [-1, 1] at `rate`, mono; with `at` only what a view there needs (see sound.py).

        BadSample says why a file cannot be used.
        """
        if not isinstance(data, bytes):
            raise BadSample("several files; a sound is one file")
        wave, note = sound.decode(data, self.rate, at, self.samples(self.size[0]))
        if wave.shape[1] < self.samples(1):
            raise BadSample(f"too short: {wave.shape[1]} samples at {self.rate} Hz, one window has {self.samples(1)}")
        return Decoded(wave, note)

    def cut(self, sample: Shaped[Tensor, "1 n"], at: float) -> Shaped[Tensor, "1 m"]:
        """The part at `at` in [0, 1) that one view needs; all of a short sound."""
        first, count = sound.span(sample.shape[1], self.samples(self.size[0]), at)
        return sample[:, first : first + count]

    def settle(self, samples: Sequence[Tensor]) -> "Audio":
        """Mean and std, where they are None, over all frames of the middle of these sounds; padding does not count."""
        if self.mean is not None and self.std is not None:
            return self
        parts = [self.spectrogram(self.cut(sample, 0.5)).double() for sample in samples]
        if not parts:
            raise ValueError("no sounds to take mean and std from; set mean and std")
        values = torch.cat([part.flatten() for part in parts])
        mean, std = round(values.mean().item(), 4), round(values.std(correction=0).item(), 4)
        if not std > 0:
            raise ValueError(
                f"all of {len(parts)} sounds have the same value {mean} everywhere, as silence has; set mean and std, or look at the data"
            )
        return replace(self, mean=mean if self.mean is None else self.mean, std=std if self.std is None else self.std)

    def augment(self, samples: Sequence[Tensor] | Tensor, seed: int, step: int, rows: Rows) -> Float32[Tensor, "b 1 t f"]:
        """Normalised views: gain of its own and, with short="repeat", a random place to begin; pure in (seed, step, row)."""
        u = uniform(seed, step, rows, 2, "sound")
        gains = 10 ** (self.gain * (2 * u[:, 0] - 1) / 20)
        return self.views(samples, self.size, gains.tolist(), u[:, 1].tolist())

    def center(self, samples: Sequence[Tensor] | Tensor, size: tuple[int, ...] | None = None) -> Float32[Tensor, "b 1 t f"]:
        """Normalised views of the sounds as they are; of longer ones than a view, the middle."""
        return self.views(samples, size or self.size, [1.0] * len(samples), [0.0] * len(samples))

    def example(self, seed: int, row: int) -> Float32[Tensor, "1 n"]:
        """Made noise, a little longer than a view."""
        generator = torch.Generator().manual_seed(key(seed, row, "example") % 2**63)
        return 0.1 * torch.randn(1, self.samples(self.size[0]) + 77, generator=generator)

    def views(
        self, samples: Sequence[Tensor] | Tensor, size: tuple[int, ...], gains: Sequence[float], begins: Sequence[float]
    ) -> Float32[Tensor, "b 1 t f"]:
        if self.mean is None or self.std is None:
            raise ValueError("mean and std of the spectrograms are not known; call settle(samples) first, or set mean and std")
        frames, bands = size
        length, out = self.samples(frames), torch.zeros(len(samples), 1, frames, bands)
        for view, sample, gain, begin in zip(out, samples, gains, begins, strict=True):
            first, count = sound.span(sample.shape[1], length, 0.5)
            sample = sample[:, first : first + count]
            if self.short == "repeat" and count < length:
                sample = sample[:, (int(begin * count) + torch.arange(length)) % count]
            found = self.spectrogram(sample, gain, bands)
            view[0, : len(found)] = found
        return out.sub_(self.mean).div_(2 * self.std)

    def spectrogram(self, sample: Shaped[Tensor, "1 n"], gain: float = 1.0, bands: int | None = None) -> Float32[Tensor, "t f"]:
        """Log-mel values, not normalised, of a waveform less its mean; one shorter than a window is followed by silence."""
        wave = (sample.float() - sample.double().mean().float()) * gain
        wave = torch.nn.functional.pad(wave, (0, max(0, self.samples(1) - wave.shape[1])))
        return fbank(wave, self.rate, bands or self.size[1], self.window_ms, self.hop_ms)[0]

    def pool(
        self, values: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, size: tuple[int, ...] | None = None
    ) -> Float[Tensor, "b e"]:
        """The mean over time, bands side by side: what is high is not what is low (as M2D does, arXiv:2210.14648)."""
        pooled: Tensor = values.unflatten(1, self.places(size or self.size)).mean(1).flatten(1)
        return pooled

    def summary(self, x: Shaped[Tensor, "b 1 t f"]) -> Float32[Tensor, "b d"]:
        """Mean and std over time of each mel band."""
        spectra = x[:, 0].float()
        return torch.cat([spectra.mean(1), spectra.std(1, correction=0)], 1)

    def upright(self, x: Shaped[Tensor, "*rest t f"]) -> Shaped[Tensor, "*rest f t"]:
        """Time along the rows of a picture, low frequencies at the bottom: for views and for masks [*grid] alike."""
        return x.transpose(-1, -2).flip(-2)

    def draw(self, x: Shaped[Tensor, "1 t f"]) -> Drawn:
        """A spectrogram, time to the right, low frequencies at the bottom: dark is quiet, bright is loud, always on the same scale."""
        level = self.upright(x[0].float().cpu()).numpy().astype(np.float64)
        at = ((np.nan_to_num(level) + RANGE) / (2 * RANGE)).clip(0, 1) * (len(SHADES) - 1)
        colours = np.stack([np.interp(at, np.arange(len(SHADES)), SHADES[:, channel]) for channel in range(3)], -1)
        tokens = self.upright(numbered(self.places(tuple(x.shape[1:])), self.patch))
        return Drawn(torch.from_numpy(colours.round().astype(np.uint8))[None], tokens[None])
