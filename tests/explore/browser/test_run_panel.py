"""The dashboard beside a run that is written, resumed and deleted; its keys, its zoom, its comparison."""

import json
import os
import shutil

import pytest

from openjepa.metrics import read_metrics
from tests.explore.browser.conftest import serve
from tests.explore.browser.hands import opened, settled, shot, value, violations

pytestmark = pytest.mark.browser


@pytest.fixture
def growing(runs, tmp_path):
    """A run of which two rows are written; and its other rows."""
    folder = tmp_path / "runs" / "live"
    shutil.copytree(runs / "blocks", folder)
    info = json.loads((folder / "run.json").read_text()) | {"status": "running", "pid": os.getpid()}
    (folder / "run.json").write_text(json.dumps(info))
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text("".join(lines[:2]))
    found = serve([tmp_path / "runs"])
    yield found, folder, lines
    found.stop()


def at_step(page, step):
    """Wait until the newest step on screen is this one."""
    page.wait_for_function("step => document.querySelector('[data-testid=run-step]')?.dataset.value === String(step)", arg=step)


def along(page, chart="loss"):
    return page.locator(f"[data-chart={chart}] input[type=range]")


def test_a_run_is_followed_while_it_is_written_resumed_and_deleted(page, growing):
    found, folder, lines = growing
    path = folder / "metrics.jsonl"
    steps = [json.loads(line)["step"] for line in lines]
    opened(page, found.url, "#/run?run=live")
    at_step(page, steps[1])
    along(page).focus()
    page.keyboard.press("Home")
    with path.open("a") as file:
        file.write(lines[2] + lines[3][:40])
    at_step(page, steps[2])  # the line that is not whole yet waits
    assert along(page).get_attribute("aria-valuetext").startswith("step 0: loss")  # the cursor stays where the keys left it
    with path.open("a") as file:
        file.write(lines[3][40:])
    at_step(page, steps[3])
    (folder / "new").write_text("".join(lines[:2]))
    os.replace(folder / "new", path)
    at_step(page, steps[1])
    shutil.rmtree(folder)
    page.get_by_test_id("norun").wait_for()


def test_keys_read_the_numbers_of_the_log_on_all_charts(page, served, runs):
    rows = read_metrics(runs / "blocks" / "metrics.jsonl")
    opened(page, served.url, "#/run?run=blocks")
    assert value(page, "loss") == pytest.approx(rows[-1]["loss"], rel=1e-5)
    along(page).focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    for chart, key in (("loss", "loss"), ("rank", "health/effective_rank")):
        shown = page.locator(f"[data-chart={chart}] [data-testid=value]").first
        page.wait_for_function(
            "([chart, text]) => document.querySelector(`[data-chart=${chart}] [data-testid=value]`).dataset.value === text",
            arg=[chart, repr(rows[1][key])],
        )
        assert float(shown.get_attribute("data-value")) == rows[1][key]
    shot(page, "run", full=True)


def test_a_drag_looks_closer_and_a_link_keeps_it(page, served):
    opened(page, served.url, "#/run?run=blocks")
    area = page.locator("[data-chart=loss] .u-over").bounding_box()
    page.mouse.move(area["x"] + 0.3 * area["width"], area["y"] + 40)
    page.mouse.down()
    page.mouse.move(area["x"] + 0.7 * area["width"], area["y"] + 40, steps=4)
    page.mouse.up()
    page.wait_for_function("() => location.hash.includes('from=')")
    page.reload()
    settled(page)
    page.get_by_role("button", name="Show all").click()
    page.wait_for_function("() => !location.hash.includes('from=')")


def test_runs_beside_each_other(page, served):
    opened(page, served.url, "#/run?run=blocks&runs=deep~union")
    names = page.get_by_test_id("differs").locator("tbody th").all_inner_texts()
    assert "objective.union" in names
    assert "batch_size" not in names
    assert page.locator("[data-chart=loss] [data-testid=value]").count() == 2
    assert violations(page) == []


def test_the_mask_gallery_shows_what_the_server_drew(page, served):
    opened(page, served.url, "#/masks?run=blocks&n=5")
    assert page.locator("[data-testid=masks] .tile").count() == 5
    drawn = "document.querySelector('[data-testid=masks] .over canvas').toDataURL()"
    before = page.evaluate(drawn)
    page.get_by_label("step 0 of 10").press("End")
    page.wait_for_function("() => location.hash.includes('mstep=10')")
    settled(page)
    assert page.evaluate(drawn) != before
    assert value(page, "mask-context") == pytest.approx(0.25)
