"""Resampling against the tone that must come out, scipy and soxr."""

import math

import numpy as np
import pytest
import torch
from scipy import signal

from openjepa.modalities.resample import bank, resample

RATES = [(44100, 16000), (48000, 16000), (8000, 16000), (22050, 16000), (11025, 16000), (96000, 16000), (16000, 44100), (32000, 24000)]
EDGE = 0.02  # seconds at the ends, where the silence around the sound rings


def tones(rate: int, seconds: float, highest: float) -> np.ndarray:
    """Sines of some frequencies up to `highest` Hz, each of amplitude .2."""
    t = np.arange(round(rate * seconds)) / rate
    return sum(0.2 * np.sin(2 * math.pi * highest * share * t + i) for i, share in enumerate((0.013, 0.21, 0.63, 1.0)))


def whole(x: np.ndarray, source: int, target: int) -> np.ndarray:
    filters = bank(source, target)
    return resample([x], filters, 0, 0, filters.length(len(x))).numpy()


def inner(x: np.ndarray, rate: int) -> np.ndarray:
    cut = int(EDGE * rate)
    return x[cut:-cut]


@pytest.mark.parametrize(("source", "target"), RATES)
def test_tones_stay_what_they_are(source, target):
    """Up to 0.9 of the lower Nyquist frequency, to 1e-5."""
    highest = 0.9 * min(source, target) / 2
    got, want = whole(tones(source, 0.5, highest), source, target), tones(target, 0.5, highest)
    assert len(got) == math.ceil(source // 2 * target / source)
    n = min(len(got), len(want))
    assert abs(inner(got[:n] - want[:n], target)).max() < 1e-5


@pytest.mark.parametrize(("source", "target"), [pair for pair in RATES if pair[0] > pair[1]])
def test_what_would_fold_back_is_gone(source, target):
    """From the lower Nyquist frequency on: 100 dB down."""
    for share in (1.0, 1.1, 1.7):
        hertz = share * target / 2
        if hertz < source / 2:
            x = 0.9 * np.sin(2 * math.pi * hertz * np.arange(source // 2) / source)
            assert abs(inner(whole(x, source, target), target)).max() < 0.9e-5


@pytest.mark.parametrize(("source", "target"), RATES)
def test_scipy(source, target):
    """With a filter as long as ours; noise below 0.85 of the lower Nyquist frequency."""
    up, down = target // math.gcd(source, target), source // math.gcd(source, target)
    low = signal.firwin(1001, 0.85 * min(source, target) / source, window=("kaiser", 10)) if source > target else signal.firwin(1001, 0.85)
    x = signal.lfilter(low, 1, np.random.default_rng(0).normal(0, 0.1, source))
    taps = signal.firwin(2 * 64 * max(up, down) + 1, 0.95 / max(up, down), window=("kaiser", 10.06))
    want = signal.resample_poly(x, up, down, window=taps)
    got = whole(x, source, target)
    assert got.shape == want.shape
    assert abs(inner(got - want, target)).max() < 1e-5


def test_soxr():
    soxr = pytest.importorskip("soxr")
    x = tones(44100, 1, 0.85 * 8000)
    want = soxr.resample(x, 44100, 16000, quality="VHQ")
    got = whole(x, 44100, 16000)
    assert abs(inner(got[: len(want)] - want[: len(got)], 16000)).max() < 3e-4  # its own error at this setting: the tones are known


@pytest.mark.parametrize(("source", "target"), [(44100, 16000), (8000, 16000), (48000, 16000), (44101, 16000)])
def test_a_part_has_the_bits_of_the_whole(source, target):
    x = np.random.default_rng(0).uniform(-1, 1, 40_011)
    filters = bank(source, target)
    total = filters.length(len(x))
    long = resample([x], filters, 0, 0, total)
    for first, count in ((0, 1), (0, 777), (1001, 4096), (total - 50, 50), (total // 3, 5), (total - 1, 1)):
        begin, end = filters.needs(first, count, len(x))
        pieces = np.array_split(x[begin:end], 1 + first % 7)
        assert torch.equal(resample(pieces, filters, begin, first, count), long[first : first + count])


def test_order_of_sums_does_not_matter():
    """Why a part can equal the whole: reversed sums have the same bits."""
    weights = bank(44100, 16000).weights
    x = torch.from_numpy(np.rint(np.random.default_rng(0).uniform(-1, 1, len(weights)) * 2**23) / 2**23)
    assert torch.equal((x[:, None] * weights).sum(0), (x.flip(0)[:, None] * weights.flip(0)).sum(0))
    assert torch.equal((x[:, None] * weights).cumsum(0)[-1], x @ weights)


def test_odd_rates_take_a_near_fraction():
    for source, target in ((44101, 16000), (767_999, 16000), (7919, 44100)):
        filters = bank(source, target)
        assert filters.down / filters.up == pytest.approx(source / target, rel=1e-5)
        assert filters.weights.numel() < 2**24


def test_a_constant_stays_and_loud_stays_within_one():
    y = whole(np.full(44100, 0.7), 44100, 16000)
    assert abs(inner(y, 16000) - 0.7).max() < 1e-5
    square = np.sign(np.sin(np.arange(44100) * 0.05))
    assert abs(whole(square, 44100, 16000)).max() == 1


def test_samples_count_to_24_bits():
    """What makes the sums exact; 16 and 24 bit files lose nothing."""
    x = np.random.default_rng(0).uniform(-0.1, 0.1, 8000)
    rounded = np.rint(x * 2**23) / 2**23
    assert not np.array_equal(x, rounded)
    assert np.array_equal(whole(x, 8000, 16000), whole(rounded, 8000, 16000))
    filters = bank(44100, 16000)
    assert torch.equal(filters.weights * 2**26, (filters.weights * 2**26).round()) and filters.weights.abs().sum(0).max() < 8
