"""The examination as a whole, on real files."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from openjepa import recipes
from openjepa.cli.main import main
from openjepa.cli.settings import changes
from openjepa.data.dataset import open_dataset
from openjepa.doctor import examine, pace
from openjepa.doctor.cost import measure
from openjepa.doctor.show import duration, text
from openjepa.train import train
from tests.tiny import MAE, RUN, photos, run_on


def test_an_examination_looks_at_everything_and_writes_nothing(tmp_path):
    folder = photos(tmp_path / "photos", classes=("cat", "dog"))
    (folder / "cat/empty.jpg").write_bytes(b"")
    (folder / "cat/cut.jpg").write_bytes((folder / "cat/000.jpg").read_bytes()[:300])
    before = sorted(tmp_path.rglob("*"))
    said: list[str] = []
    found = examine(run_on(folder), masks=50, steps=2, out=tmp_path / "runs/a", say=said.append)
    assert sorted(tmp_path.rglob("*")) == before
    assert found.data["images"] == 13 and found.data["unusable"] == 1 and found.data["sampled_bad"] == 1
    assert found.data["labels"] == {"class": 2} and found.data["decoded"][0] == [40, 48]
    assert found.masks.samples == 50 and found.model["tokens"] == 24
    assert found.speed["seconds"] > 0 and found.speed["expected_mb"] >= found.model["state"] / 2**20
    assert found.speed["eta_s"] == pytest.approx(10 * (found.speed["seconds"] + found.speed["load"]))
    assert found.problems == 1 and "of 14 files cannot be used" in found.findings[0].text
    page = text(found)
    for part in ("machine", "13 images", "'cat/empty.jpg'", "24 tokens per image (4 x 6)", "in the context", "samples/s", "problem:"):
        assert part in page, page
    assert [line.split()[0] for line in said] == ["timing", "drawing", "indexing", "timing"]
    assert json.loads(json.dumps(found.to_dict()))["findings"][0]["level"] == "problem"


def test_the_untrained_numbers_are_line_0_of_a_run(tmp_path):
    """The doctor warns of position by the same number that the run's first line will show."""
    run = run_on(photos(tmp_path / "photos"), replace(RUN, objective=replace(RUN.objective, balance=2.0)))
    dataset, _ = open_dataset(run.data.path, run.modality, "off")
    rows: list[dict] = []
    train(replace(run, steps=1), tmp_path / "a", on_event=rows.append)
    first = next(event for event in rows if event["kind"] == "log")
    timed = measure(replace(run, steps=1), dataset, torch.device("cpu"), "float32", 1)
    assert timed.loss == pytest.approx(first["loss"], rel=1e-5)
    for name, value in timed.health.items():
        assert value == pytest.approx(first[f"health/{name}"], rel=1e-4, abs=1e-6), name


def test_a_batch_that_takes_long_is_timed_in_part_and_scaled(tmp_path, monkeypatch):
    run = run_on(photos(tmp_path / "photos", count=40), replace(MAE, batch_size=32))
    dataset, _ = open_dataset(run.data.path, run.modality, "off")
    monkeypatch.setattr("openjepa.doctor.cost.took", lambda engine, source, step, device: (0.5, 4.0))
    timed = measure(run, dataset, torch.device("cpu"), "float32")
    assert timed.batch == 16 and timed.seconds == 8.0 and timed.load == 1.0
    monkeypatch.setattr("openjepa.doctor.cost.took", lambda engine, source, step, device: (0.5, 2.0))
    assert asdict(measure(run, dataset, torch.device("cpu"), "float32")) | {"memory": 0, "before": 0} == asdict(
        replace(timed, batch=32, seconds=2.0, load=0.5)
    ) | {"memory": 0, "before": 0}


def test_a_slow_machine_is_not_kept_waiting(tmp_path, monkeypatch):
    run = run_on(photos(tmp_path / "photos"))
    dataset, _ = open_dataset(run.data.path, run.modality, "off")
    asked: list[int] = []
    for seconds, timed_steps in ((100.0, [1]), (5.5, [1, 2, 3, 4]), (9.5, [1, 3])):
        asked.clear()
        monkeypatch.setattr("openjepa.doctor.cost.took", lambda e, s, step, d, seconds=seconds: asked.append(step) or (0.5, seconds))
        measure(run, dataset, torch.device("cpu"), "float32", 10)
        assert asked == timed_steps, seconds


def test_a_batch_larger_than_the_data_is_a_problem_not_an_error(tmp_path):
    found = examine(run_on(photos(tmp_path / "photos", count=3)), masks=0)
    assert found.speed is None and found.problems == 1 and "--batch-size 3" in found.findings[0].change


def test_workers_read_while_the_step_computes():
    assert pace(1.0, 0.5, 0) == 1.5 and pace(1.0, 0.5, 1) == 1.0 and pace(1.0, 6.0, 2) == 3.0


def test_the_command_gives_code_1_for_problems_and_draws_masks(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos(Path("photos"), count=20)
    words = ["doctor", "image.ijepa", *(w for w in changes(recipes.load("image.ijepa"), run_on(Path("photos"))))]
    words = [w for i, w in enumerate(words) if not {w, words[i - 1]} & {"--log-every", "--save-every"}]
    assert main([*words, "--picture", "masks.png", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["masks"]["samples"] == 1000 and "masks.png" in err
    pixels = np.asarray(Picture.open("masks.png"))
    assert pixels.shape[1] >= 600 and pixels.std() > 10
    assert main([*words, "--batch-size", "24"]) == 1
    assert "problem: a batch of 24 is larger than the data, which has 20 samples" in capsys.readouterr().out
    assert main([*words, "--picture", "masks.jpg"]) == 2
    assert main(["doctor", "image.ijepa", "--picture", "masks.png", "--modality.patch", "15", "15"]) == 2


def test_without_a_recipe_the_machine_alone(capsys):
    assert main(["doctor", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "torch" in out and "TFLOP/s" in out and "masks" not in out
    assert main(["doctor", "--device", "cdua"]) == 2
    assert "cdua" in capsys.readouterr().err


def test_durations_are_rough():
    assert [duration(s) for s in (12, 89, 600, 12600, 200_000)] == ["12 s", "89 s", "10 min", "3.5 h", "2.3 days"]
