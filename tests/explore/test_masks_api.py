"""The mask gallery draws what training draws."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load
from starlette.testclient import TestClient
from torch import Tensor

from openjepa.checkpoint import load_run
from openjepa.data.loader import Loaded, Steps, rows_of_step
from openjepa.explore.inputs import Inputs
from openjepa.explore.masks_api import MasksAsked, sample
from openjepa.explore.shelf import Shelf
from openjepa.masks.blocks import Blocks
from openjepa.masks.multiblock import MultiBlock
from openjepa.masks.time_frequency import Curriculum
from openjepa.modalities.image import Image
from openjepa.modalities.video import Video
from openjepa.objectives.jepa import JEPAConfig
from openjepa.run import Run, to_dict
from tests.tiny import ENCODER, PREDICTOR, RUN

GRID = (4, 6)


def asked(client: TestClient, **more: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    found = client.post("masks/sample", json={"run": "blocks", **more})
    assert found.status_code == 200, found.text
    head = int.from_bytes(found.content[:8], "little")
    meta: dict[str, Any] = json.loads(json.loads(found.content[8 : 8 + head])["__metadata__"]["json"])
    return meta, load(found.content)


def shelf_of(folder: Path, run: Run) -> Shelf:
    """A run that was never trained."""
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "run.json").write_text(json.dumps({"format": 1, "run": to_dict(run), "status": "finished"}))
    return Shelf([folder], bundled=False)


def places(mask: Tensor) -> list[int]:
    return mask.flatten().nonzero()[:, 0].tolist()


def test_masks_are_those_of_the_training_batch(client: TestClient, runs: Path) -> None:
    """What the loader hands to the step: the same samples at the same step."""
    opened = load_run(runs / "blocks")
    data = Inputs(opened).dataset
    assert data is not None
    step = 3
    meta, found = asked(client, n=12, step=step)
    steps = Steps(data, opened.run.batch, opened.run.seed, opened.run.batch_size, opened.run.steps)
    loaded = steps[step]
    assert isinstance(loaded, Loaded)
    batch, rows = loaded.batch, rows_of_step(opened.run.seed, step, opened.run.batch_size, len(data)).tolist()
    for i, row in enumerate(rows):
        assert places(found["context0"][row]) == sorted(batch.masks[0].context[i].tolist())
        for block, place in zip(found["targets0"][row], batch.masks[0].targets[i], strict=True):
            assert places(block) == sorted(place.tolist())
    assert meta["row"] == 0


def test_over_steps_each_mask_is_of_the_next_step(client: TestClient) -> None:
    _, several = asked(client, n=3, step=2, over="steps", input="data:5")
    for i in range(3):
        _, one = asked(client, n=1, step=2 + i, input="data:5")
        torch.testing.assert_close(several["context0"][i], one["context0"][0])
        torch.testing.assert_close(several["targets0"][i], one["targets0"][0])


def test_seed_and_step_and_sample_change_the_masks(client: TestClient) -> None:
    base = asked(client, n=8)[1]["context0"]
    assert not torch.equal(base, asked(client, n=8, seed=1)[1]["context0"])
    assert not torch.equal(base, asked(client, n=8, step=1)[1]["context0"])
    assert torch.equal(base, asked(client, n=8, seed=RUN.seed)[1]["context0"])
    torch.testing.assert_close(base[4:5], asked(client, n=1, input="data:4")[1]["context0"])


@pytest.mark.parametrize(("name", "more"), [("blocks", {"input": "data:3", "n": 4, "step": 5}), ("deep~union", {"over": "steps", "n": 3})])
def test_the_snippet_draws_the_same_masks(client: TestClient, name: str, more: dict[str, Any]) -> None:
    meta, found = asked(client, run=name, **more)
    scope: dict[str, Any] = {}
    exec(meta["python"], scope)
    drawn = scope["masks"]
    contexts = [row for step in drawn for row in step[0].context]
    assert [places(mask) for mask in found["context0"]] == [sorted(row.tolist()) for row in contexts]


def test_shares_are_counted_from_the_masks(client: TestClient) -> None:
    meta, found = asked(client, n=24, over="steps", step=0)
    (kind,) = meta["kinds"]
    context, targets = found["context0"].double(), found["targets0"].double()
    total = GRID[0] * GRID[1]
    union = targets.amax(1)
    shares = torch.tensor([mask.sum() / total for mask in union])
    assert kind["asked"]["mean"] == pytest.approx(shares.mean().item())
    assert kind["asked"]["std"] == pytest.approx(shares.std(correction=0).item())
    assert kind["asked"]["std"] > 0
    twice = [1 - one.amax(0).sum() / one.sum() for one in targets]
    assert kind["twice"]["mean"] == pytest.approx(float(sum(twice)) / len(twice))
    assert kind["twice"]["mean"] > 0
    assert kind["context"]["mean"] == pytest.approx(context.mean().item())
    assert kind["both"]["mean"] == 0
    assert kind["context"]["mean"] + kind["asked"]["mean"] + kind["neither"]["mean"] == pytest.approx(1)
    assert (kind["blocks"], kind["block"]["mean"]) == (4, pytest.approx((targets.flatten(2).sum(2) / total).mean().item()))


def test_a_union_asks_for_all_that_is_not_seen(client: TestClient) -> None:
    meta, found = asked(client, run="deep~union", n=5)
    assert meta["union"]
    torch.testing.assert_close(found["targets0"][:, 0], 1 - found["context0"])


def test_every_kind_of_masks_of_a_film(tmp_path: Path) -> None:
    """Two mask configurations on a grid of time, rows and columns."""
    video = Video(size=(4, 24, 40), patch=(2, 8, 8))
    two = JEPAConfig(encoder=ENCODER, predictor=PREDICTOR, masks=(MultiBlock(count=4), MultiBlock(count=1, scale=(0.5, 0.5))))
    shelf = shelf_of(tmp_path, replace(RUN, modality=video, objective=two))
    found = sample(shelf, MasksAsked(run="a", n=3))
    assert found.tensors["context0"].shape == found.tensors["context1"].shape == (3, 2, 3, 5)
    assert found.tensors["targets1"].shape == (3, 1, 2, 3, 5)
    assert [kind["name"].startswith("MultiBlock(count=") for kind in found.meta["kinds"]] == [True, True]
    assert not torch.equal(found.tensors["targets0"], found.tensors["targets1"])


def test_a_curriculum_gets_harder_with_the_step(tmp_path: Path) -> None:
    """At the end every draw is hard: three targets, and a context that shares no time and no band with them."""
    objective = JEPAConfig(encoder=ENCODER, predictor=PREDICTOR, masks=Curriculum())
    shelf = shelf_of(tmp_path, replace(RUN, modality=Image(size=(128, 64), patch=(8, 8)), objective=objective, steps=1000))
    blocks = [sample(shelf, MasksAsked(run="a", n=2, step=step)).meta["kinds"][0]["blocks"] for step in (0, 1000)]
    assert blocks == [4, 3]
    mixed = sample(shelf, MasksAsked(run="a", n=24, step=100, over="steps"))
    there = (mixed.tensors["targets0"].flatten(2).sum(2) > 0).sum(1)
    assert set(there.tolist()) == {3, 4}


def test_the_official_sampler_is_cut_to_its_whole_batch(tmp_path: Path) -> None:
    """Its context has the size of the shortest of the batch, not of the few that are shown."""
    run = replace(
        RUN, batch_size=64, objective=replace(RUN.objective, masks=Blocks(parity="ijepa")), modality=replace(RUN.modality, size=(64, 96))
    )
    shelf = shelf_of(tmp_path, run)
    one = sample(shelf, MasksAsked(run="a", n=1)).tensors["context0"]
    whole = run.objective.collate(torch.zeros(64, 3, 64, 96), run.modality, run.seed, 0, range(64)).masks[0].context
    alone = run.objective.collate(torch.zeros(1, 3, 64, 96), run.modality, run.seed, 0, range(1)).masks[0].context
    assert int(one.sum()) == whole.shape[1] < alone.shape[1]


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        ({"n": 0}, 422, "0 masks"),
        ({"n": 25}, 422, "1 to 24"),
        ({"step": 11}, 422, "a run of 10 steps"),
        ({"step": -1}, 422, "step -1"),
        ({"input": "data:99"}, 404, "data:99"),
        ({"run": "gone"}, 404, "gone"),
        ({"over": "years"}, 422, "over"),
    ],
)
def test_what_cannot_be_drawn_is_refused(client: TestClient, more: dict[str, Any], status: int, words: str) -> None:
    found = client.post("masks/sample", json={"run": "blocks", **more})
    assert found.status_code == status
    assert words in found.json()["detail"] + found.json()["hint"]
