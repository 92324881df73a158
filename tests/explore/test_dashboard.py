"""Metrics while they are written, verdicts, settings, the ledger, probes, and runs beside each other."""

import json
import math
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from openjepa.data.ledger import LedgerEntry, append
from openjepa.explore import metric_table
from openjepa.explore.door import Door
from openjepa.explore.metric_table import MetricTable, buckets, extremes
from openjepa.explore.server import build
from openjepa.explore.shelf import Shelf
from openjepa.metrics import line, read_metrics
from openjepa.report.sections import elapsed
from openjepa.run import to_dict
from openjepa.train import train
from tests.tiny import MAE, RUN, photos, run_on


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with one run that has a description and no metrics yet."""
    described(tmp_path / "runs" / "a")
    return tmp_path / "runs"


def described(folder: Path, run: Any = RUN, **more: Any) -> Path:
    folder.mkdir(parents=True)
    data = {"path": "photos", "fingerprint": "f", "images": 12, "kind": "images"}
    info = {"format": 1, "recipe": "r", "command": "openjepa train r", "run": to_dict(run), "data": data, "status": "finished", **more}
    (folder / "run.json").write_text(json.dumps(info))
    return folder


@pytest.fixture
def page(runs: Path) -> Iterator[TestClient]:
    with TestClient(build(Shelf([runs], bundled=False), Door("")), base_url="http://127.0.0.1") as client:
        yield client


def write(folder: Path, rows: list[dict[str, Any]], mode: str = "w") -> None:
    with (folder / "metrics.jsonl").open(mode) as file:
        file.writelines(map(line, rows))


def rows(*steps: int, **more: Any) -> list[dict[str, Any]]:
    return [{"step": step, "loss": 1 / (1 + step), **more} for step in steps]


def metrics(page: TestClient, **asked: Any) -> dict[str, Any]:
    found = page.get("/api/v1/runs/a/metrics", params=asked)
    assert found.status_code == 200, found.text
    assert "NaN" not in found.text
    told: dict[str, Any] = found.json()
    return told


# ---- reading on


def test_a_second_look_gives_only_what_is_new(runs: Path, page: TestClient) -> None:
    write(runs / "a", rows(0, 20, 40))
    first = metrics(page)
    assert first["columns"]["step"] == [0, 20, 40]
    assert first["cursor"] == (runs / "a" / "metrics.jsonl").stat().st_size
    write(runs / "a", rows(60), "a")
    second = metrics(page, since=first["cursor"], file=first["file"])
    assert (second["restart"], second["columns"]["step"], second["rows"]) == (False, [60], 4)
    assert metrics(page, since=second["cursor"], file=second["file"])["columns"]["step"] == []


def test_a_line_that_is_being_written_waits(runs: Path, page: TestClient) -> None:
    write(runs / "a", rows(0))
    path, whole = runs / "a" / "metrics.jsonl", line(rows(20)[0])
    for cut in (1, 7, len(whole) - 1):  # the last has all but its newline
        with path.open("a") as file:
            file.write(whole[:cut])
        assert metrics(page)["columns"]["step"] == [0]
        os.truncate(path, len(line(rows(0)[0])))
    with path.open("a") as file:
        file.write(whole)
    assert metrics(page)["columns"]["step"] == [0, 20]


@pytest.mark.parametrize("how", ["replaced", "rewritten", "shorter", "deleted"])
def test_another_file_in_its_place_starts_again(runs: Path, page: TestClient, how: str) -> None:
    """Resuming rewrites the file; it may be longer than before when it is looked at next."""
    path = runs / "a" / "metrics.jsonl"
    write(runs / "a", rows(0, 20, 40))
    first, other = metrics(page), rows(0, 20, 30, 50, 70) if how != "shorter" else rows(0)
    if how == "replaced":
        (runs / "a" / "new").write_text("".join(map(line, other)))
        os.replace(runs / "a" / "new", path)
    elif how == "deleted":
        path.unlink()
        assert metrics(page)["columns"]["step"] == []
        write(runs / "a", other)
    else:
        write(runs / "a", other)
    found = metrics(page, since=first["cursor"], file=first["file"])
    assert found["restart"]
    assert found["columns"]["step"] == [row["step"] for row in other]


@pytest.mark.parametrize("since", [5, 10**9])
def test_a_cursor_inside_a_line_or_behind_the_end_starts_again(runs: Path, page: TestClient, since: int) -> None:
    write(runs / "a", rows(0, 20))
    found = metrics(page, since=since)
    assert (found["restart"], found["columns"]["step"]) == (True, [0, 20])


def test_a_file_that_another_server_read_starts_again(runs: Path, page: TestClient) -> None:
    write(runs / "a", rows(0, 20))
    found = metrics(page, since=metrics(page)["cursor"], file="other")
    assert (found["restart"], found["columns"]["step"]) == (True, [0, 20])


def test_another_file_of_the_same_length_and_end_starts_again(runs: Path, page: TestClient) -> None:
    more = {"advice": "x" * 5000}
    write(runs / "a", [{"step": 0, "loss": 0.25, **more}])
    first = metrics(page)
    (runs / "a" / "new").write_text(line({"step": 0, "loss": 0.75, **more}) + line(rows(20)[0]))
    os.replace(runs / "a" / "new", runs / "a" / "metrics.jsonl")
    assert metrics(page, since=first["cursor"], file=first["file"])["columns"]["loss"][0] == 0.75


def test_a_cursor_that_is_no_number_is_refused(page: TestClient) -> None:
    found = page.get("/api/v1/runs/a/metrics", params={"since": "-3"})
    assert found.status_code == 422
    assert "since=-3" in found.json()["detail"]


def test_nothing_finite_is_null_and_late_columns_have_nothing_before(runs: Path, page: TestClient) -> None:
    write(runs / "a", [{"step": 0, "loss": math.nan, "verdict": "warming up"}, {"step": 20, "loss": 0.5, "knn": 0.25}])
    columns = metrics(page)["columns"]
    assert columns["loss"] == [None, 0.5]
    assert columns["knn"] == [None, 0.25]
    assert columns["verdict"] == ["warming up", None]


def test_columns_that_come_between_two_looks(runs: Path, page: TestClient) -> None:
    write(runs / "a", rows(0, 20))
    metrics(page)
    write(runs / "a", rows(40, knn=0.25, verdict="learning"), "a")
    columns = metrics(page)["columns"]
    assert columns["knn"] == [None, None, 0.25]
    assert columns["verdict"] == [None, None, "learning"]


def test_infinity_as_others_write_it_is_null(runs: Path, page: TestClient) -> None:
    (runs / "a" / "metrics.jsonl").write_text('{"step": 0, "loss": Infinity}\n{"step": 20, "loss": -1e999}\n{"step": 40, "loss": true}\n')
    assert metrics(page)["columns"]["loss"] == [None, None, 1]


def test_two_rows_on_one_line_are_no_row(runs: Path, page: TestClient) -> None:
    (runs / "a" / "metrics.jsonl").write_text('{"step": 0}, {"step": 10}\n{"step": 20}\n')
    found = metrics(page)
    assert (found["columns"]["step"], found["skipped"]) == ([20], 1)


def test_lines_that_are_no_rows_are_counted_and_left_out(runs: Path, page: TestClient) -> None:
    write(runs / "a", rows(0))
    with (runs / "a" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 10, "lo\n[1]\n{"loss": 2}\n{"step": 30, "loss": "high"}, {"step": 40}\n\n')
    write(runs / "a", rows(20), "a")
    found = metrics(page)
    assert (found["columns"]["step"], found["skipped"]) == ([0, 20], 5)


def test_a_step_that_goes_back_begins_a_segment(runs: Path, page: TestClient) -> None:
    write(runs / "a", rows(0, 20, 40, 20, 40, 60))
    columns = metrics(page)["columns"]
    assert [b - a for a, b in zip(columns["segment"], columns["segment"][1:], strict=False)] == [0, 0, 1, 0, 0]


def test_only_the_columns_that_are_asked_for(runs: Path, page: TestClient) -> None:
    write(runs / "a", rows(0, 20, lr=0.1, verdict="learning", advice="none"))
    found = metrics(page, keys="lr,gone")
    assert set(found["columns"]) == {"step", "segment", "lr"}
    assert found["keys"] == ["loss", "lr", "step", "verdict"]  # not the advice: it is long, and `verdicts` tells it


def test_a_run_without_metrics_or_that_is_gone(runs: Path, page: TestClient) -> None:
    found = metrics(page)
    assert (found["cursor"], found["columns"], found["restart"]) == (0, {"step": [], "segment": []}, False)
    shutil.rmtree(runs / "a")
    for name in ("metrics", "verdicts", "config", "ledger", "probes"):
        assert page.get(f"/api/v1/runs/a/{name}").status_code == 404


def test_seconds_are_those_of_the_report(runs: Path, page: TestClient) -> None:
    write(runs / "a", [{"step": step, "images_per_s": speed} for step, speed in ((0, 3.0), (20, 40.0), (40, None), (60, 80.0))])
    path = runs / "a" / "metrics.jsonl"
    assert metrics(page)["columns"]["seconds"][-1] == pytest.approx(elapsed(read_metrics(path), RUN.batch_size))
    assert metrics(page)["columns"]["seconds"] == [0, 2, 2, 4]


# ---- drawing


def test_thinning_keeps_every_spike_in_its_place(runs: Path, page: TestClient) -> None:
    rng = random.Random(0)
    many = [{"step": i, "loss": rng.random()} for i in range(9973)]
    many[4321]["loss"], many[8000]["loss"], many[77]["loss"] = 50.0, -50.0, math.nan
    write(runs / "a", many)
    found = metrics(page)
    columns, size = found["columns"], found["thinned"]
    assert len(columns["step"]) == len(columns["loss"]) <= 2000
    assert columns["step"] == sorted(columns["step"])
    for step, value in ((4321, 50.0), (8000, -50.0)):
        at = columns["loss"].index(value)
        assert abs(columns["step"][at] - step) < size
    exact = metrics(page, full=1)
    assert exact["thinned"] is None
    assert exact["columns"]["loss"] == [None if math.isnan(row["loss"]) else row["loss"] for row in many]


def test_no_bucket_holds_two_segments() -> None:
    """Slow loop beside the fast one, with gaps."""
    rng = np.random.default_rng(0)
    segments = np.repeat([0, 1, 2], [53, 7, 41])
    values = rng.normal(size=101)
    values[[3, 50, 51, 52, 60]] = np.nan
    first, size = buckets(segments, 31)
    assert size == 7
    found, ends = extremes(values, first).reshape(-1, 2), [*first[1:], 101]
    for (a, b), begin, end in zip(found, first, ends, strict=True):
        assert len(set(segments[begin:end])) == 1
        there = [value for value in values[begin:end] if value == value]
        assert ({a, b} == {min(there), max(there)}) if there else (np.isnan(a) and np.isnan(b))
        assert not there or next(value for value in there if value in (a, b)) == a  # in the order in which they came


def test_no_line_is_read_twice(runs: Path, page: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    parse = metric_table.parsed

    def counted(lines: list[bytes]) -> list[Any]:
        seen.append(len(lines))
        return parse(lines)

    monkeypatch.setattr(metric_table, "parsed", counted)
    write(runs / "a", rows(*range(2500)))
    for _ in range(3):
        metrics(page)
        page.get("/api/v1/runs/a/verdicts")
        compare(page, "a")
    write(runs / "a", rows(2500), "a")
    metrics(page)
    assert seen == [1000, 1000, 500, 1]


def test_a_table_read_in_pieces_is_the_table_read_at_once(tmp_path: Path) -> None:
    rng = random.Random(1)
    path, text = (
        tmp_path / "m.jsonl",
        "".join(line({"step": i, "loss": rng.random(), **({"knn": 0.5} if i % 3 else {})}) for i in range(200)),
    )
    path.write_text("")
    pieces = MetricTable(path)
    for at in range(0, len(text), 97):
        with path.open("a") as file:
            file.write(text[at : at + 97])
        pieces.refresh()
    whole = MetricTable(path).refresh()
    assert len(pieces) == len(whole) == 200
    assert pieces.ends.tolist() == whole.ends.tolist()
    for key in whole.numbers:
        np.testing.assert_array_equal(pieces.numbers[key], whole.numbers[key])


# ---- beside the curves


def test_verdicts_tell_when_they_changed_and_what_to_do(runs: Path, page: TestClient) -> None:
    told = [(0, "warming up", "wait"), (20, "warming up", "wait"), (40, "position collapse", "turn the knob"), (60, "learning", "nothing")]
    write(runs / "a", [{"step": s, "verdict": v, "advice": a, "health/spread": 1 - s / 100} for s, v, a in told])
    found = page.get("/api/v1/runs/a/verdicts").json()
    assert [(c["name"], c["kind"], c["from"], c["to"], c["advice"]) for c in found["changes"]] == [
        ("warming up", "calm", 0, 40, "wait"),
        ("position collapse", "bad", 40, 60, "turn the knob"),
        ("learning", "good", 60, 60, "nothing"),
    ]
    (spread,) = found["monitors"]
    assert (spread["key"], spread["now"], spread["untrained"]) == ("health/spread", pytest.approx(0.4), 1.0)
    assert "full collapse" in spread["rule"]


def test_ledger_shows_a_picture_where_the_file_can_be_read(tmp_path: Path) -> None:
    folder = described(tmp_path / "runs" / "a", run_on(photos(tmp_path / "photos")))
    notes = [LedgerEntry("003.jpg", "small", "note"), LedgerEntry("notes.txt", "no image", "note"), LedgerEntry("005.jpg", "cut", step=7)]
    append(folder / "ledger.jsonl", notes)
    with TestClient(build(Shelf([tmp_path / "runs"], bundled=False), Door("")), base_url="http://127.0.0.1") as page:
        found = page.get("/api/v1/runs/a/ledger").json()
        assert (found["total"], found["bad"], found["notes"], found["used"]) == (3, 1, 2, 12)
        assert [item["input"] for item in found["items"]] == ["data:3", None, None]
        assert page.get("/api/v1/runs/a/inputs").json()["items"][3]["name"] == "003.jpg"
        second = page.get("/api/v1/runs/a/ledger", params={"offset": 2, "limit": 5}).json()
        assert [item["path"] for item in second["items"]] == ["005.jpg"]
        shutil.rmtree(tmp_path / "photos")
    # a made world stands in for data that is gone; its samples are not those files
    with TestClient(build(Shelf([tmp_path / "runs"], bundled=False), Door("")), base_url="http://127.0.0.1") as page:
        assert [item["input"] for item in page.get("/api/v1/runs/a/ledger").json()["items"]] == [None, None, None]


def report(accuracy: float, half: float, fingerprint: str = "t", step: int = 10) -> str:
    row = {"label": "shape", "probe": "linear", "method": "encoder", "accuracy": accuracy, "low": accuracy - half, "high": accuracy + half}
    floor = {**row, "method": "untrained", "accuracy": 0.2}
    return json.dumps({"format": 1, "step": step, "test": {"fingerprint": fingerprint}, "rows": [row, floor]})


def test_probes_newest_first_and_a_broken_one_says_so(runs: Path, page: TestClient) -> None:
    folder = runs / "a" / "probes"
    folder.mkdir()
    for age, (name, text) in enumerate(
        [("new.json", report(0.5, 0.1)), ("old.json", report(0.4, 0.1)), ("cut.json", report(0.4, 0.1)[:80])]
    ):
        (folder / name).write_text(text)
        os.utime(folder / name, (1000 - age, 1000 - age))
    found = page.get("/api/v1/runs/a/probes").json()["reports"]
    assert [one["file"] for one in found] == ["new.json", "old.json", "cut.json"]
    assert [len(one.get("rows", [])) for one in found] == [2, 2, 0]
    assert "cut by a crash" in found[2]["problem"]


def test_config_is_what_the_folder_says(runs: Path, page: TestClient) -> None:
    found = page.get("/api/v1/runs/a/config").json()
    assert (found["command"], found["run"]["batch_size"], found["status"]) == ("openjepa train r", RUN.batch_size, "finished")
    assert repr(str(runs / "a")) in found["python"]


# ---- runs beside each other


def compare(page: TestClient, *ids: str) -> dict[str, Any]:
    found: dict[str, Any] = page.get("/api/v1/compare", params={"ids": ",".join(ids)}).json()
    return found


def test_compare_tells_only_what_differs(runs: Path, page: TestClient) -> None:
    described(runs / "b", run_on(Path("photos"), RUN, seed=7, batch_size=8))
    found = compare(page, "a", "b")
    assert {row["key"]: row["values"] for row in found["differs"]} == {
        "data.path": [RUN.data.path, "photos"],
        "data.cache": [RUN.data.cache, "off"],
        "seed": [0, 7],
        "batch_size": [4, 8],
    }
    assert found["same"] > 50


def test_settings_that_an_older_run_did_not_write_do_not_differ(runs: Path, page: TestClient) -> None:
    described(runs / "b")
    info = json.loads((runs / "b" / "run.json").read_text())
    del info["run"]["compile"], info["run"]["objective"]["union"]
    (runs / "b" / "run.json").write_text(json.dumps(info))
    assert compare(page, "a", "b")["differs"] == []


def test_the_loss_of_jepa_runs_has_no_best(runs: Path, page: TestClient) -> None:
    """Each makes its own targets: the one that collapsed would win."""
    for name, loss, knn in (("a", 0.5, 0.2), ("b", 0.01, 0.1)):
        if name != "a":
            described(runs / name)
        write(runs / name, [{"step": 20, "loss": loss, "knn": knn}, {"step": 40, "loss": loss}])
    finals = {row["key"]: row for row in compare(page, "a", "b")["finals"]}
    assert finals["loss"]["best"] == []
    assert "own targets" in finals["loss"]["note"]
    assert (finals["knn"]["values"], finals["knn"]["best"]) == ([0.2, 0.1], [0])  # the last there is, not that of the last row
    assert finals["step"]["best"] == []


def test_the_loss_of_mae_runs_on_one_task_has_a_best(runs: Path, page: TestClient) -> None:
    described(runs / "b", MAE)
    described(runs / "c", run_on(Path("x"), MAE, seed=3))
    for name, loss in (("b", 0.5), ("c", 0.4)):
        write(runs / name, [{"step": 20, "loss": loss}])
    finals = {row["key"]: row for row in compare(page, "b", "c")["finals"]}
    assert finals["loss"]["best"] == [1]
    other = {row["key"]: row for row in compare(page, "a", "b", "c")["finals"]}
    assert other["loss"]["best"] == []


def test_a_score_whose_interval_reaches_the_best_is_not_told_apart(runs: Path, page: TestClient) -> None:
    for name, text in (("a", report(0.50, 0.02)), ("b", report(0.47, 0.02)), ("c", report(0.3, 0.02))):
        if name != "a":
            described(runs / name)
        (runs / name / "probes").mkdir()
        (runs / name / "probes" / "1.json").write_text(text)
    (row,) = [row for row in compare(page, "a", "b", "c")["finals"] if row["key"].startswith("probe/")]
    assert (row["best"], row["tied"]) == ([0], [1])
    (runs / "b" / "probes" / "1.json").write_text(report(0.9, 0.01, "other data"))
    (row,) = [row for row in compare(page, "a", "b", "c")["finals"] if row["key"].startswith("probe/")]
    assert (row["best"], row["note"]) == ([], "not comparable: judged on other data")


def test_compare_wants_one_to_eight_runs_that_are_there(page: TestClient) -> None:
    assert page.get("/api/v1/compare").status_code == 422
    assert page.get("/api/v1/compare", params={"ids": ",".join(f"r{i}" for i in range(9))}).status_code == 422
    assert page.get("/api/v1/compare", params={"ids": "a,gone"}).status_code == 404


def test_a_real_run_can_be_shown(tmp_path: Path) -> None:
    train(run_on(photos(tmp_path / "photos")), tmp_path / "runs" / "a")
    with TestClient(build(Shelf([tmp_path / "runs"], bundled=False), Door("")), base_url="http://127.0.0.1") as page:
        columns = metrics(page)["columns"]
        written = read_metrics(tmp_path / "runs" / "a" / "metrics.jsonl")
        assert columns["step"] == [row["step"] for row in written]
        for key in ("loss", "momentum", "health/effective_rank", "verdict"):
            assert columns[key] == [row[key] for row in written]
        found = page.get("/api/v1/runs/a/verdicts").json()
        assert found["changes"][-1]["advice"] == written[-1]["advice"]
        assert len(found["monitors"]) == 8
