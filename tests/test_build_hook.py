"""The explorer's page is packed when it is up to date, compiled when it is not, and never by surprise."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from hatch_build import PAGE, SOURCES, Page, current

NPM = """#!/bin/sh
echo "$1" >> "{log}"
[ "$1" = ci ] && mkdir -p node_modules && touch node_modules/.package-lock.json
[ "$1" = run ] && mkdir -p ../static && echo page > ../static/index.html
exit {code}
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A checkout with sources of a page, no page, and no npm on PATH."""
    for name in ("src/App.svelte", "package.json", "package-lock.json"):
        path = tmp_path / SOURCES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("OPENJEPA_REQUIRE_UI", raising=False)
    return tmp_path


@pytest.fixture
def pack(root):
    """Runs the hook: what it adds, and what it warned of."""

    def run(version: str = "standard") -> tuple[list[str], list[str]]:
        said: list[str] = []
        added: dict[str, list[str]] = {"artifacts": []}
        hook = Page(str(root), {}, None, None, "", "wheel", app=SimpleNamespace(display_warning=said.append))  # type: ignore[arg-type]
        hook.initialize(version, added)
        return added["artifacts"], said

    return run


def page(root: Path, seconds: float) -> None:
    """A compiled page, so many seconds younger than its sources."""
    (root / PAGE).mkdir(parents=True, exist_ok=True)
    (root / PAGE / "index.html").write_text("page")
    newest = max(path.stat().st_mtime for path in (root / SOURCES).rglob("*"))
    os.utime(root / PAGE / "index.html", (newest + seconds, newest + seconds))


def npm(root: Path, code: int = 0) -> Path:
    """An npm that writes down what it was asked."""
    (root / "bin").mkdir()
    (root / "bin/npm").write_text(NPM.format(log=root / "log", code=code))
    (root / "bin/npm").chmod(0o755)
    for tool in ("mkdir", "touch", "sh"):
        (root / "bin" / tool).symlink_to(f"/bin/{tool}")
    return root / "log"


def test_a_page_older_than_a_source_is_not_current(root):
    page(root, 5)
    assert current(root)
    page(root, 0)
    assert current(root)  # an sdist gives every file one time
    page(root, -5)
    assert not current(root)
    page(root, 5)
    late = root / SOURCES / "node_modules/of_others.js"
    late.parent.mkdir()
    late.write_text("")
    os.utime(late, (2**31, 2**31))
    assert current(root)  # what npm installed is no source


def test_an_up_to_date_page_is_packed_without_npm(root, pack):
    page(root, 5)
    assert pack() == ([f"/{PAGE.as_posix()}/**"], [])


def test_npm_compiles_a_page_that_is_old_and_installs_once(root, pack):
    log = npm(root)
    assert pack()[0]
    page(root, -5)
    assert pack() == ([f"/{PAGE.as_posix()}/**"], [])
    assert log.read_text().split() == ["ci", "run", "run"]


@pytest.mark.parametrize("old", [False, True])
def test_without_npm_it_packs_no_page_and_says_so(root, pack, old):
    if old:
        page(root, -5)
    added, said = pack()
    assert added == [] and "Node" in said[0]


@pytest.mark.parametrize("broken", [False, True])
def test_where_the_page_is_required_a_build_without_it_fails(root, pack, monkeypatch, broken):
    monkeypatch.setenv("OPENJEPA_REQUIRE_UI", "1")
    if broken:
        npm(root, code=1)
    with pytest.raises(RuntimeError, match="`npm ci .*failed" if broken else "no npm"):
        pack()


def test_an_editable_install_never_runs_npm(root, pack):
    log = npm(root)
    assert pack("editable") == ([], []) and not log.exists()
