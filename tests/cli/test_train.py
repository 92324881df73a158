"""`openjepa train` on real files: what it says, what it leaves, how it stops."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import openjepa
from openjepa import checkpoint, recipes
from openjepa.cli.main import main
from openjepa.cli.settings import changes, command
from openjepa.metrics import read_metrics
from openjepa.train import TrainResult
from tests.cli.test_settings import read_back
from tests.tiny import photos, run_on


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """In an empty folder with `photos`, the words that train the tiny run on them."""
    monkeypatch.chdir(tmp_path)
    photos(Path("photos"), classes=("cat", "dog"))
    return ["image.ijepa", *changes(recipes.load("image.ijepa"), run_on(Path("photos")))]


def test_a_run_says_where_it_is_what_to_do_next_and_how_to_use_it(tiny, capsys):
    assert main(["train", *tiny, "--out", "runs/a b"]) == 0
    out, err = capsys.readouterr()
    assert "runs/a b: 10 steps" in out and "encoder runs/a b/checkpoints/00000010/encoder.safetensors" in out
    assert "openjepa probe 'runs/a b' --data" in out and "openjepa report 'runs/a b'" in out
    lines = err.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("step=")] == [f"step={n}/10" for n in (0, 2, 4, 6, 8, 10)]
    # The three lines of Python are run as they are printed
    code = "\n".join(line.strip() for line in out.partition("use it\n")[2].splitlines())
    picture = next(Path("photos").rglob("*.jpg"))
    names: dict = {}
    exec(code.replace("photo.jpg", str(picture)), names)
    assert names["features"].shape == (1, 24)
    assert json.loads(main_out(capsys, ["runs", "--json"]))[0]["status"] == "finished"


def main_out(capsys, words, code=0):
    assert main(words) == code
    return capsys.readouterr().out


def test_the_saved_command_gives_the_run_back(tiny, tmp_path):
    assert main(["train", *tiny, "--seed", "5", "--max-bad", "0.5", "-q"]) == 0
    import shlex

    saved = checkpoint.load_run("runs/ijepa-1")
    words = shlex.split(saved.info["command"])
    typed = replace(run_on(Path("photos")), seed=5, data=replace(saved.run.data, path="photos", max_bad=0.5))
    assert read_back(words) == typed
    assert saved.run == replace(typed, data=replace(typed.data, path=str(Path("photos").resolve())))
    assert words == command("image.ijepa", recipes.load("image.ijepa"), typed, Path("runs/ijepa-1"))


def test_without_out_folders_are_numbered_and_quiet_prints_only_them(tiny, capsys):
    short = [*tiny, "--steps", "2", "-q"]
    assert main_out(capsys, ["train", *short]) == "runs/ijepa-1\n"
    assert main(["train", *short]) == 0
    out, err = capsys.readouterr()
    assert out == "runs/ijepa-2\n" and err == ""


def test_epochs_become_steps_with_the_length_of_the_data(tiny, capsys):
    told = json.loads(main_out(capsys, ["train", *[w for w in tiny if w not in ("--steps", "10")], "--epochs", "1.5", "--json"]))
    assert told["step"] == 5  # 1.5 x 12 images in batches of 4, rounded up
    assert told["status"] == "finished" and told["verdict"] and Path(told["checkpoint"]).is_dir()
    assert checkpoint.load_run(told["out"]).run.steps == 5


def test_resume_goes_on_and_changes_need_a_flag(tiny, capsys):
    assert main(["train", *tiny, "--out", "a", "-q"]) == 0
    assert main(["train", "--resume", "a", "--steps", "12"]) == 2
    err = capsys.readouterr().err
    assert "steps: 10 -> 12" in err and "hint: undo the change, or accept it with --allow-changes" in err
    assert main(["train", "--resume", "a", "--steps", "12", "--allow-changes", "-q"]) == 0
    assert [row["step"] for row in read_metrics(Path("a/metrics.jsonl"))] == [0, 2, 4, 6, 8, 10, 12]
    assert main(["train", "--resume", "a", "--out", "b"]) == 2
    assert "leave out --out" in capsys.readouterr().err


def test_a_folder_in_use_is_refused_with_both_ways_out(tiny, capsys):
    Path("a").mkdir()
    Path("a/mine.txt").write_text("")
    assert main(["train", *tiny, "--out", "a"]) == 2
    err = capsys.readouterr().err
    assert "a is not empty" in err and "--resume a" in err and "another --out" in err
    assert Path("a/mine.txt").exists()


def test_nothing_is_left_behind_when_nothing_was_done(tiny, capsys):
    Path("empty").mkdir()
    assert main(["train", *tiny, "--data", "empty", "--out", "a"]) == 2
    assert main(["train", *tiny, "--batch-size", "13", "--out", "b"]) == 2
    assert "13" in capsys.readouterr().err
    assert not Path("a").exists()


def test_dry_run_does_a_step_and_writes_nothing(tiny, capsys, tmp_path):
    before = sorted(p for p in tmp_path.rglob("*"))
    out = main_out(capsys, ["train", *tiny, "--dry-run"])
    assert "samples/s" in out and "24 tokens per image (4 x 6)" in out and "openjepa train image.ijepa --modality.size 32 48" in out
    told = json.loads(main_out(capsys, ["train", *tiny, "--dry-run", "--json"]))
    assert told["dry_run"] and told["speed"]["seconds"] > 0
    assert sorted(p for p in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("verdict", "asked", "code"), [("position collapse", True, 3), ("position collapse", False, 0), ("learning", True, 0)]
)
def test_a_collapse_fails_the_command_when_that_is_asked(verdict, asked, code, tiny, capsys, monkeypatch):
    def collapsed(run, out, **rest):
        Path(out, "checkpoints/00000010").mkdir(parents=True)
        return TrainResult(Path(out), 10, 1.0, {"loss": 0.1, "verdict": verdict, "advice": "turn the knob"})

    monkeypatch.setattr(sys.modules["openjepa.train"], "train", collapsed)
    assert main(["train", *tiny, *(["--fail-on-collapse"] if asked else [])]) == code
    out, err = capsys.readouterr()
    assert f"{verdict}: turn the knob" in out
    assert ("hint: turn the knob" in err) == (code == 3)


def test_ctrl_c_saves_exits_130_and_resumes(tiny):
    env = os.environ | {"PYTHONPATH": str(Path(openjepa.__file__).parents[1])}
    words = [sys.executable, "-m", "openjepa", "train"]
    running = subprocess.Popen(
        [*words, *tiny, "--steps", "100000", "--out", "a"],
        env=env,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        for line in running.stderr:
            if line.startswith("step=4/"):
                break
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does: loader workers get it, too
        out, err = running.communicate(timeout=120)
    finally:
        running.kill()
    assert running.returncode == 130, err
    assert out == "" and "interrupted after step" in err and "continue with: openjepa train --resume a" in err and "Traceback" not in err
    step = int(checkpoint.checkpoints(Path("a"))[-1].name)
    again = subprocess.run(
        [*words, "--resume", "a", "--steps", str(step + 2), "--allow-changes", "--json"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["step"] == step + 2


@pytest.mark.parametrize("ignored", [False, True], ids=["in the foreground", "in the background of a shell"])
def test_a_second_ctrl_c_quits_at_once(tiny, ignored):
    env = os.environ | {"PYTHONPATH": str(Path(openjepa.__file__).parents[1])}
    code = (  # a step that never ends: only the second signal can stop it
        "import signal, sys, time; from openjepa.engine import Engine; from openjepa.cli.main import main\n"
        f"signal.signal(signal.SIGINT, signal.{'SIG_IGN' if ignored else 'default_int_handler'})\n"
        "def stuck(self, batch, at):\n    print('in a step', file=sys.stderr, flush=True)\n    time.sleep(600)\n"
        "Engine.step = stuck; sys.exit(main(sys.argv[1:]))"
    )
    running = subprocess.Popen([sys.executable, "-c", code, "train", *tiny, "--out", "a"], env=env, stderr=subprocess.PIPE, text=True)
    try:
        for line in running.stderr:
            if line.startswith("in a step"):
                break
        running.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert running.poll() is None
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=60) == 130
    finally:
        running.kill()


def test_probe_and_report_through_the_command_line(tiny, capsys):
    assert main(["train", *tiny, "--out", "a", "-q"]) == 0
    photos(Path("more"), count=80, classes=("cat", "dog"))
    capsys.readouterr()
    table = main_out(capsys, ["probe", "a", "--data", "more", "--probes", "knn", "linear"])
    assert "encoder" in table and "untrained" in table and "chance" in table
    told = json.loads(main_out(capsys, ["probe", "a", "--data", "more", "--probes", "knn", "--json"]))
    assert {row["method"] for row in told["rows"]} >= {"encoder", "untrained", "pixels", "chance"}
    assert "knn" in json.loads(main_out(capsys, ["runs", "--in", ".", "--json"]))[0]["probe"]
    assert main(["probe", "a", "--data", "more", "--probes", "kn"]) == 2
    assert "'knn'" in capsys.readouterr().err
    assert main_out(capsys, ["report", "a"]).strip() == "a/report.html"
    assert Path("a/report.html").stat().st_size > 1000
