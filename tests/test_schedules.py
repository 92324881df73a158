"""Schedules against the published numbers and against the loop that counts them step by step."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openjepa.schedules import Cosine, Linear, WarmupCosine

STEPS = 30_000  # 300 epochs of 100 steps
LR = WarmupCosine(start=2e-4, peak=1e-3, final=1e-6, warmup=40 / 300)
DECAY = Cosine(start=0.04, final=0.4)
FINITE = st.floats(-10, 10)


@pytest.mark.parametrize(("s", "lr"), [(1, 2.002e-4), (100, 2.2e-4), (3999, 9.998e-4), (4000, 1e-3), (15_000, 6.200382e-4), (30_000, 1e-6)])
def test_learning_rate_of_ijepa(s: int, lr: float) -> None:
    """The published code counts a step before it takes it: its first step reads s = 1, its last s = steps."""
    assert LR(s / STEPS) == pytest.approx(lr, rel=1e-7)


@pytest.mark.parametrize(("s", "decay"), [(1, 0.040000001), (4000, 0.0555618176), (15_000, 0.22), (30_000, 0.4)])
def test_weight_decay_of_ijepa(s: int, decay: float) -> None:
    assert DECAY(s / STEPS) == pytest.approx(decay, abs=1e-10)


def test_every_step_of_ijepa_as_its_code_counts_them() -> None:
    """Counters in whole steps instead of shares of the run, at every step of a run whose warm-up is no round share."""
    epochs, per_epoch, warm = 13, 7, 3
    steps, warm_steps = epochs * per_epoch, warm * per_epoch
    lr, decay = WarmupCosine(start=2e-4, peak=1e-3, final=1e-6, warmup=warm / epochs), Cosine(start=0.04, final=0.4)
    momentum = Linear(start=0.996, final=1.0)
    for step in range(steps):
        s = step + 1
        if s < warm_steps:
            want = 2e-4 + (1e-3 - 2e-4) * s / warm_steps
        else:
            want = 1e-6 + (1e-3 - 1e-6) * 0.5 * (1 + math.cos(math.pi * (s - warm_steps) / (steps - warm_steps)))
        assert lr((step + 1) / steps) == pytest.approx(want, rel=1e-12)
        assert decay((step + 1) / steps) == pytest.approx(0.4 - 0.36 * 0.5 * (1 + math.cos(math.pi * s / steps)), rel=1e-12)
        assert momentum(step / steps) == pytest.approx(0.996 + step * 0.004 / steps, rel=1e-12)  # after step i: i, not i + 1


def test_vjepa_plans_a_quarter_more_than_it_runs() -> None:
    """Its ipe_scale of 1.25: where lr, momentum and weight decay stand when the run ends (arXiv:2404.08471 and its code)."""
    assert WarmupCosine(start=2e-4, peak=6.25e-4, final=1e-6, warmup=40 / 300, stretch=1.25)(1.0) == pytest.approx(7.504e-5, rel=1e-4)
    assert Linear(start=0.998, final=1.0, stretch=1.25)(1.0) == pytest.approx(0.9996)
    assert Cosine(start=0.04, final=0.4, stretch=1.25)(1.0) == pytest.approx(0.3656, abs=5e-5)


def test_stretch_leaves_the_warm_up_alone() -> None:
    plain, long = (WarmupCosine(start=0.0, peak=1.0, final=0.0, warmup=0.2, stretch=s) for s in (1.0, 1.5))
    assert plain(0.1) == long(0.1) == 0.5
    assert plain(0.2) == long(0.2) == 1.0
    assert plain(0.6) < long(0.6)


@pytest.mark.parametrize("warmup", [0.0, 0.3, 1.0])
def test_warm_up_meets_the_cosine_at_the_peak(warmup: float) -> None:
    lr = WarmupCosine(start=0.1, peak=0.7, final=0.2, warmup=warmup)
    assert lr(warmup) == pytest.approx(0.7)
    assert lr(0.0) == (0.7 if warmup == 0 else 0.1)
    assert lr(1.0) == pytest.approx(0.7 if warmup == 1 else 0.2)


@given(start=FINITE, final=FINITE, progress=st.floats(0, 1), stretch=st.floats(1, 3))
def test_values_stay_between_their_ends(start: float, final: float, progress: float, stretch: float) -> None:
    for schedule in (Linear(start=start, final=final, stretch=stretch), Cosine(start=start, final=final, stretch=stretch)):
        assert min(start, final) - 1e-9 <= schedule(progress) <= max(start, final) + 1e-9
        assert schedule(0.0) == pytest.approx(start, abs=1e-12)


@given(start=FINITE, peak=FINITE, final=FINITE, warmup=st.floats(0, 1), progress=st.floats(0, 1))
def test_warm_up_stays_between_its_three_values(start: float, peak: float, final: float, warmup: float, progress: float) -> None:
    value = WarmupCosine(start=start, peak=peak, final=final, warmup=warmup)(progress)
    assert min(start, peak, final) - 1e-9 <= value <= max(start, peak, final) + 1e-9


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_must_be_finite(bad: float) -> None:
    with pytest.raises(ValueError, match=r"Linear.final is .* finite"):
        Linear(start=0.0, final=bad)
    with pytest.raises(ValueError, match=r"WarmupCosine.peak is .* finite"):
        WarmupCosine(start=0.0, peak=bad, final=0.0, warmup=0.1)


@pytest.mark.parametrize("bad", [-0.1, 1.1, 40])
def test_warm_up_is_a_share_not_a_count(bad: float) -> None:
    with pytest.raises(ValueError, match="share of the run"):
        WarmupCosine(start=0.0, peak=1.0, final=0.0, warmup=bad)


def test_a_plan_is_no_shorter_than_the_run() -> None:
    with pytest.raises(ValueError, match="stretch is 0.5"):
        Cosine(start=0.0, final=1.0, stretch=0.5)


@pytest.mark.parametrize("bad", [-0.01, 1.01, 500, math.nan])
@pytest.mark.parametrize("schedule", [LR, DECAY, Linear(start=0.0, final=1.0)])
def test_a_step_count_is_not_a_progress(schedule: Linear, bad: float) -> None:
    with pytest.raises(ValueError, match="divide the step"):
        schedule(bad)
