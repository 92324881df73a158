"""MAE against the official loss numbers (spec: forward golden A5) and its own definition."""

import math
from dataclasses import replace

import pytest
import torch

from openjepa.masks.random import Random
from openjepa.modalities.grid import Grid
from openjepa.models.encoder import EncoderConfig
from openjepa.models.predictor import PredictorConfig
from openjepa.objectives.mae import MAEConfig, pixel_error, pixel_targets

GRID = Grid(channels=3, size=(8, 8), patch=(4, 4))
TINY = MAEConfig(
    encoder=EncoderConfig(dim=24, depth=1, heads=2), decoder=PredictorConfig(dim=24, depth=2, heads=2), masks=Random(ratio=0.75)
)


def wave(*shape):
    return torch.sin(0.01 * torch.arange(math.prod(shape), dtype=torch.float64)).float().reshape(shape)


def test_patches_are_the_official_ones():
    patches = GRID.patchify(wave(2, 3, 8, 8)).values
    assert patches.shape == (2, 4, 48)
    assert abs(patches.double().sum() - 176.90675) < 1e-3
    wanted = torch.tensor([0.0399893, 0.628793, 0.968715, 0.0499792, 0.6365372, 0.9711484])
    torch.testing.assert_close(patches[0, 1, :6], wanted, atol=1e-6, rtol=0)


def test_the_loss_is_the_official_one():
    patches, guess = GRID.patchify(wave(2, 3, 8, 8)).values, 0.5 * wave(2, 4, 48)
    hidden = torch.tensor([[1, 0, 1, 0], [0, 1, 1, 1]]).bool()
    for norm_pix, wanted in ((False, 0.2553557), (True, 1.0248268)):
        loss = pixel_error(guess, pixel_targets(patches, norm_pix))[hidden].mean()
        torch.testing.assert_close(loss, torch.tensor(wanted), atol=1e-6, rtol=0)


def test_only_hidden_patches_are_scored_and_only_visible_ones_are_read():
    torch.manual_seed(0)
    grid = Grid(channels=3, size=(20, 28), patch=(5, 7))
    objective, x = TINY.build(grid), torch.randn(3, 3, 20, 28)
    batch = TINY.collate(x, grid, 0, 0, [0, 1, 2])
    masks = batch.masks[0]
    patches = grid.patchify(x).values.clone()
    seen = torch.zeros(patches.shape[:2], dtype=torch.bool).scatter_(1, masks.context, True)
    assert (seen.sum(1) == 4).all() and masks.targets.shape == (3, 1, 12)
    patches[~seen] += 1.0
    moved = objective.predict(replace(batch, views=(grid.unpatchify(patches),)))
    still = objective.predict(batch)
    assert torch.equal(moved.guesses, still.guesses)
    goals = pixel_targets(grid.patchify(x).values, True).gather(1, masks.targets[:, 0, :, None].expand(-1, -1, grid.patch_dim))
    wanted = (still.guesses[:, 0] - goals).square().mean()
    torch.testing.assert_close(objective.loss(batch, 0.0).loss, wanted)


def test_videomae_normalises_each_channel_of_a_cube():
    """A slow loop over cubes and channels of a clip, straight from the pixels."""
    torch.manual_seed(0)
    grid, x = Grid(channels=3, size=(4, 10, 14), patch=(2, 5, 7)), 3 + torch.randn(2, 3, 4, 10, 14)
    found = grid.unpatchify(pixel_targets(grid.patchify(x).values, True, 3))
    for t, h, w in ((0, 0, 0), (2, 5, 0), (0, 5, 7), (2, 0, 7)):
        for channel in range(3):
            cube = x[1, channel, t : t + 2, h : h + 5, w : w + 7].double()
            std = ((cube - cube.mean()).square().sum() / (cube.numel() - 1)).sqrt()
            wanted = (cube - cube.mean()) / (std + 1e-6)
            torch.testing.assert_close(found[1, channel, t : t + 2, h : h + 5, w : w + 7].double(), wanted, atol=1e-5, rtol=0)


def test_the_setting_reaches_the_goals():
    grid, x = Grid(channels=3, size=(20, 28), patch=(5, 7)), torch.randn(3, 3, 20, 28)
    config = replace(TINY, per_channel=True)
    batch = config.collate(x, grid, 0, 0, [0, 1, 2])
    index = batch.masks[0].targets[:, 0, :, None].expand(-1, -1, grid.patch_dim)
    goals = config.build(grid).predict(batch).goals[:, 0]
    assert torch.equal(goals, pixel_targets(grid.patchify(x).values, True, 3).gather(1, index))
    with pytest.raises(ValueError, match="norm_pix is off"):
        replace(TINY, per_channel=True, norm_pix=False)
