"""One encoder, many heads, by mouse and by keyboard; what is on the page is what the library says."""

import shutil
from dataclasses import replace

import pytest

from openjepa.checkpoint import load_encoder, load_run
from openjepa.explore.inputs import Inputs
from openjepa.probes.heads import FOLDER, KINDS, heads_in, load_head
from openjepa.probes.score import probe
from tests.explore.browser.conftest import serve
from tests.explore.browser.hands import opened, settled, shot, violations
from tests.explore.test_heads_api import SMALL, Forecast
from tests.explore.test_heads_api import __name__ as here

pytestmark = pytest.mark.browser
HASH = "#/heads?run=a&in=data:3"


@pytest.fixture(scope="module")
def site(runs, tmp_path_factory, chromium):
    """A run with heads of every kind, and one of a kind that the page has never heard of; and a run without any."""
    root = tmp_path_factory.mktemp("headed")
    for name in ("a", "bare"):
        shutil.copytree(runs / "blocks", root / name)
    probe(root / "a", load_run(root / "a").run.data.path, probes=("knn", "linear", "attentive"), attentive=SMALL, cache="off")
    KINDS["forecast"] = f"{here}:Forecast"
    Forecast(replace(heads_in(root / "a")[0].info, kind="forecast", question="sky")).save(root / "a" / FOLDER)
    found = serve([root])
    yield found.url, root / "a"
    found.stop()
    del KINDS["forecast"]


def test_the_page_shows_the_librarys_answers(page, site):
    url, folder = site
    encoder, view = load_encoder(folder), Inputs(load_run(folder)).view("data:3")[None]
    for kind in ("linear", "knn", "attentive"):
        path = next(folder.glob(f"{FOLDER}/class-{kind}-*.safetensors"))
        head = load_head(path)
        opened(page, url, f"{HASH}&head={path.stem}")
        wanted = head.answer(head.encode(encoder, view)).part("classes")
        for name, share in zip(wanted.names, wanted.probabilities, strict=True):
            shown = page.get_by_test_id("classes").locator(f"[data-bar='{name}']")
            assert float(shown.get_attribute("data-value")) == pytest.approx(share, abs=1e-5)
        floors = page.get_by_test_id("floors")
        assert float(floors.locator("[data-bar=untrained]").get_attribute("data-value")) == pytest.approx(
            head.info.floors["untrained"], abs=1e-5
        )
        assert page.get_by_test_id("sha").get_attribute("data-value") == encoder.sha256
        assert page.get_by_test_id("same").get_attribute("data-value") == "true"
        assert violations(page) == []
        shot(page, f"heads-{kind}", full=True)


def test_heads_and_neighbours_are_reached_by_keyboard_alone(page, site):
    url, folder = site
    opened(page, url, f"{HASH}&head=class-attentive-{load_encoder(folder).step}")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('[data-testid=heads]') !== null"):
            break
    page.keyboard.press("ArrowDown")
    settled(page)
    chosen = page.locator("[data-testid=head]:has(input:checked)").get_attribute("data-head")
    assert chosen.startswith("class-") and "attentive" not in chosen and f"head={chosen}" in page.url
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("(document.activeElement.closest('[data-testid=failures]') ?? null) !== null"):
            break
    page.keyboard.press("Enter")
    settled(page)
    assert "in=data:3" not in page.url.replace("%3A", ":") and "in=data:" in page.url.replace("%3A", ":")


def test_a_kind_that_the_page_does_not_know_is_shown_as_it_is(page, site):
    url, _ = site
    opened(page, url, f"{HASH}&head=sky-forecast-{load_encoder(site[1]).step}")
    assert page.get_by_test_id("part").inner_text().split() == ["{", '"kind":', '"weather",', '"sky":', '"24', 'clouds"', "}"]


def test_without_heads_the_command_stands_there_and_own_samples_are_found(page, site):
    url, _ = site
    opened(page, url, "#/heads?run=bare&in=data:3")
    assert "openjepa probe" in page.get_by_test_id("none").inner_text()
    page.get_by_test_id("neighbour").first.click()
    settled(page)
    assert "in=data:3" not in page.url.replace("%3A", ":")
