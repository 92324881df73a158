"""The explorer's page into wheel and sdist: compiled with npm where it is older than its sources.

No Node is needed to install a wheel, to work on the Python side, or where the page was compiled already, as in an sdist.
With OPENJEPA_REQUIRE_UI=1 a build without an up-to-date page fails; without it, it warns.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES, PAGE = Path("src/openjepa/explore/ui"), Path("src/openjepa/explore/static")


class Page(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the compiled page to what is packed."""
        if version == "editable":  # served from the checkout, where `make ui` compiles it
            return
        root = Path(self.root)
        trouble = None if current(root) else compiled(root)
        if trouble is None:
            build_data["artifacts"].append(f"/{PAGE.as_posix()}/**")  # git ignores it, so it has to be named
        elif os.environ.get("OPENJEPA_REQUIRE_UI") == "1":
            raise RuntimeError(f"the explorer's page cannot be packed: {trouble}")
        else:
            self.app.display_warning(f"packed without the explorer's page: {trouble}; everything else of openjepa works")


def current(root: Path) -> bool:
    """The page is there and no older than any of its sources."""
    page = root / PAGE / "index.html"
    return page.is_file() and all(page.stat().st_mtime >= path.stat().st_mtime for path in sources(root / SOURCES))


def sources(folder: Path) -> list[Path]:
    """Files that the page is made of, without what npm installed."""
    return [path for path in folder.rglob("*") if path.is_file() and "node_modules" not in path.relative_to(folder).parts]


def compiled(root: Path) -> str | None:
    """Compile the page. Returns what went wrong; None: nothing."""
    folder = root / SOURCES
    npm = shutil.which("npm")
    if not (folder / "package.json").is_file():
        return f"{SOURCES} is not there"
    if npm is None:
        return "it is not compiled, and there is no npm (Node 20.19 or newer) to do so"
    lock, installed = folder / "package-lock.json", folder / "node_modules/.package-lock.json"
    commands = [[npm, "run", "build"]]
    if not installed.is_file() or installed.stat().st_mtime < lock.stat().st_mtime:
        commands.insert(0, [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"])
    for command in commands:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            return f"`{' '.join(['npm', *command[1:]])}` failed: {(done.stderr or done.stdout).strip()[-500:]}"
    return None if (root / PAGE / "index.html").is_file() else f"npm ran, but {PAGE}/index.html is not there"
