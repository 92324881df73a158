"""Neighbours, ridge sketches and the noise test, against closed forms and loops."""

import json
import shutil

import pytest
import torch

from openjepa.checkpoint import load_encoder
from openjepa.explore.explorer import Explorer
from openjepa.explore.neighbours import neighbours
from openjepa.explore.noise import noise_test
from openjepa.explore.question import Box, question
from openjepa.explore.sketch import DECAY, Ridge, sketch
from openjepa.models.positions import sincos

HOLES = (Box((1, 2), (2, 2)),)


@pytest.fixture(scope="module")
def blocks(runs):
    return Explorer(runs / "blocks")


def test_neighbours_are_the_nearest_windows_of_other_samples(blocks):
    hits = neighbours(blocks, "data:2", HOLES, k=3)
    guess = blocks.ask("data:2", question(blocks.modality, HOLES)).guesses[0]
    slow = []
    for i, name in enumerate(blocks.bank.names):
        cube = blocks.bank.goals[i].reshape(4, 6, -1)
        for y in range(3):
            for x in range(5):
                slow.append(((guess - cube[y : y + 2, x : x + 2].reshape(4, -1)).square().mean().item(), name, (y, x)))
    best = {name: min(s for s in slow if s[1] == name) for name in blocks.bank.names if name != "data:2"}
    wanted = sorted(best.values())[:3]
    assert [(hit.input, hit.at) for hit in hits] == [(name, at) for _, name, at in wanted]
    assert [hit.distance for hit in hits] == pytest.approx([d for d, *_ in wanted], abs=1e-4)
    assert [hit.name for hit in hits] == [blocks.inputs.title(hit.input)[0] for hit in hits]


def test_a_ridge_is_scikit_learns():
    from sklearn.linear_model import Ridge as Theirs

    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(200, 7, generator=g), torch.randn(200, 3, generator=g)
    ours = Ridge.solve(x, y, 0.0)
    less = (x - x.mean(0)).double()
    theirs = Theirs(alpha=DECAY * (less.T @ less).diagonal().mean().item()).fit(x.double(), y.double())
    assert torch.allclose(ours(x).double(), torch.from_numpy(theirs.predict(x.double())), atol=1e-4)


def test_a_ridge_that_can_read_everything_says_so():
    """Pixels that are a linear function of the features; and pixels that have nothing to do with them."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(40, 6, 8, generator=g)
    assert Ridge.fit(x, x @ torch.randn(8, 5, generator=g)).r2 > 0.99
    many = torch.randn(12, 6, 64, generator=g)  # nearly as many features as tokens: what was fitted would look explained
    assert Ridge.fit(many, torch.randn(12, 6, 5, generator=g)).r2 < 0


def test_a_sketch_changes_hidden_patches_alone(blocks):
    found = sketch(blocks, "data:3", HOLES)
    view = blocks.inputs.view("data:3").permute(1, 2, 0)
    inside = torch.zeros(32, 48, dtype=torch.bool)
    inside[8:24, 16:32] = True
    for frames in (found.true, found.guess, found.mean):
        assert (frames[0][~inside].int() - view[~inside].int()).abs().max() <= 1
        assert not torch.equal(frames[0][inside], view[inside])
    assert found.r2_guess < 1 and found.r2_true < 1 and found.bank == 12


def test_the_noise_test_measures_energies_that_are_alike(blocks):
    """Noise and content move the pixels equally, so an encoder that is the identity has selectivity 1."""
    rows = noise_test(blocks, "data:1", HOLES, amount=0.4)
    trained, control = rows
    assert (trained.who, control.who) == ("trained", "untrained") and trained.pixels == control.pixels
    values = blocks.look("data:1").patches.values[0]
    spread = (values - values.mean(0)).square().mean().item()
    assert trained.pixels == pytest.approx(0.4**2 / spread, rel=0.05)
    for row in rows:
        assert row.selectivity == pytest.approx(row.structured / row.noise)
        assert row.noise > 0


def test_the_noise_test_of_an_identity_is_one(runs, monkeypatch):
    """A target that is the patch itself moves as far under both."""
    explorer = Explorer(runs / "blocks")
    monkeypatch.setattr("openjepa.explore.noise.norm", lambda x: x)
    monkeypatch.setattr(explorer.jepa_model, "targets", lambda patches: patches.values)
    monkeypatch.setattr(explorer.jepa_model, "mixed", lambda encoder, patches: patches.values)
    for row in noise_test(explorer, "data:1", HOLES):
        assert row.selectivity == pytest.approx(1, rel=1e-4)
        assert row.noise == pytest.approx(row.pixels, rel=1e-4)


def test_more_noise_moves_more_and_none_is_refused(blocks):
    few, many = (noise_test(blocks, "data:1", HOLES, amount=a)[0].noise for a in (0.1, 1.0))
    assert few < many
    with pytest.raises(ValueError, match="amount is 0"):
        noise_test(blocks, "data:1", HOLES, amount=0)


def test_a_bundle_without_its_untrained_encoder_gets_one_that_is_set_up_as_training_does(runs, tmp_path):
    """Content outweighs position by `balance`, and at the same seed only the patch embedding differs from the saved one."""
    bundle = shutil.copytree(runs / "blocks", tmp_path / "bundle")
    shutil.rmtree(bundle / "untrained")
    info = json.loads((bundle / "run.json").read_text())
    info["run"]["objective"]["balance"] = 3.0
    (bundle / "run.json").write_text(json.dumps(info | {"source": {}}))
    explorer, saved = Explorer(bundle), load_encoder(runs / "blocks", untrained=True).encoder.state_dict()
    mine = explorer.untrained.state_dict()
    assert all(torch.equal(mine[name], value) for name, value in saved.items() if name != "embed.weight")
    patches = explorer.modality.patchify(torch.stack([explorer.inputs.view(f"data:{i}") for i in range(12)]))
    content = (patches.values @ mine["embed.weight"].T).std(0).square().mean().sqrt()
    place = sincos(patches.positions[0], 24, explorer.run.objective.encoder.position_order).std(0).square().mean().sqrt()
    assert (content / place).item() == pytest.approx(3.0, rel=1e-3)
