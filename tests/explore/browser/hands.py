"""What a person does on the page, and what they read there."""

import re
from pathlib import Path
from typing import Any

from tests.explore.browser.conftest import SHOTS

AXE = Path(__file__).parents[3] / "src/openjepa/explore/ui/node_modules/axe-core/axe.min.js"


def opened(page: Any, url: str, hash_: str) -> None:
    page.goto(url + hash_)
    settled(page)


def settled(page: Any) -> None:
    """Nothing is being asked any more: the panel and its parts say so, and go on saying so."""
    page.wait_for_function(
        """() => {
            const panel = document.querySelector('[data-testid=panel]');
            const busy = (e) => ['loading', 'stale'].includes(e.dataset.state);
            const now = panel && !busy(panel) && ![...document.querySelectorAll('[data-state]')].some(busy);
            if (!now) { window.__since = null; return false; }
            window.__since ??= performance.now();
            return performance.now() - window.__since > 400;
        }"""
    )
    page.evaluate("window.__since = null")


def value(page: Any, name: str) -> float:
    """The exact number behind what is shown."""
    text = page.get_by_test_id(name).first.get_attribute("data-value")
    assert text, f"{name} shows no number"
    return float(text)


def full_bank(page: Any, url: str, run: str) -> None:
    """Wait until the page's references are complete."""
    while not page.request.post(f"{url}api/v1/bank/grow", data={"run": run}).json()["full"]:
        pass


def violations(page: Any) -> list[str]:
    """What axe-core finds serious or critical in a page at rest.

    What is pale because a newer answer is on its way has less contrast for a moment; only what stays is a violation.
    """
    page.evaluate(AXE.read_text())
    lines: list[str] = []
    for _ in range(3):
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        lines = [
            f"{v['id']}: {v['help']} at {v['nodes'][0]['target']} ({v['nodes'][0].get('failureSummary', '')[:200]})"
            for v in found["violations"]
            if v["impact"] in ("serious", "critical")
        ]
        if not lines:
            break
        page.wait_for_timeout(1500)
        settled(page)
    return lines


def shot(page: Any, name: str, full: bool = False) -> None:
    """A picture for people to look at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{re.sub(r'[^a-z0-9-]+', '-', name.lower())}.png", full_page=full)


def run_python(page: Any) -> Any:
    """What the page's "Copy as Python" finds when it is run."""
    place: dict[str, Any] = {}
    exec(page.get_by_test_id("python").first.text_content(), place)
    return place["found"]
