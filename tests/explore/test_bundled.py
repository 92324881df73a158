"""The small models that come along: whole, small, and what their cards say."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file

from openjepa import recipes
from openjepa.checkpoint import load_encoder, load_objective, load_run, pick, verify
from openjepa.explore.bundled.make import MODELS, pack, told
from openjepa.explore.shelf import BUNDLED
from openjepa.interop.bundle import write_run
from openjepa.opening import HARMLESS
from openjepa.run import differences
from openjepa.train import train
from tests import tiny

SIZE = 7.5e6  # bytes of all of them
JUDGED = {
    "hole": [2, 2],
    "samples": 7,
    "data": "world:x",
    "energy": 0.25,
    "skill": {"mean": 0.333, "gist": -0.1, "copy": 0.0},
    "rank_image": [3.0, 15],
}


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A run of a few steps and its bundle, of both objectives."""
    root = tmp_path_factory.mktemp("packed")
    photos = tiny.photos(root / "photos")
    found = {}
    for name, run in (("jepa", tiny.RUN), ("mae", tiny.MAE)):
        train(tiny.run_on(photos, run), root / name, recipe=f"tiny.{name}")
        found[name] = root / name, pack(root / name, root / f"{name}-bundle", JUDGED)
    return found


@pytest.mark.parametrize("name", ["jepa", "mae"])
def test_a_packed_run_is_the_run_at_half_precision(packed, name):
    run, bundle = packed[name]
    stored = load_file(pick(bundle, None) / "objective.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
    whole, half = load_objective(run).state_dict(), load_objective(bundle).state_dict()
    assert all(torch.equal(half[key], value.half().float()) and half[key].dtype == torch.float32 for key, value in whole.items())


@pytest.mark.parametrize("name", ["jepa", "mae"])
def test_the_exported_encoder_is_found_inside_the_objective(packed, name):
    """JEPA exports the target encoder; the other one differs from it, so the wrong one would show."""
    run, bundle = packed[name]
    assert not list(bundle.rglob("encoder.safetensors"))
    mine, theirs = load_encoder(bundle).encoder.state_dict(), load_encoder(run).encoder.state_dict()
    assert all(torch.equal(mine[key], value.half().float()) for key, value in theirs.items())
    if name == "jepa":
        other = load_objective(bundle).encoder.state_dict()
        assert any(not torch.equal(mine[key], value) for key, value in other.items())


@pytest.mark.parametrize("name", ["jepa", "mae"])
def test_the_control_of_a_bundle_is_the_encoder_before_the_first_step(packed, name):
    """It is drawn again from the run's seed; without `balance`, which scales the first layer, to the bit."""
    run, bundle = packed[name]
    drawn, saved = (load_encoder(folder, untrained=True).encoder.state_dict() for folder in (bundle, run))
    assert all(torch.equal(drawn[key], value) for key, value in saved.items())


def test_a_bundle_without_a_second_encoder_can_be_copied_and_probed(packed, tmp_path):
    _, bundle = packed["jepa"]
    again = write_run(tmp_path / "again", bundle, None, "openjepa convert bundle")
    assert verify(pick(again, None))["sha256"] == verify(pick(bundle, None))["sha256"]
    mine, theirs = load_encoder(again).encoder.state_dict(), load_encoder(bundle).encoder.state_dict()
    assert all(torch.equal(mine[key], value) for key, value in theirs.items())


def test_the_card_says_what_was_measured():
    text = told(JUDGED)
    assert all(part in text for part in ("2 x 2 tokens", "7 held-out", "`world:x`", "0.2500", "+33 %", "-10 %", "+0 %", "3 of 15"))
    assert "One seed" in text and "One seed" in told(None)


def test_all_of_them_are_small():
    there = [path for path in BUNDLED.rglob("*") if path.is_file() and path.suffix in (".safetensors", ".json", ".jsonl", ".md")]
    assert sum(path.stat().st_size for path in there) <= SIZE
    assert {path.parent.name for path in there if path.name == "run.json"} == set(MODELS)


@pytest.mark.parametrize("name", list(MODELS))
def test_a_bundled_model_is_whole_and_its_recipe_still_gives_it(name):
    opened = load_run(BUNDLED / name)
    verify(pick(BUNDLED / name, None))
    recipe = recipes.load(MODELS[name].recipe)
    assert opened.info["recipe"] == MODELS[name].recipe
    other = [line for line in differences(recipe, opened.run) if line.split(":")[0] not in (*HARMLESS, "modality.mean", "modality.std")]
    assert not other  # mean and std are the data's
    encoder, control = load_encoder(BUNDLED / name), load_encoder(BUNDLED / name, untrained=True)
    assert {p.dtype for p in load_objective(BUNDLED / name).parameters()} == {torch.float32}
    assert sum(p.numel() for p in encoder.encoder.parameters()) == sum(p.numel() for p in control.encoder.parameters())


@pytest.mark.parametrize("name", list(MODELS))
def test_a_bundled_card_quotes_its_own_probes_and_nobody_s_folders(name):
    folder = BUNDLED / name
    card = (folder / "README.md").read_text()
    rows = [
        row for path in (folder / "probes").glob("*.json") for row in json.loads(path.read_text())["rows"] if row["method"] == "encoder"
    ]
    assert rows and all(f"**{100 * row['accuracy']:.1f}**" in card for row in rows)
    assert "Apache-2.0" in card and "One seed" in card
    for path in folder.rglob("*"):
        if path.suffix in (".json", ".md", ".jsonl"):
            assert not re.search(r"/(home|root|tmp|work|Users)\b", path.read_text()), path
