"""I-JEPA: what moves, what is seen, what is scored."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from openjepa.losses.variance import variance_and_covariance
from openjepa.masks.blocks import Blocks
from openjepa.modalities.grid import Grid
from openjepa.models.encoder import EncoderConfig
from openjepa.models.positions import sincos
from openjepa.models.predictor import PredictorConfig
from openjepa.objectives.jepa import JEPAConfig, complement, per_sample
from openjepa.schedules import Linear

GRID = Grid(channels=3, size=(40, 56), patch=(5, 7))
TINY = JEPAConfig(encoder=EncoderConfig(dim=24, depth=2, heads=2), predictor=PredictorConfig(dim=16, depth=2, heads=2))


def build(config=TINY, seed=0):
    torch.manual_seed(seed)
    objective = config.build(GRID)
    x = torch.randn(4, 3, 40, 56)
    return objective, x, config.collate(x, GRID, 0, 0, range(4))


def test_masked_patches_cannot_reach_the_guess():
    """Change every pixel outside the context: guesses must not move at all."""
    objective, x, batch = build()
    patches = GRID.patchify(x).values.clone()
    hidden = torch.ones(patches.shape[:2], dtype=torch.bool).scatter_(1, batch.masks[0].context, False)
    patches[hidden] += 100.0
    changed = replace(batch, views=(GRID.unpatchify(patches),))
    before, after = objective.predict(batch), objective.predict(changed)
    assert torch.equal(before.guesses, after.guesses)
    assert not torch.equal(before.goals, after.goals)


def test_goals_are_cut_from_the_output_of_the_target_encoder_on_the_whole_image():
    """A slow loop: encode everything, normalise, pick; not: encode only the target patches."""
    objective, x, batch = build()
    prediction = objective.predict(batch)
    features = objective.target_encoder(GRID.patchify(x)).values
    for sample in range(4):
        for block, index in enumerate(batch.masks[0].targets[sample]):
            for at, token in enumerate(index):
                wanted = F.layer_norm(features[sample, token], (24,))
                torch.testing.assert_close(prediction.goals[sample, block, at], wanted, atol=1e-5, rtol=0)
    loss = objective.loss(batch, 0.0).loss
    difference = (prediction.guesses - prediction.goals).abs()
    by_hand = torch.where(difference < 1, 0.5 * difference.square(), difference - 0.5).mean()
    torch.testing.assert_close(loss, by_hand)


def test_each_block_is_answered_on_its_own():
    """Blocks asked together give what each gives alone."""
    objective, _, batch = build()
    together = objective.predict(batch).guesses
    for block in range(4):
        masks = replace(batch.masks[0], targets=batch.masks[0].targets[:, block : block + 1])
        alone = objective.predict(replace(batch, masks=(masks,))).guesses
        torch.testing.assert_close(alone[:, 0], together[:, block], atol=1e-5, rtol=0)


def test_the_target_encoder_moves_by_momentum_alone():
    objective, _, batch = build(replace(TINY, momentum=Linear(start=0.75, final=0.75)))
    objective.loss(batch, 0.0).loss.backward()
    assert all(p.grad is None for p in objective.target_encoder.parameters())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in (*objective.encoder.parameters(), *objective.predictor.parameters()))
    before = objective.target_encoder.embed.weight.clone()
    with torch.no_grad():
        objective.encoder.embed.weight.add_(1.0)
    assert objective.after_step(0.5) == {"momentum": 0.75}
    torch.testing.assert_close(objective.target_encoder.embed.weight, before + 0.25, atol=1e-6, rtol=0)
    assert objective.exported() is objective.target_encoder


def test_momentum_follows_its_schedule():
    objective, _, _ = build()
    assert objective.after_step(0.0)["momentum"] == pytest.approx(0.996)
    assert objective.after_step(0.5)["momentum"] == pytest.approx(0.998)


def test_one_union_target_is_everything_outside_the_context():
    config = replace(TINY, union=True, masks=Blocks(context=0.25))
    _, _, batch = build(config)
    masks = batch.masks[0]
    assert masks.context.shape == (4, 16) and masks.targets.shape == (4, 1, 48)
    for context, target in zip(masks.context.tolist(), masks.targets[:, 0].tolist(), strict=True):
        assert sorted(context + target) == list(range(64))


def test_complement_is_ascending():
    assert complement(torch.tensor([[3, 0], [1, 2]]), 5).tolist() == [[1, 2, 4], [0, 3, 4]]


def test_the_target_can_be_the_mean_of_the_last_layers():
    objective, x, batch = build(replace(TINY, target_layers=2))
    first, second = objective.target_encoder.layers(GRID.patchify(x), 2)
    torch.testing.assert_close(objective.predict(batch).raw_goals, (first + second) / 2)
    torch.testing.assert_close(second, objective.target_encoder(GRID.patchify(x)).values)
    assert not torch.allclose(first, second, atol=1e-2)


def test_balance_sets_content_against_position_once():
    objective, x, batch = build(replace(TINY, balance=3.0))
    objective.start(batch)
    patches = GRID.patchify(x)
    content = objective.encoder.embed(patches.values).std(0).square().mean().sqrt()
    place = sincos(patches.positions[0], 24).std(0).square().mean().sqrt()
    torch.testing.assert_close(content / place, torch.tensor(3.0), atol=1e-3, rtol=0)
    assert torch.equal(objective.encoder.embed.weight, objective.target_encoder.embed.weight)


def test_published_defaults():
    config = JEPAConfig()
    assert (config.momentum.start, config.momentum.final) == (0.996, 1.0)
    assert (config.masks.count, config.masks.scale, config.masks.aspect, config.masks.context_scale) == (
        4,
        (0.15, 0.2),
        (0.75, 1.5),
        (0.85, 1.0),
    )
    assert (config.union, config.target_layers, config.balance, config.stop_gradient) == (False, 1, None, True)


def test_the_loss_of_a_fresh_model_is_where_theory_puts_it():
    """Goals are unit normal, a fresh guess is noise of std about .02 sqrt(384) = .39 (spec 1.12)."""
    torch.manual_seed(0)
    config = JEPAConfig(encoder=EncoderConfig(dim=192, depth=2, heads=3), predictor=PredictorConfig(dim=384, depth=2, heads=3))
    grid = Grid(channels=3, size=(96, 96), patch=(8, 8))
    x = torch.randn(4, 3, 96, 96)
    output = config.build(grid).loss(config.collate(x, grid, 0, 0, range(4)), 0.0)
    assert 0.3 < output.prediction.guesses.std() < 0.5
    miss = torch.randn(100_000) * (1 + 0.39**2) ** 0.5
    torch.testing.assert_close(output.loss, F.smooth_l1_loss(miss, torch.zeros_like(miss)), atol=0.04, rtol=0)


def test_instance_norm_takes_away_what_all_tokens_of_a_sample_share():
    """The oracle is torch's instance norm; with padding, that of the sample without it."""
    x = torch.randn(3, 10, 6, generator=torch.Generator().manual_seed(0)) * 3 + torch.randn(3, 1, 6) * 50
    wanted = F.instance_norm(x.mT, eps=0).mT
    torch.testing.assert_close(per_sample(x, None), wanted, rtol=1e-4, atol=1e-4)
    valid = torch.arange(10) < torch.tensor([[10], [7], [4]])
    found = per_sample(x.masked_fill(~valid[..., None], 1e6), valid)
    for row, count in enumerate((10, 7, 4)):
        torch.testing.assert_close(found[row, :count], F.instance_norm(x[row, :count].mT[None], eps=0).mT[0], rtol=1e-4, atol=1e-4)
        assert (found[row, count:] == 0).all()
    assert per_sample(torch.ones(2, 5, 3), None).abs().max() == 0  # nothing to tell apart is 0, not NaN


def test_goals_with_instance_norm_are_the_mean_of_normed_layers():
    config = replace(TINY, target_layers=2, instance_norm=True)
    objective, x, _ = build(config)
    patches = GRID.patchify(x)
    layers = objective.target_encoder.layers(patches, 2)
    torch.testing.assert_close(objective.targets(patches), torch.stack([per_sample(layer, None) for layer in layers]).mean(0))
    plain, _, _ = build(replace(config, instance_norm=False))
    assert not torch.allclose(plain.targets(patches), objective.targets(patches))


def test_variance_and_covariance_of_the_context_come_on_top():
    """The parts are those of the features that the predictor reads, and each reaches the encoder."""
    config = replace(TINY, variance=2.0, covariance=0.5)
    objective, _, batch = build(config)
    plain, _, _ = build()
    output = objective.loss(batch, 0.0)
    short, shared = variance_and_covariance(objective.predict(batch).context.values.flatten(0, 1))
    torch.testing.assert_close(output.metrics["loss_prediction"], plain.loss(batch, 0.0).loss)
    torch.testing.assert_close(output.loss, output.metrics["loss_prediction"] + 2 * short + 0.5 * shared)
    assert short > 0 and shared > 0 and not any(value.requires_grad for value in output.metrics.values())
    for other in (replace(TINY, variance=2.0), replace(TINY, covariance=0.5)):
        found, _, _ = build(other)
        found.loss(batch, 0.0).loss.backward()
        plain.zero_grad()
        plain.loss(batch, 0.0).loss.backward()
        assert not torch.allclose(found.encoder.embed.weight.grad, plain.encoder.embed.weight.grad)
        torch.testing.assert_close(found.predictor.proj.weight.grad, plain.predictor.proj.weight.grad)  # it sees the prediction alone


def test_of_several_mask_configurations_the_mean():
    config = replace(TINY, masks=(Blocks(), Blocks(count=2)), variance=1.0, covariance=1.0)
    objective, _, batch = build(config)
    output = objective.loss(batch, 0.0)
    each = [variance_and_covariance(p.context.values.flatten(0, 1)) for p in objective.predictions(batch)]
    torch.testing.assert_close(output.metrics["loss_variance"], (each[0][0] + each[1][0]) / 2)
    torch.testing.assert_close(output.metrics["loss_covariance"], (each[0][1] + each[1][1]) / 2)
    assert {"loss_masks0", "loss_masks1"} < set(output.metrics)


def test_without_the_prediction_the_predictor_learns_nothing():
    """The control: what variance and covariance teach alone."""
    objective, _, batch = build(replace(TINY, variance=1.0, covariance=1.0, prediction=0.0))
    output = objective.loss(batch, 0.0)
    torch.testing.assert_close(output.loss, output.metrics["loss_variance"] + output.metrics["loss_covariance"])
    output.loss.backward()
    assert not objective.predictor.proj.weight.grad.any() and objective.encoder.embed.weight.grad.any()
    half, _, _ = build(replace(TINY, prediction=0.5))
    torch.testing.assert_close(half.loss(batch, 0.0).loss, 0.5 * output.metrics["loss_prediction"])


@pytest.mark.parametrize("weights", [{"covariance": -1.0}, {"prediction": 0.0}, {"variance": -0.1, "covariance": 1.0}])
def test_weights_that_teach_nothing_or_less_are_refused(weights):
    with pytest.raises(ValueError, match="each must be 0 or more"):
        replace(TINY, **weights)
