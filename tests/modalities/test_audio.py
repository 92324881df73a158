"""Views of sounds: against a loop over frames, the rules for short and long sounds, statistics, pictures."""

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from openjepa.draws import uniform
from openjepa.modalities.audio import RANGE, Audio
from openjepa.modalities.fbank import fbank
from openjepa.modalities.modality import BadSample

SMALL = Audio(size=(21, 30), patch=(7, 5), rate=8_000, mean=-6.0, std=3.0)  # a frame: 200 samples, then 80 on
NEEDS = 20 * 80 + 200


def noise(n: int, seed: int = 0, offset: float = 0.0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(offset, 0.1, (1, n)).astype(np.float32))


SAMPLES = [noise(n, n) for n in (NEEDS, 700, NEEDS + 900, 150, 1801)]


def written(x: np.ndarray, rate: int) -> bytes:
    soundfile = pytest.importorskip("soundfile")
    buffer = io.BytesIO()
    soundfile.write(buffer, x, rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


# -- views


def test_there_is_one_view_of_a_part_in_time():
    (one,) = SMALL.crops(SAMPLES, 1)
    assert torch.equal(one, SMALL.center(SAMPLES))
    with pytest.raises(ValueError, match="2 views of one part in time are asked for; sounds have one: take several clips"):
        SMALL.crops(SAMPLES, 2)


def test_audiomae_pads_before_it_normalises():
    """10 s give 998 frames; the other 26 become +0.467 with AudioSet's statistics (arXiv:2207.06405, its data set code)."""
    modality = Audio(mean=-4.2677393, std=4.5689974)
    view = modality.center([noise(160_000)])
    assert view.shape == (1, 1, 1024, 128) and view.dtype == torch.float32
    assert view[0, 0, 998:].unique().item() == pytest.approx(0.467, abs=1e-3)
    assert view[0, 0, 997].unique().numel() > 100
    assert modality.grid == (64, 8) and modality.samples(1024) == 164_080


def test_a_view_is_the_normalised_filter_bank():
    for sample, view in zip(SAMPLES, SMALL.center(SAMPLES), strict=True):
        start = max(0, (sample.shape[1] - NEEDS + 1) // 2)
        wave = sample[:, start : start + NEEDS]
        wave = torch.nn.functional.pad(wave - wave.mean(), (0, max(0, 200 - wave.shape[1])))
        want = torch.zeros(21, 30)
        lines = fbank(wave, 8_000, 30)[0]
        want[: len(lines)] = lines
        torch.testing.assert_close(view[0], (want + 6) / (2 * 3), atol=2e-4, rtol=0)


def test_the_mean_of_the_wave_is_taken_away_first():
    """Frames lose theirs anyway, but not the sum of a step at the border of padding."""
    assert torch.allclose(SMALL.center([noise(150, 1, 0.0)]), SMALL.center([noise(150, 1, 0.25)]), atol=1e-3)


def test_short_sounds_repeat():
    modality = replace(SMALL, short="repeat")
    (view,) = modality.center([noise(700, 3)])
    said = noise(700, 3).repeat(1, 5)[:, :NEEDS]
    wave = said - noise(700, 3).double().mean().float()
    torch.testing.assert_close(view[0], (fbank(wave, 8_000, 30)[0] + 6) / 6)
    u = uniform(1, 2, [9], 2, "sound")[0]
    (view,) = modality.augment([noise(700, 3)], 1, 2, [9])
    turned = torch.roll(wave[:, :700], -int(u[1] * 700), 1).repeat(1, 5)[:, :NEEDS]
    torch.testing.assert_close(view[0], (fbank(turned, 8_000, 30)[0] + 6) / 6)


def test_gain_is_in_decibels():
    loud = replace(SMALL, gain=6.0)
    shift = (loud.augment([noise(NEEDS)] * 2000, 0, 0, range(2000)) - SMALL.center([noise(NEEDS)])).mean((1, 2, 3)) * 2 * 3
    decibels = shift / math.log(10) * 10  # of power
    u = uniform(0, 0, range(2000), 2, "sound")[:, 0]
    np.testing.assert_allclose(decibels, 6 * (2 * u - 1), atol=1e-2)
    assert torch.equal(SMALL.augment(SAMPLES, 0, 0, range(5)), SMALL.center(SAMPLES))


def test_a_view_depends_on_seed_step_and_row_alone():
    modality = replace(SMALL, gain=6.0, short="repeat")
    together = modality.augment(SAMPLES, 1, 2, [5, 6, 7, 8, 9])
    for k, sample in enumerate(SAMPLES):
        assert torch.equal(modality.augment([sample], 1, 2, [5 + k])[0], together[k])
    assert torch.equal(modality.augment(SAMPLES[::-1], 1, 2, [9, 8, 7, 6, 5]).flip(0), together)
    for other in (modality.augment(SAMPLES, 2, 2, range(5, 10)), modality.augment(SAMPLES, 1, 3, range(5, 10))):
        assert all(not torch.equal(a, b) for a, b in zip(other, together, strict=True))
    stack = torch.stack([noise(NEEDS, k) for k in range(3)])
    assert torch.equal(modality.augment(stack, 0, 0, range(3)), modality.augment(list(stack), 0, 0, range(3)))


def test_a_longer_evaluation_view():
    view = SMALL.center([noise(5000)], (56, 30))
    assert view.shape == (1, 1, 56, 30)
    assert torch.equal(SMALL.patchify(view).values, SMALL.patchify(view).take(torch.arange(48)[None]).values)


# -- files


@pytest.mark.parametrize("rate", [8_000, 22_050])
def test_a_part_of_a_file_is_that_part_of_the_whole(rate):
    data = written(noise(rate)[0].numpy(), rate)
    whole = SMALL.decode(data).pixels
    assert whole.shape == (1, 8_000)
    for at in (0.0, 0.41, 0.999):
        part = SMALL.decode(data, at).pixels
        assert part.shape == (1, NEEDS) and torch.equal(part, SMALL.cut(whole, at))
    short = written(noise(rate // 10)[0].numpy(), rate)
    assert torch.equal(SMALL.decode(short, 0.7).pixels, SMALL.decode(short).pixels)


def test_files_that_are_no_sample():
    with pytest.raises(BadSample, match="too short: 199 samples at 8000 Hz, one window has 200"):
        SMALL.decode(written(noise(199)[0].numpy(), 8_000))
    with pytest.raises(BadSample, match="a sound is one file"):
        SMALL.decode([b"", b""])
    with pytest.raises(BadSample, match="empty"):
        SMALL.decode(b"", 0.5)


@pytest.mark.data
def test_real_sounds_look_normal(data_root: Path):
    """Statistics of a folder make its views standard; half, as AudioMAE divides by 2 std."""
    files = sorted((data_root / "esc10").glob("*/*.flac"))[::16]
    modality = Audio(size=(512, 128))
    samples = [modality.decode(file.read_bytes()).pixels for file in files]
    modality = modality.settle(samples)
    assert modality.mean is not None and -9 < modality.mean < -2 and modality.std is not None and 3 < modality.std < 7
    views = torch.cat([modality.center([s])[0, 0, : 1 + (min(s.shape[1], modality.samples(512)) - 400) // 160] for s in samples])
    assert views.mean().abs() < 1e-3 and (views.std() - 0.5).abs() < 1e-3


# -- statistics


def test_statistics_are_those_of_all_frames():
    modality = replace(SMALL, mean=None, std=None).settle(SAMPLES)
    values = np.concatenate([fbank(torch.nn.functional.pad(w, (0, max(0, 200 - w.shape[1]))), 8_000, 30)[0].numpy().ravel()
                             for w in (c - c.mean() for c in (SMALL.cut(s, 0.5) for s in SAMPLES))])  # fmt: skip
    assert modality.mean == pytest.approx(values.mean(), abs=2e-4) and modality.std == pytest.approx(values.std(), abs=2e-4)
    assert modality.settle([noise(500)]) is modality
    half = replace(SMALL, mean=None).settle(SAMPLES)
    assert half.std == 3.0 and half.mean == modality.mean


def test_statistics_must_be_known():
    open_ended = replace(SMALL, mean=None, std=None)
    for view in (lambda: open_ended.augment(SAMPLES, 0, 0, range(5)), lambda: open_ended.center(SAMPLES)):
        with pytest.raises(ValueError, match="settle"):
            view()
    with pytest.raises(ValueError, match="as silence has"):
        open_ended.settle([torch.zeros(1, 3000)] * 2)
    with pytest.raises(ValueError, match="no sounds"):
        open_ended.settle([])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"channels": 2}, "mono"),
        ({"rate": 10}, "samples per second"),
        ({"hop_ms": 0.01}, "hop_ms"),
        ({"short": "loop"}, "repeat"),
        ({"gain": -1.0}, "dB"),
        ({"std": 0.0}, "above 0"),
        ({"size": (100, 128)}, "whole number of patches"),
    ],
)
def test_settings_that_cannot_be(wrong, told):
    with pytest.raises((ValueError, TypeError), match=told if "short" not in wrong else None):
        Audio(**wrong)


# -- tokens and pictures


def test_tokens_and_back():
    view = SMALL.center(SAMPLES)
    tokens = SMALL.patchify(view)
    assert tokens.values.shape == (5, 18, 35) and tokens.positions[0, :7].tolist() == [[0, f] for f in range(6)] + [[1, 0]]
    assert torch.equal(tokens.values[2, 8], view[2, 0, 7:14, 10:15].flatten())
    assert torch.equal(SMALL.unpatchify(tokens.values), view)


def test_pictures_have_low_frequencies_below_and_time_to_the_right():
    t = torch.arange(NEEDS) / 8_000
    low, high = 0.3 * torch.sin(2 * math.pi * 150 * t), 0.3 * torch.sin(2 * math.pi * 3500 * t)
    wave = torch.where(t < 0.1, low, high)[None]
    picture = SMALL.draw(SMALL.center([wave])[0]).frames[0]
    assert picture.shape == (30, 21, 3) and picture.dtype == torch.uint8
    bright = picture.float().sum(-1)
    assert bright[-8:, :5].mean() > bright[:8, :5].mean() + 100
    assert bright[:8, -5:].mean() > bright[-8:, -5:].mean() + 100


def test_pictures_share_one_scale():
    ramp = torch.linspace(-2 * RANGE, 2 * RANGE, 21)[None, :, None].expand(1, 21, 30)
    bright = SMALL.draw(ramp).frames[0, 0].float().sum(-1)
    assert (bright.diff() >= 0).all() and bright[0] == bright[4] == 28 and bright[-1] == bright[-5] == 728
    assert SMALL.draw(torch.full((1, 7, 5), math.nan)).frames.shape == (1, 5, 7, 3)


def test_masks_turn_as_pictures_do():
    grid = torch.zeros(3, 6)
    grid[2, 0] = 1  # late and low
    assert SMALL.upright(grid)[5, 2] == 1


def test_the_summary_is_mean_and_std_of_each_band():
    x = torch.randn(3, 1, 20, 30, generator=torch.Generator().manual_seed(0))
    want = np.concatenate([x.numpy()[:, 0].mean(1), x.numpy()[:, 0].std(1)], 1)
    np.testing.assert_allclose(SMALL.summary(x).numpy(), want, atol=1e-6)


def test_pooled_features_are_means_over_time_with_bands_side_by_side():
    modality = Audio(rate=8_000, size=(20, 30), patch=(5, 10), mean=0.0, std=0.5)
    values = torch.randn(2, 12, 7, generator=torch.Generator().manual_seed(0))
    want = np.stack([np.concatenate([v[band::3].mean(0) for band in range(3)]) for v in values.numpy()])
    np.testing.assert_allclose(modality.pool(values).numpy(), want, atol=1e-6)
    longer = torch.cat([values, values], 1)  # twice as long a view: the same features
    torch.testing.assert_close(modality.pool(longer, size=(40, 30)), modality.pool(values))
