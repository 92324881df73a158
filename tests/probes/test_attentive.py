from dataclasses import replace

import pytest
import torch

from openjepa.probes import attentive, knn
from openjepa.probes.attentive import Attentive, batches, fit, train
from openjepa.probes.splits import hold_out
from openjepa.probes.token_file import TokenFeatures
from tests.probes.attentive_reference import Probe

FAST = Attentive(rates=(3e-3, 1e-3), decays=(0.01,), epochs=12, batch_size=64, most_steps=None)
TINY = Attentive(rates=(3e-2, 1e-3), decays=(0.5, 0.1, 0.0), batch_size=7, epochs=1, most_steps=None)


def hidden(count, seed, tokens=9, dim=16, classes=4):
    """One token, at a place that varies, carries a key and the class; all others carry a class without the key."""
    rng = torch.Generator().manual_seed(seed)
    x = 0.1 * torch.randn(count, tokens, dim, generator=rng)
    said = torch.randint(0, classes, (count, tokens), generator=rng)
    x += 2 * torch.eye(classes, dim)[said]
    place, y = torch.randint(0, tokens, (count,), generator=rng), torch.arange(count) % classes
    rows = torch.arange(count)
    x[rows, place] = 0.1 * torch.randn(count, dim, generator=rng) + 2 * torch.eye(classes, dim)[y]
    x[rows, place, dim - 1] = 3.0
    return x, y


def test_finds_the_one_token_that_knows_where_the_mean_hardly_does():
    (x, y), (test, test_y) = hidden(1500, 0), hidden(500, 1)
    fitted = fit(TokenFeatures.of(x), y, 4, FAST, heads=1)
    right = (fitted.predict(TokenFeatures.of(test)) == test_y).double().mean().item()
    assert right > 0.97
    assert knn.accuracy(x.mean(1), y, test.mean(1), test_y) < 0.65
    assert fitted.judged_by == 152 and len(fitted.validation) == 2 and max(fitted.validation) > 0.95


def test_views_of_a_sample_learn_alone_and_vote_together():
    """One view of each pair says the class and the other says nothing: the vote is the mean of two answers."""
    (x, y), (test, test_y) = hidden(1500, 0), hidden(200, 1)
    noise = 0.1 * torch.randn(1700, 9, 16, generator=torch.Generator().manual_seed(2))
    both = TokenFeatures(torch.cat([x, noise[:1500]], 1).numpy(), torch.arange(1500), None, 2)
    asked = TokenFeatures(torch.cat([test, noise[1500:]], 1).numpy(), torch.arange(200), None, 2)
    assert (both.tokens, len(both)) == (9, 1500)
    fitted = fit(both, y, 4, FAST, heads=1)
    said = fitted.probabilities(asked)
    each = [fitted.probabilities(TokenFeatures.of(view.contiguous())) for view in (test, noise[1500:])]
    torch.testing.assert_close(said, (each[0] + each[1]) / 2)
    torch.testing.assert_close(said.sum(1), torch.ones(200))
    assert (fitted.predict(asked) == test_y).double().mean() > 0.97
    # in training each view counts as a sample: as if there were twice as many, in the same batches
    twice = TokenFeatures.of(torch.stack([x, noise[:1500]], 1).flatten(0, 1))
    pairs = lambda samples, size, seed: (torch.stack([2 * b, 2 * b + 1], 1).flatten() for b in batches(samples // 2, size // 2, seed))  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attentive, "batches", pairs)
        want = train(twice, y.repeat_interleave(2), 4, replace(FAST, batch_size=128), FAST.grid, 1, 0)
    got = train(both, y, 4, FAST, FAST.grid, 1, 0)
    for name, weight in got.items():
        torch.testing.assert_close(weight, want[name], atol=1e-4, rtol=1e-3)


def test_tells_nothing_from_permuted_labels():
    (x, y), (test, test_y) = hidden(1000, 0), hidden(1000, 1)
    y = y[torch.randperm(1000, generator=torch.Generator().manual_seed(2))]
    fitted = fit(TokenFeatures.of(x), y, 4, replace(FAST, epochs=4), heads=1)
    assert abs((fitted.predict(TokenFeatures.of(test)) == test_y).double().mean().item() - 0.25) < 0.06


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("changes", [{}, {"clip": 0.05, "final_decay": 1e-3}])
def test_the_stack_trains_each_head_as_if_it_were_alone(depth, changes):
    """Against a plain module and torch.optim.AdamW, in float64: the same batches, 9 steps, with schedules and clipping."""
    config = replace(TINY, depth=depth, **changes)
    rng = torch.Generator().manual_seed(1)
    x, y = torch.randn(59, 5, 8, generator=rng, dtype=torch.float64), torch.arange(59) % 3
    weights = train(TokenFeatures.of(x), y, 3, config, config.grid, 2, seed=4)
    assert config.steps(59) == 9
    start = train(TokenFeatures.of(x), y, 3, replace(config, rates=(1e-300,), decays=(0.0,)), [(1e-300, 0.0)], 2, seed=4)
    for i, (rate, decay) in enumerate(config.grid):
        alone = Probe(8, 2, 3, depth).double().take(start, 0).trained(x, y, config, rate, decay, 4, 9)
        for name, own in alone.named_parameters():
            got = weights[name][i]
            if name == "cross.k.bias":
                continue
            torch.testing.assert_close(got.T if got.ndim == 2 else got, own.detach(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("depth", [1, 2])
def test_little_memory_changes_nothing_but_rounding(depth, monkeypatch):
    x, y = hidden(90, 0)
    config = replace(TINY, depth=depth, batch_size=30)
    plenty = fit(TokenFeatures.of(x.double()), y, 4, config, heads=2)
    assert len(list(attentive.parts(config, 2, TokenFeatures.of(x), 4))) == 1
    per_head = 4 * attentive.heads_of.floats(16, 9, 2, 4, depth)
    monkeypatch.setattr(attentive, "ACTIVATIONS", 8 * per_head)  # 4 heads, 2 samples at a time
    monkeypatch.setattr(attentive, "STATE", 4 * 16 * attentive.heads_of.parameters(16, 4, depth))
    assert [len(part) for part in attentive.parts(config, 2, TokenFeatures.of(x), 4)] == [4, 2]
    little = fit(TokenFeatures.of(x.double()), y, 4, config, heads=2)
    assert little.chosen == plenty.chosen and little.validation == plenty.validation
    for name in plenty.weights:
        torch.testing.assert_close(little.weights[name], plenty.weights[name], atol=1e-7, rtol=1e-6)


def test_the_head_is_chosen_by_validation_samples_alone():
    """The best on the held-out tenth wins; what the others' labels say of it does not count, and no held-out sample is learnt from."""
    x, y = hidden(400, 0)
    fitted = fit(TokenFeatures.of(x), y, 4, FAST, heads=1, seed=5)
    kept, held = hold_out(y, 0.1, 5, "attentive")
    stack = train(TokenFeatures.of(x)[kept], y[kept], 4, FAST, FAST.grid, 1, 5)
    tokens = TokenFeatures.of(x[held])
    right = [
        (attentive.Fitted({n: w[i : i + 1] for n, w in stack.items()}, FAST, 1, (0, 0), (), 0, 0).predict(tokens) == y[held])
        .double()
        .mean()
        .item()
        for i in range(2)
    ]
    assert list(fitted.validation) == pytest.approx(right) and fitted.judged_by == len(held)
    spoilt = x.clone()
    spoilt[held] = 1e3 * torch.randn(len(held), 9, 16, generator=torch.Generator().manual_seed(0))
    again = fit(TokenFeatures.of(spoilt), y, 4, FAST, heads=1, seed=5)
    assert again.validation != fitted.validation
    assert torch.equal(again.weights["cross.fc1.weight"][0], stack["cross.fc1.weight"][FAST.grid.index(again.chosen)])


def test_a_head_that_diverges_loses_and_the_rest_go_on():
    x, y = hidden(200, 0)
    fitted = fit(TokenFeatures.of(x), y, 4, replace(FAST, rates=(1e30, 1e-3), epochs=2), heads=1)
    assert fitted.chosen[0] == 1e-3 and fitted.validation[0] == 0
    with pytest.raises(ValueError, match="every head ended in NaN; take smaller learning rates"):
        fit(TokenFeatures.of(x), y, 4, replace(FAST, rates=(1e30,), epochs=2), heads=1)


def test_padding_changes_nothing():
    x, y = hidden(200, 0)
    config = replace(FAST, rates=(1e-3,), epochs=2)
    bare = fit(TokenFeatures.of(x), y, 4, config, heads=1)
    padded = torch.cat([x, torch.full((200, 3, 16), torch.nan)], 1)
    valid = torch.arange(12).expand(200, 12) < 9
    same = fit(TokenFeatures.of(padded, valid), y, 4, config, heads=1)
    torch.testing.assert_close(same.weights["cross.v.weight"], bare.weights["cross.v.weight"], atol=1e-5, rtol=1e-4)
    assert torch.equal(same.predict(TokenFeatures.of(padded, valid)), bare.predict(TokenFeatures.of(x)))


def test_the_seed_and_nothing_else_decides():
    x, y = hidden(150, 0)
    config = replace(FAST, epochs=2)
    a = fit(TokenFeatures.of(x), y, 4, config)
    torch.manual_seed(99)
    b, other = fit(TokenFeatures.of(x), y, 4, config), fit(TokenFeatures.of(x), y, 4, config, seed=1)
    assert all(torch.equal(a.weights[name], b.weights[name]) for name in a.weights) and a.validation == b.validation
    assert not torch.equal(a.weights["query"], other.weights["query"])


def test_groups_are_never_on_both_sides_of_the_choice(monkeypatch):
    x, y = hidden(120, 0)
    groups, seen = torch.arange(120) // 12, {}
    whole = attentive.train
    monkeypatch.setattr(attentive, "train", lambda x, *rest: seen.update(rows=x.rows) or whole(x, *rest))
    fitted = fit(TokenFeatures.of(x), y, 4, replace(FAST, epochs=1), groups=groups)
    assert fitted.judged_by == 12 and len(set(groups[seen["rows"]].tolist())) == 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": torch.zeros(40, dtype=torch.int64)}, "all 40 labels are one class"),
        ({"y": torch.arange(40) % 5}, "labels run from 0 to 4; 4 classes"),
        ({"y": torch.arange(30) % 4}, "tokens of 40 samples but 30 labels"),
        ({"heads": 3}, "16 features do not split into 3 attention heads"),
    ],
)
def test_says_what_it_cannot_probe(change, message):
    x, y = hidden(40, 0)
    how = {"y": y, "heads": 1} | change
    with pytest.raises(ValueError, match=message):
        fit(TokenFeatures.of(x), how["y"], 4, FAST, heads=how["heads"])


def test_settings_that_mean_nothing_are_refused():
    for change, message in (({"validation": 1.0}, "validation is 1.0"), ({"rates": ()}, "at least one of each"), ({"depth": 0}, "depth 0")):
        with pytest.raises(ValueError, match=message):
            Attentive(**change)


def test_published_grids():
    assert len(Attentive().grid) == len(attentive.V_JEPA2.grid) == 20 and len(attentive.V_JEPA.grid) == 1
    assert attentive.V_JEPA2.depth == 4 and attentive.V_JEPA2.steps(168_913) == 20 * 660


@pytest.mark.gpu
def test_a_gpu_learns_the_same():
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    (x, y), (test, _) = hidden(300, 0), hidden(100, 1)
    here, there = (fit(TokenFeatures.of(x), y, 4, FAST, heads=1, device=device) for device in ("cpu", "cuda"))
    assert all(w.device.type == "cpu" for w in there.weights.values())
    torch.testing.assert_close(here.probabilities(TokenFeatures.of(test)), there.probabilities(TokenFeatures.of(test)), atol=2e-2, rtol=0)
