"""Train live: a run of its own process that is listed, saved, stopped, and never outlives its server."""

import time
from pathlib import Path

import pytest

from openjepa.checkpoint import checkpoints, load_objective
from openjepa.explore import training
from openjepa.explore.live import Nothing, live, start, stop
from openjepa.explore.runs_api import runs
from openjepa.explore.shelf import Shelf
from openjepa.explore.training import Training, log_of, tidy

WAIT = 120.0  # seconds, for a process that imports torch on a busy machine


@pytest.fixture
def shelf(tmp_path):
    found = Shelf([], bundled=False)
    yield found
    found.close()


def until(done, what: str):
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        if found := done():
            return found
        time.sleep(0.1)
    pytest.fail(f"{what} did not happen within {WAIT:g} seconds")


def test_before_a_start_there_is_nothing(shelf):
    assert live(shelf, {}).meta == training.Status()
    assert stop(shelf, Nothing()).meta.state == "idle"


@pytest.mark.slow
def test_a_live_run_is_listed_saved_and_stopped(shelf, monkeypatch):
    monkeypatch.setattr(training, "SAVE", 1)
    first = start(shelf, Nothing()).meta
    assert first.state == "starting" and first.run is not None
    assert start(shelf, Nothing()).meta.run == first.run  # not a second one
    out = shelf.live.out
    assert out is not None
    until(lambda: checkpoints(out), "a checkpoint")
    (listed,) = runs(shelf, {}).meta.runs
    assert (listed.id, listed.status, listed.recipe) == (first.run, "running", training.RECIPE)
    now = live(shelf, {}).meta
    assert now.state == "running" and now.steps == training.STEPS and any("step=0/" in line for line in now.log)
    load_objective(out)  # while it trains
    ended = stop(shelf, Nothing()).meta
    assert ended.state == "interrupted" and 0 < ended.step < training.STEPS and checkpoints(out)
    assert not shelf.live.alive and not any("Fatal" in line for line in ended.log), ended.log


@pytest.mark.slow
def test_it_ends_when_its_server_is_gone_without_a_word(monkeypatch):
    """What a killed server leaves is a closed pipe."""
    found = Training()
    out = found.start()
    until(lambda: (out / "metrics.jsonl").exists(), "the first line")
    assert found.process is not None and found.process.stdin is not None
    found.process.stdin.close()
    until(lambda: not found.alive, "its end")
    assert found.status().state == "interrupted"


@pytest.mark.slow
def test_a_training_that_fails_says_why(monkeypatch):
    monkeypatch.setattr(training, "RECIPE", "explore.image_jpea")
    found = Training()
    found.start()
    until(lambda: not found.alive, "its end")
    status = found.status()
    assert status.state == "failed" and any("did you mean 'explore.image_jepa'?" in line for line in status.log)


def a_live_run(folder: Path, second: int, status: str = "finished") -> Path:
    path = folder / f"live-20260101-0000{second:02d}"
    path.mkdir(parents=True)
    (path / "run.json").write_text(f'{{"status": "{status}"}}')
    log_of(path).write_text("")
    return path


def test_old_live_runs_make_room_but_not_those_that_train(tmp_path):
    paths = [a_live_run(tmp_path, i, "running" if i == 0 else "finished") for i in range(5)]
    (tmp_path / "samples-live-1").mkdir()
    tidy(tmp_path)
    assert [path.is_dir() for path in paths] == [True, False, False, True, True]
    assert [log_of(path).exists() for path in paths] == [True, False, False, True, True]
    assert (tmp_path / "samples-live-1").is_dir()
