"""openjepa explore from the shell: what it serves, where, and what it refuses before anything is loaded."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import openjepa
from openjepa.cli.main import main
from openjepa.explore import server
from openjepa.explore.server import PORT, Place


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working folder, no screen to open a browser on, and no browser."""
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("webbrowser.open", lambda url: pytest.fail("a browser was opened"))
    return tmp_path


@pytest.fixture
def served(monkeypatch):
    """What `serve` was asked, instead of serving."""
    asked = {}

    def serve(folders, **options):
        asked.update(options, folders=[str(folder) for folder in folders])
        options["ready"](Place(options["host"], options["port"] or PORT, "" if options["host"] == "127.0.0.1" else "secret"))
        raise KeyboardInterrupt  # Ctrl-C

    monkeypatch.setattr(server, "serve", serve)
    return asked


def a_run(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    return folder


def test_without_a_folder_it_takes_the_runs_that_are_there_or_none(here, served, capsys):
    assert main(["explore"]) == 0 and served["folders"] == []
    (here / "runs/empty").mkdir(parents=True)
    assert main(["explore"]) == 0 and served["folders"] == []
    a_run(here / "runs/a")
    assert main(["explore"]) == 0 and served["folders"] == ["runs"]
    assert served["port"] is None and served["host"] == "127.0.0.1"
    assert capsys.readouterr().out.splitlines()[-1] == f"explore  http://127.0.0.1:{PORT}/  (Ctrl-C stops)"


def test_what_is_said_reaches_the_server(here, served, capsys):
    a_run(here / "a"), a_run(here / "b")
    words = ["explore", "a", "b", "--port", "9000", "--threads", "2", "--allow-host", "x.org", "y.org", "--device", "cpu", "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out) == {"url": "http://127.0.0.1:9000/", "host": "127.0.0.1", "port": 9000}
    served.pop("ready")
    assert served == {
        "folders": ["a", "b"],
        "host": "127.0.0.1",
        "port": 9000,
        "allow_hosts": ("x.org", "y.org"),
        "threads": 2,
        "device": "cpu",
    }


def test_open_to_others_it_prints_the_token_and_says_what_that_means(served, capsys):
    assert main(["explore", "--host", "0.0.0.0", "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.out == f"http://127.0.0.1:{PORT}/?token=secret\n" and "every machine that reaches 0.0.0.0" in said.err


@pytest.mark.parametrize(("words", "opened"), [([], True), (["--no-browser"], False)])
def test_a_browser_is_opened_only_where_there_is_a_screen_for_it(served, monkeypatch, words, opened):
    found = []
    monkeypatch.setattr("webbrowser.open", found.append)
    monkeypatch.setattr("threading.Thread.start", lambda thread: thread.run())
    monkeypatch.setattr(sys, "platform", "linux")
    assert main(["explore", *words]) == 0 and not found
    monkeypatch.setenv("DISPLAY", ":0")
    assert main(["explore", *words]) == 0 and found == [f"http://127.0.0.1:{PORT}/"] * opened


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["nowhere"], "no folder nowhere", "without one the small bundled models are shown"),
        (["rums"], "no folder rums", "did you mean runs?"),
        (["a.txt"], "a.txt is a file", "name a run"),
        (["--port", "70000"], "--port is 70000", "from 1 to 65535"),
        (["--threads", "0"], "--threads is 0", "at least 1"),
        (["--export", "runs"], "runs is not empty", "a new folder"),
        (["--prot", "8000"], "no option --prot", "did you mean --port?"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_hint(here, served, capsys, words, error, hint):
    a_run(here / "runs/a")
    (here / "a.txt").write_text("")
    assert main(["explore", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {error}") and hint in said.partition("hint: ")[2] and not served


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["explore", "--port", str(port), "--no-browser"]) == 1
    said = capsys.readouterr().err
    assert f"error: port {port} on 127.0.0.1 cannot be used" in said and "hint: give another --port" in said


def test_it_starts_beside_another_program_answers_and_ends_on_ctrl_c(here):
    """A real process: the first port may be taken, so another one is printed."""
    a_run(here / "mine/a")
    env = os.environ | {"PYTHONPATH": str(Path(openjepa.__file__).parents[1])}
    words = [sys.executable, "-m", "openjepa", "explore", "mine", "--no-browser"]
    try:
        taken: socket.socket | None = socket.create_server(("127.0.0.1", PORT))
    except OSError:
        taken = None  # somebody explores already: just as well
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=env)
    try:
        assert process.stdout is not None
        url = re.search(r"http://\S+", process.stdout.readline())
        assert url is not None and f":{PORT}/" not in url[0]
        with urllib.request.urlopen(f"{url[0]}api/v1/runs", timeout=60) as answer:
            found = json.load(answer)
        assert [broken["id"] for broken in found["broken"]] == ["a"]  # its run.json says nothing
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        if taken is not None:
            taken.close()
