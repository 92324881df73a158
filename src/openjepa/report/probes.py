"""Probe results of a run, each beside its floors."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from openjepa.report.text import safe, table

METHODS = {
    "encoder": "this encoder",
    "untrained": "untrained encoder",
    "pixels": "raw pixels (PCA)",
    "summary": "plain summary",
    "majority": "largest class",
    "chance": "chance",
}
NONE = "No probe yet. Run <code>openjepa probe RUN --data LABELLED --test LABELLED_TEST</code> and write the report again."


def probe_tables(folder: Path) -> str:
    """The newest result open, older ones folded."""
    found = []
    for path in sorted((folder / "probes").glob("*.json"), key=lambda p: (p.stat().st_mtime, p.name), reverse=True):
        try:
            found.append(one(json.loads(path.read_bytes())))
        except (ValueError, KeyError, TypeError, AttributeError) as error:  # another format, or cut by a crash
            found.append(f"<p class=missing>{safe(path.name)} cannot be shown: {safe(repr(error))}</p>")
    if not found:
        return f"<p class=missing>{NONE}</p>"
    older = "".join(found[1:])
    return found[0] + (f"<details><summary>{len(found) - 1} older</summary>{older}</details>" if older else "")


def one(report: Mapping[str, Any]) -> str:
    """One probe report: a table per question, gains over the floors, and what a reader must know."""
    data, test = report["data"], report["test"]
    held = "a fifth held out of it" if test.get("held_out") else f"{safe(test['path'])}, {test['samples']:,} images"
    said = f"Step {report['step']:,}. Fitted on {safe(data['path'])} ({data['samples']:,} images), judged on {held}. In percent, with 95 % intervals."
    warnings = "".join(f"<p><b>Warning:</b> {safe(text)}</p>" for text in report.get("warnings", []))
    notes = "".join(f"<p class=note>{safe(text)}</p>" for text in report.get("notes", []))
    rows: Sequence[Mapping[str, Any]] = report["rows"]
    questions = dict.fromkeys(row["label"] for row in rows)
    return f"<p class=note>{said}</p>{warnings}{''.join(question(label, [r for r in rows if r['label'] == label]) for label in questions)}{notes}"


def question(label: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Methods down, probes across; below it what is gained over each floor, and the classes."""
    probes = list(dict.fromkeys(row["probe"] for row in rows))
    cells = {(row["method"], row["probe"]): row for row in rows}
    chance = next((row["accuracy"] for row in rows if row["method"] == "chance"), None)
    lines = []
    for method in [*METHODS, *dict.fromkeys(row["method"] for row in rows if row["method"] not in METHODS)]:
        shown = [cells.get((method, probe)) for probe in probes]
        if any(shown):
            name = safe(METHODS.get(method, method))
            lines.append([f"<b>{name}</b>" if method == "encoder" else name, *(cell(row, chance) if row else "–" for row in shown)])
    caption = f"<b>{safe(label)}</b>"
    gained = "".join(f"<li>{line}" for probe in probes if (line := gains(cells.get(("encoder", probe)))))
    return table(["", *map(safe, probes)], lines, caption) + (f"<ul class=gains>{gained}</ul>" if gained else "") + classes(cells, probes)


def cell(row: Mapping[str, Any], chance: float | None) -> str:
    """The score in percent, its interval as a bar from 0 to 100 with a tick at chance."""
    value, low, high = (100 * row[name] for name in ("accuracy", "low", "high"))
    exact = row["method"] == "chance"
    interval = "" if exact else f" <small>{low:.1f} – {high:.1f}</small>"
    tick = "" if chance is None else f'<path class=tick d="M{100 * chance:.1f} 0V12"/>'
    mark = "" if exact else f'<path class=span d="M{low:.1f} 6H{max(high, low + 0.5):.1f}"/><circle cx="{value:.1f}" cy="6" r="3"/>'
    strong = "own" if row["method"] == "encoder" else "floor"
    picture = f'<svg class="interval {strong}" viewBox="-3 0 106 12" preserveAspectRatio="xMinYMid" aria-hidden="true"><path class=axis d="M0 6H100"/>{tick}{mark}</svg>'
    return f"<span class=score>{value:.1f}</span>{interval}{picture}"


def gains(row: Mapping[str, Any] | None) -> str:
    """What the encoder gains over its floors, in points, paired."""
    if not row or not row.get("gains"):
        return ""
    parts = [
        f"{points(gain)} over {safe(METHODS.get(floor, floor))} <small>{points(low)} to {points(high)}</small>"
        for floor, (gain, low, high) in row["gains"].items()
    ]
    return f"{safe(row['probe'])}: " + ", ".join(parts)


def points(share: float) -> str:
    """+8.1, −0.5 or 0.0 percentage points."""
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def classes(cells: Mapping[tuple[str, str], Mapping[str, Any]], probes: Sequence[str]) -> str:
    """Accuracy of each class, folded."""
    own = {probe: cells[("encoder", probe)]["per_class"] for probe in probes if cells.get(("encoder", probe), {}).get("per_class")}
    if not own:
        return ""
    names = list(dict.fromkeys(name for per_class in own.values() for name in per_class))
    rows = [
        [safe(name), *(f"{100 * part[name][0]:.1f} <small>of {part[name][1]:,}</small>" if name in part else "–" for part in own.values())]
        for name in names
    ]
    return f"<details><summary>each class</summary>{table(['class', *map(safe, own)], rows, 'This encoder, in percent', numeric=range(1, len(own) + 1))}</details>"
