import numpy as np
import pytest
import torch

from openjepa.probes import linear
from openjepa.probes.splits import hold_out, hold_out_groups

sklearn = pytest.importorskip("sklearn.linear_model")


def features(n, d, classes, seed=0, spread=0.6, dtype=torch.float64):
    """Overlapping classes with a steep spectrum, a large common mean and turned axes: what frozen features look like."""
    rng = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    basis = torch.linalg.qr(torch.randn(d, d, generator=rng, dtype=torch.float64)).Q
    x = torch.randn(n, d, generator=rng, dtype=torch.float64) + spread * torch.randn(classes, d, generator=rng, dtype=torch.float64)[y]
    return ((x / torch.arange(1, d + 1) ** 0.7) @ basis + 5).to(dtype), y


def oracle(x, y, strength):
    """scikit-learn on standardised features."""
    x = (x - x.mean(0)) / x.std(0, correction=0)
    fitted = sklearn.LogisticRegression(C=strength, tol=1e-10, max_iter=20_000).fit(x.numpy(), y.numpy())
    return torch.from_numpy(fitted.coef_).T, torch.from_numpy(fitted.intercept_)


@pytest.mark.parametrize(("n", "d", "classes", "strength"), [(211, 7, 3, 1e-3), (211, 7, 3, 1.0), (307, 13, 5, 30.0), (11, 29, 3, 0.1)])
def test_weights_are_scikit_learns(n, d, classes, strength):
    """The same minimum, for weak and strong penalties, and with fewer samples than features."""
    x, y = features(n, d, classes)
    ours = linear.fit(x, y, classes, strengths=(strength,), tolerance=1e-9)
    weight, bias = oracle(x, y, strength)
    torch.testing.assert_close(ours.weight, weight, atol=2e-5, rtol=2e-4)
    torch.testing.assert_close(ours.bias - ours.bias.mean(), bias - bias.mean(), atol=2e-5, rtol=2e-4)


def test_two_classes_agree_with_scikit_learns_one_sigmoid():
    """The softmax splits the one weight v into -v/2 and v/2, whose penalty is half as large: C = .5 here is C = 1 there."""
    x, y = features(101, 5, 2)
    ours = linear.fit(x, y, 2, strengths=(0.5,), tolerance=1e-9)
    torch.testing.assert_close(ours.weight[:, 1] - ours.weight[:, 0], oracle(x, y, 1.0)[0][:, 0], atol=2e-5, rtol=2e-4)


def test_float32_finds_the_float64_minimum():
    x, y = features(997, 23, 4)
    ours, exact = linear.fit(x.float(), y, 4, strengths=(1.0,)), linear.fit(x, y, 4, strengths=(1.0,), tolerance=1e-10)
    torch.testing.assert_close(ours.weight.double(), exact.weight, atol=3e-3, rtol=1e-2)
    assert (ours.predict(x.float()) == exact.predict(x)).double().mean() > 0.998


def test_strength_is_chosen_by_a_tenth_of_train():
    """Every held-out accuracy is scikit-learn's on the same split, and the best of them is taken."""
    x, y = features(431, 31, 3, spread=0.25)
    grid = (1e-4, 1e-2, 1.0)
    fitted = linear.fit(x, y, 3, strengths=grid, seed=3)
    kept, held = hold_out(y, 0.1, 3, "strength")
    assert len(held) == 42
    accuracies = []
    for strength in grid:
        weight, bias = oracle(x[kept], y[kept], strength)
        scaled = (x[held] - x[kept].mean(0)) / x[kept].std(0, correction=0)
        accuracies.append(((scaled @ weight + bias).argmax(1) == y[held]).double().mean().item())
    assert [c for c, _ in fitted.held_out] == list(grid)
    np.testing.assert_allclose([a for _, a in fitted.held_out], accuracies, atol=1.01 / 42)  # one sample on the fence
    assert fitted.strength == max(fitted.held_out, key=lambda pair: pair[1])[0]


def test_strength_is_chosen_on_whole_groups():
    """Features that tell the group, and a label that is the group's: only a split between groups sees that nothing is learnt."""
    rng = torch.Generator().manual_seed(0)
    groups = torch.arange(400) // 10
    y = torch.randint(0, 2, (40,), generator=rng)[groups]
    x = torch.randn(40, 60, generator=rng, dtype=torch.float64)[groups] + 0.01 * torch.randn(400, 60, generator=rng, dtype=torch.float64)
    fitted = linear.fit(x, y, 2, groups=groups, strengths=(1e-2, 1.0))
    _, held = hold_out_groups(y, groups, 0.1, 0, "strength")
    assert len(held) == 40 and max(a for _, a in fitted.held_out) < 0.9
    assert max(a for _, a in linear.fit(x, y, 2, strengths=(1e-2, 1.0)).held_out) == 1.0


def test_final_weights_use_all_of_train_not_the_nine_tenths():
    x, y = features(199, 6, 3)
    chosen = linear.fit(x, y, 3, tolerance=1e-9)
    torch.testing.assert_close(chosen.weight, oracle(x, y, chosen.strength)[0], atol=2e-5, rtol=2e-4)


def test_walk_ends_when_weaker_penalties_only_overfit():
    x, y = features(120, 80, 3, spread=0.15)
    tried = linear.fit(x, y, 3).held_out
    assert len(tried) < len(linear.STRENGTHS)


def test_flat_accuracy_under_strong_penalties_does_not_end_the_walk():
    """A common direction of little spread tells the classes: only weak penalties use it, all strong ones name the same classes."""
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(300) % 2
    shared = torch.randn(300, 1, generator=rng, dtype=torch.float64)
    told = shared + 0.05 * (2 * y[:, None] - 1)  # the difference of two nearly equal features has the answer
    fitted = linear.fit(torch.cat([shared, told], 1), y, 2)
    assert fitted.strength > 1 and max(a for _, a in fitted.held_out) > 0.95
    assert len({a for c, a in fitted.held_out if c < 1e-4}) == 1


def test_too_few_samples_to_hold_out_take_the_fixed_strength():
    x, y = features(27, 5, 3)
    fitted = linear.fit(x, y, 3)
    assert fitted.strength == linear.FEW_C and fitted.held_out == ()


def test_scale_does_not_matter_and_constant_features_are_ignored():
    x, y = features(151, 5, 3)
    plain = linear.fit(x, y, 3, strengths=(1.0,), tolerance=1e-9)
    odd = torch.cat([x * torch.tensor([1e-3, 1.0, 10.0, 1e4, 7.0]), torch.full((151, 1), 1e6), torch.zeros(151, 1)], 1)
    fitted = linear.fit(odd, y, 3, strengths=(1.0,), tolerance=1e-9)
    torch.testing.assert_close(fitted.logits(odd), plain.logits(x), atol=1e-5, rtol=1e-5)
    odd[:, -1] = 3.0  # a feature that train never saw move must not decide at test
    torch.testing.assert_close(fitted.logits(odd), plain.logits(x), atol=1e-5, rtol=1e-5)


def test_refuses_one_class_labels_out_of_range_and_broken_features():
    x, y = features(30, 4, 3)
    with pytest.raises(ValueError, match="one class"):
        linear.fit(x, torch.ones(30, dtype=torch.int64), 3)
    with pytest.raises(ValueError, match="labels run from 0 to 2; 2 classes"):
        linear.fit(x, y, 2)
    x[0, 0] = torch.inf
    with pytest.raises(ValueError, match="1 of 30 feature rows hold NaN or infinity"):
        linear.fit(x, y, 3)


def test_the_same_call_gives_the_same_bits():
    x, y = features(500, 11, 5, dtype=torch.float32)
    a, b = linear.fit(x, y, 5, seed=7), linear.fit(x, y, 5, seed=7)
    assert torch.equal(a.weight, b.weight) and a.held_out == b.held_out
