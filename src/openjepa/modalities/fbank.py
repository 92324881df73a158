"""Log-mel filter bank, equal to `torchaudio.compliance.kaldi.fbank` with AudioMAE's arguments (arXiv:2207.06405) within 5e-4.

Single values of a faint band beside loud ones may differ by 2e-3: float32's own noise, in theirs more than in ours.
"""

from functools import lru_cache

import torch
from jaxtyping import Float, Float32
from torch import Tensor

EPS = 1.1920929e-07  # float32's: the least energy whose logarithm is taken, so that silence is -15.9424
LOW = 20.0  # Hz, where the lowest filter begins
PREEMPHASIS = 0.97


def fbank(
    waves: Float[Tensor, "b n"], rate: int, bands: int = 128, window_ms: float = 25.0, hop_ms: float = 10.0
) -> Float32[Tensor, "b t f"]:
    """Natural log of mel energies of waves in [-1, 1] (not scaled to 16 bits), 1 + (n - window) // hop frames; no dither.

    Frames lie wholly inside the wave ("snip edges"). ValueError where it is shorter than one window.
    """
    window, hop = frame_samples(rate, window_ms, hop_ms)
    if waves.shape[1] < window:
        raise ValueError(f"{waves.shape[1]} samples at {rate} Hz are shorter than one window of {window}; pad the sound")
    # One wave at a time: its numbers stay in the processor's cache, and its bits cannot depend on the batch
    return torch.stack([spectrum(wave, rate, bands, window, hop) for wave in waves.float()])


def spectrum(wave: Float32[Tensor, " n"], rate: int, bands: int, window: int, hop: int) -> Float32[Tensor, "t f"]:
    frames = wave.unfold(0, window, hop)
    frames = frames - frames.mean(1, keepdim=True)
    before = torch.cat([frames[:, :1], frames[:, :-1]], 1)
    frames = (frames - PREEMPHASIS * before).mul_(hann(window))
    power = torch.view_as_real(torch.fft.rfft(frames, n=padded(window))).square_().sum(-1)
    return (power @ filters(rate, bands, padded(window))).clamp_(min=EPS).log_()


def frame_samples(rate: int, window_ms: float, hop_ms: float) -> tuple[int, int]:
    """Samples of a window and from one window to the next; fractions are dropped, as Kaldi does."""
    return int(rate * 0.001 * window_ms), int(rate * 0.001 * hop_ms)


def padded(window: int) -> int:
    """Length of the Fourier transform: the power of two that holds a window."""
    return 1 << (window - 1).bit_length()


@lru_cache(8)
def hann(window: int) -> Float32[Tensor, " window"]:
    return torch.hann_window(window, periodic=False, dtype=torch.float64).float()


@lru_cache(8)
def filters(rate: int, bands: int, length: int) -> Float32[Tensor, "bins bands"]:
    """Weight of every frequency in every band: triangles on the mel scale from 20 Hz to half the rate, peak 1.

    With many bands some may lie between two frequencies and stay empty: one of 128 at 16 kHz, as in the original.
    """
    bins = torch.arange(length // 2 + 1, dtype=torch.float64) * (rate / length)
    low, high = mel(torch.tensor([LOW, rate / 2], dtype=torch.float64)).tolist()
    step = (high - low) / (bands + 1)
    left = low + step * torch.arange(bands, dtype=torch.float64)
    at = mel(bins)[:, None]
    weights = torch.minimum((at - left) / step, (left + 2 * step - at) / step).clamp(min=0)
    weights[-1] = 0  # Kaldi leaves the Nyquist frequency out
    return weights.float()


def mel(hertz: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    return 1127 * torch.log1p(hertz / 700)
