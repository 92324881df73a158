"""Ten steps equal five, a kill, and five more: to the bit."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from openjepa import checkpoint
from openjepa.metrics import read_metrics
from openjepa.run import to_dict
from openjepa.train import train
from tests.tiny import MAE, RUN, photos, run_on

KILLED = """
import json, os, signal, sys
import torch
torch.set_num_threads(1)
from openjepa.run import from_dict
from openjepa.train import train
def kill(event):
    if event["kind"] == "save":
        os.kill(os.getpid(), signal.SIGKILL)
train(from_dict(json.loads(sys.argv[1])), sys.argv[2], on_event=kill)
"""


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def state(folder):
    path, refused = checkpoint.last_whole(folder)
    assert not refused
    return path.name, {**checkpoint.load_tensors(path / "objective.safetensors"), **checkpoint.load_tensors(path / "optimizer.safetensors")}


def assert_same(a, b):
    (name_a, tensors_a), (name_b, tensors_b) = state(a), state(b)
    assert name_a == name_b and tensors_a.keys() == tensors_b.keys()
    assert all(torch.equal(tensors_a[k], tensors_b[k]) for k in tensors_a)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("run", "precision"), [(RUN, "float32"), (RUN, "bfloat16"), (MAE, "float32")], ids=["jepa", "jepa-bf16", "mae"])
def test_killed_and_resumed_is_bit_for_bit_the_whole_run(tmp_path, run, precision, workers):
    run = run_on(photos(tmp_path / "photos"), run, precision=precision)
    train(run, tmp_path / "whole")
    run = replace(run, workers=workers)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, json.dumps(to_dict(run)), str(tmp_path / "parts")], capture_output=True, timeout=120
    )
    assert killed.returncode == -9, killed.stderr.decode()
    assert [p.name for p in checkpoint.checkpoints(tmp_path / "parts")] == ["00000005"]
    train(run, tmp_path / "parts", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parts")
    lines = [read_metrics(tmp_path / name / "metrics.jsonl") for name in ("whole", "parts")]
    timed = {"images_per_s", "data_wait", "memory_mb"}
    whole, parts = ([{k: v for k, v in line.items() if k not in timed} for line in each] for each in lines)
    assert whole == parts


def test_a_damaged_checkpoint_is_refused_and_the_one_before_it_used(tmp_path):
    run = run_on(photos(tmp_path / "photos"))
    train(run, tmp_path / "whole")
    train(run, tmp_path / "cut")
    damaged = tmp_path / "cut/checkpoints/00000010/objective.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    with pytest.raises(checkpoint.Damaged, match="objective.safetensors has .* bytes whose hash is not the recorded one"):
        checkpoint.load_encoder(tmp_path / "cut", step=10)
    events = []
    result = train(run, tmp_path / "cut", resume=True, on_event=events.append)
    assert "is damaged" in result.notes[0] and any(e["kind"] == "note" for e in events)
    assert_same(tmp_path / "whole", tmp_path / "cut")
    for path in checkpoint.checkpoints(tmp_path / "cut"):
        (path / "checkpoint.json").write_text("{")
    with pytest.raises(checkpoint.Damaged, match="has no whole checkpoint"):
        train(run, tmp_path / "cut", resume=True)


def test_a_checkpoint_from_a_newer_version_says_so(tmp_path):
    run = run_on(photos(tmp_path / "photos"))
    train(run, tmp_path / "a")
    info = json.loads((tmp_path / "a/run.json").read_text())
    (tmp_path / "a/run.json").write_text(json.dumps(info | {"format": 99}))
    with pytest.raises(ValueError, match="has format 99; this openjepa reads up to 1. Upgrade openjepa"):
        checkpoint.load_encoder(tmp_path / "a")


def test_changed_settings_or_data_are_shown_and_need_a_flag(tmp_path):
    folder = photos(tmp_path / "photos")
    run = run_on(folder)
    train(replace(run, steps=10), tmp_path / "a")
    with pytest.raises(ValueError, match=r"steps: 10 -> 12\n  seed: 0 -> 1\n.*--allow-changes"):
        train(replace(run, steps=12, seed=1), tmp_path / "a", resume=True)
    photos(folder, count=13)
    with pytest.raises(ValueError, match=r"data: 12 images, fingerprint \w+ -> 13 images"):
        train(run, tmp_path / "a", resume=True)
    train(replace(run, steps=12), tmp_path / "a", resume=True, allow_changes=True)
    opened = checkpoint.load_run(tmp_path / "a")
    assert opened.run.steps == 12 and "steps: 10 -> 12" in opened.info["changes"][0]["changed"]
    assert checkpoint.last_whole(tmp_path / "a")[0].name == "00000012"


def test_data_named_from_one_folder_is_found_from_another_and_may_move(tmp_path, monkeypatch):
    photos(tmp_path / "here/photos")
    monkeypatch.chdir(tmp_path / "here")
    run = run_on(Path("photos"))
    train(replace(run, steps=5), tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    assert checkpoint.load_run(tmp_path / "a").run.data.path == str(tmp_path / "here/photos")
    saved = checkpoint.load_run(tmp_path / "a").run
    (tmp_path / "here").rename(tmp_path / "there")
    moved = replace(saved, steps=10, data=replace(saved.data, path="there/photos"))
    with pytest.raises(ValueError, match=r"other settings or data:\n  steps: 5 -> 10\nundo"):
        train(moved, tmp_path / "a", resume=True)
    train(moved, tmp_path / "a", resume=True, allow_changes=True)
    assert checkpoint.load_run(tmp_path / "a").run.data.path == str(tmp_path / "there/photos")


def test_a_run_that_ended_before_its_first_checkpoint_starts_at_0(tmp_path):
    run = run_on(photos(tmp_path / "photos"))
    train(run, tmp_path / "whole")
    train(run, tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut/checkpoints")
    events = []
    train(run, tmp_path / "cut", resume=True, on_event=events.append)
    assert "starting at step 0" in next(e["text"] for e in events if e["kind"] == "note")
    assert_same(tmp_path / "whole", tmp_path / "cut")
    assert [row["step"] for row in read_metrics(tmp_path / "cut/metrics.jsonl")] == [
        row["step"] for row in read_metrics(tmp_path / "whole/metrics.jsonl")
    ]


def test_missing_and_foreign_folders(tmp_path):
    with pytest.raises(ValueError, match="no run folder"):
        checkpoint.load_run(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="it has no run.json"):
        checkpoint.load_run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        checkpoint.load_run(tmp_path)
