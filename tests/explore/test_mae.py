from dataclasses import replace

import pytest
import torch

from openjepa.checkpoint import load_objective
from openjepa.explore.explorer import Explorer
from openjepa.explore.mae import filled, hiding_order, inpainted, original_units
from openjepa.explore.question import Box
from openjepa.objectives.mae import pixel_targets
from openjepa.tokens import Batch, Masks


@pytest.fixture(scope="module")
def pixels(runs):
    return Explorer(runs / "pixels")


def test_the_error_is_the_training_codes_own(runs, pixels):
    found, model = pixels.mae("data:3", hidden=[1, 2, 8, 20]), load_objective(runs / "pixels")
    context = torch.tensor([[n for n in range(24) if n not in (1, 2, 8, 20)]])
    with torch.no_grad():
        batch = Batch((pixels.inputs.view("data:3")[None],), (Masks(context, torch.tensor([[[1, 2, 8, 20]]])),))
        loss = model.loss(batch, 0.5).loss.item()
    assert found.mse == pytest.approx(loss, rel=1e-5)
    assert found.hidden.flatten().nonzero()[:, 0].tolist() == [1, 2, 8, 20]
    assert found.error[~found.error.isnan()].mean().item() == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("sampler", ["random", "block", "grid"])
def test_a_larger_share_hides_the_same_patches_and_more(pixels, sampler):
    small, large = (
        set(pixels.mae("data:0", ratio=r, seed=3, sampler=sampler).hidden.flatten().nonzero()[:, 0].tolist()) for r in (0.25, 0.6)
    )
    assert small < large and len(small) == 6 and len(large) == 14


def test_samplers_hide_what_they_are_called():
    """A block is connected around its centre, a grid keeps its patches apart, seeds differ."""
    assert hiding_order((8, 8), 0, "random").tolist() != hiding_order((8, 8), 1, "random").tolist()
    places = torch.stack([hiding_order((8, 8), 5, "block")[:16] // 8, hiding_order((8, 8), 5, "block")[:16] % 8], 1)
    assert (places.amax(0) - places.amin(0)).max() <= 5
    grid = hiding_order((8, 8), 5, "grid")[:16]
    apart = torch.cdist(torch.stack([grid // 8, grid % 8], 1).float(), torch.stack([grid // 8, grid % 8], 1).float())
    assert apart[~torch.eye(16, dtype=torch.bool)].min() >= 2
    assert sorted(hiding_order((3, 5, 7), 5, "grid").tolist()) == list(range(105))


def test_visible_patches_are_shown_as_they_are(pixels):
    found = pixels.mae("data:1", ratio=0.5)
    view = pixels.inputs.view("data:1").permute(1, 2, 0)
    hidden = found.hidden.bool().repeat_interleave(8, 0).repeat_interleave(8, 1)
    assert (found.composite[0][~hidden].int() - view[~hidden].int()).abs().max() <= 1  # through floats and back
    assert torch.equal(found.seen[0][~hidden], view[~hidden]) and (found.seen[0][hidden] == 128).all()
    assert (found.output[0][~hidden] == 128).all() and torch.equal(found.output[0][hidden], found.composite[0][hidden])


def test_a_constant_answer_scores_the_variance(runs):
    """Without normalising, the mean of the visible patches against the hidden ones."""
    explorer = Explorer(runs / "pixels")
    explorer.objective.config = replace(explorer.objective.config, norm_pix=False)
    found = explorer.mae("data:2", ratio=0.5, seed=1)
    values, hidden = explorer.look("data:2").patches.values[0], found.hidden.flatten().bool()
    assert found.constant_mse == pytest.approx((values[hidden] - values[~hidden].mean(0)).square().mean().item(), rel=1e-4)
    assert not found.leaks


def test_colours_flow_in_from_what_is_visible():
    """A linear ramp with a hole is nearly restored; where all is known nothing changes."""
    ramp = torch.linspace(0, 1, 8)[None, :, None].expand(8, 8, 1).reshape(64, 1)
    known = torch.tensor([n for n in range(64) if not (2 <= n // 8 < 4 and 2 <= n % 8 < 4)])
    found = inpainted(ramp, known, (8, 8), 1)
    assert torch.equal(found[known], ramp[known])
    assert (found - ramp).abs().max() < 0.1 < (ramp.mean() - ramp).abs().max()
    x = torch.randn(1, 2, 5, 3)
    assert torch.allclose(filled(x, torch.ones(1, 1, 5, 3)), x)


@pytest.mark.parametrize("channels", [None, 3])
def test_original_units_undo_the_normalising(channels):
    truth = torch.randn(5, 48, generator=torch.Generator().manual_seed(0)) * 2 + 1
    assert torch.allclose(original_units(pixel_targets(truth, True, channels), truth, True, channels), truth, atol=1e-4)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({}, "ratio is None"),
        ({"ratio": 1.0}, "ratio is 1.0"),
        ({"hidden": [24]}, "from 0 to 23"),
        ({"targets": [Box((0, 0), (4, 6))]}, "everything is hidden"),
    ],
)
def test_what_cannot_be_painted_says_why(pixels, how, said):
    with pytest.raises(ValueError, match=said):
        pixels.mae("data:0", **how)


def test_a_jepa_run_says_that_it_predicts_embeddings(runs):
    with pytest.raises(ValueError, match="choose an MAE run"):
        Explorer(runs / "blocks").mae("data:0", ratio=0.5)
