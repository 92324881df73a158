"""What there is to look at: the session, the runs, and what each of them can show."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import torch

import openjepa
from openjepa.explore.inputs_api import LARGEST, PIXELS
from openjepa.explore.routes import Answer, Query, get
from openjepa.explore.shelf import Listed, Shelf
from openjepa.objectives.jepa import JEPAConfig
from openjepa.run import Run, from_dict

DRAWN = ("images", "videos", "sounds", "series")  # kinds with a grid and a picture
KINDS = {"video": "videos", "audio": "sounds"}  # panel -> what it plays


SMALL = 96  # numbers along the longest side of a view up to which a recipe for a laptop is named
PARTNERS = {  # kind, whether the run is a JEPA -> recipe of the other objective: published, small
    ("images", True): ("image.mae", "image.mae_cifar10"),
    ("images", False): ("image.ijepa", "image.ijepa_cifar10"),
    ("videos", True): ("video.mae", "video.mae_clips"),
    ("videos", False): ("video.vjepa", "video.vjepa_clips"),
    ("sounds", True): ("audio.mae", "audio.mae_words"),
    ("sounds", False): ("audio.ajepa", "audio.ajepa_words"),
}


@dataclass(frozen=True)
class Screen:
    """Which axis of the grid is where on the screen; `up`: y grows upwards."""

    x: int
    y: int | None
    t: int | None
    up: bool


@dataclass(frozen=True)
class Capability:
    panel: str
    ok: bool
    why: str = ""
    fix: str = ""  # a command line


@dataclass(frozen=True)
class RunInfo:
    """One run of the list; `pair` is the run to show beside it, of the other objective on the same geometry."""

    id: str
    name: str
    objective: str
    modality: str
    status: str
    recipe: str | None
    step: int | None
    steps: int | None
    loss: float | None
    verdict: str | None
    knn: float | None
    updated: str | None
    checkpoints: tuple[int, ...]
    params: int | None  # of the encoder that is exported
    grid: tuple[int, ...]
    size: tuple[int, ...]
    patch: tuple[int, ...]
    screen: Screen | None
    distance: str
    union: bool
    capabilities: tuple[Capability, ...]
    bundled: bool
    probe: str | None
    pair: str | None = None


@dataclass(frozen=True)
class Broken:
    id: str
    why: str


@dataclass(frozen=True)
class Runs:
    runs: tuple[RunInfo, ...]
    broken: tuple[Broken, ...]


@dataclass(frozen=True)
class Limits:
    max_bytes: int
    max_pixels: int


@dataclass(frozen=True, kw_only=True)
class Meta:
    """The session."""

    version: str
    torch: str
    device: str
    threads: int
    bundled: bool
    live: bool  # a run can be trained beside the page
    read_only: bool
    uploads: Limits


@get("meta")
def meta(shelf: Shelf, _: Query) -> Answer:
    return Answer(
        Meta(
            version=openjepa.__version__,
            torch=torch.__version__,
            device=shelf.device,
            threads=shelf.threads,
            bundled=any(run.bundled for run in shelf.runs()),
            live=True,
            read_only=True,
            uploads=Limits(LARGEST, PIXELS),
        )
    )


@get("runs")
def runs(shelf: Shelf, _: Query) -> Answer:
    """Runs that can be read, and why others cannot."""
    found, broken = dict[str, RunInfo](), list[Broken]()
    for listed in shelf.runs():
        try:
            found[listed.id] = info(shelf, listed)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            broken.append(Broken(listed.id, str(error) or type(error).__name__))
    return Answer(Runs(tuple(replace(one, pair=partner(one, found)) for one in found.values()), tuple(broken)))


def info(shelf: Shelf, listed: Listed) -> RunInfo:
    """What the folder says. ValueError where run.json is there and cannot be read."""
    said = shelf.read(listed)
    data = said["info"].get("run")
    if not isinstance(data, dict):
        raise ValueError("run.json is missing or not readable; it is being written, or was damaged")
    if "parsed" not in said:
        said["parsed"] = from_dict(data)
        said["params"] = weights(listed.folder / f"checkpoints/{max(said['checkpoints'], default=0):08d}/encoder.safetensors")
    run: Run = said["parsed"]
    modality, objective = run.modality, run.objective
    jepa = isinstance(objective, JEPAConfig)
    return RunInfo(
        id=listed.id,
        name=listed.id.replace("~", "/"),
        objective=type(objective).__name__.removesuffix("Config"),
        modality=modality.kind,
        status="bundled" if listed.bundled else said["status"],
        recipe=said["recipe"],
        step=said["step"],
        steps=said["steps"],
        loss=said["loss"],
        verdict=said["verdict"],
        knn=said["knn"],
        updated=said["updated"],
        checkpoints=tuple(said["checkpoints"]),
        params=said["params"],
        grid=modality.grid if modality.kind in DRAWN else (),
        size=tuple(modality.size),
        patch=tuple(getattr(modality, "patch", ())),
        screen=screen(modality.kind, len(modality.grid)) if modality.kind in DRAWN else None,
        distance=objective.loss if isinstance(objective, JEPAConfig) else "mse",
        union=jepa and objective.union,  # type: ignore[union-attr]
        capabilities=capabilities(listed, run, bool(said["checkpoints"])),
        bundled=listed.bundled,
        probe=said["probe"],
    )


def weights(file: Path) -> int | None:
    """How many numbers a safetensors file holds, by its header alone; None where there is none."""
    try:
        with open(file, "rb") as opened:
            header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
    except (OSError, ValueError):
        return None
    shapes: list[list[int]] = [entry["shape"] for name, entry in header.items() if name != "__metadata__"]
    return sum(map(prod, shapes))


def screen(kind: str, axes: int) -> Screen:
    if kind == "sounds":
        return Screen(x=0, y=1, t=None, up=True)
    if axes == 1:
        return Screen(x=0, y=None, t=None, up=False)
    return Screen(x=axes - 1, y=axes - 2, t=0 if axes == 3 else None, up=False)


def capabilities(listed: Listed, run: Run, saved: bool) -> tuple[Capability, ...]:
    """What can be shown, and what is missing for the rest, with the command that makes it."""
    kind, jepa = run.modality.kind, isinstance(run.objective, JEPAConfig)
    waiting = "" if saved else "no checkpoint yet; it appears with the first save"
    flat = "" if kind in DRAWN else f"{kind} have no picture to draw on"
    pixels = "" if jepa else "this run predicts pixels; its partner is a run that predicts embeddings"
    reasons = {
        "jepa": waiting or flat or pixels,
        "mae": waiting or flat or ("this run predicts embeddings; its partner is a run that predicts pixels" if jepa else ""),
        **{panel: waiting or (pixels if kind == its else f"this run learns from {kind}") for panel, its in KINDS.items()},
        "heads": waiting,
        "masks": flat,
        "run": "",
    }
    fixes = dict.fromkeys(["mae"] if jepa else ["jepa", *(panel for panel, its in KINDS.items() if its == kind)], other_command(run))
    return tuple(Capability(panel, not why, why, fixes.get(panel, "") if why else "") for panel, why in reasons.items())


def other_command(run: Run) -> str:
    """The command that trains the other objective on the same data in the same patches, so that both can be asked the same."""
    modality, small = run.modality, max(run.modality.size) <= SMALL
    recipes = PARTNERS.get((modality.kind, isinstance(run.objective, JEPAConfig)))
    if recipes is None:
        return ""
    words = ["openjepa", "train", recipes[small], "--data", run.data.path or "DATA"]
    words += ["--modality.size", *map(str, modality.size), "--modality.patch", *map(str, getattr(modality, "patch", ()))]
    return " ".join(map(shlex.quote, words))


def partner(one: RunInfo, found: Mapping[str, RunInfo]) -> str | None:
    """The run of the other objective to stand beside this one: same kind of data, trained, then the nearest geometry and data."""
    there = [
        (other.size != one.size, other.patch != one.patch, other.bundled != one.bundled, -prod(other.grid or (1,)), name)
        for name, other in found.items()
        if other.objective != one.objective and other.modality == one.modality and other.checkpoints
    ]
    return min(there)[-1] if there else None
