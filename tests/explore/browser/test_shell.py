"""Every panel: reachable, legible, offline, and still there after what goes wrong around it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Picture

from openjepa.masks.future import Future
from openjepa.masks.random import Random
from openjepa.modalities.audio import Audio
from openjepa.modalities.video import Video
from openjepa.run import DataConfig
from openjepa.train import train
from tests import tiny
from tests.explore.browser.conftest import serve
from tests.explore.browser.hands import opened, settled, shot, value, violations

pytestmark = pytest.mark.browser
PANELS = {
    "run": "#/run?run=blocks",
    "masks": "#/masks?run=blocks&in=data:3",
    "mae": "#/mae?run=pixels&in=data:3&ratio=0.5&seed=1",
    "jepa": "#/jepa?run=blocks&in=data:3&tgt=0,1,2,2",
    "heads": "#/heads?run=blocks&in=data:3",
    "video": "#/video?run=clips&in=data:3",
    "audio": "#/audio?run=sounds&in=data:3",
}


@pytest.fixture(scope="session")
def everything(runs, tmp_path_factory):
    """Runs of pictures, clips and sounds behind one server."""
    more = tmp_path_factory.mktemp("media")
    clips = replace(
        tiny.RUN,
        modality=Video(size=(8, 16, 24), patch=(2, 8, 8), fps=None, flip=False),
        objective=replace(tiny.RUN.objective, masks=Future(past=0.4)),
        data=DataConfig(path="world:tabletop-motion?frames=8&size=16x24&count=40", cache="off"),
    )
    train(clips, more / "clips")
    sounds = replace(
        tiny.RUN,
        modality=Audio(size=(48, 40), patch=(8, 10)),
        objective=replace(tiny.RUN.objective, masks=Random(ratio=0.5)),
        data=DataConfig(path="world:soundscape?count=40", cache="off"),
    )
    train(sounds, more / "sounds")
    found = serve([runs, more])
    yield found
    found.stop()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_has_no_serious_violation_and_nothing_is_asked_elsewhere(page, everything, panel, theme):
    """axe-core on the whole page; the fixture fails the test when another machine is asked."""
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    opened(page, everything.url, PANELS[panel])
    page.locator("[data-testid=panel][data-state=settled]").wait_for()
    shot(page, f"{panel}-{theme}", full=True)
    assert not violations(page)


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_fits_a_narrow_screen(page, everything, panel):
    """360 pixels without scrolling sideways; what is touched is large enough to hit (WCAG 2.2, 2.5.8)."""
    page.set_viewport_size({"width": 360, "height": 740})
    opened(page, everything.url, PANELS[panel])
    shot(page, f"{panel}-360", full=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    small = page.evaluate(
        """() => [...document.querySelectorAll('button, select, input, [role=tab], [role=radio]')]
            .filter((e) => e.checkVisibility() && !e.disabled && !e.classList.contains('visually-hidden') && getComputedStyle(e).opacity !== '0')
            .map((e) => [(e.closest('label') ?? e).getBoundingClientRect(), e.outerHTML.slice(0, 120)])
            .filter(([box]) => box.width > 0 && (box.width < 24 || box.height < 16)).map(([box, html]) => `${box.width} x ${box.height} ${html}`)"""
    )
    assert not small


@pytest.mark.parametrize("panel", PANELS)
def test_the_keyboard_reaches_every_control_and_shows_where_it_is(page, everything, panel):
    """Tab through the whole page: every enabled control in the panel gets the focus once, and it can be seen."""
    opened(page, everything.url, PANELS[panel])
    wanted = page.evaluate(
        """() => { const all = [...document.querySelectorAll('[data-testid=panel] :is(button, select, input, a[href], [tabindex="0"])')]
            .filter((e) => e.checkVisibility() && !e.disabled && e.tabIndex >= 0 && !(e.type === 'radio' && !e.checked && e.name && document.querySelector(`input[name="${e.name}"]:checked`)));
            all.forEach((e, i) => e.dataset.tabbed = i); return all.length; }"""
    )
    assert wanted > 0
    seen, blind = set(), []
    for _ in range(wanted + 80):
        page.keyboard.press("Tab")
        at = page.evaluate(
            """() => { const e = document.activeElement; if (!e || e === document.body) return null;
                const s = getComputedStyle(e), holder = getComputedStyle(e.parentElement);
                const ring = s.outlineStyle !== 'none' || s.boxShadow !== 'none' || holder.outlineStyle !== 'none' || holder.boxShadow !== 'none';
                return [e.dataset.tabbed ?? null, ring, e.outerHTML.slice(0, 100)]; }"""
        )
        if at is None:
            continue
        if at[0] is not None:
            seen.add(at[0])
            if not at[1]:
                blind.append(at[2])
        if len(seen) == wanted:
            break
    missing = page.evaluate(
        "(seen) => [...document.querySelectorAll('[data-tabbed]')].filter((e) => !seen.includes(e.dataset.tabbed)).map((e) => e.outerHTML.slice(0, 100))",
        sorted(seen),
    )
    assert not missing
    assert not blind


@pytest.mark.parametrize("panel", PANELS)
def test_a_reload_restores_the_panel(page, everything, panel):
    opened(page, everything.url, PANELS[panel])
    before = page.url
    numbers = page.evaluate(
        "[...document.querySelectorAll('[data-testid=panel] [data-value]')].map((e) => [e.dataset.testid, e.dataset.value])"
    )
    page.reload()
    settled(page)
    assert page.url == before
    after = page.evaluate(
        "[...document.querySelectorAll('[data-testid=panel] [data-value]')].map((e) => [e.dataset.testid, e.dataset.value])"
    )
    assert [name for name, _ in after] == [name for name, _ in numbers]


def test_two_tabs_do_not_disturb_each_other(page, everything):
    other = page.context.new_page()
    opened(page, everything.url, PANELS["jepa"])
    opened(other, everything.url, "#/jepa?run=blocks&in=data:5&tgt=1,1,2,2")
    first = value(page, "energy")
    for column in ("2", "3", "4"):
        other.get_by_role("spinbutton", name="column").first.fill(column)
    settled(other)
    assert value(page, "energy") == first
    assert value(other, "energy") != first


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [("broken.png", b"no picture at all", "not an image"), ("empty.png", b"", "empty")],
)
def test_a_broken_file_is_told_and_the_old_picture_stays(page, everything, name, data, said):
    opened(page, everything.url, PANELS["jepa"])
    before = value(page, "energy")
    page.get_by_test_id("file").set_input_files({"name": name, "mimeType": "image/png", "buffer": data})
    page.get_by_text(said).first.wait_for()
    assert value(page, "energy") == before


def test_a_huge_picture_is_refused(page, everything, tmp_path):
    """100 megapixels in a file of some kilobytes."""
    Picture.new("1", (10_000, 10_000)).save(tmp_path / "huge.png")
    opened(page, everything.url, PANELS["jepa"])
    page.get_by_test_id("file").set_input_files(tmp_path / "huge.png")
    page.get_by_text("10000 x 10000").first.wait_for()


def test_an_own_picture_is_predicted(page, everything, tmp_path):
    Picture.fromarray(np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)).save(tmp_path / "mine.png")
    opened(page, everything.url, PANELS["jepa"])
    before = value(page, "energy")
    page.get_by_test_id("file").set_input_files(tmp_path / "mine.png")
    page.wait_for_function("() => location.hash.includes('upload')")
    page.wait_for_function(
        "(before) => parseFloat(document.querySelector('[data-testid=energy]')?.dataset.value ?? before) !== before", arg=before
    )


def test_the_page_waits_for_a_server_that_is_gone(page, runs):
    first = serve([runs])
    opened(page, first.url, "#/jepa?run=blocks&in=data:3&tgt=0,1,2,2")
    before = value(page, "energy")
    first.stop()
    page.get_by_test_id("hole-0").focus()
    page.keyboard.press("ArrowDown")
    page.get_by_test_id("gone").wait_for()
    assert "openjepa explore" in page.get_by_test_id("gone").inner_text()
    second = serve([runs], first.port)
    try:
        page.get_by_test_id("gone").wait_for(state="hidden", timeout=30_000)
        page.keyboard.press("ArrowUp")
        settled(page)
        assert value(page, "energy") == pytest.approx(before, rel=1e-6)
    finally:
        second.stop()


def test_a_run_that_is_deleted_while_viewed(page, runs, tmp_path):
    shutil.copytree(runs, tmp_path / "runs")
    served = serve([tmp_path / "runs"])
    try:
        opened(page, served.url, "#/jepa?run=blocks&in=data:3&tgt=0,1,2,2")
        shutil.rmtree(tmp_path / "runs/blocks")
        page.get_by_test_id("hole-0").focus()
        page.keyboard.press("ArrowDown")
        page.get_by_test_id("problem").first.wait_for()
        assert (
            "moved or deleted" in page.get_by_test_id("problem").first.inner_text()
            or "no run" in page.get_by_test_id("problem").first.inner_text()
        )
        page.goto(f"{served.url}#/run?run=deep~union")
        settled(page)
        page.locator("[data-testid=panel][data-state=settled]").wait_for()
    finally:
        served.stop()


def test_a_run_that_is_being_written_while_viewed(page, runs, tmp_path):
    """Half a line, then the rest: a point more; the page does not fall over."""
    shutil.copytree(runs, tmp_path / "runs")
    metrics = tmp_path / "runs/blocks/metrics.jsonl"
    info = tmp_path / "runs/blocks/run.json"
    import os

    info.write_text(json.dumps(json.loads(info.read_text()) | {"status": "running", "pid": os.getpid()}))
    served = serve([tmp_path / "runs"])
    try:
        opened(page, served.url, "#/run?run=blocks")
        last = json.loads(metrics.read_text().splitlines()[-1])
        line = json.dumps(last | {"step": 77, "loss": 0.123456})
        with metrics.open("a") as file:
            file.write(line[:20])
            file.flush()
            page.wait_for_timeout(1500)
            file.write(line[20:] + "\n")
        page.get_by_text("77").first.wait_for(timeout=15_000)
    finally:
        served.stop()


def test_an_address_that_is_wrong_is_mended(page, everything):
    opened(page, everything.url, "#/jepa?run=nothing&in=data:999999&tgt=40,40,9,9&ratio=abc&unknown=1")
    assert page.get_by_test_id("panel").is_visible()
    opened(page, everything.url, "#/nowhere?run=blocks")
    assert page.get_by_test_id("panel").is_visible()


def test_the_heap_does_not_grow_while_dragging(page, everything):
    """300 moves: what is kept has a bound."""
    opened(page, everything.url, PANELS["jepa"])
    page.get_by_test_id("hole-0").focus()

    def moved(count):
        for _ in range(count // 4):
            for key in ("ArrowDown", "ArrowRight", "ArrowUp", "ArrowLeft"):
                page.keyboard.press(key)
        settled(page)
        page.request_gc()
        return page.evaluate("performance.memory.usedJSHeapSize") / 2**20

    before = moved(60)
    assert moved(300) < before + 10


def test_training_live_is_watched_and_stopped(page, runs):
    """From the button to curves of a run that was not there, and a checkpoint when it is stopped."""
    served = serve([runs])
    try:
        opened(page, served.url, PANELS["jepa"])
        page.get_by_test_id("live-start").click()
        page.wait_for_function("() => parseInt(document.querySelector('[data-testid=live-step]')?.textContent) >= 10", timeout=120_000)
        page.get_by_role("button", name="Watch it").click()
        page.wait_for_function("() => location.hash.startsWith('#/run?') && location.hash.includes('live')")
        settled(page)
        page.get_by_test_id("chart").first.wait_for()
        page.get_by_test_id("live-stop").click()
        page.wait_for_function(
            "() => ['interrupted', 'finished'].includes(document.querySelector('[data-testid=live]').dataset.state)", timeout=60_000
        )
        shot(page, "live")
        assert served.shelf.live.status().state in ("interrupted", "finished")
    finally:
        served.stop()
