"""Checkpoints: atomic, self-describing, without pickle.

run/
  run.json                       the run, its command, versions, data fingerprint, status
  metrics.jsonl  ledger.jsonl
  untrained/encoder.safetensors  the exported encoder before the first step: a floor of every probe
  checkpoints/00000500/          written under a temporary name, fsynced, renamed
    encoder.safetensors          the exported encoder alone
    objective.safetensors        everything that learns or moves, float32
    optimizer.safetensors        AdamW's moments, by parameter name
    checkpoint.json              step, format, hash of each file
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from openjepa.frozen import FrozenEncoder
from openjepa.models.own import build_encoder
from openjepa.objectives.jepa import JEPAConfig
from openjepa.objectives.objective import Objective
from openjepa.run import Run, from_dict
from openjepa.tensor_file import pieces

FORMAT = 1


class Damaged(ValueError):
    """A checkpoint that is not whole."""


@dataclass(frozen=True)
class RunFolder:
    """A run on disk."""

    path: Path
    run: Run
    info: dict[str, Any]  # run.json


def write_atomic(path: Path, data: bytes | Iterable[bytes | memoryview]) -> None:
    """Write under a temporary name, fsync, rename: a reader sees the old file or the new one.

    OSError (disk full, no permission) passes through, after the temporary file is removed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            for part in [data] if isinstance(data, bytes) else data:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Atomic, indented, readable by any tool."""
    write_atomic(path, (json.dumps(data, indent=2, ensure_ascii=True) + "\n").encode())


def save_checkpoint(folder: Path, step: int, objective: Objective, optimizer: torch.optim.Optimizer, extra: Mapping[str, Any]) -> Path:
    """Everything that resuming needs, in checkpoints/<step>. Returns that folder.

    OSError when it cannot be written; no half checkpoint stays behind under its final name.
    """
    final = folder / "checkpoints" / f"{step:08d}"
    temporary = final.with_name(f".{final.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        files = {
            "encoder.safetensors": objective.exported().state_dict(),
            "objective.safetensors": objective.state_dict(),
            "optimizer.safetensors": optimizer_state(objective, optimizer),
        }
        hashes = {name: write_tensors(temporary / name, content) for name, content in files.items()}
        write_json(temporary / "checkpoint.json", {"format": FORMAT, "step": step, "sha256": hashes, **extra})
        if final.exists():
            shutil.rmtree(final)
        os.replace(temporary, final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final


def write_tensors(path: Path, state: Mapping[str, Tensor], told: Mapping[str, str] | None = None) -> str:
    """One safetensors file, atomically, a tensor at a time: a large model is never in memory twice. Returns its sha256.

    `told` is said of it in the header.
    """
    digest = hashlib.sha256()

    def hashed() -> Iterator[bytes | memoryview]:
        for piece in pieces(state, {"format": "pt", "openjepa": str(FORMAT), **(told or {})}):
            digest.update(piece)
            yield piece

    write_atomic(path, hashed())
    return digest.hexdigest()


def optimizer_state(objective: Objective, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """AdamW's state as plain tensors, named after the parameters: "<kind>:<parameter>"."""
    state = optimizer.state
    return {f"{kind}:{name}": value for name, p in objective.named_parameters() if p in state for kind, value in state[p].items()}


def load_optimizer_state(objective: Objective, optimizer: torch.optim.Optimizer, saved: Mapping[str, Tensor]) -> None:
    """Inverse of optimizer_state, into a fresh optimizer."""
    named = dict(objective.named_parameters())
    for name, value in saved.items():
        kind, parameter = name.split(":", 1)
        p = named[parameter]
        optimizer.state[p][kind] = (
            value.to(p.device) if value.ndim else value.clone().to(p.device if optimizer.defaults["fused"] else "cpu")
        )


def checkpoints(folder: Path) -> list[Path]:
    """Checkpoint folders that were finished, oldest first."""
    return sorted(p for p in (folder / "checkpoints").glob("[0-9]*") if p.is_dir())


def prune(folder: Path, keep_last: int) -> None:
    """Delete all but the newest `keep_last` checkpoints and the one with the best online probe."""
    there = checkpoints(folder)
    scores = {path: json.loads((path / "checkpoint.json").read_text()).get("knn") for path in there}
    scored = [path for path in there if scores[path] is not None]
    keep = {*there[-keep_last:], *([max(scored, key=lambda p: scores[p])] if scored else [])}
    for path in there:
        if path not in keep:
            shutil.rmtree(path)


def verify(checkpoint: Path) -> dict[str, Any]:
    """checkpoint.json of a whole checkpoint. Damaged names the file that is not; ValueError for a newer format."""
    try:
        info: dict[str, Any] = json.loads((checkpoint / "checkpoint.json").read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise Damaged(f"checkpoint {checkpoint} is damaged: checkpoint.json cannot be read ({error})") from error
    check_format(info, checkpoint)
    for name, wanted in info["sha256"].items():
        path = checkpoint / name
        if not path.exists():
            raise Damaged(f"checkpoint {checkpoint} is damaged: {name} is missing")
        with open(path, "rb") as file:
            came = hashlib.file_digest(file, "sha256").hexdigest()
        if came != wanted:
            raise Damaged(f"checkpoint {checkpoint} is damaged: {name} has {path.stat().st_size} bytes whose hash is not the recorded one")
    return info


def check_format(info: Mapping[str, Any], where: Path) -> None:
    if info.get("format", 0) > FORMAT:
        raise ValueError(f"{where} has format {info['format']}; this openjepa reads up to {FORMAT}. Upgrade openjepa to open it")


def last_whole(folder: Path) -> tuple[Path, list[str]]:
    """The newest checkpoint that is whole, and a line for each newer one that is not."""
    refused: list[str] = []
    for checkpoint in reversed(checkpoints(folder)):
        try:
            verify(checkpoint)
            return checkpoint, refused
        except Damaged as error:
            refused.append(str(error))
    problems = "; ".join(refused) or "it holds none"
    raise Damaged(f"{folder} has no whole checkpoint ({problems}); start again with another --out")


def load_run(folder: str | Path) -> RunFolder:
    """Read run.json. ValueError says what is wrong with the folder."""
    path = Path(folder)
    if not path.is_dir():
        raise ValueError(f"no run folder {path}; `openjepa runs` lists the runs there are")
    try:
        info: dict[str, Any] = json.loads((path / "run.json").read_text())
    except FileNotFoundError:
        raise ValueError(f"{path} is not a run folder: it has no run.json; give the folder named by --out") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}/run.json is not valid JSON ({error}); the run cannot be read") from error
    check_format(info, path / "run.json")
    return RunFolder(path, from_dict(info["run"]), info)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """One safetensors file. Damaged when it is truncated or missing."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise Damaged(f"{path} is damaged or missing ({error}); use another checkpoint of the run") from error


def pick(folder: Path, step: int | None) -> Path:
    """The checkpoint of `step`, by default the newest whole one."""
    if step is None:
        return last_whole(folder)[0]
    path = folder / "checkpoints" / f"{step:08d}"
    if not path.is_dir():
        there = ", ".join(str(int(p.name)) for p in checkpoints(folder)) or "none"
        raise ValueError(f"{folder} has no checkpoint of step {step}; it has {there}")
    verify(path)
    return path


def load_objective(folder: str | Path, step: int | None = None) -> Objective:
    """The whole objective in float32 and eval mode: encoder, predictor, target encoder."""
    opened = load_run(folder)
    objective = opened.run.objective.build(opened.run.modality)
    objective.load_state_dict(load_tensors(objective_file(opened, step)))
    return objective.eval()


def objective_file(opened: RunFolder, step: int | None = None) -> Path:
    """Where everything that learns or moves lies. ValueError for a bundle of an encoder alone; a damaged checkpoint is told by pick."""
    path = pick(opened.path, step) / "objective.safetensors"
    if not path.exists():
        raise ValueError(
            f"{opened.path} holds an encoder alone, for its source had no predictor; it can be probed and used, not trained on"
        )
    return path


def load_encoder(folder: str | Path, *, step: int | None = None, untrained: bool = False) -> FrozenEncoder:
    """The frozen encoder of a run folder, ready for `.encode(images)`.

    JEPA gives its target encoder, which the papers evaluate. `untrained` gives the same
    architecture with the weights it had before the first step: the floor of every probe.
    """
    opened = load_run(folder)
    path = opened.path / "untrained" if untrained else pick(opened.path, step)
    with torch.random.fork_rng([]):  # weights of others come without their untrained encoder: then one of its kind
        torch.manual_seed(opened.run.seed)
        encoder = build_encoder(opened.run.objective.encoder, opened.run.modality)
    if not (untrained and not path.exists() and "source" in opened.info):
        encoder.load_state_dict(exported(path, opened.run))
    encoder.eval().requires_grad_(False)
    return FrozenEncoder(encoder, opened.run.modality, opened.run, 0 if untrained else int(path.name), path)


def exported(path: Path, run: Run) -> dict[str, Tensor]:
    """Weights of the exported encoder: its own file or, where a bundle leaves that out, its part of the objective's."""
    whole = path / "objective.safetensors"
    if (path / "encoder.safetensors").exists() or not whole.exists():
        return load_tensors(path / "encoder.safetensors")
    part = "target_encoder." if isinstance(run.objective, JEPAConfig) else "encoder."
    return {name.removeprefix(part): value for name, value in load_tensors(whole).items() if name.startswith(part)}
