"""Surprise over time against the training code's own answers, edits against slow loops, scenes against the pixels."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from starlette.testclient import TestClient

from openjepa.checkpoint import load_run
from openjepa.explore.door import Door
from openjepa.explore.edits import Edit
from openjepa.explore.explorer import Explorer
from openjepa.explore.inputs import Inputs
from openjepa.explore.question import Box
from openjepa.explore.scenes import scenes
from openjepa.explore.server import build
from openjepa.explore.shelf import Shelf
from openjepa.explore.surprise import surprise
from openjepa.masks.future import Future
from openjepa.masks.multiblock import MultiBlock
from openjepa.modalities.video import Video
from openjepa.run import DataConfig
from openjepa.train import train
from tests import tiny

WORLD = "world:tabletop-motion?count=400&frames=10&size=40x32&objects=2&noise=0&lid=0&texture=0&scale=1.5"
VIDEO = Video(size=(10, 24, 32), patch=(2, 8, 8), fps=None)  # grid 5 x 3 x 4
RUN = replace(tiny.RUN, modality=VIDEO, data=DataConfig(path=WORLD), batch_size=4, steps=4, save_every=4)
CLIP = torch.arange(3 * 7 * 4 * 6).reshape(3, 7, 4, 6)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A run that learnt to say what comes, and one that never was asked."""
    folder = tmp_path_factory.mktemp("films")
    train(replace(RUN, objective=replace(RUN.objective, masks=Future(past=0.4, steps=2))), folder / "future")
    train(replace(RUN, objective=replace(RUN.objective, masks=MultiBlock(count=2, scale=(0.3, 0.3)))), folder / "tubes")
    return folder


@pytest.fixture(scope="module")
def explorer(films):
    return Explorer(films / "future")


@pytest.mark.parametrize("kind", ["none", "reverse", "teleport", "freeze", "swap"])
@pytest.mark.parametrize(("at", "until"), [(1, None), (3, 6), (6, None), (2, 3)])
def test_edits_frame_by_frame(kind, at, until):
    end = until or 7
    found = Edit(kind, at, until, (0.25, 0.5))(CLIP)
    for frame in range(7):
        expected = CLIP[:, frame]
        if at <= frame < end:
            if kind == "reverse":
                expected = CLIP[:, at + end - 1 - frame]
            elif kind == "freeze":
                expected = CLIP[:, at - 1]
            elif kind == "teleport":  # a quarter of 4 rows down, half of 6 columns to the right
                expected = torch.stack([torch.stack([CLIP[:, frame, y - 1, x - 3] for x in range(6)], -1) for y in range(4)], 1)
            elif kind == "swap":
                expected = CLIP[:, {at: end - 1, end - 1: at}.get(frame, frame)]
        assert torch.equal(found[:, frame], expected), frame


@pytest.mark.parametrize("edit", [Edit("reverse", 2), Edit("reverse", 3, 6), Edit("teleport", 2), Edit("swap", 1, 5), Edit("none", 4)])
def test_twice_is_the_clip_itself(edit):
    assert torch.equal(edit(edit(CLIP)), CLIP)


@pytest.mark.parametrize(("at", "until"), [(0, None), (7, None), (4, 4), (2, 8), (-1, None)])
def test_frames_that_are_not_there_are_refused(at, until):
    with pytest.raises(ValueError, match="of a clip of 7"):
        Edit("freeze", at, until)(CLIP)


@pytest.mark.parametrize("edit", [Edit("teleport", 6), Edit("reverse", 4, 8), Edit("freeze", 6), Edit("swap", 7, 10)])
def test_nothing_is_felt_before_an_edit_and_something_after(explorer, edit):
    found = surprise(explorer, "data:3", edit)
    assert found.first == edit.at // 2
    torch.testing.assert_close(found.curve[1 : found.first], found.untouched[1 : found.first], rtol=0, atol=1e-6)
    torch.testing.assert_close(found.still[1 : found.first], found.still_untouched[1 : found.first], rtol=0, atol=1e-6)
    assert (found.energy - found.energy_untouched)[found.first :].abs().max() > 1e-3
    alone = surprise(explorer, "data:3")
    torch.testing.assert_close(alone.untouched, found.untouched, rtol=0, atol=1e-5, equal_nan=True)
    torch.testing.assert_close(alone.curve, alone.untouched, rtol=0, atol=1e-5, equal_nan=True)


def test_training_compares_with_what_saw_the_future(explorer):
    """Why `sees` is there: with features of the whole clip an edit is felt before it happens."""
    whole, past = (surprise(explorer, "data:3", Edit("teleport", 6), sees=sees) for sees in ("whole", "past"))
    assert (whole.energy - whole.energy_untouched)[1:3].abs().max() > 1e-5
    assert (past.energy - past.energy_untouched)[1:3].abs().max() < 1e-6


def test_the_whole_clip_gives_the_numbers_of_a_question_with_the_past_as_context(explorer):
    found = surprise(explorer, "data:5", sees="whole")
    assert found.curve[0].isnan()
    assert found.energy[0].isnan().all()
    for step in range(1, 5):
        asked = explorer.jepa("data:5", [Box((step, 0, 0), (1, 3, 4))], context=Box((0, 0, 0), (step, 3, 4)), quick=True)
        assert found.curve[step].item() == pytest.approx(asked.total.energy, rel=1e-5)
        torch.testing.assert_close(found.energy[step], asked.energy[step], rtol=1e-4, atol=1e-6)


def test_the_past_is_the_question_put_to_a_clip_that_ends_there(explorer):
    """A model of its own on the first frames alone: the same positions, the same weights, nothing else to see."""
    jepa, view = explorer.jepa_model, explorer.inputs.view("data:5")
    found = surprise(explorer, "data:5")
    tokens = explorer.modality.patchify(view[None, :, :6])  # three time steps
    with torch.no_grad():
        goals = torch.nn.functional.layer_norm(jepa.target_encoder(tokens).values, (24,))[:, 24:]
        past = torch.arange(24)[None]
        guesses = jepa.predictor(jepa.encoder(tokens.take(past)), tokens.positions[:, None, 24:])[:, 0]
        expected = torch.nn.functional.smooth_l1_loss(guesses, goals).item()
        before = torch.nn.functional.layer_norm(jepa.target_encoder(tokens.take(past)).values, (24,))[:, 12:]
        still = torch.nn.functional.smooth_l1_loss(before, goals).item()
    assert found.curve[2].item() == pytest.approx(expected, rel=1e-5)
    assert found.still[2].item() == pytest.approx(still, rel=1e-5)


def test_it_says_what_training_asked_for(films, explorer):
    found = surprise(explorer, "data:1")
    assert found.asked == (2,)
    assert "in training step 2 was asked for with just this past, together with the 1 after it" in found.note
    other = surprise(Explorer(films / "tubes"), "data:1")
    assert other.asked == ()
    assert "(MultiBlock) never asked for the future" in other.note


def saturated(frames):
    """Which pixels [t h w] are in colour: those of the main object."""
    x = frames.float()
    return x.amax(-1) - x.amin(-1) > 70


def test_scenes_tell_what_the_pixels_show(films):
    """The main object is the only thing in colour: how many coloured pixels there are, and where, with another crop than the world's."""
    inputs = Inputs(load_run(films / "future"))
    found = scenes(inputs)
    assert len(found) == 12
    checked = 0
    for scene in found:
        assert scene.input.startswith("data:")
        colour = saturated(VIDEO.draw(inputs.view(scene.input)).frames)
        if colour.flatten(1).sum(1).min() > 60:
            continue  # the table is in colour, too
        main = scene.things[0]
        assert set(scene.hidden) == {k for k in range(10) if main.visible[k] < 0.5}
        for k in range(10):
            inside = 0.33 < main.row[k] < 0.67 and 0.25 < main.column[k] < 0.75
            if inside and main.visible[k] > 0.9 and colour[k].sum() > 10:
                y, x = colour[k].nonzero().double().mean(0).tolist()
                assert ((y + 0.5) / 24 - main.row[k]) ** 2 + ((x + 0.5) / 32 - main.column[k]) ** 2 < 0.06**2
                checked += 1
        whole = max(colour[k].sum().item() for k in range(10))
        assert all(colour[k].sum().item() < 0.3 * whole for k in scene.hidden if main.visible[k] < 0.05)
    assert checked > 5


def test_a_run_on_other_films_gets_scenes_of_the_made_world(films, tmp_path: Path):
    """Where the run's data is no tabletop: inputs of their own source, which the model can be shown as any other."""
    inputs = Inputs(load_run(films / "tubes"))
    inputs.dataset = None
    found = scenes(inputs)
    assert all(scene.input.startswith("scene:") for scene in found)
    assert inputs.view(found[0].input).shape == (3, *VIDEO.size)
    explorer = Explorer(films / "tubes")
    assert surprise(explorer, found[0].input).curve[1:].isfinite().all()
    with pytest.raises(LookupError, match="no input"):
        inputs.view("scene:99999999")


@pytest.fixture(scope="module")
def client(films):
    with TestClient(build(Shelf([films], bundled=False), Door()), base_url="http://127.0.0.1/api/v1/") as found:
        yield found


def arrays(answer):
    from safetensors.torch import load

    assert answer.status_code == 200, answer.text
    return load(answer.content)


def test_the_page_and_its_python_say_the_same(client):
    """What "Copy as Python" gives is run, and compared."""
    import json
    import struct

    asked = {"run": "future", "input": "data:2", "edit": {"kind": "reverse", "at": 4, "until": 9}, "sees": "whole"}
    answer = client.post("video/surprise", json=asked)
    tensors = arrays(answer)
    size = struct.unpack("<Q", answer.content[:8])[0]
    meta = json.loads(json.loads(answer.content[8 : 8 + size])["__metadata__"]["json"])
    space: dict = {}
    exec(meta["python"], space)
    torch.testing.assert_close(tensors["curve"], space["found"].curve, rtol=1e-5, atol=0, equal_nan=True)
    assert torch.equal(tensors["frames"], space["found"].clip.permute(1, 2, 3, 0))
    assert meta["first"] == 2
    exec(client.get("video/scenes?run=future").json()["python"], space)
    assert [scene["input"] for scene in client.get("video/scenes?run=future").json()["scenes"]] == [s.input for s in space["found"]]


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"edit": {"kind": "freeze", "at": 0}}, 422, "of a clip of 10"),
        ({"edit": {"kind": "melt", "at": 2}}, 422, "melt"),
        ({"sees": "all"}, 422, "all"),
        ({"input": "data:400"}, 404, "no input"),
        ({"run": "gone"}, 404, "gone"),
    ],
)
def test_wrong_questions_are_named(client, change, status, says):
    answer = client.post("video/surprise", json={"run": "future", "input": "data:2", **change})
    assert answer.status_code == status
    assert says in answer.text


def test_pictures_have_no_time(runs):
    with pytest.raises(ValueError, match="two time steps or more"):
        surprise(Explorer(runs / "blocks"), "data:0")
    with pytest.raises(ValueError, match="learns from images"):
        scenes(Inputs(load_run(runs / "blocks")))
