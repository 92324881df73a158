"""Samples of several lengths: padding changes no loss and no gradient, and short samples count by what they have."""

from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F

from openjepa.masks.blocks import Blocks
from openjepa.masks.multiblock import MultiBlock
from openjepa.masks.random import Random
from openjepa.modalities.grid import Grid
from openjepa.models.encoder import EncoderConfig
from openjepa.models.predictor import PredictorConfig
from openjepa.objectives.jepa import JEPAConfig
from openjepa.objectives.mae import MAEConfig
from openjepa.tokens import Batch, Masks, Tokens

SMALL = EncoderConfig(dim=24, depth=2, heads=2, init_std=0.2)
PREDICTOR = PredictorConfig(dim=16, depth=2, heads=2, init_std=0.2)
JEPA = JEPAConfig(encoder=SMALL, predictor=PREDICTOR, masks=(Random(ratio=0.6), Random(ratio=0.4)))
MAE = MAEConfig(encoder=SMALL, decoder=PREDICTOR, masks=Random(ratio=0.6))
LENGTHS = (9, 4, 6)


@dataclass(frozen=True, kw_only=True)
class Padded(Grid):
    """Series whose first channel is 1 where there is something and 0 at the padding; `registers` tokens before them."""

    registers: int = 0

    def valid(self, view):
        there = (view[:, 0].unflatten(1, (-1, self.patch[0])) == 1).all(-1)
        return F.pad(there, (self.registers, 0), value=True)

    def patchify(self, x):
        tokens = super().patchify(x)
        values, positions = (F.pad(part, (0, 0, self.registers, 0), value=-1.0) for part in (tokens.values, tokens.positions))
        return Tokens(values, positions, self.valid(x))


def samples(garbage=0.0, total=9):
    torch.manual_seed(0)
    x = torch.randn(3, 2, 9 * 5)
    x[:, 0] = 1
    for i, n in enumerate(LENGTHS):
        x[i, :, n * 5 :] = garbage
    return x[:, :, : total * 5]


def build(config, modality=None):
    modality = modality or Padded(channels=2, size=(45,), patch=(5,))
    torch.manual_seed(1)
    return config.build(modality), modality


def gradients(objective):
    return [p.grad for p in objective.parameters() if p.grad is not None]


@pytest.mark.parametrize("config", [JEPA, MAE], ids=["jepa", "mae"])
@pytest.mark.parametrize("garbage", [7.0, float("nan")])
def test_garbage_changes_nothing(config, garbage):
    found = []
    for x in (samples(), samples(garbage)):
        objective, modality = build(config)
        output = objective.loss(config.collate(x, modality, 0, 0, [3, 4, 5]), 0.0)
        output.loss.backward()
        found.append([output.loss, *gradients(objective)])
    assert all(b.isfinite().all() for b in found[1])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


@pytest.mark.parametrize("config", [JEPA, MAE], ids=["jepa", "mae"])
def test_the_loss_is_the_mean_over_the_real_targets_of_samples_taken_alone(config):
    """Alone nothing is padded: each sample is cut to its own length."""
    objective, modality = build(config)
    whole = objective.loss(config.collate(samples(float("nan")), modality, 0, 0, [3, 4, 5]), 0.0).loss
    configurations = len(config.masks) if isinstance(config.masks, tuple) else 1
    means = []
    for c in range(configurations):
        total, count = 0.0, 0
        for i, n in enumerate(LENGTHS):
            batch = config.collate(samples()[i : i + 1, :, : n * 5], modality, 0, 0, [3 + i])
            assert batch.masks[c].target_valid is None
            output = objective.predictions(batch)[c] if config is JEPA else objective.predict(batch)
            error = F.smooth_l1_loss(output.guesses, output.goals) if config is JEPA else F.mse_loss(output.guesses, output.goals)
            total, count = total + error * output.guesses.shape[2], count + output.guesses.shape[2]
        means.append(total / count)
    torch.testing.assert_close(whole, sum(means) / configurations, atol=1e-5, rtol=0)


@pytest.mark.parametrize("config", [replace(JEPA, masks=Random()), MAE], ids=["jepa", "mae"])
def test_lists_may_be_padded_where_samples_are_not(config):
    """Whole samples, some with fewer context tokens and targets: a padded entry points at a real token, which must not be read."""
    objective, _ = build(config, Grid(channels=2, size=(45,), patch=(5,)))
    valid = torch.tensor([[True, True, True], [True, False, False]])
    masks = Masks(
        torch.tensor([[0, 1, 2], [3, 8, 8]]), torch.tensor([[[5, 6]], [[7, 4]]]), valid, torch.tensor([[[True, True]], [[True, False]]])
    )
    x = torch.randn(2, 2, 45)
    changed = x.clone()
    changed[1, :, 20:25] += 9.0  # token 4: asked for by a padded entry
    changed[1, :, 40:] += 9.0  # token 8: seen by padded entries
    before, after = (objective.predict(Batch((view,), (masks,))) for view in (x, changed))
    assert torch.equal(before.guesses, after.guesses)
    assert before.valid.sum() == 3
    if config is MAE:
        assert torch.equal(*(objective.loss(Batch((view,), (masks,)), 0.0).loss for view in (x, changed)))


def test_the_prediction_says_what_was_asked():
    objective, modality = build(JEPA)
    prediction = objective.predict(JEPA.collate(samples(), modality, 0, 0, [3, 4, 5]))
    assert prediction.valid.sum((1, 2)).tolist() == [6, 3, 4]
    assert prediction.raw_valid.sum(1).tolist() == list(LENGTHS)
    assert prediction.context.valid.sum(1).tolist() == [3, 1, 2]


def test_samples_of_full_length_are_no_special_case():
    """All valid or no `valid` at all: the same masks and, to 1e-6, the same loss."""
    x = samples()
    x[:, 0] = 1
    losses = []
    for modality in (Padded(channels=2, size=(45,), patch=(5,)), Grid(channels=2, size=(45,), patch=(5,))):
        objective, _ = build(JEPA, modality)
        losses.append(objective.loss(JEPA.collate(x, modality, 0, 0, [3, 4, 5]), 0.0).loss)
    torch.testing.assert_close(*losses, atol=1e-6, rtol=0)


def test_registers_are_always_seen_and_never_asked_for():
    modality = Padded(channels=2, size=(45,), patch=(5,), registers=2)
    batch = JEPA.collate(samples(), modality, 0, 0, [3, 4, 5])
    plain = JEPA.collate(samples(), replace(modality, registers=0), 0, 0, [3, 4, 5])
    for masks, without in zip(batch.masks, plain.masks, strict=True):
        assert masks.context[:, :2].tolist() == [[0, 1]] * 3
        assert masks.context_valid[:, :2].all()
        assert torch.equal(masks.context[:, 2:], without.context + 2)
        assert torch.equal(masks.targets, without.targets + 2)
    union = replace(JEPA, masks=Random(ratio=0.5), union=True)
    x = samples()
    x[:, 0] = 1
    (masks,) = union.collate(x, modality, 0, 0, [3, 4, 5]).masks
    assert sorted(masks.context[0].tolist() + masks.targets[0, 0].tolist()) == list(range(11))
    objective, _ = build(JEPA, modality)
    objective.loss(batch, 0.0).loss.backward()
    assert all(g.isfinite().all() for g in gradients(objective))


def test_what_cannot_be_ragged_says_so():
    _, modality = build(JEPA)
    for config, message in (
        (replace(JEPA, masks=Blocks()), "Blocks masks need samples of one length"),
        (replace(JEPA, masks=MultiBlock()), "for ragged ones use Random"),
        (replace(JEPA, union=True), "union needs contexts of one length"),
    ):
        with pytest.raises(ValueError, match=message):
            config.collate(samples(), modality, 0, 0, [3, 4, 5])
