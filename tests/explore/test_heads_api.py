"""Heads on the page say what the library says, beside floors, and never on other weights."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from starlette.testclient import TestClient

import openjepa
from openjepa.checkpoint import load_encoder, load_run
from openjepa.explore.door import Door
from openjepa.explore.inputs import Inputs
from openjepa.explore.nearest import Nearest
from openjepa.explore.server import build
from openjepa.explore.shelf import Shelf
from openjepa.probes.answers import Answer, Part
from openjepa.probes.attentive import Attentive
from openjepa.probes.heads import FOLDER, KINDS, Head, heads_in, load_head
from openjepa.probes.score import probe
from tests import tiny
from tests.explore.test_server import png

SMALL = Attentive(rates=(3e-3,), decays=(0.01,), epochs=2, validation=0.3)


@pytest.fixture(scope="module")
def folder(runs, tmp_path_factory):
    """A folder of one run with a head of each kind, fitted on its own data."""
    root = tmp_path_factory.mktemp("heads")
    shutil.copytree(runs / "blocks", root / "a")
    data = load_run(root / "a").run.data.path
    probe(root / "a", data, probes=("knn", "linear", "attentive"), attentive=SMALL, cache="off")
    return root


@pytest.fixture(scope="module")
def here(folder):
    with TestClient(build(Shelf([folder], bundled=False), Door()), base_url="http://127.0.0.1/api/v1/") as found:
        yield found


def ask(client, head, input="data:3", **more):
    response = client.post("heads/ask", json={"run": "a", "input": input, "head": head, **more})
    return response.status_code, response.json()


def names(folder):
    return {one.info.kind: one.name for one in heads_in(folder / "a")}


def test_every_head_of_the_folder_is_listed_beside_its_floors(here, folder):
    found = here.get("heads", params={"run": "a"}).json()
    assert [one["kind"] for one in found["heads"]] == ["attentive", "knn", "linear", "nearest"] and found["problems"] == []
    for one, listed in zip(found["heads"], heads_in(folder / "a"), strict=False):
        info = listed.info
        assert (one["name"], one["accuracy"], one["low"]) == (listed.name, info.score.accuracy, info.score.low)
        assert one["floors"] == info.floors and {"untrained", "chance", "pixels"} <= set(one["floors"])
        assert one["own"] and one["why"] == "" and one["parameters"] == info.parameters
    assert found["heads"][-1]["parameters"] == 0
    assert found["fix"].endswith("--probes knn linear attentive") and load_run(folder / "a").run.data.path in found["fix"]


@pytest.mark.parametrize("kind", ["linear", "knn", "attentive"])
def test_the_page_says_what_the_library_says(here, folder, kind):
    status, found = ask(here, names(folder)[kind])
    assert status == 200
    space: dict[str, object] = {}
    exec(found["python"], space)  # what "Copy as Python" gives
    for part, mine in zip(space["found"].parts, found["parts"], strict=True):
        wanted = json.loads(json.dumps(part.to_dict()))
        if part.kind == "classes":
            assert dict(zip(mine["names"], mine["probabilities"], strict=True)) == pytest.approx(
                dict(zip(wanted["names"], wanted["probabilities"], strict=True)), abs=1e-6
            )
            assert mine["probabilities"] == sorted(mine["probabilities"], reverse=True) and mine["of"] == 2
        elif part.kind == "neighbours":
            assert mine["inputs"] == [f"data:{row}" for row in wanted["rows"]]
            assert mine["similarities"] == pytest.approx(wanted["similarities"], abs=1e-6)
        else:
            assert mine["shape"] == [4, 6] and mine["values"] == pytest.approx(wanted["values"], abs=1e-6)
    assert set(found["timing"]) == {"encode", "head"}


def test_all_heads_sit_on_the_same_frozen_encoder(here, folder):
    """Not a claim: the weights are hashed after each answer."""
    below = [ask(here, name)[1]["encoder"] for name in [*names(folder).values(), "nearest"]]
    encoder = load_encoder(folder / "a")
    assert {one["sha256"] for one in below} == {encoder.sha256}
    assert all(one["same"] and one["trainable"] == 0 for one in below)
    assert {one["parameters"] for one in below} == {sum(p.numel() for p in encoder.encoder.parameters())}


def test_weights_that_changed_under_a_head_are_told(here, folder, monkeypatch):
    """An answer that moves the encoder, as a bug would."""
    name = names(folder)["linear"]
    head = type(load_head(folder / "a" / FOLDER / f"{name}.safetensors"))
    with TestClient(build(Shelf([folder], bundled=False), Door()), base_url="http://127.0.0.1/api/v1/") as other:
        assert ask(other, name)[1]["encoder"]["same"]
        before = head.encode

        def moving(self, encoder, samples):
            next(encoder.encoder.parameters()).data.add_(1e-3)
            return before(self, encoder, samples)

        monkeypatch.setattr(head, "encode", moving)
        assert ask(other, name)[1]["encoder"]["same"] is False


def test_a_head_of_another_checkpoint_is_refused(folder, tmp_path):
    """Two checkpoints, heads of the first: asked plainly it answers on its own, asked on the other it says no."""
    photos = tiny.photos(tmp_path / "photos", 12, ("red", "blue"))
    from openjepa.train import train

    train(replace(tiny.run_on(photos), steps=4, save_every=2, keep_last=5), tmp_path / "runs/a")
    probe(tmp_path / "runs/a", str(photos), probes=("linear",), step=2, cache="off")
    with TestClient(build(Shelf([tmp_path / "runs"], bundled=False), Door()), base_url="http://127.0.0.1/api/v1/") as client:
        assert ask(client, "class-linear-2")[1]["encoder"]["step"] == 2
        status, said = ask(client, "class-linear-2", step=4)
        assert status == 422 and "was fitted on weights" in said["detail"] and "openjepa probe again" in said["hint"]
        shutil.rmtree(tmp_path / "runs/a/checkpoints/00000002")
        told = client.get("heads", params={"run": "a"}).json()["heads"][0]
        assert "step 2, is not in the run any more" in told["why"]
        assert ask(client, "class-linear-2")[0] == 422


def test_a_damaged_file_is_named_and_the_others_still_answer(folder, tmp_path):
    shutil.copytree(folder / "a", tmp_path / "a")
    path = tmp_path / "a" / FOLDER / f"{names(folder)['knn']}.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    with TestClient(build(Shelf([tmp_path], bundled=False), Door()), base_url="http://127.0.0.1/api/v1/") as client:
        told = client.get("heads", params={"run": "a"}).json()
        assert len(told["problems"]) == 1 and "damaged" in told["problems"][0] and len(told["heads"]) == 3
        assert ask(client, path.stem)[0] == 422
        assert ask(client, names(folder)["linear"])[0] == 200


@pytest.mark.parametrize(
    ("head", "input", "status", "said"),
    [
        ("nobody", "data:3", 404, "no head 'nobody' in a"),
        ("../../run", "data:3", 404, "no head"),
        ("nearest", "data:999", 404, "no input 'data:999'"),
    ],
)
def test_what_is_not_there_is_not_found(here, head, input, status, said):
    came, problem = ask(here, head, input)
    assert came == status and said in problem["detail"]


def test_failures_can_be_shown_and_are_failures(here, folder):
    """Their inputs are rows of the run's data that the head, asked again, still gets wrong."""
    found = here.get("heads", params={"run": "a"}).json()["heads"]
    failures = [(one["name"], failure) for one in found for failure in one["failures"]]
    assert failures, "this encoder of two steps must be wrong somewhere"
    for name, failure in failures:
        said = ask(here, name, failure["input"])[1]
        assert said["parts"][0]["names"][0] == failure["guess"] != failure["truth"]
        assert "may have learnt from this very sample" not in said["note"]


def test_own_files_are_retrieved_without_any_head(here, folder):
    """The most alike of the run's own data and of dropped files; not the one that was asked about."""
    name = json.loads(here.post("runs/a/inputs", content=png((40, 60)), headers={"x-name": "mine.png"}).content)["id"]
    _, found = ask(here, "nearest", "data:3")
    (part,) = found["parts"]
    assert found["have"] == found["want"] == 13 and "data:3" not in part["inputs"] and len(part["inputs"]) == 8
    encoder, inputs = load_encoder(folder / "a"), Inputs(load_run(folder / "a"))
    features = torch.cat([encoder.encode(inputs.view(f"data:{i}")[None]).pooled for i in range(12) if i != 3])
    asked = encoder.encode(inputs.view("data:3")[None]).pooled
    assert ask(here, "nearest", name)[1]["parts"][0]["inputs"]
    index = Nearest(encoder, inputs)
    index.grow()
    part, which = index.find("data:3", k=11)
    mean = features.mean(0)
    wanted = torch.nn.functional.cosine_similarity(features - mean, asked - mean)
    rows = [i for i in range(12) if i != 3]
    assert which == [f"data:{rows[i]}" for i in wanted.argsort(descending=True).tolist()]
    assert list(part.similarities) == pytest.approx(wanted.sort(descending=True).values.tolist(), abs=1e-5)


def test_a_head_fitted_on_other_data_shows_names_and_no_pictures(folder, tmp_path):
    """Rows of other data are other samples: they must not become pictures of this run's."""
    shutil.copytree(folder / "a", tmp_path / "a")
    shutil.rmtree(tmp_path / "a/probes")
    other = tiny.photos(tmp_path / "other", 14, ("red", "blue"))
    probe(tmp_path / "a", str(other), probes=("knn",), cache="off")
    with TestClient(build(Shelf([tmp_path], bundled=False), Door()), base_url="http://127.0.0.1/api/v1/") as client:
        head = client.get("heads", params={"run": "a"}).json()["heads"][0]
        assert not head["own"] and all(one["input"] is None for one in head["failures"])
        _, found = ask(client, head["name"])
        assert set(found["parts"][1]["inputs"]) == {None} and found["parts"][1]["names"][0].endswith(".jpg")
        assert found["note"] == ""


@dataclass(frozen=True)
class Weather(Part):
    kind: ClassVar[str] = "weather"
    sky: str


class Forecast(Head):
    """A kind of head with a kind of answer that the page does not know."""

    kind = "forecast"

    def tensors(self):
        return {"x": torch.zeros(1)}

    @classmethod
    def of(cls, info, tensors):
        return cls(info)

    def answer(self, encoded):
        return Answer((Weather(f"{encoded.tokens.shape[1]} clouds"),))


def test_a_new_kind_of_head_and_of_answer_needs_no_change_here(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(KINDS, "forecast", f"{__name__}:Forecast")
    shutil.copytree(folder / "a", tmp_path / "a")
    info = heads_in(folder / "a")[0].info
    Forecast(replace(info, kind="forecast", question="sky")).save(tmp_path / "a" / FOLDER)
    with TestClient(build(Shelf([tmp_path], bundled=False), Door()), base_url="http://127.0.0.1/api/v1/") as client:
        (name,) = [one["name"] for one in client.get("heads", params={"run": "a"}).json()["heads"] if one["kind"] == "forecast"]
        assert ask(client, name)[1]["parts"] == [{"kind": "weather", "sky": "24 clouds"}]


@pytest.mark.parametrize("frames", [8, 4])
def test_a_bundle_of_an_encoder_alone_answers_too(tmp_path, frames):
    """Converted classifiers have no predictor, so nothing but their heads can be shown. The made world has no clips of 4 frames."""
    from openjepa import recipes
    from openjepa.interop.convert import convert
    from openjepa.interop.families import Asked
    from tests.interop import theirs
    from tests.interop.test_heads import probe_file

    saved = theirs.checkpoint("vjepa", frames=frames)
    torch.save({name: saved[name] for name in ("encoder", "target_encoder")}, tmp_path / "w.pth")
    told = Asked(family="vjepa", heads=3, probe=probe_file(tmp_path / "k400.pth", 1))
    convert(tmp_path / "w.pth", tmp_path / "runs/a", asked=told, recipe=recipes.load)
    with TestClient(build(Shelf([tmp_path / "runs"], bundled=False), Door()), base_url="http://127.0.0.1/api/v1/") as client:
        (head, _) = client.get("heads", params={"run": "a"}).json()["heads"]
        assert head["accuracy"] is None and head["source"]["name"] == "k400.pth" and head["floors"] == {}
        status, found = ask(client, head["name"], "data:0")
        if frames == 4:
            assert status == 404 and "none from the run's data" in found["hint"]
            return
        assert status == 200 and found["encoder"]["same"] and found["parts"][1]["shape"] == [4, 4, 4]
    assert openjepa.load_head(Path(tmp_path / "runs/a" / FOLDER / "k400-attentive-0.safetensors")).info.question == "k400"
