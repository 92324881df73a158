"""The parts of the page that come from the run folder's numbers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from openjepa.report.curves import Line, Point, chart, kind, timeline
from openjepa.report.text import definitions, duration, number, safe, table

Row = Mapping[str, Any]

# Each chart: title, note, whether 0 stays on the axis, and its lines (name, key, whether line 0 of the metrics is "untrained")
CHARTS: list[tuple[str, str, bool, list[tuple[str, str, bool]]]] = [
    ("Loss", "Proves nothing alone: it also falls when targets collapse.", False, [("loss", "loss", False)]),
    (
        "Error against simple answers",
        "1 − R²: at 1 no better than the mean target, the mean of that place, a copy of the nearest visible target.",
        True,
        [("mean", "health/miss_vs_mean", False), ("place", "health/miss_vs_place", False), ("copy", "health/miss_vs_copy", False)],
    ),
    (
        "Spread per dimension",
        "Std over tokens of unit size; 1 is as different as can be, 0 all alike.",
        True,
        [("features", "health/spread", True), ("guesses", "health/guess_spread", False)],
    ),
    (
        "Dimensions in use",
        "Place means removed. Effective rank: exp of the entropy of covariance eigenvalues.",
        True,
        [("effective rank", "health/effective_rank", True), ("participation", "health/participation", True)],
    ),
    (
        "Variance that is only position",
        "Near 1 the features say where, not what.",
        True,
        [("features", "health/position_share", True), ("guesses", "health/guess_position_share", False)],
    ),
    (
        "Mean cosine of two tokens",
        "",
        True,
        [("raw", "health/cosine", True), ("centred, absolute", "health/cosine_centred", True)],
    ),
    ("Online kNN accuracy", "Labels of the training folder, never seen by the loss.", False, [("kNN", "knn", False)]),
    ("Learning rate", "", True, [("learning rate", "lr", False)]),
    ("Momentum", "", False, [("momentum", "momentum", False)]),
    ("Gradient norm", "", False, [("norm", "grad_norm", False)]),
    ("Speed", "Samples a second.", True, [("samples/s", "images_per_s", False)]),
    ("Waiting for data", "Share of the time; under .05 the loader keeps up.", True, [("share", "data_wait", False)]),
]

# name, what it says, when it alarms
NUMBERS = {
    "spread": ("spread of the features", "under a twentieth of the untrained value: full collapse"),
    "participation": ("participation ratio", "under 2 and under three quarters of the untrained value: dimensional collapse"),
    "effective_rank": ("effective rank", ""),
    "cosine_centred": ("mean |cosine|, centred", "over .95: dimensional collapse"),
    "position_share": ("share of variance that is position", "over .9 and not coming down: position collapse"),
    "miss_vs_mean": ("error against the mean target (1 − R²)", "over .99 after warm-up: not learning"),
    "miss_vs_place": ("error against the mean target of each place", "1: nothing learnt beyond the place"),
    "miss_vs_copy": ("error against copying the nearest visible target", "1: no better than copying"),
}


def finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def points(rows: Sequence[Row], key: str) -> list[Point]:
    """(step, value) where there is a value."""
    found = [(finite(row.get("step")), finite(row.get(key))) for row in rows]
    return [(step, value) for step, value in found if step is not None and value is not None]


def counted(info: Mapping[str, Any]) -> tuple[int, str]:
    """How many samples the data has, and what they are called."""
    data = info.get("data", {})
    return int(data.get("images", 0)), safe(data.get("kind", "images"))


def example(info: Mapping[str, Any]) -> str:
    """A file that this run's encoder could read."""
    files = {"images": "photo.jpg", "videos": "clip.mp4", "sounds": "sound.wav", "series": "series.csv", "point clouds": "cloud.npy"}
    return files.get(counted(info)[1], "sample.npy")


def header(info: Mapping[str, Any], name: str, rows: Sequence[Row], parameters: int | None) -> str:
    """Name, verdict, and the figures that come first."""
    last = rows[-1] if rows else {}
    verdict = str(last.get("verdict") or "no verdict yet")
    advice = last.get("advice") or ("the run has logged nothing" if not rows else "")
    run, data = info.get("run", {}), info.get("data", {})
    _, called = counted(info)
    step, steps = int(last.get("step", 0)), run.get("steps", 0)
    seen = step * run.get("batch_size", 0)
    seconds = elapsed(rows, run.get("batch_size", 0))
    objective = run.get("objective", {}).get("kind", "").removesuffix("Config")
    facts = [
        ("steps", f"{step:,} <small>of {steps:,}</small>"),
        (f"{called} seen", f"{seen:,} <small>{number(finite(last.get('epoch')))} epochs</small>"),
        ("time", f"{duration(seconds)} <small>{number(finite(last.get('images_per_s')))} {called}/s</small>"),
        ("data", f"{data.get('images', 0):,} <small>{called}</small>"),
        ("parameters", f"{number(parameters / 1e6)} M <small>encoder</small>" if parameters else "–"),
        ("device", f"{safe(info.get('device', '–'))} <small>{safe(info.get('precision', ''))}</small>"),
    ]
    status = info.get("status", "unknown")
    words = [info.get("recipe") or objective, status, info.get("created", "")]
    return (
        f"<h1>{safe(name)}</h1><p class=lead>{' · '.join(safe(word) for word in words if word)}</p>"
        f'<div class="verdict {kind(verdict)}"><b>{safe(verdict)}</b><p>{safe(advice)}</p></div>{definitions(facts)}'
    )


def elapsed(rows: Sequence[Row], batch_size: int) -> float:
    """Seconds spent on steps, from the speed of each logged stretch."""
    total, before = 0.0, 0.0
    for row in rows:
        step, speed = finite(row.get("step")), finite(row.get("images_per_s"))
        if step is not None and speed:
            total += (step - before) * batch_size / speed
            before = step
    return total


def health_table(rows: Sequence[Row]) -> str:
    """Now beside untrained, with the threshold of each number."""
    if not rows:
        return "<p class=missing>No metrics yet.</p>"
    now, untrained, cells = rows[-1], rows[0], []
    for key, (name, alarm) in NUMBERS.items():
        value = finite(now.get(f"health/{key}"))
        if value is not None:
            was = finite(untrained.get(f"health/{key}"))
            cells.append([safe(name), number(value), number(was), f"<small>{safe(alarm)}</small>"])
    if not cells:
        return "<p class=missing>This run logged no health numbers.</p>"
    caption = f"Last batch (step {int(now.get('step', 0)):,}) beside the untrained encoder (step {int(untrained.get('step', 0)):,})"
    return table(["number", "now", "untrained", "alarm"], cells, caption, numeric=(1, 2))


def curves(rows: Sequence[Row]) -> str:
    """Every chart that has data."""
    parts = []
    for title, note, zero, lines in CHARTS:
        drawn = []
        for name, key, has_floor in lines:
            found = points(rows, key)
            floor = found[0][1] if has_floor and found and found[0][0] == 0 else None
            drawn.append(Line(name, found, floor))
        parts.append(chart(title, drawn, safe(note), zero))
    body = "".join(parts)
    return f"<div class=charts>{body}</div>" if body else "<p class=missing>Fewer than two lines of metrics: nothing to draw.</p>"


def verdicts(rows: Sequence[Row]) -> str:
    found = [(step, str(row["verdict"])) for row in rows if row.get("verdict") and (step := finite(row.get("step"))) is not None]
    return timeline(found) or "<p class=missing>No verdicts yet.</p>"


def ledger(entries: Sequence[Row], images: int, kind: str) -> str:
    """Files that were not used, with the reason of each."""
    if not entries:
        return f"<p>Every file was used: {images:,} {kind}, nothing in the ledger.</p>"
    bad = [entry for entry in entries if entry.get("kind", "bad") == "bad"]
    notes = len(entries) - len(bad)
    rows = [
        [
            safe(e.get("path", "?")),
            safe(e.get("reason", "?")),
            safe(e.get("kind", "bad")),
            safe(e.get("step") if e.get("step") is not None else "–"),
        ]
        for e in entries
    ]
    said = f"{len(bad):,} of {images + len(bad):,} files could not be used" + (f", {notes:,} were used with a note" if notes else "")
    shown = table(["file", "reason", "kind", "step"], rows[:200], said + ".", numeric=(3,))
    return shown + (f"<p class=note>and {len(rows) - 200:,} more in ledger.jsonl</p>" if len(rows) > 200 else "")


def reproduce(info: Mapping[str, Any], path: Path) -> str:
    """The command, what it ran on, and the whole run."""
    versions = ", ".join(f"{safe(package)} {safe(version)}" for package, version in info.get("versions", {}).items())
    data = info.get("data", {})
    facts = [
        ("versions", versions or "–"),
        ("machine", f"{safe(info.get('platform', '–'))} <small>{safe(info.get('threads', '?'))} threads</small>"),
        ("seed", safe(info.get("run", {}).get("seed", "–"))),
        ("data fingerprint", f"<code>{safe(str(data.get('fingerprint', '–'))[:16])}</code>"),
    ]
    changes = "".join(f"<li>{safe(c.get('at', ''))}: {safe('; '.join(c.get('changed', [])))}" for c in info.get("changes", []))
    python = f"import openjepa\nencoder = openjepa.load_encoder({json.dumps(str(path))})\nfeatures = encoder.encode([{json.dumps(example(info))}]).pooled   # [1 d]"
    return (
        f"<pre>{safe(info.get('command', '(not recorded)'))}</pre>{definitions(facts)}"
        + (f"<p>Settings changed on resume:</p><ul>{changes}</ul>" if changes else "")
        + f"<details><summary>The whole run</summary><pre>{lines(json.dumps(info.get('run', {}), indent=2))}</pre></details>"
        + f"<p>Use the frozen encoder:</p><pre>{lines(python)}</pre>"
    )


def lines(text: str) -> str:
    """Escaped, keeping line breaks."""
    return "\n".join(safe(line) for line in text.split("\n"))
