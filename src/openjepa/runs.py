"""What run folders say of themselves, read from their files alone, half-written ones included. No torch."""

import json
import os
from pathlib import Path
from typing import Any

TAIL = 65536  # bytes: far more than one line of metrics


def read(folder: Path) -> dict[str, Any]:
    """What can be known of a run folder; a missing or broken part is None."""
    info = read_json(folder / "run.json")
    saved = sorted(int(p.name) for p in (folder / "checkpoints").glob("[0-9]*") if p.name.isdigit() and p.is_dir())
    row = last_row(folder / "metrics.jsonl") or {}
    said = info.get("run")
    run = said if isinstance(said, dict) else {}
    return {
        "run": str(folder),
        "recipe": info.get("recipe"),
        "status": status(info),
        "step": row.get("step", saved[-1] if saved else None),
        "steps": run.get("steps"),
        "loss": row.get("loss"),
        "verdict": row.get("verdict"),
        "knn": row.get("knn"),
        "probe": best_probe(folder / "probes"),
        "checkpoints": saved,
        "created": info.get("created"),
        "updated": info.get("updated"),
    }


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, empty where there is none that can be read."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def last_row(path: Path) -> dict[str, Any] | None:
    """The last whole line of metrics, from the end of the file: a long run need not be read."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            lines = file.read().split(b"\n")
    except OSError:
        return None
    for line in reversed(lines):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            return row
    return None


def status(info: dict[str, Any]) -> str:
    """As run.json says, or `killed` where it says running and the process is gone, or `unreadable`."""
    said = info.get("status")
    if not isinstance(said, str):
        return "unreadable"
    pid = info.get("pid")
    if said == "running" and isinstance(pid, int) and not alive(pid):
        return "killed"
    return said


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def best_probe(folder: Path) -> str | None:
    """The encoder's scores of the newest probe, e.g. shape: knn 32.5, linear 44.7."""
    for path in sorted(folder.glob("[!.]*.json"), reverse=True):
        rows = read_json(path).get("rows")
        found = [r for r in rows if isinstance(r, dict) and r.get("method") == "encoder"] if isinstance(rows, list) else []
        if found:
            label = found[0].get("label")
            scores = ", ".join(f"{r.get('probe')} {100 * r['accuracy']:.1f}" for r in found if r.get("label") == label and "accuracy" in r)
            return f"{label}: {scores}"
    return None


def looks_like_a_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("run.json", "metrics.jsonl", "checkpoints"))
