"""The loop: batch, loss, step, after_step, log, save."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from openjepa import checkpoint, health
from openjepa.data.dataset import Dataset, absolute, open_dataset, settled
from openjepa.data.ledger import Ledger
from openjepa.data.loader import Loader
from openjepa.engine import Engine, choose_device, choose_precision, memory_mb
from openjepa.interrupt import signals
from openjepa.metrics import MetricsWriter, read_metrics
from openjepa.objectives.objective import LossOutput, Objective
from openjepa.opening import compare, describe, now, open_folder
from openjepa.run import Run, to_dict
from openjepa.start import load_start
from openjepa.tokens import Batch

Event = Callable[[dict[str, Any]], None]


class Interrupted(Exception):
    """Stopped by SIGINT or SIGTERM after saving; the checkpoint is `path`."""

    def __init__(self, path: Path, step: int) -> None:
        super().__init__(f"interrupted at step {step}; saved {path}")
        self.path, self.step = path, step


@dataclass(frozen=True)
class TrainResult:
    out: Path
    steps: int
    seconds: float  # of this call, without the set-up
    metrics: dict[str, Any]  # the last logged line
    notes: list[str] = field(default_factory=list)


def train(
    run: Run,
    out: str | Path,
    *,
    recipe: str = "",
    command: str = "",
    resume: bool = False,
    allow_changes: bool = False,
    probe: Callable[[Dataset, Run], Any] | None = None,
    on_event: Event = lambda event: None,
) -> TrainResult:
    """Train `run` into the folder `out`, or with `resume` continue it there.

    Args:
        probe: called once with the data set where it has labels; gives a callable (encoder, modality)
            -> accuracy used every `run.probe_every` steps.
        on_event: told of "start", "log", "save", "bad" and "end", each a dict with its "kind".

    Raises:
        ValueError: bad settings or data, a non-empty `out`, a resume that does not fit.
        NonFinite: a loss or gradient was not finite; nothing after the last checkpoint is kept.
        Interrupted: a signal came; the state is saved.
        OSError: the disk is full or a folder cannot be written.
    """
    return Session(run, Path(out), recipe, command, on_event).go(resume, allow_changes, probe)


class Session:
    """One call of `train`: the pieces that live as long as it does."""

    def __init__(self, run: Run, out: Path, recipe: str, command: str, on_event: Event) -> None:
        self.run, self.out, self.recipe, self.command, self.on_event = run, out, recipe, command, on_event
        self.notes: list[str] = []
        self.floor: dict[str, Tensor] | None = None  # the untrained encoder, where it is not the one of step 0

    def go(self, resume: bool, allow_changes: bool, probe: Callable[[Dataset, Run], Any] | None) -> TrainResult:
        saved = open_folder(self.out, resume)
        # Resume, probe and report are started from anywhere
        self.run = run = replace(self.run, data=replace(self.run.data, path=absolute(self.run.data.path)))
        self.device = choose_device(run.device)
        self.dataset, entries = open_dataset(run.data.path, run.modality, run.data.cache, run.data.exclude)
        if not saved:
            self.run = run = replace(run, modality=settled(run.modality, self.dataset))
        self.precision, self.reason = choose_precision(run.precision, self.device, run.objective.encoder.dim)
        if saved:
            self.precision, self.reason = saved.info["precision"], "as the run began"
            torch.set_num_threads(saved.info["threads"])  # another number sums in another order
            compare(saved, run, self.dataset, allow_changes)
        self.info = saved.info if saved else describe(run, self.dataset, self.recipe, self.command, self.device, self.precision)
        start = self.build(saved.path if saved else None)
        self.ledger = Ledger(self.out / "ledger.jsonl", total=len(self.dataset) + len(entries), max_bad=run.data.max_bad)
        self.status("running")
        ended = "failed"  # whatever ends it, the folder must not go on saying that it runs
        try:
            self.ledger.add(entries)
            self.metrics = MetricsWriter(self.out / "metrics.jsonl")
            self.history = read_metrics(self.out / "metrics.jsonl")
            self.probe = probe(self.dataset, run) if probe and run.probe_every and self.dataset.labels else None
            self.tell("start", out=str(self.out), run=self.info, step=start, steps=run.steps, images=len(self.dataset), why=self.reason)
            with signals() as stop:
                result = self.loop(start, stop)
            ended = "finished"
        except Interrupted:
            ended = "interrupted"
            raise
        finally:
            self.status(ended)
        self.tell("end", out=str(self.out), steps=result.steps, seconds=result.seconds, metrics=result.metrics)
        return result

    # -- before the first step

    def build(self, saved: Path | None) -> int:
        """Objective and optimizer, fresh or as saved. Returns the steps already done."""
        torch.manual_seed(self.run.seed)
        objective = self.run.objective.build(self.run.modality)
        if saved is None or not checkpoint.checkpoints(saved):
            if saved is not None:
                self.tell("note", text=f"{saved} ended before its first checkpoint; starting at step 0")
                (self.out / "metrics.jsonl").unlink(missing_ok=True)
            # Of a run that starts from weights of others the floor is still what nobody trained
            self.floor = {name: value.clone() for name, value in objective.exported().state_dict().items()} if self.run.init else None
            if self.run.init:
                load_start(objective, self.run.init)
            self.engine = Engine(self.run, objective, self.device, self.precision)
            return 0
        path, refused = checkpoint.last_whole(saved)
        self.notes += refused
        for line in refused:
            self.tell("note", text=f"{line}; continuing from {path.name}")
        objective.load_state_dict(checkpoint.load_tensors(path / "objective.safetensors"))
        self.engine = Engine(self.run, objective, self.device, self.precision)
        moments = checkpoint.load_tensors(path / "optimizer.safetensors")
        checkpoint.load_optimizer_state(objective, self.engine.optimizer, moments)
        step = int(path.name)
        keep = [line for line in read_metrics(self.out / "metrics.jsonl") if line["step"] <= step]
        lines = "".join(json.dumps(line) + "\n" for line in keep)
        checkpoint.write_atomic(self.out / "metrics.jsonl", lines.encode())
        return step

    # -- the steps

    def loop(self, start: int, stop: Callable[[], bool]) -> TrainResult:
        run, objective = self.run, self.engine.objective
        loader = Loader(
            self.dataset,
            run.batch,
            seed=run.seed,
            batch_size=run.batch_size,
            start=start,
            steps=run.steps,
            workers=run.workers,
            pin=self.device.type == "cuda",
        )
        began = self.since = time.perf_counter()
        self.waited, self.done, self.last, path = 0.0, 0, dict(self.history[-1]) if self.history else {}, self.out
        for step, batch, entries, waited in loader:
            self.waited += waited
            for entry in self.ledger.add(entries):
                self.tell("bad", path=entry.path, reason=entry.reason)
            if step == 0:
                self.start(objective, batch)
            output, norm, set_to = self.engine.step(batch, step)
            self.done += 1
            finished = step + 1
            if step == 0 or self.due(finished):
                self.log(finished if step else 0, output, norm, set_to)
            stopping = stop()
            if finished % run.save_every == 0 or finished == run.steps or stopping:
                path = self.save(finished)
            if stopping and finished < run.steps:
                raise Interrupted(path, finished)
        return TrainResult(self.out, run.steps, time.perf_counter() - began, self.last, self.notes)

    def due(self, finished: int) -> bool:
        """Whether a line is logged after `finished` steps."""
        run = self.run
        return finished % run.log_every == 0 or finished == run.steps or self.probing(finished)

    def probing(self, finished: int) -> bool:
        return bool(self.probe) and (finished % self.run.probe_every == 0 or finished == self.run.steps)

    def start(self, objective: Objective, batch: Batch) -> None:
        """The first batch may set scales; then the untrained encoder is kept, as the floor of every probe."""
        if not self.run.init:
            with torch.no_grad():
                objective.start(batch)
            self.engine.refresh()
        folder = self.out / "untrained"
        folder.mkdir(exist_ok=True)
        checkpoint.write_tensors(folder / "encoder.safetensors", self.floor or objective.exported().state_dict())

    def log(self, step: int, output: LossOutput, norm: Tensor, set_to: dict[str, float]) -> None:
        """One line of metrics.jsonl: the loss of this very step, health, speed. Line 0 is the untrained encoder."""
        self.engine.check()
        run = self.run
        seconds = max(time.perf_counter() - self.since, 1e-9)
        line: dict[str, Any] = {"step": step, "epoch": round(step * run.batch_size / len(self.dataset), 3), "loss": output.loss.item()}
        line |= set_to | {"grad_norm": norm.item()} | {k: v.item() for k, v in output.metrics.items()}
        if output.prediction is not None:
            line |= {f"health/{k}": v.item() for k, v in health.measure(output.prediction).items()}
        line |= {
            "images_per_s": self.done * run.batch_size / seconds,
            "data_wait": self.waited / seconds,
            "memory_mb": memory_mb(self.device),
        }
        if self.probe and step and self.probing(step):
            line["knn"] = self.probe(self.engine.objective.exported(), run.modality)
        first = self.history[0] if self.history else line
        verdict = health.judge(line, first, self.history, step / run.steps)
        line |= {"verdict": verdict.name, "advice": verdict.advice}
        self.metrics.write(line)
        self.history.append(line)
        self.last = line
        self.tell("log", **line)
        self.since, self.waited, self.done = time.perf_counter(), 0.0, 0

    def save(self, step: int) -> Path:
        self.engine.check()
        extra = {"knn": self.last.get("knn"), "run": to_dict(self.run)}
        path = checkpoint.save_checkpoint(self.out, step, self.engine.objective, self.engine.optimizer, extra)
        checkpoint.prune(self.out, self.run.keep_last)
        self.status("running")
        self.tell("save", step=step, path=str(path))
        return path

    # -- telling

    def tell(self, kind: str, **what: Any) -> None:
        self.on_event({"kind": kind, **what})

    def status(self, status: str) -> None:
        self.info |= {"status": status, "updated": now(), "pid": os.getpid()}
        checkpoint.write_json(self.out / "run.json", self.info)
