"""Counts and coverage of simulated masks against closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from openjepa.doctor.masks import draw, heat_map, simulate
from openjepa.doctor.picture import blocks, tiles
from openjepa.masks.blocks import Blocks
from openjepa.modalities.drawn import BORDERS, GAP
from openjepa.objectives.jepa import JEPAConfig
from openjepa.tokens import Masks
from tests.tiny import MAE, RUN


def test_random_masks_cover_every_place_as_often_as_their_ratio_says():
    report = simulate(MAE, 2000)  # 24 places, a quarter kept
    assert report.grid == (4, 6) and report.context == (6, 6) and report.targets == (18, 18) and report.blocks == 1
    assert report.asked == (0.75, 0.75) and report.overlap == 0
    np.testing.assert_allclose(report.context_coverage + report.target_coverage, 1)
    # 2000 draws of a share of .25: four standard errors are .039
    assert abs(report.context_coverage - 0.25).max() < 0.039


def test_the_simulated_masks_are_those_of_training():
    run = replace(RUN, objective=replace(RUN.objective, masks=Blocks(count=2, context=0.25)))
    masks = draw(run, 3, [5, 9])
    wanted = run.objective.masks((4, 6), run.seed, 3, [5, 9])
    assert torch.equal(masks.context, wanted.context) and torch.equal(masks.targets, wanted.targets)
    counts = np.zeros(24)
    for step in range(4):
        for sample in run.objective.masks((4, 6), run.seed, step, list(range(10 * step, 10 * step + 10))).targets:
            counts[np.unique(sample.flatten().numpy())] += 1  # a place in two blocks counts once
    np.testing.assert_allclose(simulate(run, 40).target_coverage.flatten(), counts / 40)


def test_a_union_target_is_what_the_context_leaves():
    run = replace(RUN, objective=replace(RUN.objective, union=True))
    report = simulate(run, 100)
    assert report.blocks == 1 and report.targets == (18, 18) and report.overlap == 0


def test_an_overlap_of_context_and_targets_is_counted(monkeypatch):
    both = torch.tensor([[0, 1, 2], [3, 4, 5]])
    monkeypatch.setattr(JEPAConfig, "collate", lambda *a: type("B", (), {"masks": (Masks(both, both[:, None, :2]),)})())
    assert simulate(RUN, 2).overlap == 4


def test_the_heat_map_goes_from_blank_to_full():
    assert heat_map(np.array([[0.0, 0.5], [0.25, 1.0]])) == ["  ▒▒", "░░██"]
    assert heat_map(np.full((1, 2), 0.3)) == ["████"] and heat_map(np.zeros((1, 2))) == ["    "]


def test_masks_that_do_not_fit_say_so():
    with pytest.raises(ValueError, match="lower scale"):
        simulate(replace(RUN, objective=replace(RUN.objective, masks=Blocks(scale=(0.9, 0.95)))), 10)


def test_the_picture_has_a_line_per_sample_of_view_context_and_what_is_asked():
    pixels = torch.arange(32 * 48 * 3).byte().reshape(32, 48, 3)
    views = pixels.permute(2, 0, 1)[None].expand(2, -1, -1, -1)
    masks = Masks(torch.tensor([[7], [8]]), torch.tensor([[[0]], [[1]]]))
    whole = tiles(RUN, views, (masks,))
    assert whole.shape == (2 * 32 + GAP, 3 * 48 + 2 * GAP, 3) and (whole[:32, :48] == pixels.numpy()).all()
    context = whole[:32, 48 + GAP : 96 + GAP]
    assert (context[8:16, 8:16] == pixels[8:16, 8:16].numpy()).all()  # row 1, column 1 of 4 x 6 places of 8 x 8 pixels
    assert (context == 128).all(-1).sum() >= 32 * 48 - 64
    asked = whole[32 + GAP :, 96 + 2 * GAP :]
    assert (asked[1:7, 9:15] == pixels[1:7, 9:15].numpy()).all() and (asked[0, 8:16] == BORDERS[0]).all()
    assert tiles(RUN, views, (masks, masks)).shape[1] == 5 * 48 + 4 * GAP
    text = blocks(whole, 40)
    assert text.count("▀") == 40 * len(text.splitlines()) and text.splitlines()[0].endswith("\x1b[0m")
