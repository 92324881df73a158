"""A training process beside the server: the bundled image JEPA once more, from nothing, while one looks on.

The run lies in the cache and appears in the list like any other; a checkpoint every few seconds lets the panels follow.
The child process ends with the server, however that ends: it reads a pipe that nobody writes to, and which closes then.
"""

import os
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from openjepa.data.cache import home
from openjepa.runs import read

RECIPE, STEPS, SAVE, KEPT = "explore.image_jepa", 1_500, 100, 10  # checkpoints: the scrubber wants some of them
PREFIX = "live-"
OLD = 2  # earlier live runs that stay in the cache
PATIENCE = 20.0  # seconds from asking it to stop to stopping it: it saves after the step it is at
NICE = 5
LINES = 20


@dataclass(frozen=True)
class Status:
    """What the page shows: state is idle, starting, running, finished, interrupted or failed."""

    run: str | None = None
    state: str = "idle"
    step: int = 0
    steps: int = STEPS
    log: tuple[str, ...] = ()


@dataclass
class Training:
    """The training of one server: at most one at a time."""

    process: "subprocess.Popen[bytes] | None" = None
    out: Path | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> Path:
        """The folder of the run that trains now; a new one unless there is one already. OSError where none can be written."""
        with self.lock:
            if self.alive and self.out is not None:
                return self.out
            tidy(home())
            home().mkdir(parents=True, exist_ok=True)
            self.out = home() / f"{PREFIX}{time.strftime('%Y%m%d-%H%M%S')}"
            self.out.mkdir()  # so that the list has it before the first line
            words = ["train", RECIPE, "--out", str(self.out), "--steps", str(STEPS), "--no-progress"]
            words += ["--save-every", str(SAVE), "--keep-last", str(KEPT), "--log-every", "10"]
            # One thread: the page and the panels' models want the rest of the machine
            env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
            with open(log_of(self.out), "wb") as log:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "openjepa.explore.training", *words],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env=env,
                    start_new_session=True,  # Ctrl-C in the terminal is for the server, which then ends it once
                )
            return self.out

    def stop(self) -> None:
        """Ask it to save and end; insist when it does not."""
        with self.lock:
            if self.process is None:
                return
            if self.alive:
                self.process.send_signal(signal.SIGINT)
                try:
                    self.process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
            if self.process.stdin is not None:
                self.process.stdin.close()

    def status(self) -> Status:
        if self.process is None or self.out is None:
            return Status()
        said = read(self.out)
        state = str(said["status"])
        if self.alive:
            state = "running" if state == "running" else "starting"
        elif state not in ("finished", "interrupted"):
            state = "failed"
        step = max(said["step"] or 0, *said["checkpoints"], 0)  # a line of metrics comes every ten steps
        return Status(self.out.name, state, step, said["steps"] or STEPS, tail(log_of(self.out)))


def log_of(out: Path) -> Path:
    """Beside the folder, which training wants to find empty."""
    return out.with_name(f"{out.name}.log")


def tail(path: Path) -> tuple[str, ...]:
    """The last lines of a small file."""
    try:
        return tuple(path.read_text(errors="replace").splitlines()[-LINES:])
    except OSError:
        return ()


def tidy(folder: Path) -> None:
    """Delete live runs of earlier sessions but the newest; one that trains for another server stays."""
    for path in sorted(folder.glob(f"{PREFIX}*-*[0-9]"), reverse=True)[OLD:]:
        if path.is_dir() and read(path)["status"] != "running":
            shutil.rmtree(path, ignore_errors=True)
            log_of(path).unlink(missing_ok=True)


def child() -> None:
    """openjepa with the words given, politely, until the pipe on stdin closes."""

    def watch() -> None:
        while os.read(0, 1):  # not through sys.stdin, whose lock the interpreter wants when it ends
            pass
        os.kill(os.getpid(), signal.SIGINT)

    if hasattr(os, "nice"):
        os.nice(NICE)
    threading.Thread(target=watch, daemon=True).start()
    sys.argv[0] = "openjepa"
    runpy.run_module("openjepa", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    child()
