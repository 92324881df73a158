"""What is settled before the first step: the folder, what run.json says, whether a resume fits."""

import platform
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import torch

import openjepa
from openjepa import checkpoint
from openjepa.data.dataset import Dataset
from openjepa.run import Run, differences, to_dict

# Settings that may change on resume without a word: no weight depends on them
HARMLESS = ("data.path", "workers", "log_every", "save_every", "keep_last", "probe_every", "data.cache", "data.max_bad")


def open_folder(out: Path, resume: bool) -> checkpoint.RunFolder | None:
    """The saved run to continue, or None after making sure that `out` is empty and can be written."""
    if resume:
        return checkpoint.load_run(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not empty; continue it with --resume {out}, or give another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        checkpoint.write_atomic(out / ".writable", b"")
        (out / ".writable").unlink()
    except OSError as error:
        raise OSError(error.errno, f"cannot write in {out} ({error.strerror}); give another --out") from error
    return None


def describe(run: Run, dataset: Dataset, recipe: str, command: str, device: torch.device, precision: str) -> dict[str, Any]:
    """What run.json holds."""
    return {
        "format": checkpoint.FORMAT,
        "recipe": recipe,
        "command": command or shlex.join(["openjepa", *sys.argv[1:]]),
        "created": now(),
        "versions": {"openjepa": openjepa.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "run": to_dict(run),
        "data": describe_data(run, dataset),
        "device": str(device),
        "precision": precision,
        "threads": torch.get_num_threads(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def describe_data(run: Run, dataset: Dataset) -> dict[str, Any]:
    return {
        "path": run.data.path,
        "fingerprint": dataset.fingerprint,
        "images": len(dataset),
        "kind": run.modality.kind,
        "labels": {name: list(labels.names) for name, labels in dataset.labels.items()},
    }


def compare(saved: checkpoint.RunFolder, run: Run, dataset: Dataset, allow_changes: bool) -> None:
    """Refuse a resume whose settings or data changed, unless that is asked for; then run.json records it."""
    changed = [line for line in differences(saved.run, run) if line.split(":")[0] not in HARMLESS]
    before, after = saved.info["data"], describe_data(run, dataset)
    if before["fingerprint"] != after["fingerprint"]:
        was, is_ = (f"{data['images']} images, fingerprint {data['fingerprint'][:12]}" for data in (before, after))
        changed.append(f"data: {was} -> {is_}")
    if changed and not allow_changes:
        listed = "\n  ".join(changed)
        raise ValueError(
            f"{saved.path} was run with other settings or data:\n  {listed}\nundo the change, or accept it with --allow-changes"
        )
    if changed:
        saved.info.setdefault("changes", []).append({"at": now(), "changed": changed})
    saved.info.update(run=to_dict(run), data=after)


def now() -> str:
    """UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
