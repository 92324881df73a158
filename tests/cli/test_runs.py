"""Listing reads files alone and survives whatever a crash left."""

import json
import os
import subprocess
import sys

import pytest

from openjepa.cli import runs
from openjepa.cli.main import main


@pytest.fixture
def folder(tmp_path):
    """Four runs: whole, killed, half written, broken; and things that are no runs."""
    for name in ("whole", "killed", "half", "broken", "notes", ".hidden"):
        (tmp_path / name).mkdir()
    info = {
        "recipe": "image.ijepa",
        "status": "finished",
        "command": "openjepa train image.ijepa",
        "run": {"steps": 100},
        "pid": os.getpid(),
        "versions": {"torch": "2"},
    }
    (tmp_path / "whole/run.json").write_text(json.dumps(info))
    rows = [{"step": 50, "loss": 1.0, "verdict": "learning", "knn": 0.5}, {"step": 100, "loss": 0.25, "verdict": "learning", "knn": 0.625}]
    (tmp_path / "whole/metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "whole/checkpoints/00000100").mkdir(parents=True)
    (tmp_path / "whole/checkpoints/.00000150.tmp").mkdir()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / "killed/run.json").write_text(json.dumps(info | {"status": "running", "pid": gone.pid}))
    (tmp_path / "killed/metrics.jsonl").write_text(json.dumps(rows[0]) + '\n{"step": 60, "lo')
    (tmp_path / "half/checkpoints").mkdir()
    (tmp_path / "broken/run.json").write_text('{"status": ')
    (tmp_path / "broken/metrics.jsonl").write_bytes(b"\xff\xfe\n[1]\n")
    (tmp_path / "notes/todo.txt").write_text("")
    return tmp_path


def test_the_list_has_every_run_and_its_state(folder, capsys):
    assert main(["runs", "--in", str(folder), "--json"]) == 0
    found = {os.path.basename(run["run"]): run for run in json.loads(capsys.readouterr().out)}
    assert set(found) == {"whole", "killed", "half", "broken"}
    assert found["whole"]["status"] == "finished" and found["whole"]["step"] == 100 and found["whole"]["loss"] == 0.25
    assert found["whole"]["checkpoints"] == [100]
    assert found["killed"]["status"] == "killed" and found["killed"]["step"] == 50
    assert found["half"]["status"] == found["broken"]["status"] == "unreadable"
    assert main(["runs", "--in", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["run", "recipe", "status", "step", "loss", "verdict", "probe", "(%)"]
    whole = next(line for line in lines if "whole" in line)
    assert "100/100" in whole and "0.25" in whole and "online knn 62.5" in whole


def test_a_running_run_is_running(folder, capsys):
    info = json.loads((folder / "whole/run.json").read_text())
    (folder / "whole/run.json").write_text(json.dumps(info | {"status": "running"}))
    assert runs.read(folder / "whole")["status"] == "running"


def test_the_newest_probe_is_shown_before_the_online_one(folder):
    probes = folder / "whole/probes"
    probes.mkdir()
    row = {"label": "shape", "probe": "knn", "method": "encoder", "accuracy": 0.325}
    rows = [row, row | {"probe": "linear", "accuracy": 0.447}, row | {"method": "pixels", "accuracy": 0.9}, row | {"label": "place"}]
    (probes / "00000100-20260101T000000Z.json").write_text(json.dumps({"rows": rows}))
    (probes / "00000050-20260101T000000Z.json").write_text(json.dumps({"rows": [row | {"accuracy": 0.1}]}))
    (probes / "00000200-x.json").write_text("{")
    assert runs.read(folder / "whole")["probe"] == "shape: knn 32.5, linear 44.7"


def test_show_tells_one_run_by_path_or_name(folder, capsys):
    for words in (["show", str(folder / "whole")], ["show", "whole", "--in", str(folder)]):
        assert main(["runs", *words]) == 0
        out = capsys.readouterr().out
        assert "openjepa train image.ijepa" in out and "finished, step 100/100" in out and "learning" in out
    for name in ("killed", "half", "broken"):
        assert main(["runs", "show", name, "--in", str(folder)]) == 0
        assert main(["runs", "show", name, "--in", str(folder), "--json"]) == 0
    capsys.readouterr()
    assert main(["runs", "show", "whol", "--in", str(folder)]) == 2
    assert "did you mean whole?" in capsys.readouterr().err
    assert main(["runs", "--in", str(folder / "nowhere")]) == 2


def test_the_last_row_is_found_from_the_end_of_a_long_file(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": i, "x": "y" * 500}) + "\n" for i in range(1000)) + '{"step": 1000, "x')
    assert runs.last_row(path) == {"step": 999, "x": "y" * 500}
    assert runs.last_row(tmp_path / "nothing") is None
