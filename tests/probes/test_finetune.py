from dataclasses import replace

import pytest
import torch

from openjepa.draws import uniform
from openjepa.models.transformer import Block
from openjepa.probes.finetune import Classifier, Finetune, Regularised, Task, batches, fit, regularised_mask
from openjepa.probes.questions import Labelled
from openjepa.probes.score import score
from openjepa.probes.sides import Settings
from tests.probes.made import MODALITY, Made, bright, vit

SHORT = Finetune(steps=60, batch_size=32, rate=1e-2)


def task(data):
    return Task(data, torch.arange(len(data)), data.labels["class"].values)


def test_the_copy_learns_and_the_frozen_encoder_stays():
    encoder = vit()
    before = {name: value.clone() for name, value in encoder.encoder.state_dict().items()}
    tuned = fit(encoder, task(bright(96)), 3, SHORT)
    other = task(bright(60, seed=1, fingerprint="test"))
    assert (tuned.predict(other) == other.y).double().mean() > 0.9
    assert tuned.losses[-1] < 0.5 * tuned.losses[0]
    assert all(torch.equal(value, before[name]) for name, value in encoder.encoder.state_dict().items())
    assert not any(p.requires_grad for p in encoder.encoder.parameters())
    moved = [name for name, value in tuned.model.encoder.state_dict().items() if not torch.equal(value, before[name])]
    assert {"embed.weight", "blocks.0.qkv.weight", "blocks.4.fc2.weight", "norm.weight"} <= set(moved)  # all of it, not the head alone


def test_it_is_pure_in_the_seed():
    config = replace(SHORT, steps=4, masked=0.3)
    once, twice, other = (fit(vit(), task(bright(64)), 3, config, seed=seed).losses for seed in (5, 5, 6))
    assert once == twice != other


def test_an_epoch_shows_every_sample_once_whatever_the_batch():
    data = bright(20)
    seen = []
    for _, y in batches(Task(data, torch.arange(20), torch.arange(20)), MODALITY, Finetune(steps=20, batch_size=7), 0):
        assert len(y) == 7
        seen += y.tolist()
    for epoch in range(7):
        assert sorted(seen[20 * epoch : 20 * (epoch + 1)]) == list(range(20))
    assert seen[:20] != seen[20:40]


def test_unreadable_samples_are_left_out_of_a_batch():
    data = bright(8)
    data.bad[3] = "broken"
    (_, y), *_ = batches(Task(data, torch.arange(8), torch.arange(8)), MODALITY, Finetune(steps=1, batch_size=8), 0)
    assert sorted(y.tolist()) == [0, 1, 2, 4, 5, 6, 7]


@pytest.mark.parametrize("mode", ["key", "self"])
def test_regularised_masking_hides_keys_in_every_block_while_training(mode):
    """Against blocks that are handed the same masks, drawn from a generator of the same seed."""
    block, plain = Block(8, 2, 2.0), Block(8, 2, 2.0)
    plain.load_state_dict(block.state_dict())
    config = Finetune(masked=0.4, mask_mode=mode)
    rng = Regularised(block, config, seed=3).rng
    state = rng.get_state()
    x = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    first, second = block.train()(x, None, None, None), block(x, None, None, None)
    again = torch.Generator()
    again.set_state(state)
    for got in (first, second):
        keys = regularised_mask(torch.rand(2, 5, generator=again), 0.4, mode)
        torch.testing.assert_close(got, plain(x, None, None, keys))
    assert not torch.allclose(first, second)
    assert torch.equal(block.eval()(x, None, None, None), plain(x))


def test_regularised_masking_of_padded_samples_leaves_each_token_something_to_look_at():
    block = Block(8, 2, 2.0).train()
    Regularised(block, Finetune(masked=0.9), seed=0)
    valid = torch.tensor([[True] * 20, [True] + [False] * 19])
    out = block(torch.randn(2, 20, 8), None, None, valid[:, None, None])
    assert out.isfinite().all()


def test_regularised_masking_needs_our_blocks():
    with pytest.raises(ValueError, match="set masked to 0"):
        Regularised(torch.nn.Linear(2, 2), Finetune(masked=0.1), 0)


def test_the_classifier_pools_as_the_modality_does():
    encoder = vit()
    model = Classifier(encoder.encoder, MODALITY, 3, 12).eval()
    torch.nn.init.normal_(model.linear.weight)
    views = torch.stack(bright(4).images)
    torch.testing.assert_close(model(views), encoder.encode(views).pooled @ model.linear.weight.T)


@pytest.mark.parametrize(
    ("wrong", "match"), [({"steps": 0}, "at least 1"), ({"rate": 0.0}, "above 0"), ({"masked": 1.0}, "share of the tokens")]
)
def test_settings_that_make_no_sense(wrong, match):
    with pytest.raises(ValueError, match=match):
        Finetune(**wrong)


def test_labels_of_one_class_are_refused():
    data = bright(8)
    with pytest.raises(ValueError, match="one class"):
        fit(vit(), Task(data, torch.arange(8), torch.zeros(8, dtype=torch.int64)), 3, SHORT)


def test_a_rate_that_diverges_is_named():
    with pytest.raises(ValueError, match="smaller rate"):
        fit(vit(), task(bright(64)), 3, replace(SHORT, rate=1e30))


def test_it_stands_in_the_report_beside_the_same_from_scratch():
    train, test = (Labelled(name, data, data.labels) for name, data in (("a", bright(96)), ("b", bright(60, seed=1, fingerprint="test"))))
    scored = score({"encoder": vit(), "untrained": vit(1)}, train, test, Settings(("finetune",), finetune=SHORT))
    rows = {row.method: row for row in scored.rows}
    assert set(rows) == {"encoder", "untrained", "majority", "chance"}
    assert rows["encoder"].accuracy > 0.9 and set(rows["encoder"].gains) == {"untrained"}
    assert rows["encoder"].detail["steps"] == 60 and len(rows["encoder"].per_class) == 3
    assert not scored.heads  # nothing of it belongs to the frozen encoder
    assert any("the same from scratch" in note for note in scored.notes)


def test_samples_without_an_answer_are_not_learnt():
    data = bright(60)
    data.labels["class"].values[::3] = -1  # all of the first class
    named = Labelled("a", Made(data.images, data.labels), data.labels)
    scored = score({"encoder": vit(), "untrained": vit(1)}, named, None, Settings(("finetune",), finetune=replace(SHORT, steps=2)))
    assert next(row for row in scored.rows if row.method == "chance").accuracy == 0.5


# -- regularised masking


def attention(mask: torch.Tensor, n: int) -> torch.Tensor:
    """How much token j gives to token i, [b i j], with equal scores."""
    return torch.zeros(len(mask), 1, n, n).masked_fill(~mask, -torch.inf).softmax(-1)[:, 0]


@pytest.mark.parametrize(("n", "ratio", "chosen"), [(50, 0.1, 5), (7, 0.5, 3), (3, 0.99, 2), (1, 0.9, 0), (9, 0.0, 0)])
def test_regularised_masking(n, ratio, chosen):
    draws = torch.from_numpy(uniform(0, 0, range(4), n, "test"))
    lowest = [sorted(row.argsort()[:chosen].tolist()) for row in draws]
    key, own = attention(regularised_mask(draws, ratio), n), attention(regularised_mask(draws, ratio, "self"), n)
    for row in range(4):
        assert torch.where(key[row].sum(0) == 0)[0].tolist() == lowest[row]
        assert torch.where(own[row].diagonal() == 0)[0].tolist() == lowest[row]
        assert (own[row] == 0).sum() == chosen
    assert torch.allclose(key.sum(-1), torch.ones(4, n)) and torch.allclose(own.sum(-1), torch.ones(4, n))


def test_regularised_mask_goes_into_attention():
    q = torch.randn(2, 3, 10, 4, generator=torch.Generator().manual_seed(0))
    draws = torch.from_numpy(uniform(0, 0, [0, 1], 10, "test"))
    for mode in ("key", "self"):
        out = torch.nn.functional.scaled_dot_product_attention(q, q, q, attn_mask=regularised_mask(draws, 0.2, mode))
        weights = (q @ q.transpose(-1, -2) / 2).masked_fill(~regularised_mask(draws, 0.2, mode), -torch.inf).softmax(-1)
        torch.testing.assert_close(out, weights @ q)


def test_regularised_mask_errors():
    with pytest.raises(ValueError, match="share of the tokens"):
        regularised_mask(torch.zeros(1, 4), 1.0)
    with pytest.raises((ValueError, TypeError)):
        regularised_mask(torch.zeros(1, 4), 0.1, "query")
