"""What a run's files say while it trains and after: curves, verdicts, settings, the ledger, probes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from openjepa.data.ledger import read_ledger
from openjepa.explore.inputs import Inputs
from openjepa.explore.inputs_api import whole
from openjepa.explore.metric_table import DRAWN, MetricTable, buckets, extremes, plain, table
from openjepa.explore.routes import Answer, Query, Raw, get
from openjepa.explore.shelf import Shelf
from openjepa.report.curves import kind, stretches
from openjepa.report.probes import METHODS
from openjepa.report.sections import NUMBERS
from openjepa.runs import read_json

PAGE = 200  # ledger rows in one answer, at most
UNASKED = ("advice",)  # long, and the same in most rows: `verdicts` tells it where it changes

rows_of: "WeakKeyDictionary[Inputs, dict[str, int]]" = WeakKeyDictionary()  # name of a sample -> its row


@get("runs/{run}/metrics")
def metrics(shelf: Shelf, asked: Query) -> Raw:
    """Rows after the byte `since`, as columns. `restart`: they are all rows, as the file is another one than before.

    `file` is what the last answer called it; `keys` are columns beside step, segment and seconds, all by default. More than
    DRAWN rows come as the least and largest number of each bucket, unless `full`=1.
    """
    listed = shelf.run(asked["run"])
    said = shelf.read(listed)
    rows = table(listed.folder / "metrics.jsonl").refresh()
    with rows.lock:
        first = rows.row_at(whole(asked, "since", 0)) if asked.get("file", rows.name) == rows.name else None
        columns, thinned = drawn(rows, first or 0, asked, said["info"])
        answer = {
            "cursor": rows.end,
            "file": rows.name,
            "restart": first is None,
            "rows": len(rows),
            "thinned": thinned,
            "skipped": rows.skipped,
            "keys": sorted({*rows.numbers, *rows.texts} - {*UNASKED}),
            "status": "bundled" if listed.bundled else said["status"],
            "steps": said["steps"],
            "columns": columns,
        }
    # outside of the lock: it takes longest
    return Raw(json.dumps(answer, allow_nan=False).encode(), "application/json")


def drawn(rows: MetricTable, first: int, asked: Query, info: Mapping[str, Any]) -> tuple[dict[str, Any], int | None]:
    """Columns from the row `first` on, and the size of a bucket where they are thinned."""
    wanted = asked["keys"].split(",") if asked.get("keys") else [*rows.numbers, *rows.texts]
    segments, numbers = rows.segments(), {key: rows.numbers[key] for key in wanted if key in rows.numbers and key != "step"}
    run = info.get("run")
    batch = run.get("batch_size") if isinstance(run, dict) else None
    if isinstance(batch, int) and "images_per_s" in rows.numbers:
        numbers["seconds"] = rows.seconds(batch)
    texts = {key: rows.texts[key][first:] for key in wanted if key in rows.texts and key not in UNASKED}
    step, segments = rows.numbers["step"][first:], segments[first:]
    numbers = {key: values[first:] for key, values in numbers.items()}
    size = None
    if len(step) > DRAWN and asked.get("full") != "1":
        begins, size = buckets(segments)
        ends = [*(begins[1:] - 1), len(step) - 1]
        both = [row for pair in zip(begins.tolist(), map(int, ends), strict=True) for row in pair]
        numbers = {key: values[both] if key == "seconds" else extremes(values, begins) for key, values in numbers.items()}
        step, segments = step[both], segments[both]
        texts = {key: [values[row] for row in both] for key, values in texts.items()}
    columns: dict[str, Any] = {"step": plain(step), "segment": segments.tolist()}
    return columns | {key: plain(values) for key, values in numbers.items()} | texts, size


@get("runs/{run}/verdicts")
def verdicts(shelf: Shelf, asked: Query) -> Answer:
    """When the verdict changed, with what it advises, and the numbers that it rests on beside those of the untrained encoder."""
    rows = table(shelf.run(asked["run"]).folder / "metrics.jsonl").refresh()
    with rows.lock:
        steps = rows.numbers["step"].tolist()
        names, texts = (rows.texts.get(key, [None] * len(rows)) for key in ("verdict", "advice"))  # a run without checks has none
        advice = {(step, name): text for step, name, text in zip(steps, names, texts, strict=True)}
        found = stretches([(step, name) for step, name in zip(steps, names, strict=True) if name])
        ends = {key: rows.numbers.get(f"health/{key}") for key in NUMBERS}
        untrained = bool(len(rows)) and steps[0] == 0
        monitors = [
            {"key": f"health/{key}", "name": name, "rule": rule, "now": last(values), "untrained": values[0] if untrained else None}
            for key, (name, rule) in NUMBERS.items()
            if (values := ends[key]) is not None and last(values) is not None
        ]
    changes = [
        {"name": name, "kind": kind(name), "from": begin, "to": end, "advice": advice.get((begin, name)) or ""}
        for begin, end, name in found
    ]
    return Answer({"changes": changes, "monitors": monitors})


def last(values: Any) -> float | None:
    """The last number of a column."""
    there = values[values == values]
    return float(there[-1]) if len(there) else None


@get("runs/{run}/config")
def config(shelf: Shelf, asked: Query) -> Answer:
    """run.json: the run, the command that began it, versions, data, changes on resume; and how to use the encoder."""
    listed = shelf.run(asked["run"])
    said = shelf.read(listed)
    python = f"import openjepa\n\nencoder = openjepa.load_encoder({str(listed.folder)!r})\n"
    return Answer(
        {**said["info"], "status": "bundled" if listed.bundled else said["status"], "folder": str(listed.folder), "python": python}
    )


@get("runs/{run}/ledger")
def ledger(shelf: Shelf, asked: Query) -> Answer:
    """Files that were not used, or used with a remark. `input` is where the file can still be shown."""
    listed = shelf.run(asked["run"])
    entries = read_ledger(listed.folder / "ledger.jsonl")
    offset, limit = whole(asked, "offset", 0), min(PAGE, whole(asked, "limit", 50))
    shown = entries[offset : offset + limit]
    rows = stored(shelf.inputs_of(listed)) if any(entry.kind == "note" for entry in shown) else {}
    items = [
        {
            "path": entry.path,
            "reason": entry.reason,
            "kind": entry.kind,
            "step": entry.step,
            "input": Inputs.name_of(rows[entry.path]) if entry.kind == "note" and entry.path in rows else None,
        }
        for entry in shown
    ]
    data = shelf.read(listed)["info"].get("data")
    used = data.get("images") if isinstance(data, dict) else None
    bad = sum(entry.kind == "bad" for entry in entries)
    return Answer({"total": len(entries), "bad": bad, "notes": len(entries) - bad, "used": used, "items": items})


def stored(inputs: Inputs) -> dict[str, int]:
    """Rows of the data by name. Those of a made world, which stands in for data that is gone, have names that no file has."""
    if inputs not in rows_of:
        data = inputs.dataset
        rows_of[inputs] = {} if data is None else {data.name(row): row for row in reversed(range(len(data)))}
    return rows_of[inputs]


@get("runs/{run}/probes")
def probes(shelf: Shelf, asked: Query) -> Answer:
    """Reports of probes, the newest first; every score beside its floors."""
    return Answer({"reports": reports(shelf.run(asked["run"]).folder), "methods": METHODS})


def reports(folder: Path) -> list[dict[str, Any]]:
    """Probe reports of a run folder; one that cannot be read says so."""
    found = []
    for path in sorted((folder / "probes").glob("[!.]*.json"), key=written, reverse=True):
        report = read_json(path)
        rows = report.get("rows")
        if not isinstance(rows, list) or not all(
            isinstance(row, dict) and {"label", "probe", "method", "accuracy"} <= row.keys() for row in rows
        ):
            found.append({"file": path.name, "problem": "not a report of openjepa probe, or cut by a crash"})
            continue
        found.append({"file": path.name, **report})
    return found


def written(path: Path) -> tuple[int, str]:
    try:
        return path.stat().st_mtime_ns, path.name
    except OSError:  # gone since it was listed
        return 0, path.name
