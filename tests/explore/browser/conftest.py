"""A real server, and the system's Chromium to look at it.

Skips where the page is not built or there is no Chromium; with OPENJEPA_REQUIRE_UI=1 that is a failure.
"""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from openjepa.explore import server
from openjepa.explore.door import Door
from openjepa.explore.pages import BUILT
from openjepa.explore.shelf import Shelf

SHOTS = Path(__file__).parents[3] / "build/screenshots"  # to be looked at by people, never compared


@dataclass
class Served:
    """A running server and how to end it."""

    url: str
    port: int
    stop: Callable[[], None]
    shelf: Shelf


def serve(folders: list[Path], port: int = 0, bundled: bool = False) -> Served:
    import uvicorn

    sock = server.listen("127.0.0.1", port)
    shelf = Shelf(folders, bundled=bundled)
    running = uvicorn.Server(uvicorn.Config(server.build(shelf, Door()), log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=running.run, args=([sock],), daemon=True)
    thread.start()
    for _ in range(200):
        if running.started:
            break
        time.sleep(0.05)

    def stop() -> None:
        running.should_exit = True
        thread.join(10)
        sock.close()

    number = sock.getsockname()[1]
    return Served(f"http://127.0.0.1:{number}/", number, stop, shelf)


def needed(what: str) -> None:
    if os.environ.get("OPENJEPA_REQUIRE_UI") == "1":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        needed("no Chromium on this machine")
    if not (BUILT / "index.html").is_file():
        needed("the page is not built; make ui")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"])
        yield found
        found.close()


@pytest.fixture(scope="session")
def served(runs: Path) -> Iterator[Served]:
    found = serve([runs])
    yield found
    found.stop()


@pytest.fixture
def page(chromium, request) -> Iterator[object]:
    """A tab that may speak to this machine alone, and in which nothing may go wrong unseen."""
    context = chromium.new_context(viewport={"width": 1360, "height": 900}, reduced_motion="reduce")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab = context.new_page()
    tab.set_default_timeout(20_000)
    tab.asked, tab.wrong = [], []
    tab.on("request", lambda asked: tab.asked.append(asked.url))
    tab.on("pageerror", lambda error: tab.wrong.append(str(error)))
    tab.on(
        "console", lambda said: tab.wrong.append(said.text) if said.type == "error" and "Failed to load resource" not in said.text else None
    )
    yield tab
    strangers = [url for url in tab.asked if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))]
    wrong = list(tab.wrong)
    context.close()
    assert not strangers, "the page asked somebody else"
    assert not wrong, "the page's own code failed"
