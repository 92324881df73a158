"""openjepa runs: what there is, read from the files alone, half-written folders included. No torch."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openjepa.cli.options import RunsOptions
from openjepa.cli.parse import Usage, near, parse, refuse
from openjepa.cli.train import option_flags
from openjepa.runs import last_row, looks_like_a_run, read, read_json


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
