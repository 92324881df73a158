"""The page as plain files: its answers are computed beforehand, so any web server can show it, and dragging is a lookup.

site/
  index.html  assets/            the same page, told that it is an export
  config.json                    which inputs, holes and shares there are answers for
  data/runs.json  data/runs/..   what GET would say; ":" in a name is "-" in a file
  data/jepa/<run>/<input>/2x2.pack   the stream of jepa/sweep, gzipped: every placement of one hole
  data/mae/<run>/<input>/..          the same hidden blocks, and shares.pack: shares hidden at random
"""

import gzip
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

from openjepa.explore import wire
from openjepa.explore.pages import BUILT, HOW
from openjepa.explore.question import Box, spiral, windows
from openjepa.explore.routes import Answer, Raw, Route, read_asked, routes_of
from openjepa.explore.server import MODULES
from openjepa.explore.shelf import Shelf

INPUTS = 6  # of each run
SHARES = (0.3, 0.4, 0.5)  # sides of a hole over the grid's; the first is the page's own hole
HIDDEN = tuple(round(0.05 * i, 2) for i in range(1, 20))  # shares of patches on the MAE slider
LARGE = 256 * 2**10  # bytes of one MAE answer above which only every third share is kept, and no placement
PANELS = ("jepa", "mae", "run")
WHY = "this is an export; `openjepa explore` shows it live"
GETS = ("metrics", "verdicts", "config", "ledger", "probes", "inputs")  # of each run
PLACED = ("hidden", "composite", "error", "constant_error")  # of an MAE's answer: what the page shows of a placement
MARK = '<html data-mode="static"'

Say = Callable[[str], None]


@dataclass
class Site:
    """The folder being written, and the server's own functions to fill it."""

    shelf: Shelf
    out: Path
    say: Say
    routes: dict[str, Route] = field(default_factory=dict)
    packs: dict[str, list[str]] = field(default_factory=dict)  # "jepa/<run>/<input>" -> names of its packs
    views: dict[str, str] = field(default_factory=dict)  # run -> hash of what its inputs look like

    def __post_init__(self) -> None:
        found = [route for name in MODULES for route in routes_of(import_module(f"openjepa.explore.{name}"))]
        self.routes = {
            route.path: route for route in sorted(found, key=lambda route: route.method == "GET")
        }  # GET wins: uploads are no answers

    def ask(self, path: str, **asked: Any) -> Any:
        """What the server would answer at `path`."""
        route = self.routes[path]
        return route.function(self.shelf, asked if route.asks is None else read_asked(asked, route.asks))

    def keep(self, path: str, answer: Answer | Raw) -> None:
        data, kind = (answer.data, answer.media_type) if isinstance(answer, Raw) else wire.encode(answer)
        end = {wire.JSON: "json", "image/png": "png"}.get(kind, "bin")
        self.write(f"{path}.{end}", data)

    def pack(self, kind: str, run: str, name: str, pack: str, answers: Iterable[Answer]) -> None:
        self.write(f"{kind}/{run}/{name}/{pack}.pack", gzip.compress(b"".join(map(wire.message, answers)), 6, mtime=0))
        self.packs.setdefault(f"{kind}/{run}/{name}", []).append(pack)

    def write(self, name: str, data: bytes) -> None:
        path = self.out / "data" / name.replace(":", "-")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def write(
    folders: Sequence[Path],
    out: Path,
    *,
    threads: int | None = None,
    device: str = "cpu",
    inputs: int = INPUTS,
    static: Path = BUILT,
    say: Say = lambda line: None,
) -> dict[str, int]:
    """The site in `out`, which must be new or empty: how many files and bytes it has.

    Of the runs in `folders`, without any of the bundled models. ValueError where the page is not compiled or there is no run.
    """
    import torch

    if not (static / "index.html").is_file():
        raise ValueError(f"the page is not compiled; run: {HOW.replace(chr(10), ' && ')}")
    threads = threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    shelf = Shelf(folders, device=device, bundled=not folders, threads=threads)
    if not shelf.runs():
        raise ValueError(f"no run in {', '.join(map(str, folders))}; name a run, a bundle, or a folder of them")
    partial = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        shutil.copytree(static, partial)
        page = (partial / "index.html").read_text(encoding="utf-8")
        (partial / "index.html").write_text(page.replace("<html", MARK, 1), encoding="utf-8")
        fill(Site(shelf, partial, say), inputs)
        if out.exists():
            out.rmdir()  # OSError where it is not empty
        partial.rename(out)
    finally:
        shelf.close()
        shutil.rmtree(partial, ignore_errors=True)
    sizes = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
    return {"files": len(sizes), "bytes": sum(sizes)}


def fill(site: Site, inputs: int) -> None:
    listed = site.ask("runs").meta
    meta = site.ask("meta").meta
    site.keep("meta", Answer(replace(meta, live=False)))
    site.keep("runs", Answer(replace(listed, runs=tuple(replace(run, capabilities=only(run.capabilities)) for run in listed.runs))))
    for run in listed.runs:
        site.say(f"{run.name}: {run.objective} on {run.modality}")
        for what in GETS:
            asked = {"limit": str(inputs)} if what == "inputs" else {}
            answer = site.ask(f"runs/{{run}}/{what}", run=run.id, **asked)
            if what == "inputs":
                names = [item.id for item in answer.meta.items]
                answer = Answer(replace(answer.meta, total=len(names)))
            site.keep(f"runs/{run.id}/{what}", answer)
        if not run.grid:
            continue
        seen = site.shelf.inputs_of(site.shelf.run(run.id))
        site.views[run.id] = sha256(b"".join(seen.view(name).numpy().tobytes() for name in names)).hexdigest()[:12]
        for name in names:
            for what in ("thumb", "view"):
                site.keep(f"runs/{run.id}/inputs/{name}/{what}", site.ask(f"runs/{{run}}/inputs/{{input}}/{what}", run=run.id, input=name))
            if run.checkpoints:
                answers(site, run, name)
    told = {"mode": "static", "version": meta.version, "views": site.views, "packs": site.packs}
    (site.out / "config.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def only(capabilities: Iterable[Any]) -> tuple[Any, ...]:
    """What an export can show; for the rest the page says why not."""
    return tuple(
        can if can.panel in PANELS or not can.ok else replace(can, ok=False, why=WHY, fix="openjepa explore") for can in capabilities
    )


def answers(site: Site, run: Any, name: str) -> None:
    """The packs of one input of one run."""
    if run.objective == "JEPA":
        explorer = site.shelf.explorer(run.id)
        explorer.bank.grow()  # whole, so that numbers do not depend on what was asked before
        for size in holes(run.grid, run.screen):
            asked = [{"targets": [box_of(box)]} for box in placements(run.grid, size)]
            site.pack("jepa", run.id, name, "x".join(map(str, size)), numbered(site, explorer, "jepa/predict", run.id, name, asked))
    elif run.objective == "MAE":
        explorer = site.shelf.explorer(run.id)
        large = 4 * prod(explorer.modality.draw(explorer.inputs.view(name)).frames.shape) > LARGE
        shares = [{"ratio": ratio, "seed": 0, "sampler": "random"} for ratio in HIDDEN[2::3] if large] or [
            {"ratio": ratio, "seed": 0, "sampler": "random"} for ratio in HIDDEN
        ]
        site.pack("mae", run.id, name, "shares", numbered(site, explorer, "mae/predict", run.id, name, shares))
        for size in [] if large else holes(run.grid, run.screen):
            asked = [{"targets": [box_of(box)]} for box in placements(run.grid, size)]
            found = numbered(site, explorer, "mae/predict", run.id, name, asked)
            few = (Answer(one.meta, {part: one.tensors[part] for part in PLACED}) for one in found)
            site.pack("mae", run.id, name, "x".join(map(str, size)), few)


def numbered(site: Site, explorer: Any, path: str, run: str, name: str, questions: Sequence[dict[str, Any]]) -> Iterator[Answer]:
    """An answer to each, with the place or share that was asked for, as jepa/sweep numbers its own."""
    for index, asked in enumerate(questions):
        found = site.ask(path, run=run, input=name, **asked)
        meta = wire.unpacked(found.meta)
        where = {"at": asked["targets"][0]["at"]} if "targets" in asked else {"share": asked["ratio"]}
        # The folder's own path is nobody's business on a public page
        meta |= {**where, "index": index, "count": len(questions), "python": meta["python"].replace(str(explorer.folder), run)}
        yield Answer(meta, found.tensors)


def holes(grid: Sequence[int], screen: Any) -> list[tuple[int, ...]]:
    """Sizes of holes: the page's own, and larger ones. Axes off the screen (time of a video) are covered whole."""
    shown = {axis for axis in (screen.x, screen.y) if axis is not None}
    found = [tuple(max(1, int(length * share + 0.5)) if axis in shown else length for axis, length in enumerate(grid)) for share in SHARES]
    return list(dict.fromkeys(found))


def placements(grid: Sequence[int], size: tuple[int, ...]) -> list[Box]:
    """Every place of a hole, from the middle outwards, as the page fills its map."""
    places = windows(tuple(grid), size)
    middle = [(length - side) // 2 for length, side in zip(grid, size, strict=True)]
    return [Box(tuple(places[i].tolist()), size) for i in spiral(places, middle)]


def box_of(box: Box) -> dict[str, list[int]]:
    return {"at": list(box.at), "size": list(box.size)}
