"""Several mask configurations in a step: one target pass, a mask token each, and the mean of their losses."""

from dataclasses import replace

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

GRID = Grid(channels=3, size=(6, 35, 42), patch=(2, 7, 7))
SHORT, LONG = MultiBlock(count=4), MultiBlock(count=2, scale=(0.5, 0.5))
VJEPA = JEPAConfig(
    encoder=EncoderConfig(dim=24, depth=2, heads=2, position="rope"),
    predictor=PredictorConfig(dim=16, depth=2, heads=2, position="rope", zero_mask_token=True),
    masks=(SHORT, LONG),
    loss="l1",
)


def build(config=VJEPA):
    torch.manual_seed(0)
    objective, x = config.build(GRID), torch.randn(3, 3, 6, 35, 42)
    return objective, config.collate(x, GRID, 0, 0, [4, 5, 6])


def test_the_loss_is_the_mean_of_what_each_gives_alone():
    objective, batch = build()
    assert [masks.context.shape for masks in batch.masks] == [m((3, 5, 6), 0, 0, [4, 5, 6]).context.shape for m in (SHORT, LONG)]
    with torch.no_grad():
        objective.predictor.mask_token[1].add_(1.0)  # the second configuration asks with its own
    output = objective.loss(batch, 0.0)
    features = F.layer_norm(objective.target_encoder(GRID.patchify(batch.views[0])).values, (24,))
    alone = []
    for token, masks in enumerate(batch.masks):
        patches = GRID.patchify(batch.views[0])
        context, where = objective.encoder(patches.take(masks.context)), patches.take(masks.targets[:, 0]).positions[:, None]
        goals = features.gather(1, masks.targets[:, 0, :, None].expand(-1, -1, 24))
        alone.append((objective.predictor(context, where, token=token)[:, 0] - goals).abs().mean())
    torch.testing.assert_close(output.loss, (alone[0] + alone[1]) / 2)
    torch.testing.assert_close(torch.stack(list(output.metrics.values())), torch.stack(alone).detach())
    assert list(output.metrics) == ["loss_masks0", "loss_masks1"]
    assert not output.metrics["loss_masks0"].requires_grad


def test_one_target_pass_serves_all(monkeypatch):
    objective, batch = build()
    passes = []
    whole = objective.target_encoder.layers
    monkeypatch.setattr(objective.target_encoder, "layers", lambda *a: passes.append(1) or whole(*a))
    objective.loss(batch, 0.0).loss.backward()
    assert len(passes) == 1
    assert objective.predictor.mask_token.shape == (2, 1, 16)
    assert (objective.predictor.mask_token.grad.abs().sum((1, 2)) > 0).all()


def test_health_is_told_of_the_first():
    objective, batch = build()
    first, told = objective.predict(batch), objective.loss(batch, 0.0).prediction
    assert torch.equal(first.guesses, told.guesses)
    assert told.masks is batch.masks[0]


def test_equal_samplers_draw_masks_of_their_own():
    _, batch = build(replace(VJEPA, masks=(SHORT, SHORT)))
    assert not torch.equal(batch.masks[0].context, batch.masks[1].context)


def test_one_in_a_tuple_is_one():
    """The same masks, weights and loss, to the bit."""
    losses = []
    for masks in (SHORT, (SHORT,)):
        objective, batch = build(replace(VJEPA, masks=masks))
        losses.append(objective.loss(batch, 0.0).loss)
    assert torch.equal(*losses)


def test_the_union_of_each():
    _, batch = build(replace(VJEPA, masks=(Random(ratio=0.75), Blocks()), union=True))
    for masks in batch.masks:
        for context, (target,) in zip(masks.context.tolist(), masks.targets.tolist(), strict=True):
            assert sorted(context + target) == list(range(90))


@pytest.mark.parametrize(("name", "formula"), [("l1", torch.abs), ("l2", torch.square)])
def test_losses_by_hand(name, formula):
    objective, batch = build(replace(VJEPA, masks=SHORT, loss=name))
    prediction = objective.predict(batch)
    torch.testing.assert_close(objective.loss(batch, 0.0).loss, formula(prediction.guesses - prediction.goals).mean())


def test_no_masks_at_all():
    with pytest.raises(ValueError, match="masks is empty"):
        replace(VJEPA, masks=())


def test_balance_needs_a_position_code():
    with pytest.raises(ValueError, match="position='rope' adds none: drop balance"):
        replace(VJEPA, balance=2.0)


def test_no_pixel_outside_the_context_reaches_the_guesses():
    objective, batch = build()
    view = batch.views[0].clone().requires_grad_()
    prediction = objective.predictions(replace(batch, views=(view,)))[1]
    (gradient,) = torch.autograd.grad(prediction.guesses.square().sum(), view)
    patches = GRID.patchify(gradient).values.abs().sum(-1)
    seen = torch.zeros_like(patches, dtype=torch.bool).scatter_(1, batch.masks[1].context, True)
    assert (patches[~seen] == 0).all()
    assert (patches[seen] > 0).all()
