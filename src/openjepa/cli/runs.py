"""openjepa runs: what there is, read from the files alone, half-written folders included. No torch."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openjepa.cli.options import RunsOptions
from openjepa.cli.parse import Usage, near, parse, refuse
from openjepa.cli.train import option_flags

TAIL = 65536  # bytes: far more than one line of metrics


def command(words: Sequence[str]) -> int:
    options, unknown = parse(RunsOptions, words, prog="openjepa runs")
    refuse(unknown, words, option_flags(RunsOptions), "openjepa runs")
    if options.words in ((), ("list",), ("ls",)):
        return list_runs(options)
    if options.words[0] != "show":
        hint = near(options.words[0], ("show", "list")) or f"did you mean: openjepa runs show {options.words[0]}"
        raise Usage(f"cannot {options.words[0]!r} runs", hint)
    if len(options.words) != 2:
        raise Usage("show takes one run", "openjepa runs show runs/a")
    return show(options)


# -- reading


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


# -- showing


def list_runs(options: RunsOptions) -> int:
    if not options.folder.is_dir():
        raise Usage(f"no folder {options.folder}", "train something, or name the folder of runs with --in")
    folders = [p for p in options.folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
    found = [read(p) for p in sorted(folders) if looks_like_a_run(p)]
    if options.json:
        print(json.dumps(found))
        return 0
    if not found:
        print(f"no runs in {options.folder}")
        return 0
    head = ("run", "recipe", "status", "step", "loss", "verdict", "probe (%)")
    rows = [tuple(str(value) if value is not None else "-" for value in cells(run)) for run in found]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def looks_like_a_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("run.json", "metrics.jsonl", "checkpoints"))


def cells(run: dict[str, Any]) -> tuple[Any, ...]:
    step = None if run["step"] is None else f"{run['step']}/{run['steps'] or '?'}"
    loss = f"{run['loss']:.4g}" if isinstance(run["loss"], int | float) else None
    knn = f"online knn {100 * run['knn']:.1f}" if isinstance(run["knn"], int | float) else None
    return run["run"], run["recipe"] or None, run["status"], step, loss, run["verdict"], run["probe"] or knn


def show(options: RunsOptions) -> int:
    path = Path(options.words[1])
    path = path if path.is_dir() else options.folder / path
    if not path.is_dir() or not looks_like_a_run(path):
        there = [p.name for p in options.folder.iterdir() if looks_like_a_run(p)] if options.folder.is_dir() else []
        raise Usage(
            f"no run folder {options.words[1]}", near(Path(options.words[1]).name, there) or "`openjepa runs` lists the runs there are"
        )
    run, info = read(path), read_json(path / "run.json")
    if options.json:
        print(json.dumps(run | {"info": info, "metrics": last_row(path / "metrics.jsonl")}))
        return 0
    data = info.get("data") if isinstance(info.get("data"), dict) else {}
    lines = {
        "recipe": run["recipe"],
        "command": info.get("command"),
        "status": f"{run['status']}, step {cells(run)[3] or '-'}",
        "data": f"{data.get('path')}, {data.get('images')} {data.get('kind', 'images')}, fingerprint {str(data.get('fingerprint'))[:12]}"
        if data
        else None,
        "where": " ".join(str(info[k]) for k in ("device", "precision", "platform") if k in info) or None,
        "versions": ", ".join(f"{k} {v}" for k, v in (info.get("versions") or {}).items()) or None,
        "created": run["created"],
        "loss": cells(run)[4],
        "verdict": run["verdict"],
        "probe": cells(run)[6],
        "saved": ", ".join(map(str, run["checkpoints"])) or None,
        "report": str(path / "report.html") if (path / "report.html").exists() else None,
    }
    print(path)
    for name, value in lines.items():
        if value is not None:
            print(f"  {name:10}{value}")
    for change in info.get("changes", []):
        print(f"  changed   {change.get('at')}: {'; '.join(change.get('changed', []))}")
    return 0
