"""A bundle: one folder with everything that an encoder needs to be used, probed, trained on and given away.

It is a run folder of one checkpoint, so every command that takes a run takes a bundle. Numbers may be stored at half precision,
and the encoder that the objective holds already may be left out (checkpoint.exported). Beside the weights it has the
preprocessing and mask settings (run.json), where it came from, its licence, and README.md, a model card made of measured rows.
"""

import json
import platform
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import openjepa
from openjepa.checkpoint import FORMAT, pick, write_atomic, write_json, write_tensors
from openjepa.checkpoint import load_run as open_run
from openjepa.frozen import weights_sha256
from openjepa.interop.beside import beside
from openjepa.interop.card import card
from openjepa.interop.held import Held
from openjepa.objectives.jepa import JEPAConfig
from openjepa.objectives.mae import MAEConfig
from openjepa.probes.heads import FOLDER, Head, Of, heads_in
from openjepa.run import Run, to_dict

STATUS = "imported"


def run_of(held: Held, base: Run) -> Run:
    """The run that would train this model: `base` (the family's recipe) with the sizes of the weights."""
    arch = held.arch
    sizes: Any = {"size": arch.size, "patch": arch.patch}
    modality = replace(base.modality, **sizes)
    objective = base.objective
    if isinstance(objective, MAEConfig):
        return replace(
            base, modality=modality, objective=replace(objective, encoder=arch.encoder, decoder=arch.predictor or objective.decoder)
        )
    assert isinstance(objective, JEPAConfig)
    several = len(objective.samplers)
    told: dict[str, Any] = {"encoder": arch.encoder, "predictor": arch.predictor or objective.predictor}
    if arch.mask_tokens and arch.mask_tokens != several:
        told |= {"mask_tokens": arch.mask_tokens}
    if arch.family.startswith("vjepa2"):
        told |= {"shared_mask_token": True}  # as its weights were trained (recipes 3.3)
    return replace(base, modality=modality, objective=replace(objective, **told))


def write_held(out: Path, held: Held, base: Run, recipe: str, source: Mapping[str, Any], command: str) -> Path:
    """The bundle of weights of others. ValueError when `out` is not empty."""
    run = run_of(held, base)
    info: dict[str, Any] = {
        "format": FORMAT,
        "recipe": recipe,
        "command": command,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": {"openjepa": openjepa.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "run": to_dict(run),
        "data": {"path": "", "fingerprint": "", "images": 0, "kind": run.modality.kind, "labels": {}},
        "device": "cpu",
        "precision": "float32",
        "threads": torch.get_num_threads(),
        "platform": f"{platform.system()} {platform.machine()}",
        "status": STATUS,
        "source": {**source, "exported": held.which, "stored_as": list(held.dtypes), "report": held.report.to_dict()},
    }
    files: dict[str, Mapping[str, Tensor]] = {"encoder.safetensors": held.encoder}
    if held.objective is not None:
        files["objective.safetensors"] = held.objective
    if held.dynamics is not None and held.arch.dynamics is not None:
        files["dynamics.safetensors"] = held.dynamics
        info["source"]["dynamics"] = asdict(held.arch.dynamics)
    encoder = Of(weights_sha256(held.encoder), sum(prod(held.encoder.shape(name)) for name in held.encoder), 0) if held.heads else None
    return write(out, 0, info, files, heads=[theirs.head(encoder) for theirs in held.heads if encoder])


def write_run(out: Path, folder: Path, step: int | None, command: str, heads: Sequence[Head] = ()) -> Path:
    """The bundle of a run of ours: one checkpoint without the optimizer, the untrained floor, the probes, its heads and `heads`.

    Heads of other checkpoints, and those that cannot be read, stay behind.
    """
    opened = open_run(folder)
    checkpoint = pick(opened.path, step)
    info = {**opened.info, "source": {"run": folder.name, "command": command}, "status": STATUS}
    copies = {name: checkpoint / name for name in ("encoder.safetensors", "objective.safetensors") if (checkpoint / name).exists()}
    if (folder / "untrained/encoder.safetensors").exists():
        copies["../../untrained/encoder.safetensors"] = folder / "untrained/encoder.safetensors"
    kept = [head.path.name for head in heads_in(folder) if head.info is not None and head.info.encoder.step == int(checkpoint.name)]
    probes = [f"probes/{path.name}" for path in sorted((folder / "probes").glob("*.json"))]
    for name in ("metrics.jsonl", *probes, *(f"{FOLDER}/{head}" for head in kept)):
        if (folder / name).exists():
            copies[f"../../{name}"] = folder / name
    return write(out, int(checkpoint.name), info, {}, copies, heads)


def write(
    out: Path,
    step: int,
    info: Mapping[str, Any],
    files: Mapping[str, Mapping[str, Tensor]],
    copies: Mapping[str, Path] | None = None,
    heads: Sequence[Head] = (),
) -> Path:
    """A bundle is whole or not there. ValueError when `out` is not empty."""
    with beside(out) as folder:
        checkpoint = folder / "checkpoints" / f"{step:08d}"
        checkpoint.mkdir(parents=True)
        hashes = {name: write_tensors(checkpoint / name, state) for name, state in files.items()}
        for name, path in (copies or {}).items():
            target = (checkpoint / name).resolve()
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        if copies:
            hashes |= recorded(next(iter(copies.values())).parent, copies)
        for head in heads:
            head.save(folder / FOLDER)
        write_json(checkpoint / "checkpoint.json", {"format": FORMAT, "step": step, "sha256": hashes, "run": info["run"]})
        write_json(folder / "run.json", info)
        write_atomic(folder / "README.md", card(folder, info, step).encode())
    return out


def recorded(checkpoint: Path, copies: Mapping[str, Path]) -> dict[str, str]:
    """The hashes that a checkpoint of ours already has."""
    known: dict[str, str] = json.loads((checkpoint / "checkpoint.json").read_text())["sha256"]
    return {name: known[name] for name in copies if name in known}
