"""The filter bank against a slow loop in float64, Kaldi's own code, numbers of torchaudio and closed forms."""

import math

import numpy as np
import pytest
import torch

from openjepa.draws import uniform
from openjepa.modalities.fbank import fbank, filters, frame_samples, padded

# Lines 0, 5 and 10, every bands // 5th band, of torchaudio.compliance.kaldi.fbank 2.11.0 (htk_compat=True, use_energy=False,
# window_type="hanning", dither=0, frame_shift=10) for `made(rate)`; made by running its file beside this test's wave
GOLDEN = {
    (
        16000,
        128,
    ): "-1.28375 -5.78683 -2.3398 -.76034 -.89688 2.24016 -9.07135 -3.88816 -2.70831 -.9357 2.24957 2.26309 -5.90678 -5.03889 -2.4383 "
    "-1.1931 1.60009 2.01569",
    (
        16000,
        80,
    ): "-.81205 -5.183 -.74817 -.34912 1.15684 -8.94996 -2.72982 -1.27553 -.53599 .80677 -6.06527 -5.22209 -2.71417 -.34898 1.73144",
    (8000, 40): "-.77456 -3.77927 -.85267 .29448 1.57143 .24075 -3.64152 -.53857 .23668 1.31409 -.3602 -4.05689 -.94996 -.37081 .33402",
    (
        44100,
        128,
    ): "-4.51522 -5.41873 -2.96061 2.37534 3.55035 5.32955 -5.53802 -4.14015 -.98255 1.59209 3.54724 4.67942 -6.95426 -3.37539 6.10424 "
    ".53731 3.35304 5.21644",
}


def made(rate: int) -> torch.Tensor:
    """An eighth of a second of a rising tone in noise."""
    t = np.arange(rate // 8)
    noise = uniform(0, 0, [0], len(t), "golden")[0] - 0.5
    return torch.from_numpy((0.4 * np.sin(0.02 * t + 3e-5 * t * t) + 0.2 * noise).astype(np.float32))[None]


def noise(n: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 0.1, (2, n)).astype(np.float32))


def slow(wave: np.ndarray, rate: int, bands: int, window_ms: float, hop_ms: float) -> np.ndarray:
    """One frame, one frequency and one band at a time, in float64, with a Fourier sum instead of an FFT."""
    window, hop = int(rate * window_ms / 1000), int(rate * hop_ms / 1000)
    length = 2 ** math.ceil(math.log2(window))
    top, bottom = 1127 * math.log(1 + rate / 2 / 700), 1127 * math.log(1 + 20 / 700)
    step = (top - bottom) / (bands + 1)
    lines = []
    for start in range(0, len(wave) - window + 1, hop):
        x = wave[start : start + window].astype(np.float64)
        x = x - x.mean()
        x = np.array([x[i] - 0.97 * x[max(i - 1, 0)] for i in range(window)])
        x *= [0.5 - 0.5 * math.cos(2 * math.pi * i / (window - 1)) for i in range(window)]
        energies = np.zeros(bands)
        for k in range(length // 2):
            power = abs(np.dot(x, np.exp(-2j * math.pi * k / length * np.arange(window)))) ** 2
            at = 1127 * math.log(1 + k * rate / length / 700)
            for band in range(bands):
                left = bottom + band * step
                energies[band] += power * max(0, min((at - left) / step, (left + 2 * step - at) / step))
        lines.append(np.log(np.maximum(energies, 1.1920929e-7)))
    return np.array(lines)


@pytest.mark.parametrize(("rate", "bands", "window_ms", "hop_ms"), [(16000, 128, 25, 10), (8000, 23, 25, 10), (11025, 40, 20, 7)])
def test_a_slow_loop(rate, bands, window_ms, hop_ms):
    waves = noise(int(rate * 0.05))
    got = fbank(waves, rate, bands, window_ms, hop_ms)
    want = np.stack([slow(wave.numpy(), rate, bands, window_ms, hop_ms) for wave in waves])
    assert got.shape == want.shape and got.dtype == torch.float32
    assert abs(got.numpy() - want).max() < 5e-4


@pytest.mark.parametrize(("rate", "bands"), GOLDEN)
def test_torchaudio(rate, bands):
    got = fbank(made(rate), rate, bands)[0]
    assert got.shape == (11, bands)
    want = torch.tensor([float(v) for v in GOLDEN[rate, bands].split()])
    assert (got[[0, 5, 10]][:, :: bands // 5].flatten() - want).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("rate", "bands", "window_ms", "hop_ms"),
    [(16000, 80, 25, 10), (16000, 40, 32, 16), (16000, 112, 25, 10), (8000, 80, 25, 10), (22050, 128, 25, 10), (44100, 128, 25, 10)],
)
def test_kaldi(rate, bands, window_ms, hop_ms):
    """Its C++ code, which refuses bands that no frequency falls in: 128 at 16 kHz are left to the other tests."""
    kaldi = pytest.importorskip("kaldi_native_fbank")
    options = kaldi.FbankOptions()
    frames = options.frame_opts
    frames.samp_freq, frames.frame_length_ms, frames.frame_shift_ms, frames.dither, frames.window_type = (
        rate,
        window_ms,
        hop_ms,
        0,
        "hanning",
    )
    options.mel_opts.num_bins, options.use_energy, options.energy_floor, options.htk_compat = bands, False, 0, True
    theirs = kaldi.OnlineFbank(options)
    wave = noise(rate)[0]
    theirs.accept_waveform(rate, wave.numpy())
    theirs.input_finished()
    want = np.stack([theirs.get_frame(i) for i in range(theirs.num_frames_ready)])
    got = fbank(wave[None], rate, bands, window_ms, hop_ms)[0].numpy()
    assert got.shape == want.shape
    assert abs(got - want)[want > -9].max() < 5e-4 and abs(got - want).mean() < 1e-5
    assert abs(got - want).max() < 2e-3  # single faint values, beside loud ones in the frame, are float32's noise in both


def test_silence_is_the_logarithm_of_epsilon():
    """A constant, too: each frame loses its mean."""
    for wave in (torch.zeros(1, 4000), torch.full((1, 4000), 0.5)):
        assert torch.allclose(fbank(wave, 16000), torch.tensor(math.log(1.1920929e-7)))
    assert math.log(1.1920929e-7) == pytest.approx(-15.9424, abs=1e-4)


def test_twice_as_loud_is_four_times_the_energy():
    wave = noise(8000)
    assert (fbank(2 * wave, 16000, 40) - fbank(wave, 16000, 40) - math.log(4)).abs().max() < 1e-4


@pytest.mark.parametrize("hertz", [200, 1000, 5000])
def test_a_tone_is_loudest_in_its_band(hertz):
    wave = torch.sin(2 * math.pi * hertz * torch.arange(8000) / 16000)[None]
    edges = np.linspace(*(1127 * np.log(1 + np.array([20, 8000]) / 700)), 82)  # of 80 triangles, each over two steps
    band = np.abs(edges[1:-1] - 1127 * math.log(1 + hertz / 700)).argmin()
    assert (fbank(wave, 16000, 80)[0].argmax(1) == band).all()


def test_frames_lie_inside():
    for n, frames in ((400, 1), (559, 1), (560, 2), (160_000, 998)):
        assert fbank(torch.zeros(1, n), 16000).shape == (1, frames, 128)
    with pytest.raises(ValueError, match="shorter than one window of 400"):
        fbank(torch.zeros(1, 399), 16000)


def test_kaldi_drops_fractions():
    assert frame_samples(11025, 25, 10) == (275, 110)
    assert frame_samples(44100, 25, 10) == (1102, 441)
    assert [padded(n) for n in (400, 512, 513)] == [512, 512, 1024]


def test_one_of_128_bands_is_empty():
    """As in the original: at 512 points and 16 kHz."""
    assert (filters(16000, 128, 512).sum(0) == 0).sum() == 1
    assert (filters(16000, 80, 512).sum(0) == 0).sum() == 0
    assert (filters(16000, 80, 512)[-1] == 0).all()


def test_bits_do_not_depend_on_the_batch():
    waves = torch.from_numpy(np.random.default_rng(1).normal(0, 0.1, (5, 3217)).astype(np.float32))
    together = fbank(waves, 16000, 40)
    for wave, one in zip(waves, together, strict=True):
        assert torch.equal(fbank(wave[None], 16000, 40)[0], one)
