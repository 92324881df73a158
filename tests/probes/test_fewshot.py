from statistics import mean, stdev

import pytest
import torch

from openjepa.probes import fewshot, linear
from openjepa.probes.splits import draw_per_class

stats = pytest.importorskip("scipy.stats")


def data(count, seed):
    rng = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 4
    return torch.randn(count, 6, generator=rng) + torch.eye(4, 6)[y], y


def test_each_try_is_one_fit_on_its_own_draw():
    (x, y), (test, test_y) = data(400, 0), data(200, 1)
    got = fewshot.run(x, y, test, test_y, 4, 5, seed=2)
    want = []
    for attempt in range(5):
        rows = draw_per_class(y, 5, 2000 + attempt)
        assert y[rows].bincount().tolist() == [5] * 4
        want.append((linear.fit(x[rows], y[rows], 4).predict(test) == test_y).double().mean().item())
    assert got.tries == pytest.approx(want) and len(set(want)) > 1 and got.samples == 20
    assert (got.mean, got.sd) == pytest.approx((mean(want), stdev(want)))


def test_more_labels_help_and_a_percent_is_a_percent():
    (x, y), (test, test_y) = data(4000, 0), data(1000, 1)
    few = {name: fewshot.run(x, y, test, test_y, 4, budget) for name, budget in fewshot.BUDGETS.items()}
    assert few["1-shot"].samples == 4 and few["5-shot"].samples == 20 and few["1%"].samples == 40
    assert few["1-shot"].mean < few["5-shot"].mean < few["1%"].mean


def test_interval_is_students():
    values = [0.31, 0.35, 0.29, 0.4, 0.33]
    want = stats.t.interval(0.95, 4, loc=mean(values), scale=stats.sem(values))
    assert fewshot.interval(values) == pytest.approx(want, abs=1e-4)


def test_one_draw_has_no_spread():
    x, y = data(40, 0)
    with pytest.raises(ValueError, match="tries is 1; at least 2"):
        fewshot.run(x, y, x, y, 4, 1, tries=1)
