"""Rows of results.jsonl: from finished run folders, and to the tables in docs/results.md and README.md.

    python -m benchmarks.results add runs/a runs/b     one row per question, split and probe of the probe files
    python -m benchmarks.results table [--write]       the whole table, or the documents with theirs

The README shows the main question of each data set for recipes as they are; docs/results.md every row, also of what did not work.
A row holds what was scored, its floors and the two commands, so that a number in a document can be
traced and repeated. Nothing is typed by hand.
"""

import argparse
import json
import re
import shlex
import statistics
import sys
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from openjepa.recipes import load

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "src/openjepa/recipes/results.jsonl"
README, EVERY = ROOT / "README.md", ROOT / "docs/results.md"
BEGIN, END = "<!-- results: made by `python -m benchmarks.results table --write` -->", "<!-- end of results -->"
UNTOLD = frozenset(
    [
        "--data",
        "--out",
        "--seed",
        "--exclude",
        "--data.exclude",
        "--workers",
        "--device",
        "--precision",
        "--save-every",
        "--keep-last",
        "--log-every",
    ]
)
ALSO = {"world:tabletop-motion": "occluded"}  # a second main question of a data set
KINDS = ("image", "video", "audio", "series", "raw")  # of recipes, in the order of the tables
HOW = ("--pooling", "--layer", "--clips", "--views", "--attentive-depth")  # options of a probe that its row shows
FLOORS = ("untrained", "pixels", "summary", "chance")

Row = dict[str, Any]


def rows_of(run: Path) -> list[Row]:
    """One row per question and probe of every probe of a run. ValueError when it was not probed."""
    files = sorted((run / "probes").glob("*.json"))
    if not files:
        raise ValueError(f"{run} has no probes; run `openjepa probe {run} ...` first")
    return [row for file in files for row in rows_of_probe(run, file)]


def rows_of_probe(run: Path, file: Path) -> list[Row]:
    report, info = json.loads(file.read_text()), json.loads((run / "run.json").read_text())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    shared = {
        "kind": "probe",
        "recipe": info["recipe"],
        "seed": info["run"]["seed"],
        "step": report["step"],
        "minutes": round(minutes(lines, info["run"]["batch_size"]), 2),
        "train": info["data"]["path"],
        "data": report["data"]["path"],
        "test": report["test"]["path"],
        "tested": report["test"]["samples"],
        "exclude": info["run"]["data"].get("exclude", ""),
        "held_out": report["settings"].get("held_out", []),
        "verdict": lines[-1]["verdict"],
        "command": info["command"],
        "probe_command": probe_command(report),
        "precision": info["precision"],
        "device": info["device"],
        "threads": info["threads"],
        "versions": info["versions"],
        "created": report["created"],
    }
    scores = {(r["label"], r["probe"], r["method"]): r for r in report["rows"]}
    rows = []
    for (label, probe, method), score in scores.items():
        if method == "encoder":
            floors = {f: round(scores[label, probe, f]["accuracy"], 4) for f in FLOORS if (label, probe, f) in scores}
            accuracy = {k: round(score[k], 4) for k in ("accuracy", "low", "high")}
            rows.append({**shared, "label": label, "probe": probe, **accuracy, "floors": floors})
    return rows


def minutes(lines: Sequence[Row], batch_size: int) -> float:
    """Minutes of training, waiting for data included, from the speed of each log interval."""
    return sum((b["step"] - a["step"]) * batch_size / b["images_per_s"] for a, b in pairwise(lines) if b["images_per_s"]) / 60


def probe_command(report: Row) -> str:
    words, settings = ["openjepa", "probe", report["run"], "--data", report["data"]["path"]], report["settings"]
    words += [] if report["test"]["held_out"] else ["--test", report["test"]["path"]]
    words += ["--group", settings["group"]] if settings.get("group") else []
    words += ["--held-out", *settings["held_out"]] if settings.get("held_out") else []
    words += ["--pooling", settings["pooling"]] if settings.get("pooling", "mean") != "mean" else []
    words += ["--layer", str(settings["layer"])] if settings.get("layer", -1) != -1 else []
    words += [word for name in ("clips", "views") if settings.get(name, 1) > 1 for word in (f"--{name}", str(settings[name]))]
    depth = settings.get("attentive", {}).get("depth", 1)
    words += ["--attentive-depth", str(depth)] if depth > 1 else []
    words += [] if settings["probes"] == ["knn", "linear"] else ["--probes", *settings["probes"]]
    return shlex.join(words)


def relative(value: Any, folders: Sequence[Path]) -> Any:
    """The same with every path below one of `folders` named from there: a row must not tell whose machine it was."""
    if isinstance(value, dict):
        return {key: relative(part, folders) for key, part in value.items()}
    if isinstance(value, list):
        return [relative(part, folders) for part in value]
    for folder in folders if isinstance(value, str) else ():
        value = value.replace(f"{folder.resolve()}/", "")
    return value


def read(path: Path = RESULTS) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()] if path.exists() else []


def add(runs: Iterable[Path], folders: Sequence[Path] = ()) -> list[Row]:
    """The rows of these runs, in place of older ones of the same recipe, seed, length, question, split and probe."""
    return put(row for run in runs for row in relative(rows_of(run), folders))


def put(rows: Iterable[Row]) -> list[Row]:
    """Write rows, in place of older ones of the same."""
    names = ("kind", "recipe", "seed", "step", "train", "data", "test", "held_out", "label", "probe", "command", "probe_command")
    found = {json.dumps([row[n] for n in names]): row for row in rows}
    fresh = list(found.values())  # of several probes of one run with the same settings the newest
    keys = [[row[n] for n in names] for row in fresh]
    kept = [row for row in read() if [row.get(n) for n in names] not in keys]
    RESULTS.write_text("".join(json.dumps(row) + "\n" for row in [*kept, *fresh]))
    return fresh


def table(rows: Sequence[Row]) -> str:
    """Markdown: mean over seeds and splits in percent, sd where there are several, beside the floors."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if row.get("kind") == "probe":
            groups.setdefault((row["recipe"], changed(row), data_name(row), row["label"], probe_name(row), labels(row)), []).append(row)
    if not groups:
        return "No measured rows yet: `src/openjepa/recipes/results.jsonl` is empty."
    head = ["recipe", "data", "question", "probe", "labels", "frozen encoder", *FLOORS, "seeds", "splits", "minutes", "verdict"]
    lines = [head, ["---"] * len(head)]
    for (recipe, settings, data, label, probe, labelled), same in sorted(groups.items(), key=place):
        floors = [percent([r["floors"][f] for r in same if f in r["floors"]]) for f in FLOORS]
        took = f"{statistics.mean(r['minutes'] for r in same):.1f}"
        verdicts = ", ".join(dict.fromkeys(r["verdict"] for r in same))
        name = f"`{recipe}`" + (f" `{settings}`" if settings else "")
        score = f"**{percent([r['accuracy'] for r in same])}**"
        seeds, splits = len({r["seed"] for r in same}), len({json.dumps(r.get("held_out", [])) for r in same})
        lines.append([name, data, label, probe, labelled, score, *floors, str(seeds), str(splits), took, verdicts])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def place(group: tuple[tuple[Any, ...], list[Row]]) -> tuple[Any, ...]:
    """Where rows of the table stand: by kind and data, recipes as they are first; questions in the order in which they were asked."""
    recipe, settings, data = group[0][:3]
    return KINDS.index(re.split(r"\W", recipe)[0]), data, bool(settings), recipe, settings


def main_rows(rows: Sequence[Row]) -> list[Row]:
    """Rows of the first question of each data set (and of ALSO), of recipes as they are, or with the fewest changes there are."""
    first: dict[str, str] = {}
    fewest: dict[tuple[str, str], int] = {}
    for row in rows:
        first.setdefault(data_name(row), row["label"])
        where = row["recipe"], data_name(row)
        fewest[where] = min(len(changed(row)), fewest.get(where, sys.maxsize))
    return [
        row
        for row in rows
        if row["label"] in (first[data_name(row)], ALSO.get(data_name(row)))
        and not re.search(r"\s", data_name(row))  # controls, such as the same clips shuffled, stand in docs/results.md
        and len(changed(row)) == fewest[row["recipe"], data_name(row)]
    ]


def data_name(row: Row) -> str:
    """What was probed, without its split; of a made world with what is not as in the recipe, or changed after training, as the order of frames."""
    path, _, settings = str(row["data"]).partition("?")
    trained = set(str(row["train"]).partition("?")[2].split("&"))
    usual = set(load(row["recipe"]).data.path.partition("?")[2].split("&")) if path.startswith("world:") else set()
    told = [word for word in settings.split("&") if word and not word.startswith(("count=", "seed="))]
    more = [word for word in told if word not in trained or word not in usual]
    where = Path(path.partition("::")[0])
    if path.startswith("world:"):
        return " ".join([path, *more])
    return where.parent.name if where.stem == "train" else where.stem.removesuffix("_TRAIN")


def probe_name(row: Row) -> str:
    """The probe, with what is not usual about it."""
    words = shlex.split(row["probe_command"])
    return " ".join([row["probe"], *(f"`{name} {words[words.index(name) + 1]}`" for name in HOW if name in words)])


def labels(row: Row) -> str:
    """How many samples of a made world had labels to learn the probe from; files are as many as there are."""
    found = re.search(r"[?&]count=(\d+)", str(row["data"]))
    return f"{int(found[1]):,}" if found else "all"


def changed(row: Row) -> str:
    """What the command changes in the recipe, without what every run says: data, folder, seed, machine."""
    words, kept = shlex.split(row["command"]), []
    words = words[3:] if words[0] == "openjepa" else []  # what learns nothing has no settings of ours
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in UNTOLD:
            skip = True
        else:
            kept.append(word)
    return " ".join(kept)


def percent(shares: Sequence[float]) -> str:
    if not shares:
        return "-"
    text = f"{100 * statistics.mean(shares):.1f}"
    return text + (f" ± {100 * statistics.stdev(shares):.1f}" if len(set(shares)) > 1 else "")


def with_table(document: Path) -> str:
    """A document with its table between the markers."""
    rows = read()
    text = table(main_rows(rows) if document == README else rows)
    before, _, rest = document.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, f"{document} has no {BEGIN} ... {END}"
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    adding = commands.add_parser("add")
    adding.add_argument("runs", nargs="+", type=Path)
    adding.add_argument("--below", nargs="*", type=Path, default=[], help="folders whose name is left out of paths")
    commands.add_parser("table").add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.what == "add":
        try:
            print(f"{len(add(options.runs, options.below))} rows in {RESULTS}")
        except ValueError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    elif options.write:
        for document in (README, EVERY):
            document.write_text(with_table(document))
    else:
        print(table(read()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
