"""The border to the shell: names, codes, two lines of error, no torch where none is needed."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import openjepa
from openjepa.cli import main as cli
from openjepa.cli.main import main

# A relative PYTHONPATH would not survive another working directory
ENV = os.environ | {"PYTHONPATH": str(Path(openjepa.__file__).parents[1])}


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["train", "--help"],
        ["probe", "--help"],
        ["runs", "--help"],
        ["doctor", "--help"],
        ["report", "--help"],
        ["explore", "--help"],
        ["runs"],
    ],
)
def test_help_and_lists_do_not_import_torch(words, tmp_path):
    (tmp_path / "runs").mkdir()
    code = f"import sys; from openjepa.cli.main import main; rc = main({words!r}); print('torch' in sys.modules, rc, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=ENV, check=True)
    assert done.stderr.strip().endswith("False 0"), done.stderr
    assert done.stdout.strip()


def test_help_of_train_lists_every_recipe(capsys):
    from openjepa.recipes import names

    assert main(["train", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in names()) and "--batch-size" in out and "--objective.predictor.depth 4" in out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"openjepa {openjepa.__version__}\n"


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["trian"], "no command 'trian'", "did you mean train?"),
        (["train"], "no recipe", "name one of audio.ajepa"),
        (["train", "image.ijpea"], "no recipe 'image.ijpea'", "did you mean 'image.ijepa'?"),
        (["train", "image.ijepa", "--step", "3"], "no option --step", "did you mean --steps?"),
        (["train", "--step", "3"], "no option --step", "did you mean --steps?"),
        (["train", "image.ijepa", "--predictor.depth", "3"], "no option --predictor.depth", "--objective.predictor.depth"),
        (
            ["train", "image.ijepa", "--objective.predictor.depht", "3"],
            "no option --objective.predictor.depht",
            "mean --objective.predictor.depth?",
        ),
        (["train", "image.ijepa", "--depth", "3"], "no option --depth", "--objective.encoder.depth or --objective.predictor.depth"),
        (["train", "image.ijepa", "--steps", "ten"], "--steps is 'ten'", "it must be a whole number"),
        (["train", "image.ijepa", "--optimizer.lr.peak", "high"], "--optimizer.lr.peak is 'high'", "it must be a number"),
        (["train", "image.ijepa", "--optimizer.clip", "x"], "--optimizer.clip is 'x'", "it must be a number"),
        (["train", "image.ijepa", "--precision", "bfloat"], "--precision is 'bfloat'", "did you mean bfloat16?"),
        (["train", "image.ijepa", "--optimizer.betas", ".9"], "--optimizer.betas has too few values", "it takes 2"),
        (["train", "image.ijepa", "--steps", "0"], "steps is 0", "it must be at least 1"),
        (
            ["train", "image.ijepa", "--modality.size", "65", "64"],
            "size (65, 64) is not a whole number of patches (16, 16)",
            "(64, 64) would be",
        ),
        (["train", "image.ijepa", "--objective.masks.kind", "Blokcs"], "must be one of Blocks, Random", "did you mean Blocks?"),
        (["train", "image.ijepa", "--objective.union", "maybe"], "unexpected 'maybe' after '--objective.union'", "--help"),
        (["train", "image.ijepa"], "no data", "--data"),
        (["train", "image.ijepa", "--data", "x", "--steps", "3", "--epochs", "3"], "--steps and --epochs", "one of them"),
        (["train", "image.ijepa", "--data", "x", "--epochs", "0"], "--epochs is 0", "more than 0"),
        (["train", "--resume", "nowhere"], "no run folder nowhere", "openjepa runs"),
        (["train", "image.ijepa", "--resume", "nowhere"], "--resume nowhere goes on", "leave out image.ijepa"),
        (["train", "image.ijepa", "--data", "nowhere"], "nowhere", ""),
        (["probe"], "RUN is missing", "--help"),
        (["probe", "runs/a"], "--data is missing", "--help"),
        (["probe", "runs/a", "--dtaa", "x"], "no option --dtaa", "did you mean --data?"),
        (["probe", "nowhere", "--data", "x"], "no run folder nowhere", ""),
        (["runs", "shwo", "a"], "shwo", "did you mean show?"),
        (["doctor", "image.mea"], "no recipe 'image.mea'", "did you mean 'image.mae'?"),
        (["report", "nowhere"], "no run folder nowhere", ""),
    ],
)
def test_wrong_words_are_refused_in_two_lines_with_code_2(words, error, hint, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    first, *rest = captured.err.splitlines()
    assert first.startswith("error: ") and error in first
    assert hint in " ".join(rest) and all(line.startswith("hint: ") for line in rest)
    assert "Traceback" not in captured.err
    assert not list(tmp_path.rglob("*.json")) and not list(tmp_path.glob("runs/*"))


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ValueError("12 came; give 3"), 2, "error: 12 came\nhint: give 3\n"),
        (ValueError("settings differ:\n  a: 1 -> 2\n  b; c\nundo it"), 2, "error: settings differ:\n  a: 1 -> 2\n  b; c\nhint: undo it\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "error: [Errno 28] No space left on device\n"),
        (FloatingPointError("loss was not finite at step 7; lower it"), 1, "error: loss was not finite at step 7\nhint: lower it\n"),
        (RuntimeError("a worker died"), 1, "error: a worker died\n"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried\nmore"), 1, "--accumulate"),
        (KeyError("x"), 1, "this is a mistake in openjepa"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
    ],
)
def test_errors_become_codes(error, code, said, monkeypatch, capsys):
    def command(words):
        raise error

    monkeypatch.setattr(cli, "find", lambda word: command)
    assert main(["train"]) == code
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err
    if code != 130:
        main(["train", "--debug"])
        assert "Traceback" in capsys.readouterr().err


def test_the_package_gives_its_functions_before_and_after_the_modules_are_imported():
    code = (
        "import sys, openjepa; assert 'torch' not in sys.modules; a = openjepa.train; from openjepa.train import Interrupted\n"
        "import openjepa.train as module; assert module.Interrupted is Interrupted\n"
        "try: openjepa.train(None, '/dev/null/x')\n"
        "except OSError as error: print(error)\n"
        "print(openjepa.load_encoder.__name__, openjepa.probe.__name__, openjepa.train.train is a or a.train is openjepa.train.train)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENV, check=True)
    assert done.stdout.splitlines()[-1] == "load_encoder probe True" and "cannot write in /dev/null/x" in done.stdout
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        openjepa.nothing  # noqa: B018


def test_the_reader_of_a_pipe_may_leave(tmp_path):
    done = subprocess.run(
        f"{sys.executable} -m openjepa train image.ijepa --print-config | true",
        shell=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=ENV,
        check=False,
    )
    assert "Traceback" not in done.stderr and "Error" not in done.stderr


def test_print_config_marks_what_differs_and_reads_as_flags(capsys):
    assert main(["train", "image.ijepa", "--print-config", "--steps", "7", "--modality.flip", "on"]) == 0
    lines = capsys.readouterr().out.splitlines()
    marked = [" ".join(line.split()) for line in lines if line.startswith("*")]
    assert marked[0].startswith("* --modality.flip (False) ") and marked[1].startswith("* --steps 7 (50000) ") and len(marked) == 2
    assert any("--optimizer.lr.peak 0.001" in line for line in lines)
    assert main(["train", "image.ijepa", "--print-config", "--steps", "7", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["steps"] == {"value": 7, "recipe": 50000, "about": "optimizer steps"} and told["objective.masks.kind"]["value"] == "Blocks"
