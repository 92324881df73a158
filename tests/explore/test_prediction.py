"""The page's numbers against the training code, closed forms and slow loops."""

from dataclasses import replace

import pytest
import torch

from openjepa.checkpoint import load_objective
from openjepa.explore.axes import Axes
from openjepa.explore.explorer import Explorer
from openjepa.explore.question import Box, numbers
from openjepa.objectives.jepa import distances
from openjepa.tokens import Batch, Masks

HOLES = (Box((0, 1), (2, 2)), Box((2, 3), (2, 3)))


@pytest.fixture(scope="module")
def blocks(runs):
    return Explorer(runs / "blocks")


@pytest.fixture(scope="module")
def union(runs):
    return Explorer(runs / "deep/union")


@pytest.mark.parametrize("which", ["blocks", "deep/union"])
def test_the_loss_is_the_training_codes_own(runs, which):
    """The same masks through Objective.loss."""
    explorer, model = Explorer(runs / which), load_objective(runs / which)
    found = explorer.jepa("data:3", HOLES)
    ids = [numbers(box, explorer.grid) for box in HOLES]
    context = torch.tensor([[n for n in range(24) if not any(n in hole for hole in ids)]])
    if model.config.union:
        masks = Masks(context, torch.cat(ids).sort().values[None, None])
    else:
        targets = torch.stack([torch.cat([ids[0], ids[0][:1], ids[0][:1]]), ids[1]])[None]
        masks = Masks(context, targets, None, torch.tensor([[[True] * 4 + [False] * 2, [True] * 6]]))
    with torch.no_grad():
        loss = model.loss(Batch((explorer.inputs.view("data:3")[None],), (masks,)), 0.5).loss.item()
    assert found.loss == pytest.approx(loss, rel=1e-6)
    every = torch.cat([found.energy.flatten()[hole] for hole in ids])
    assert every.mean().item() == pytest.approx(loss, rel=1e-5)
    assert found.total.energy == pytest.approx(loss, rel=1e-5)
    assert int(found.energy.isnan().sum()) == 24 - 10


def test_hidden_pixels_cannot_reach_the_guess(blocks):
    """Other numbers under the holes: every guess stays to the bit, and what is right does not."""
    view = blocks.inputs.view("data:5").clone()
    before = blocks.ask("data:5", asked(blocks, HOLES))
    for box in HOLES:
        (y, x), (h, w) = box.at, box.size
        view[:, 8 * y : 8 * (y + h), 8 * x : 8 * (x + w)] = torch.randint(0, 256, (3, 8 * h, 8 * w), dtype=torch.uint8)
    changed = Explorer(blocks.folder)
    changed.inputs.views["data:5"] = view
    after = changed.ask("data:5", asked(blocks, HOLES))
    assert all(torch.equal(a, b) for a, b in zip(before.guesses, after.guesses, strict=True))
    assert not torch.allclose(before.goals, after.goals)
    peeked = changed.ask("data:5", asked(blocks, HOLES, mode="peek"))
    assert not torch.allclose(peeked.guesses[0], after.guesses[0])


def asked(explorer, holes, **how):
    from openjepa.explore.question import question

    return question(explorer.modality, holes, together=explorer.jepa_model.config.union, **how)


def test_an_answer_that_says_the_mean_has_no_skill(blocks, monkeypatch):
    """And one that says the truth has skill 1, the lowest window and rank 1 everywhere."""
    blocks.bank.grow()
    real = blocks.jepa_model.answer

    def says(of):
        def answer(patches, masks, token, goals, normed):
            found = real(patches, masks, token, goals, normed)
            return replace(found, guesses=of(found, masks))

        return answer

    monkeypatch.setattr(blocks.jepa_model, "answer", says(lambda found, masks: blocks.bank.mean[masks.targets[0]][None]))
    score = blocks.jepa("data:2", HOLES[:1])
    assert score.total.mean == pytest.approx(0, abs=1e-6)
    assert torch.allclose(score.skill[~score.skill.isnan()], torch.zeros(4), atol=1e-5)
    monkeypatch.setattr(blocks.jepa_model, "answer", says(lambda found, masks: found.goals))
    perfect = blocks.jepa("data:2", HOLES[:1])
    assert perfect.total.energy == 0 and perfect.total.mean == 1 and perfect.total.copy == 1
    assert perfect.land_min == perfect.land_true == HOLES[0].at
    assert perfect.total.rank_image == (1, 15) and perfect.total.rank_bank == (1, 12)


def test_the_landscape_is_the_energy_of_every_window(blocks):
    """Against loops."""
    found, answer = blocks.jepa("data:1", HOLES[:1]), blocks.ask("data:1", asked(blocks, HOLES[:1]))
    assert found.land.shape == (3, 5)
    goals = answer.goals.reshape(4, 6, -1)
    for y in range(3):
        for x in range(5):
            slow = distances(answer.guesses[0], goals[y : y + 2, x : x + 2].reshape(4, -1), "smooth_l1").mean()
            assert found.land[y, x].item() == pytest.approx(slow.item(), rel=1e-5)
    order = sorted(found.land.flatten().tolist())
    assert found.scores[0].rank_image == (1 + order.index(found.land[0, 1].item()), 15)


def test_gist_and_copy_take_no_peek(blocks, union):
    """References of an input whose hidden part is another one's are the same."""
    for explorer in (blocks, union):
        explorer.bank.grow()
        question = asked(explorer, HOLES[:1])
        from openjepa.explore.prediction import referenced

        view = explorer.inputs.view("data:4").clone()
        view[:, :16, 8:24] = 255 - view[:, :16, 8:24]
        one = referenced(explorer, explorer.look("data:4"), question, False)
        other = referenced(explorer, explorer.look_at(view[None]), question, False)
        assert torch.equal(one["gist"], other["gist"]) and torch.equal(one["copy"], other["copy"])
        near = {tuple(one["copy"][n].tolist()) for n in range(24)}
        assert len(near) == 20  # every hidden place repeats a visible one, and no two visible ones are alike


def test_the_bank_means_every_place_of_every_sample(blocks):
    blocks.bank.grow()
    assert blocks.bank.full and len(blocks.bank.names) == 12
    with torch.no_grad():
        patches = blocks.modality.patchify(blocks.inputs.view("data:7")[None])
        goals = blocks.jepa_model.targets(patches)[0]
    seven = blocks.bank.goals[blocks.bank.names.index("data:7")]
    assert torch.allclose(seven, torch.nn.functional.layer_norm(goals, goals.shape[-1:]), atol=1e-6)
    assert "data:7" not in [blocks.bank.names[i] for i in blocks.bank.others("data:7")]


@pytest.mark.parametrize("shape", [(31, 7), (7, 31)])
def test_axes_are_those_of_a_singular_value_decomposition(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * torch.linspace(3, 0.1, shape[1])
    axes = Axes.of(x)
    less = (x - x.mean(0)).double()
    _, s, v = torch.linalg.svd(less, full_matrices=False)
    assert axes.explained == pytest.approx((s[:3].square().sum() / s.square().sum()).item(), rel=1e-6)
    assert torch.allclose((axes.vectors.double().T @ v[:3].T).abs(), torch.eye(3).double(), atol=1e-5)
    assert torch.allclose(axes.seen(x).std(0, correction=0), torch.ones(3), atol=1e-5)
    inside, outside = axes.of_guess(x.mean(0) + 2 * axes.vectors[:, 1][None])
    assert outside.item() == pytest.approx(0, abs=1e-3) and inside[0, 0].item() == pytest.approx(0, abs=1e-5)


def test_a_copy_of_what_is_not_hidden_leaves_nothing_to_be_better_at(blocks):
    assert blocks.jepa("data:0", HOLES, mode="peek").total.copy is None


def test_a_quick_answer_is_the_same_without_what_costs_more(blocks):
    quick, full = blocks.jepa("data:0", HOLES, quick=True), blocks.jepa("data:0", HOLES)
    assert torch.equal(quick.energy.nan_to_num(), full.energy.nan_to_num())
    assert quick.total.gist is None and full.total.gist is not None


def test_an_mae_says_that_it_predicts_pixels(runs):
    with pytest.raises(ValueError, match="choose a JEPA run"):
        Explorer(runs / "pixels").jepa("data:0", HOLES)
