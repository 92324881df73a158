"""The runs that a session may look at, and those of them whose weights are in memory."""

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openjepa.explore.inputs import Inputs, Uploads
from openjepa.explore.training import Training
from openjepa.runs import looks_like_a_run, read, read_json

if TYPE_CHECKING:
    from openjepa.explore.explorer import Explorer

BUNDLED = Path(__file__).with_name("bundled")
OPEN = 3  # models in memory
DEEPEST = 3  # folders between the one given and a run


@dataclass(frozen=True)
class Listed:
    """A run folder by its name on the page: its path below the folder given, with "~" for "/"."""

    id: str
    folder: Path
    bundled: bool = False


@dataclass
class Shelf:
    """Runs below `folders` (or these themselves), those that a session makes, and the small models that come with openjepa."""

    folders: Sequence[Path]
    device: str = "cpu"
    bundled: bool = True
    threads: int = 1  # of the models' thread
    uploads: Uploads = field(default_factory=Uploads)
    extra: dict[str, Path] = field(default_factory=dict)  # runs made in this session
    explorers: "OrderedDict[tuple[Any, ...], Explorer]" = field(default_factory=OrderedDict)
    inputs: dict[tuple[str, Any], Inputs] = field(default_factory=dict)
    seen: dict[str, Listed] = field(default_factory=dict)  # when they were last listed
    told: dict[Path, tuple[Any, dict[str, Any]]] = field(default_factory=dict)  # what runs.read found, by when the files changed
    live: Training = field(default_factory=Training)
    closing: list[Callable[[], None]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        for folder in self.folders:
            if not folder.is_dir():
                raise ValueError(f"no folder {folder}; name a run or a folder of runs, or none for the models that come with openjepa")

    def runs(self) -> list[Listed]:
        """All there are now, those of the user first, in the order of their names."""
        found = dict[str, Path]()
        for root in self.folders:
            for path in below(root, DEEPEST):
                name = path.resolve().name if path == root else str(path.relative_to(root))
                found.setdefault(unique(slug(name), found), path)
        found |= {name: path for name, path in self.extra.items() if path.is_dir()}
        listed = [Listed(name, path) for name, path in sorted(found.items())]
        known = {run.id for run in listed}
        ours = [p for p in sorted(BUNDLED.iterdir()) if looks_like_a_run(p)] if self.bundled and BUNDLED.is_dir() else []
        every = [*listed, *(Listed(unique(p.name, known), p, True) for p in ours)]
        self.seen = {run.id: run for run in every}
        return every

    def run(self, name: str) -> Listed:
        """LookupError where it is gone or never was. Names are looked up, never joined to a path."""
        if name not in self.seen or not looks_like_a_run(self.seen[name].folder):
            self.runs()  # all folders are looked through for a name that is new or gone alone, not for each question of a drag
        if name in self.seen:
            return self.seen[name]
        raise LookupError(f"no run {name!r}; it was moved or deleted, or never was below the folders given")

    def read(self, run: Listed) -> dict[str, Any]:
        """What the folder says of itself (see runs.read), again only after one of its files changed."""
        stamp = [changed(run.folder / name) for name in ("run.json", "metrics.jsonl", "checkpoints", "probes")]
        known = self.told.get(run.folder)
        if known is None or known[0] != stamp or known[1]["status"] == "running":
            found = {**read(run.folder), "info": read_json(run.folder / "run.json")}
            known = self.told[run.folder] = (stamp, found)
        return known[1]

    def explorer(self, name: str, step: int | None = None) -> "Explorer":
        """The run's newest checkpoint, or that of `step`, in memory. Only the worker's thread may call this."""
        from openjepa.explore.explorer import Explorer

        run = self.run(name)
        there = self.read(run)["checkpoints"]
        if not there:
            raise ValueError(f"{name} has no checkpoint yet; it appears with the first save")
        step = max(there) if step is None else step
        # with its date, for a folder may be deleted or replaced by another run of the same name while it is viewed
        key = (str(run.folder), step, changed(run.folder / f"checkpoints/{step:08d}/objective.safetensors"))
        if key not in self.explorers:
            self.explorers[key] = Explorer(run.folder, step, inputs=self.inputs_of(run), device=self.device, patient=False)
        self.explorers.move_to_end(key)
        while len(self.explorers) > OPEN:
            self.explorers.popitem(last=False)
        return self.explorers[key]

    def inputs_of(self, run: Listed) -> Inputs:
        from openjepa.checkpoint import load_run

        key = (str(run.folder), self.read(run)["created"])
        with self.lock:
            if key not in self.inputs:
                self.inputs[key] = Inputs(load_run(run.folder), self.uploads)
            return self.inputs[key]

    def close(self) -> None:
        """End what a session started."""
        for end in self.closing:
            end()


def below(root: Path, depth: int) -> list[Path]:
    """Run folders at `root` or up to `depth` folders below it; nothing hidden, nothing through links that lead out."""
    if looks_like_a_run(root):
        return [root]
    if depth == 0:
        return []
    try:
        inside = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".") and not p.is_symlink())
    except OSError:
        return []
    return [run for path in inside for run in below(path, depth - 1)]


def slug(name: str) -> str:
    """One part of an address."""
    return re.sub(r"[^\w.~-]", "_", name.replace(os.sep, "~"))


def unique(name: str, taken: "dict[str, Path] | set[str]") -> str:
    count, found = 1, name
    while found in taken:
        count += 1
        found = f"{name}-{count}"
    return found


def changed(path: Path) -> tuple[int, int] | None:
    """When and how large; None where there is no such file."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
