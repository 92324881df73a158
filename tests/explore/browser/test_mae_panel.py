"""The panel that paints: by slider, by brush, by keyboard; its numbers are the library's."""

import re

import pytest

from openjepa.explore.explorer import Explorer
from tests.explore.browser.hands import opened, run_python, settled, shot, value, violations

pytestmark = pytest.mark.browser
HASH = "#/mae?run=pixels&in=data:3&ratio=0.5&seed=1"
CELLS = 24


def hidden(page):
    """The patches in the address that were hidden by hand."""
    text = re.search(r"hidden=([\d,-]*)", page.url.replace("%2C", ","))
    return set() if text is None else {n for part in text[1].split(",") for n in span(part)}


def span(part):
    first, _, last = part.partition("-")
    return range(int(first), int(last or first) + 1)


def test_the_page_shows_the_librarys_numbers(page, served, runs):
    opened(page, served.url, HASH)
    ours = Explorer(runs / "pixels").mae("data:3", ratio=0.5, seed=1)
    assert value(page, "mse") == pytest.approx(ours.mse, rel=1e-4)
    assert value(page, "skill-inpaint") == pytest.approx(1 - ours.mse / ours.inpaint_mse, rel=1e-3)
    assert value(page, "constant") == pytest.approx(ours.constant_mse, rel=1e-4)
    assert run_python(page).mse == ours.mse
    shot(page, "mae", full=True)


def test_the_slider_hides_more_by_keyboard(page, served, runs):
    opened(page, served.url, HASH)
    before = value(page, "ratio")
    page.get_by_test_id("ratio-slider").focus()
    page.keyboard.press("PageUp")
    page.keyboard.press("PageUp")
    page.get_by_test_id("reconstruct").click()
    settled(page)
    assert before == pytest.approx(0.5) and value(page, "ratio") == pytest.approx(round(0.7 * CELLS) / CELLS)
    assert value(page, "mse") == pytest.approx(Explorer(runs / "pixels").mae("data:3", ratio=0.7, seed=1).mse, rel=1e-4)


def test_nothing_hidden_is_nothing_to_rebuild(page, served):
    opened(page, served.url, HASH.replace("0.5", "0"))
    page.get_by_test_id("nothing").wait_for()
    assert page.get_by_test_id("mse").count() == 0
    assert page.get_by_test_id("reconstruct").is_disabled()


def test_the_brush_hides_what_it_is_drawn_over(page, served, runs):
    """By mouse along the first row, then one more patch by keyboard."""
    opened(page, served.url, "#/mae?run=pixels&in=data:3&brush=1")
    box = page.get_by_test_id("brush").bounding_box()
    w, h = box["width"] / 6, box["height"] / 4
    page.mouse.move(box["x"] + w / 2, box["y"] + h / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 2.5 * w, box["y"] + h / 2, steps=12)
    page.mouse.up()
    page.get_by_test_id("brush").focus()
    for key in ("ArrowDown", "ArrowDown", "Space"):
        page.keyboard.press(key)
    page.wait_for_timeout(400)
    assert hidden(page) == {0, 1, 2, 12}
    page.get_by_test_id("reconstruct").click()
    settled(page)
    assert value(page, "mse") == pytest.approx(Explorer(runs / "pixels").mae("data:3", hidden=[0, 1, 2, 12]).mse, rel=1e-4)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("show", ["trained", "swipe"])
def test_every_way_to_show_it_can_be_read(page, served, scheme, show):
    page.emulate_media(color_scheme=scheme)
    opened(page, served.url, f"{HASH}&show={show}&brush=1&hidden=3-9")
    assert violations(page) == []
    assert page.get_by_text("This run learnt normalised patches").count() == 1
