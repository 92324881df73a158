"""Padding is invisible: whatever it holds, and whichever way attention is computed."""

import pytest
import torch

from openjepa.models import transformer
from openjepa.models.encoder import Encoder, EncoderConfig
from openjepa.models.predictor import Predictor, PredictorConfig
from openjepa.models.transformer import attended, attention
from openjepa.tokens import Tokens

LENGTHS = (7, 3, 5)
VALID = torch.arange(7) < torch.tensor(LENGTHS)[:, None]


def tokens(garbage=0.0, valid=VALID):
    torch.manual_seed(0)
    values, positions = torch.randn(3, 7, 10), 9 * torch.rand(3, 7, 2)
    if garbage != 0.0:
        values[~VALID] = garbage
        positions[~VALID] = garbage
    return Tokens(values, positions, valid)


def models(position, **changes):
    torch.manual_seed(1)
    encoder = Encoder(EncoderConfig(dim=24, depth=2, heads=2, position=position, init_std=0.3, **changes), 10)
    return encoder, Predictor(PredictorConfig(dim=16, depth=2, heads=2, position=position, init_std=0.3, **changes), 24, 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("long", [0, 10_000], ids=["fused", "matmul"])
def test_both_paths_of_attention_leave_padding_out(dtype, long, monkeypatch):
    """Against attention among the real tokens of each sample alone."""
    monkeypatch.setattr(transformer, "LONG", long)
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 3, 2, 7, 6).to(dtype)
    found = attention(q, k, v, attended(VALID))
    for i, n in enumerate(LENGTHS):
        alone = attention(*(x[i : i + 1, :, :n].double() for x in (q, k, v)))
        torch.testing.assert_close(found[i : i + 1, :, :n].double(), alone, atol=1e-6 if dtype == torch.float32 else 2e-2, rtol=0)


@pytest.mark.parametrize("position", ["sincos", "rope"])
def test_a_padded_sample_has_the_features_and_guesses_it_has_alone(position):
    encoder, predictor = models(position)
    patches = tokens(float("nan"))
    where, asked = 9 * torch.rand(3, 2, 4, 2), torch.arange(4) < torch.tensor([[[4]], [[2]], [[3]]]).expand(3, 2, 1)
    where[~asked] = float("nan")
    features = encoder(patches)
    guesses = predictor(features, where, asked)
    for i, n in enumerate(LENGTHS):
        alone = encoder(Tokens(patches.values[i : i + 1, :n], patches.positions[i : i + 1, :n]))
        torch.testing.assert_close(features.values[i : i + 1, :n], alone.values, atol=1e-5, rtol=0)
        t = (4, 2, 3)[i]
        torch.testing.assert_close(guesses[i : i + 1, :, :t], predictor(alone, where[i : i + 1, :, :t]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("position", ["sincos", "rope"])
@pytest.mark.parametrize("garbage", [1e4, float("nan"), float("inf")])
def test_garbage_in_the_padding_changes_no_feature_and_no_gradient(garbage, position):
    results = []
    for patches in (tokens(), tokens(garbage)):
        encoder, predictor = models(position)
        features = encoder(patches)
        guesses = predictor(features, 9 * torch.ones(3, 1, 2, 2))
        (features.values[VALID].square().sum() + guesses.square().sum()).backward()
        results.append([features.values[VALID], guesses, *(p.grad for m in (encoder, predictor) for p in m.parameters())])
    for a, b in zip(*results, strict=True):
        assert b.isfinite().all()
        assert torch.equal(a, b)


@pytest.mark.parametrize("position", ["sincos", "rope"])
def test_all_valid_is_the_same_as_none(position):
    encoder, predictor = models(position)
    where = 9 * torch.rand(3, 2, 4, 2)
    none, every = encoder(tokens(valid=None)), encoder(tokens(valid=torch.ones_like(VALID)))
    torch.testing.assert_close(none.values, every.values, atol=1e-6, rtol=1e-6)
    asked = torch.ones(3, 2, 4, dtype=torch.bool)
    torch.testing.assert_close(predictor(none, where), predictor(every, where, asked), atol=2e-6, rtol=1e-6)


def test_a_sample_that_is_all_padding_stays_finite():
    encoder, predictor = models("sincos")
    patches = tokens(float("nan"), VALID & torch.tensor([[True], [False], [True]]))
    out = predictor(encoder(patches), torch.zeros(3, 1, 2, 2), torch.tensor([1, 0, 1]).bool()[:, None, None].expand(3, 1, 2))
    out[0].sum().backward()
    assert all(p.grad.isfinite().all() for m in (encoder, predictor) for p in m.parameters() if p.grad is not None)


def test_recomputing_activations_keeps_padding_out():
    grads = []
    for recompute in (False, True):
        encoder, _ = models("rope", checkpointing=recompute)
        encoder(tokens(float("nan"))).values[VALID].square().sum().backward()
        grads.append([p.grad for p in encoder.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))
