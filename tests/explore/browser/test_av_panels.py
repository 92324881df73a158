"""Clips and sounds in a real browser: played, scrubbed, drawn on and listened to; what is read there is the library's."""

from dataclasses import replace

import pytest
import torch

from openjepa.explore.edits import Edit
from openjepa.explore.explorer import Explorer
from openjepa.explore.question import Box
from openjepa.explore.surprise import surprise
from openjepa.masks.future import Future
from openjepa.masks.random import Random
from openjepa.modalities.audio import Audio
from openjepa.modalities.video import Video
from openjepa.run import DataConfig
from openjepa.train import train
from tests import tiny
from tests.explore.browser.conftest import serve
from tests.explore.browser.hands import full_bank, opened, run_python, settled, shot, value, violations

pytestmark = pytest.mark.browser
FILM = "#/video?run=film&in=data:3&t=4&tube=1,0,1,2,2,2"
NEXT = "#/video?run=film&in=data:3&t=8&hide=next&edit=teleport&at=6"
SOUND = "#/audio?run=sound&in=data:3&mask=2,1,2,1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Grids 6 x 3 x 4 and 8 x 4."""
    root, jepa = tmp_path_factory.mktemp("av"), tiny.RUN.objective
    video = replace(tiny.RUN, modality=Video(size=(12, 24, 32), patch=(2, 8, 8), fps=None), batch_size=4, steps=4, save_every=4)
    world = DataConfig(path="world:tabletop-motion?count=200&frames=12&size=24x32&objects=2&lid=0")
    train(replace(video, objective=replace(jepa, masks=Future(past=0.5)), data=world), root / "film")
    sound = replace(
        video, modality=Audio(size=(64, 64), patch=(8, 16), mean=-7.0, std=3.0), data=DataConfig(path="world:soundscape?count=40&seconds=1")
    )
    train(replace(sound, objective=replace(jepa, masks=Random(ratio=0.5), union=True)), root / "sound")
    return root


@pytest.fixture(scope="module")
def here(folder):
    found = serve([folder])
    yield found
    found.stop()


def number(page, name):
    return int(page.get_by_test_id(name).input_value())


def dragged(page, start, end):
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=6)
    page.mouse.up()
    settled(page)


def middle(page, name):
    page.get_by_test_id(name).scroll_into_view_if_needed()
    box = page.get_by_test_id(name).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_the_tubes_numbers_are_the_librarys(page, here, folder):
    full_bank(page, here.url, "film")
    opened(page, here.url, FILM)
    page.wait_for_function("() => document.querySelector('[data-testid=skill-mean]')?.dataset.value")
    settled(page)
    ours = Explorer(folder / "film").jepa("data:3", [Box((1, 0, 1), (2, 2, 2))])
    assert value(page, "energy") == pytest.approx(ours.total.energy, rel=1e-4)
    assert value(page, "skill-mean") == pytest.approx(ours.total.mean, rel=1e-3)
    assert run_python(page).total == ours.total
    shot(page, "video", full=True)


def test_a_tube_is_drawn_in_space_and_in_time(page, here):
    opened(page, here.url, FILM)
    before = value(page, "energy")
    over = page.get_by_test_id("overlay").bounding_box()
    w, h = over["width"] / 4, over["height"] / 3
    x, y = middle(page, "hole-0")
    dragged(page, (x, y), (x + 1.1 * w, y + 0.9 * h))
    chart = page.get_by_test_id("chart").bounding_box()["width"]
    x, y = middle(page, "span-to")
    dragged(page, (x, y), (x + chart * 2.1 / 6, y))
    assert "tube=1,1,2,4,2,2" in page.url.replace("%2C", ",")
    x, y = middle(page, "span")
    dragged(page, (x, y), (x + chart / 6, y))
    assert (number(page, "tube-at"), number(page, "tube-size")) == (2, 4)
    assert value(page, "energy") != before
    page.keyboard.press("z")
    settled(page)
    assert (number(page, "tube-at"), number(page, "tube-size")) == (1, 4)


def test_a_tube_by_keyboard_alone(page, here):
    opened(page, here.url, FILM)
    page.get_by_test_id("hole-0").focus()
    page.keyboard.press("ArrowDown")
    page.get_by_test_id("span-from").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_test_id("tube-size").fill("3")
    page.keyboard.press("Enter")
    settled(page)
    page.wait_for_function("() => location.hash.replaceAll('%2C', ',').includes('tube=2,1,1,3,2,2')")
    assert page.get_by_test_id("span-from").get_attribute("aria-valuenow") == "2"


def test_a_clip_is_played_and_stepped_through(page, here):
    """Nothing moves by itself for who asked for calm; arrows go by the model's time steps, not by frames."""
    opened(page, here.url, FILM.replace("&t=4", ""))
    frame = page.get_by_test_id("frame")
    page.wait_for_timeout(600)
    assert frame.text_content() == "1"
    page.keyboard.press("ArrowRight")
    assert frame.text_content() == "3"
    page.keyboard.press("End")
    assert frame.text_content() == "12"
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    page.wait_for_function("() => document.querySelector('[data-testid=frame]').textContent > '2'")
    page.keyboard.press("k")
    stopped = frame.text_content()
    page.wait_for_timeout(400)
    assert frame.text_content() == stopped
    page.get_by_test_id("play").focus()
    page.keyboard.press("Space")  # the button's own Space: once, not twice
    assert page.get_by_test_id("play").get_attribute("aria-label") == "Pause"


def test_surprise_is_the_librarys_and_an_edit_shows(page, here, folder):
    opened(page, here.url, NEXT)
    ours = surprise(Explorer(folder / "film"), "data:3", Edit("teleport", 6))
    assert value(page, "surprise") == pytest.approx(ours.curve[4].item(), rel=1e-4)
    assert value(page, "untouched") == pytest.approx(ours.untouched[4].item(), rel=1e-4)
    torch.testing.assert_close(run_python(page).curve, ours.curve, equal_nan=True)
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert value(page, "surprise") == pytest.approx(value(page, "untouched"), abs=1e-5)
    shot(page, "video surprise", full=True)
    page.get_by_role("radio", name="as it is").check(force=True)
    settled(page)
    assert page.get_by_test_id("untouched").count() == 0


def test_a_scene_is_shown_with_its_truth(page, here):
    opened(page, here.url, FILM)
    page.get_by_test_id("scenes").get_by_role("button").first.click()
    settled(page)
    page.wait_for_selector(".stretch.hidden")
    assert "hide=next" in page.url
    shot(page, "video scene", full=True)


def test_a_masks_of_training_is_asked(page, here):
    opened(page, here.url, FILM)
    page.get_by_test_id("sample").click()
    settled(page)
    page.get_by_text("50 % hidden").wait_for()
    assert page.get_by_test_id("overlay").count() == 0


def test_the_holes_numbers_are_the_librarys(page, here, folder):
    full_bank(page, here.url, "sound")
    opened(page, here.url, SOUND)
    page.wait_for_function("() => document.querySelector('[data-testid=skill-mean]')?.dataset.value")
    settled(page)
    ours = Explorer(folder / "sound").jepa("data:3", [Box((2, 1), (2, 1))])
    assert value(page, "energy") == pytest.approx(ours.total.energy, rel=1e-4)
    assert value(page, "skill-mean") == pytest.approx(ours.total.mean, rel=1e-3)
    assert "0.16 s to 0.32 s, 660 to 1800 Hz" in page.get_by_test_id("captions").text_content()
    shot(page, "sound", full=True)


def test_a_hole_in_a_spectrogram_is_dragged_up_to_higher_sounds(page, here):
    opened(page, here.url, SOUND)
    over = page.get_by_test_id("overlay").bounding_box()
    x, y = middle(page, "hole-0")
    dragged(page, (x, y), (x + over["width"] / 8, y - over["height"] / 4))
    assert "mask=3,2,2,1" in page.url.replace("%2C", ",")
    for rule, boxes in (("time", 1), ("frequency", 1), ("random", 2)):
        page.get_by_test_id(f"rule-{rule}").click()
        settled(page)
        assert page.get_by_test_id("captions").locator("li").count() >= boxes


def test_sounds_play_when_asked_and_not_before(page, here):
    opened(page, here.url, SOUND)
    assert not [url for url in page.asked if "audio/render" in url]
    for name in ("original", "context", "hidden", "nearest"):
        with page.expect_response("**/audio/render") as answer:
            page.get_by_test_id(f"play-{name}").click()
        assert answer.value.headers["content-type"] == "audio/wav"
        page.wait_for_function(f"() => document.querySelector('[data-testid=play-{name}]').getAttribute('aria-pressed') === 'true'")
        page.wait_for_selector("[data-testid=playhead]")
    page.wait_for_function("() => document.querySelector('[data-testid=playhead]') === null")  # it ends by itself
    assert "'nearest'" in page.get_by_test_id("python").first.text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("where", [FILM, NEXT, SOUND])
def test_axe_finds_nothing_serious_and_narrow_pages_do_not_scroll_sideways(page, here, scheme, where):
    page.emulate_media(color_scheme=scheme)
    full_bank(page, here.url, where.partition("run=")[2].partition("&")[0])  # what is about to change is pale on purpose
    opened(page, here.url, where)
    assert violations(page) == []
    page.set_viewport_size({"width": 360, "height": 740})
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert violations(page) == []
    shot(page, f"{where[2:7]} narrow {scheme} {'next' if where == NEXT else ''}", full=True)
