"""The flagship panel by mouse, by touch, by keyboard; its numbers are the library's."""

import pytest
import torch

from openjepa.explore.explorer import Explorer
from openjepa.explore.question import Box
from tests.explore.browser.hands import full_bank, opened, run_python, settled, shot, value

pytestmark = pytest.mark.browser
HASH = "#/jepa?run=blocks&in=data:3&tgt=0,1,2,2"


def hole(page):
    return [int(page.get_by_role("spinbutton", name=name).first.input_value()) for name in ("row", "column", "height", "width")]


def test_the_page_shows_the_librarys_numbers(page, served, runs):
    full_bank(page, served.url, "blocks")
    opened(page, served.url, HASH)
    ours = Explorer(runs / "blocks").jepa("data:3", [Box((0, 1), (2, 2))])
    assert value(page, "energy") == pytest.approx(ours.total.energy, rel=1e-4)
    for name in ("mean", "gist", "copy"):
        assert value(page, f"skill-{name}") == pytest.approx(getattr(ours.total, name), rel=1e-3)
    assert run_python(page).total == ours.total
    shot(page, "jepa", full=True)


def test_dragging_the_hole_changes_the_prediction(page, served, runs):
    full_bank(page, served.url, "blocks")
    opened(page, served.url, HASH)
    before = value(page, "energy")
    box = page.get_by_test_id("overlay").bounding_box()
    w, h = box["width"] / 6, box["height"] / 4
    page.mouse.move(box["x"] + 2 * w, box["y"] + h)
    page.mouse.down()
    page.mouse.move(box["x"] + 3.2 * w, box["y"] + 2.1 * h, steps=6)
    page.mouse.up()
    settled(page)
    assert hole(page) == [1, 2, 2, 2]
    assert value(page, "energy") == pytest.approx(Explorer(runs / "blocks").jepa("data:3", [Box((1, 2), (2, 2))]).total.energy, rel=1e-4)
    assert value(page, "energy") != before
    assert "tgt=1,2,2,2" in page.url.replace("%2C", ",")


def test_a_corner_makes_it_larger_and_a_click_places_it(page, served):
    opened(page, served.url, HASH)
    box = page.get_by_test_id("hole-0-se").bounding_box()
    over = page.get_by_test_id("overlay").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(over["x"] + over["width"] * 5 / 6, over["y"] + over["height"] * 3 / 4, steps=4)
    page.mouse.up()
    settled(page)
    assert hole(page) == [0, 1, 3, 4]
    opened(page, served.url, "#/jepa?run=blocks&in=data:3&tgt=0,0,1,1")
    page.mouse.click(over["x"] + over["width"] * 4.5 / 6, over["y"] + over["height"] * 2.5 / 4)
    settled(page)
    assert hole(page)[:2] == [2, 4]


def test_touch_drags_it(chromium, served):
    context = chromium.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page = context.new_page()
    opened(page, served.url, HASH)
    page.get_by_test_id("overlay").scroll_into_view_if_needed()
    box = page.get_by_test_id("overlay").bounding_box()
    w, h = box["width"] / 6, box["height"] / 4
    session = context.new_cdp_session(page)

    def touch(kind, x, y):
        points = [] if kind == "touchEnd" else [{"x": x, "y": y}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", box["x"] + 2 * w, box["y"] + h)
    for part in (0.3, 0.6, 1.0):
        touch("touchMove", box["x"] + (2 + part) * w, box["y"] + (1 + part) * h)
    touch("touchEnd", 0, 0)
    settled(page)
    assert hole(page) == [1, 2, 2, 2]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    shot(page, "jepa-360", full=True)
    context.close()


def test_the_keyboard_alone_moves_resizes_adds_and_removes(page, served):
    opened(page, served.url, HASH)
    block = page.get_by_test_id("hole-0")
    block.focus()
    for keys, wanted in (
        (["ArrowDown"], [1, 1, 2, 2]),
        (["ArrowRight", "ArrowRight"], [1, 3, 2, 2]),
        (["Shift+ArrowRight"], [1, 3, 2, 3]),
        (["Shift+ArrowUp"], [1, 3, 1, 3]),
    ):
        for key in keys:
            page.keyboard.press(key)
        settled(page)
        assert hole(page) == wanted
    row = page.get_by_role("spinbutton", name="row")
    row.first.fill("0")  # or by the native fields
    settled(page)
    assert hole(page) == [0, 3, 1, 3]
    page.get_by_test_id("add-hole").focus()
    page.keyboard.press("Enter")
    settled(page)
    assert row.count() == 2
    page.get_by_test_id("hole-1").focus()
    page.keyboard.press("Delete")
    settled(page)
    assert row.count() == 1
    page.keyboard.press("z")
    settled(page)
    assert row.count() == 2


def test_hidden_pixels_cannot_change_the_guess_and_peeking_can(page, served):
    """In the page: the landscape's guess comes from what is sent; strict and peek differ, and peek says that it cheats."""
    opened(page, served.url, HASH)
    strict = value(page, "energy")
    page.get_by_test_id("peek").click()
    settled(page)
    assert value(page, "energy") != strict
    assert "mode=peek" in page.url and "peek" in page.get_by_test_id("mode").inner_text()


def test_references_that_come_late_do_not_bring_an_older_question_back(page, served):
    held, asked = [], []
    page.route("**/bank/grow", lambda route: held.append(route))
    page.on("request", lambda request: asked.append(request.post_data_json) if request.url.endswith("jepa/predict") else None)
    opened(page, served.url, HASH)
    page.wait_for_timeout(700)  # the page asks for references once nobody moves
    assert held
    strict = value(page, "energy")
    page.route("**/bank/grow", lambda route: route.fulfill(json={"have": 4, "want": 4, "full": True}))
    page.get_by_test_id("peek").click()
    held[0].fulfill(json={"have": 4, "want": 4, "full": True})
    settled(page)
    page.wait_for_timeout(700)
    settled(page)
    assert value(page, "energy") != strict
    ours = [question["mode"] for question in asked if question["run"] == "blocks"]
    assert ours == ["strict", "peek", "peek"]  # again when the references are there: every comparison moves with them


def test_reloading_restores_everything(page, served):
    opened(page, served.url, "#/jepa?run=blocks&in=data:5&tgt=1,1,2,3;0,4,2,2&mode=peek&view=skill&step=5")
    before = (hole(page), value(page, "energy"), page.get_by_test_id("mode").inner_text())
    page.reload()
    settled(page)
    assert (hole(page), value(page, "energy"), page.get_by_test_id("mode").inner_text()) == before
    assert page.get_by_role("spinbutton", name="row").count() == 2


def test_the_noise_test_shows_its_control(page, served):
    opened(page, served.url, HASH)
    page.get_by_test_id("noise-run").click()
    page.get_by_test_id("selectivity-untrained").wait_for()
    answer = page.request.post(
        f"{served.url}api/v1/jepa/noise",
        data={"run": "blocks", "input": "data:3", "targets": [{"at": [0, 1], "size": [2, 2]}], "kind": "noise", "amount": 0.4},
    ).json()
    for row in answer["rows"]:
        assert value(page, f"selectivity-{row['who']}") == pytest.approx(row["selectivity"], rel=1e-3)


def test_mae_paints_the_same_hole_beside_it(page, served, runs):
    opened(page, served.url, HASH)
    page.get_by_test_id("mae-mse").wait_for()
    page.wait_for_function("() => document.querySelector('[data-testid=mae-mse]').dataset.value")
    ours = Explorer(runs / "pixels").mae("data:3", targets=[Box((0, 1), (2, 2))])
    assert value(page, "mae-mse") == pytest.approx(ours.mse, rel=1e-4)


def test_the_surprise_map_is_every_placement(page, served, runs):
    """What was computed ahead while nobody moved."""
    full_bank(page, served.url, "blocks")
    opened(page, served.url, HASH + "&view=surprise")
    page.get_by_text("complete: dragging is a look-up").wait_for(timeout=30_000)
    assert torch.isfinite(Explorer(runs / "blocks").jepa("data:3", [Box((2, 4), (2, 2))]).land).all()
    asked = [url for url in page.asked if "jepa/predict" in url]
    page.get_by_role("spinbutton", name="column").first.fill("3")
    settled(page)
    assert len([url for url in page.asked if "jepa/predict" in url]) <= len(asked) + 1
