"""An export on a plain file server, below a prefix: dragging is a lookup, and what was not computed is said."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from openjepa.explore.explorer import Explorer
from openjepa.explore.export import write
from openjepa.explore.question import Box
from tests.explore.browser.hands import opened, settled, shot, value

pytestmark = pytest.mark.browser


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(chromium, runs, tmp_path_factory):
    """The address of an export of the runs: three inputs each."""
    root = tmp_path_factory.mktemp("web")
    write([runs], root / "papers" / "site", threads=1, inputs=3)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=root))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/papers/site/"
    server.shutdown()


def test_a_drag_looks_the_librarys_numbers_up(page, site, runs):
    opened(page, site, "#/jepa?run=blocks&in=data:1&tgt=0,1,2,2")
    explorer = Explorer(runs / "blocks")
    assert value(page, "energy") == pytest.approx(explorer.jepa("data:1", [Box((0, 1), (2, 2))]).total.energy, rel=1e-4)
    box = page.get_by_test_id("overlay").bounding_box()
    w, h = box["width"] / 6, box["height"] / 4
    page.mouse.move(box["x"] + 2 * w, box["y"] + h)
    page.mouse.down()
    page.mouse.move(box["x"] + 4.2 * w, box["y"] + 2.1 * h, steps=6)
    page.mouse.up()
    settled(page)
    ours = explorer.jepa("data:1", [Box((1, 3), (2, 2))]).total
    assert value(page, "energy") == pytest.approx(ours.energy, rel=1e-4)
    assert value(page, "skill-copy") == pytest.approx(ours.copy, rel=1e-3)
    asked = [url.removeprefix(site) for url in page.asked]
    assert not [url for url in asked if url.startswith("api/")] and sum(url.endswith("2x2.pack") and "jepa" in url for url in asked) == 1
    shot(page, "export")


def test_what_was_not_computed_says_so_with_the_command(page, site):
    opened(page, site, "#/jepa?run=blocks&in=data:1&tgt=0,0,4,1")
    assert page.get_by_test_id("panel").get_attribute("data-state") == "problem"
    assert page.get_by_text("Holes of 1x2, 2x2, 2x3 were computed beforehand").count()
    assert page.get_by_text("openjepa explore", exact=True).count()


def test_it_takes_no_files_and_says_where_they_are_taken(page, site):
    opened(page, site, "#/jepa?run=blocks&in=data:1&tgt=0,1,2,2")
    assert page.get_by_text("An export: what you see was computed beforehand").is_visible()
    assert page.locator("input[type=file]").count() == 0
    drop = "new DragEvent('drop', {dataTransfer: (() => { const d = new DataTransfer(); d.items.add(new File(['x'], 'a.png')); return d; })(), bubbles: true})"
    page.evaluate(f"document.body.dispatchEvent({drop})")
    page.get_by_text("it takes no files").wait_for()


def test_shares_and_curves_are_there(page, site):
    opened(page, site, "#/mae?run=pixels&in=data:0")
    page.locator("[data-testid=panel][data-state=settled]").wait_for()
    opened(page, site, "#/run?run=blocks")
    page.locator("[data-testid=panel][data-state=settled]").wait_for()
    shot(page, "export-run")
