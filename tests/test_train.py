"""The loop on real files: what it writes, what it refuses, how it stops."""

import errno
import json
import os
import signal
from dataclasses import replace

import pytest
import torch

import openjepa
from openjepa import checkpoint
from openjepa.engine import Engine, NonFinite
from openjepa.metrics import read_metrics
from openjepa.train import Interrupted, train
from tests.tiny import MAE, photos, run_on


def test_a_run_folder_is_complete_and_readable(tmp_path):
    events = []
    run = run_on(photos(tmp_path / "photos"))
    result = train(run, tmp_path / "a", recipe="image.ijepa", command="openjepa train image.ijepa", on_event=events.append)
    assert result.steps == 10
    info = json.loads((tmp_path / "a/run.json").read_text())
    assert info["status"] == "finished" and info["command"] == "openjepa train image.ijepa"
    assert info["data"]["images"] == 12 and len(info["data"]["fingerprint"]) >= 16
    assert checkpoint.load_run(tmp_path / "a").run == run
    assert [p.name for p in checkpoint.checkpoints(tmp_path / "a")] == ["00000005", "00000010"]
    lines = read_metrics(tmp_path / "a/metrics.jsonl")
    assert [line["step"] for line in lines] == [0, 2, 4, 6, 8, 10]
    assert {"loss", "lr", "weight_decay", "momentum", "grad_norm", "images_per_s", "data_wait", "verdict", "advice"} <= lines[-1].keys()
    assert any(key.startswith("health/") for key in lines[-1])
    assert [e["kind"] for e in events if e["kind"] != "log"] == ["start", "save", "save", "end"]


def test_the_loss_goes_down(tmp_path):
    from openjepa.run import OptimizerConfig
    from openjepa.schedules import Cosine, WarmupCosine

    fast = OptimizerConfig(lr=WarmupCosine(start=0.0, peak=3e-3, final=0.0, warmup=0.1), weight_decay=Cosine(start=0.0, final=0.0))
    run = replace(run_on(photos(tmp_path / "photos"), MAE), steps=120, log_every=40, optimizer=fast)
    train(run, tmp_path / "a")
    first, *_, last = read_metrics(tmp_path / "a/metrics.jsonl")
    assert last["loss"] < 0.85 * first["loss"]


def test_the_encoder_that_comes_out_is_the_one_that_went_in(tmp_path):
    run = run_on(photos(tmp_path / "photos"))
    train(run, tmp_path / "a")
    objective = checkpoint.load_objective(tmp_path / "a")
    frozen = openjepa.load_encoder(tmp_path / "a")
    images = torch.randint(0, 256, (3, 3, 32, 48), dtype=torch.uint8)
    with torch.no_grad():
        wanted = objective.target_encoder(run.modality.patchify(images)).values
    encoded = frozen.encode(images)
    torch.testing.assert_close(encoded.tokens, wanted)
    torch.testing.assert_close(encoded.pooled, wanted.mean(1))
    untrained = openjepa.load_encoder(tmp_path / "a", untrained=True)
    torch.manual_seed(run.seed)
    fresh = run.objective.build(run.modality)
    assert all(torch.equal(a, b) for a, b in zip(untrained.encoder.parameters(), fresh.encoder.parameters(), strict=True))
    assert not torch.equal(untrained.encode(images).pooled, encoded.pooled)


def test_encode_takes_files_and_any_whole_number_of_patches(tmp_path):
    folder = photos(tmp_path / "photos")
    train(run_on(folder), tmp_path / "a")
    frozen = openjepa.load_encoder(tmp_path / "a")
    paths = sorted(folder.rglob("*.jpg"))[:2]
    from PIL import Image as Picture

    by_path, by_picture = frozen.encode(paths), frozen.encode([Picture.open(p) for p in paths])
    assert by_path.tokens.shape == (2, 24, 24)
    torch.testing.assert_close(by_path.pooled, by_picture.pooled)
    assert frozen.encode(torch.zeros(1, 3, 16, 64, dtype=torch.uint8), resize=False).tokens.shape == (1, 16, 24)
    assert frozen.encode(by_path.tokens.new_zeros(1, 3, 32, 48).byte(), layers=2).pooled.shape == (1, 48)
    for wrong, said in ((torch.zeros(1, 3, 8, 8), "wants uint8"), ([], "list is empty"), (7, "cannot encode a int")):
        with pytest.raises(ValueError, match=said):
            frozen.encode(wrong)
    with pytest.raises(ValueError, match="not a whole number of patches"):
        frozen.encode(torch.zeros(1, 3, 17, 64, dtype=torch.uint8), resize=False)


def test_a_folder_that_is_not_empty_is_refused_with_both_ways_out(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"is not empty; continue it with --resume .*a, or give another --out"):
        train(run_on(photos(tmp_path / "photos")), tmp_path / "a")
    assert (tmp_path / "a/thesis.txt").read_text() == "mine"


def test_an_out_that_cannot_be_written_is_an_error_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write in .*file/a"):
        train(run_on(tmp_path / "nowhere"), tmp_path / "file/a")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_stops(tmp_path, number):
    def interrupt(event):
        if event["kind"] == "log" and event["step"] == 2:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as stopped:
        train(run_on(photos(tmp_path / "photos")), tmp_path / "a", on_event=interrupt)
    assert stopped.value.step in (2, 3)
    assert signal.getsignal(number) is before
    assert checkpoint.load_run(tmp_path / "a").info["status"] == "interrupted"
    assert checkpoint.verify(stopped.value.path)["step"] == stopped.value.step


def test_a_bad_number_stops_the_run_and_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    step = Engine.step

    def poisoned(self, batch, at):
        if at == 7:
            next(self.compute.encoder.parameters()).data[0] = float("nan")
        return step(self, batch, at)

    monkeypatch.setattr(Engine, "step", poisoned)
    with pytest.raises(NonFinite, match="step 7"):
        train(run_on(photos(tmp_path / "photos")), tmp_path / "a")
    assert checkpoint.load_run(tmp_path / "a").info["status"] == "failed"
    assert [p.name for p in checkpoint.checkpoints(tmp_path / "a")] == ["00000005"]


def test_a_full_disk_is_an_error_at_that_moment(tmp_path, monkeypatch):
    fsync, calls = os.fsync, []

    def full(fd):
        calls.append(fd)
        if len(calls) > 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        train(run_on(photos(tmp_path / "photos")), tmp_path / "a")
    assert not list((tmp_path / "a").rglob("*.tmp"))


def test_only_the_last_and_the_best_checkpoints_stay(tmp_path):
    scores = iter([0.3, 0.9, 0.4, 0.5, 0.2])
    run = replace(run_on(photos(tmp_path / "photos", classes=("cat", "dog"))), save_every=2, probe_every=2, keep_last=2)
    train(run, tmp_path / "a", probe=lambda dataset, run: lambda encoder, modality: next(scores))
    assert [int(p.name) for p in checkpoint.checkpoints(tmp_path / "a")] == [4, 8, 10]
