import numpy as np
import pytest
import torch

from openjepa.probes.confidence import paired_gain, wilson

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize(("right", "count"), [(0, 7), (3, 7), (7, 7), (4321, 10_000)])
def test_wilson_is_scipys(right, count):
    want = stats.binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert wilson(right, count) == pytest.approx((want.low, want.high), abs=1e-12)


def test_wilson_refuses_no_samples():
    with pytest.raises(ValueError, match="at least one test sample"):
        wilson(0, 0)


def test_paired_gain_is_scipys_bootstrap_of_the_differences():
    rng = np.random.default_rng(1)
    ours, floor = torch.from_numpy(rng.random(911) < 0.6), torch.from_numpy(rng.random(911) < 0.5)
    gain, low, high = paired_gain(ours, floor)
    difference = ours.double().numpy() - floor.double().numpy()
    want = stats.bootstrap((difference,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(0))
    assert gain == pytest.approx(difference.mean(), abs=1e-12)
    assert (low, high) == pytest.approx((want.confidence_interval.low, want.confidence_interval.high), abs=0.006)
    assert paired_gain(ours, floor) == (gain, low, high)  # the same bits each time


def test_pairing_makes_the_interval_of_agreeing_methods_narrow():
    floor = torch.arange(1000) % 2 == 0
    ours = floor.clone()
    ours[1] = True  # right once more, and never wrong where the floor is right
    gain, low, high = paired_gain(ours, floor)
    assert gain == pytest.approx(0.001) and 0 <= low <= high < 0.005
