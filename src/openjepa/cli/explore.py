"""openjepa explore"""

import contextlib
import json
import os
import sys
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from openjepa.cli.options import ExploreOptions
from openjepa.cli.parse import Usage, near, parse, refuse
from openjepa.cli.train import option_flags
from openjepa.runs import looks_like_a_run

if TYPE_CHECKING:
    from openjepa.explore.server import Place

HOME = Path("runs")  # where training writes when it is not told


def command(words: Sequence[str]) -> int:
    options, unknown = parse(ExploreOptions, words, prog="openjepa explore")
    refuse(unknown, words, option_flags(ExploreOptions), "openjepa explore")
    folders = chosen(options.folders)
    check(options)
    if options.export is not None:
        return export(options, folders)
    from openjepa.explore.server import serve

    with contextlib.suppress(KeyboardInterrupt):  # the way to end it
        serve(
            folders,
            host=options.host,
            port=options.port,
            allow_hosts=options.allow_host,
            threads=options.threads,
            device=options.device,
            ready=lambda place: tell(options, place),
        )
    return 0


def chosen(folders: Sequence[Path]) -> list[Path]:
    """The folders to look into; none but runs/, where it has runs, when none was named."""
    for folder in folders:
        if not folder.is_dir():
            what = f"{folder} is a file" if folder.exists() else f"no folder {folder}"
            there = [str(path) for path in folder.parent.glob("*") if path.is_dir()] if folder.parent.is_dir() else []
            raise Usage(
                what,
                near(str(folder), there) or "name a run, a bundle, or a folder of them; without one the small bundled models are shown",
            )
    return list(folders) or [HOME] * has_runs(HOME)


def has_runs(folder: Path) -> bool:
    return folder.is_dir() and any(path.is_dir() and looks_like_a_run(path) for path in folder.iterdir())


def check(options: ExploreOptions) -> None:
    """What can be refused before torch is imported."""
    if options.port is not None and not 0 <= options.port < 2**16:
        raise Usage(f"--port is {options.port}", "it must be from 1 to 65535, or 0 for any free one")
    if options.threads is not None and options.threads < 1:
        raise Usage(f"--threads is {options.threads}", "it must be at least 1")
    if options.export is not None and options.export.exists() and (not options.export.is_dir() or any(options.export.iterdir())):
        raise Usage(f"{options.export} is not empty", "give a new folder with --export")


def tell(options: ExploreOptions, place: "Place") -> None:
    """The address on stdout, as soon as somebody listens there."""
    if options.json:
        print(json.dumps({"url": place.url, "host": place.host, "port": place.port}), flush=True)
    else:
        print(place.url if options.quiet else f"explore  {place.url}  (Ctrl-C stops)", flush=True)
    if place.token:
        say(f"open to every machine that reaches {place.host}: whoever has this address, token included, sees your runs and files")
    if not options.no_browser and has_screen():
        threading.Thread(target=webbrowser.open, args=(place.url,), daemon=True).start()


def has_screen() -> bool:
    """A browser window can open here; without one, `webbrowser` would start a browser in the terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def export(options: ExploreOptions, folders: Sequence[Path]) -> int:
    from openjepa.explore.export import write

    assert options.export is not None
    found = write(
        folders, options.export, threads=options.threads, device=options.device, say=(lambda line: None) if options.quiet else say
    )
    if options.json:
        print(json.dumps({"site": str(options.export), **found}))
    else:
        print(
            options.export
            if options.quiet
            else f"{options.export}: {found['files']} files, {found['bytes'] / 1e6:.1f} MB; any web server can serve it"
        )
    return 0


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
