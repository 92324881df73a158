"""Runs beside each other: the settings in which they differ, and how they ended."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from openjepa.explore.dashboard import last, reports
from openjepa.explore.metric_table import table
from openjepa.explore.routes import Answer, Query, get
from openjepa.explore.shelf import Listed, Shelf
from openjepa.run import from_dict, to_dict

MOST = 8  # runs in one table
MISSES = {"miss_vs_mean": "against the mean target", "miss_vs_place": "against the mean of each place", "miss_vs_copy": "against a copy"}
HEALTH = {
    "effective_rank": "effective rank",
    "participation": "participation ratio",
    "spread": "spread",
    "position_share": "share of position",
}
OWN_TARGETS = "not comparable: every JEPA run makes its own targets, and easy ones are hit easily"
MACHINE = ("device", "platform", "threads", "precision")


@dataclass(frozen=True)
class Row:
    """One number of all runs. `best`: places of the best, empty where they cannot be compared, and `note` says why."""

    key: str
    name: str
    values: Sequence[float | None]
    best: Sequence[int] = ()
    tied: Sequence[int] = ()  # not told apart from the best: their intervals overlap
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    note: str = ""


@get("compare")
def compare(shelf: Shelf, asked: Query) -> Answer:
    """Of the runs `ids`: settings that are not the same everywhere, and a table of last numbers and probe scores."""
    names = list(dict.fromkeys(name for name in asked.get("ids", "").split(",") if name))
    if not 1 <= len(names) <= MOST:
        raise ValueError(f"{len(names)} runs; name 1 to {MOST} in ids, with commas between")
    listed = [shelf.run(name) for name in names]
    infos = [shelf.read(run)["info"] for run in listed]
    settings = [flat(told(info)) for info in infos]
    keys = dict.fromkeys(key for one in settings for key in one)
    every = {key: [one.get(key) for one in settings] for key in keys}
    differs = [{"key": key, "values": values} for key, values in every.items() if any(value != values[0] for value in values)]
    finals = [row for row in (*numbers(listed, infos), *scores(listed)) if any(value is not None for value in row.values)]
    return Answer({"ids": names, "differs": differs, "same": len(keys) - len(differs), "finals": finals})


def told(info: Mapping[str, Any]) -> dict[str, Any]:
    """What a run was told and on what it ran, in the order of run.json."""
    data, run = info.get("data"), info["run"] if isinstance(info.get("run"), dict) else {}
    with suppress(ValueError, KeyError, TypeError):  # a run of another version is shown as it is
        run = to_dict(from_dict(run))  # settings that came later have their defaults
    found = {"recipe": info.get("recipe"), **run}
    there = {"fingerprint": data.get("fingerprint"), "samples": data.get("images")} if isinstance(data, dict) else {}
    return {**found, "found": there, "versions": info.get("versions"), **{name: info.get(name) for name in MACHINE}}


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Settings by the names that the command line has for them: objective.encoder.dim."""
    if isinstance(value, Mapping):
        parts = value.items()
    elif isinstance(value, list) and any(isinstance(part, Mapping) for part in value):
        parts = {str(at): part for at, part in enumerate(value)}.items()
    else:
        return {name: value}
    return {key: inside for part, deeper in parts for key, inside in flat(deeper, f"{name}.{part}" if name else part).items()}


def numbers(listed: Sequence[Listed], infos: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The last number of each column that says how a run ended."""
    tables = [table(run.folder / "metrics.jsonl").refresh() for run in listed]

    def values(key: str) -> list[float | None]:
        return [None if (column := one.numbers.get(key)) is None else last(column) for one in tables]

    settings = [flat(told(info)) for info in infos]

    def same(*begins: str) -> bool:
        parts = [{key: value for key, value in one.items() if key.startswith(begins)} for one in settings]
        return all(part == parts[0] for part in parts)

    pixels = all(one.get("objective.kind") == "MAEConfig" for one in settings)
    one_task = pixels and same("modality", "objective.masks", "objective.norm_pix", "objective.per_channel", "found.fingerprint")
    told_why = "" if one_task else "not comparable: other data, masks or targets" if pixels else OWN_TARGETS

    def least(key: str, name: str) -> Row:
        found = values(key)
        return Row(key, name, found, places(found, min) if one_task else (), note=told_why)

    knn, speed = values("knn"), values("images_per_s")
    one_data, one_machine = same("found.fingerprint"), same(*MACHINE)
    return [
        Row("step", "last step", values("step")),
        least("loss", "loss"),
        *(least(f"health/{key}", f"error {what} (1 − R²)") for key, what in MISSES.items()),
        *(Row(f"health/{key}", name, values(f"health/{key}")) for key, name in HEALTH.items()),
        Row("knn", "online kNN", knn, places(knn, max) if one_data else (), note="" if one_data else "not comparable: other data"),
        Row(
            "images_per_s",
            "samples a second",
            speed,
            places(speed, max) if one_machine else (),
            note="" if one_machine else "not comparable: another machine or precision",
        ),
    ]


def scores(listed: Sequence[Listed]) -> list[Row]:
    """What the encoder of each run scored in its newest report, and the floors of the first one, by question and kind of probe."""
    none: dict[str, Any] = {"rows": []}
    newest = [next((report for report in reports(run.folder) if "rows" in report), none) for run in listed]
    tests = {str(report.get("test", {}).get("fingerprint")) for report in newest if report["rows"]}
    asked = dict.fromkeys((row["label"], row["probe"]) for report in newest for row in report["rows"] if row["method"] == "encoder")
    found = []
    for label, probe in asked:
        own = [encoder_row(report["rows"], label, probe) for report in newest]
        values, low, high = ([row.get(name) for row in own] for name in ("accuracy", "low", "high"))
        best = places(values, max) if len(tests) == 1 else []
        least = low[best[0]] if best else None
        tied = [i for i, top in enumerate(high) if least is not None and top is not None and i not in best and top >= least]
        note = "" if len(tests) == 1 else "not comparable: judged on other data"
        found.append(Row(f"probe/{label}/{probe}", f"{label}, {probe} probe", values, best, tied, low, high, note))
    return found


def encoder_row(rows: Sequence[Mapping[str, Any]], label: str, probe: str) -> Mapping[str, Any]:
    return next((row for row in rows if (row["label"], row["probe"], row["method"]) == (label, probe, "encoder")), {})


def places(values: Sequence[float | None], choose: Any) -> list[int]:
    """Where the best is; nowhere unless two runs have the number."""
    there = [value for value in values if value is not None]
    best = choose(there) if len(there) > 1 else None
    return [i for i, value in enumerate(values) if best is not None and value == best]
