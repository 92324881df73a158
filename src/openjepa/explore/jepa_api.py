"""The flagship panel's questions: one placement, all placements, what is like the guess, a sketch of it, the noise test."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from openjepa.explore import prediction
from openjepa.explore.explorer import Explorer
from openjepa.explore.neighbours import Hit
from openjepa.explore.neighbours import neighbours as nearest
from openjepa.explore.noise import Kind, Moved, noise_test
from openjepa.explore.prediction import Score
from openjepa.explore.question import Box, Mode, spiral, windows
from openjepa.explore.routes import Answer, post
from openjepa.explore.shelf import Shelf
from openjepa.explore.sketch import sketch

GROWTH = 32  # samples that one question adds to the bank


@dataclass(frozen=True, kw_only=True)
class JepaAsked:
    run: str
    input: str
    targets: tuple[Box, ...]
    step: int | None = None
    context: Box | None = None
    mode: Mode = "strict"
    quick: bool = False


@dataclass(frozen=True, kw_only=True)
class SweepAsked(JepaAsked):
    size: tuple[int, ...]
    start: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class NeighboursAsked(JepaAsked):
    target: int = 0
    k: int = 6


@dataclass(frozen=True, kw_only=True)
class NoiseAsked:
    run: str
    input: str
    targets: tuple[Box, ...]
    step: int | None = None
    kind: Kind = "noise"
    amount: float = 0.4
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class BankAsked:
    run: str
    step: int | None = None


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """Beside the maps context, energy, skill, pca_true, pca_guess, resid and land; see prediction.Predicted."""

    scores: tuple[Score, ...]
    total: Score
    loss: float
    explained: float
    land_true: tuple[int, ...]
    land_min: tuple[int, ...]
    bank: int
    timing: dict[str, float]  # milliseconds
    python: str
    at: tuple[int, ...] = ()  # of a sweep: this placement, its number, and how many there are
    index: int = 0
    count: int = 1


@dataclass(frozen=True)
class Neighbours:
    hits: tuple[Hit, ...]
    bank: int
    python: str


@dataclass(frozen=True)
class Decoded:
    """Beside the frames true, guess and mean; see sketch.Sketch."""

    r2_true: float
    r2_guess: float
    bank: int
    python: str


@dataclass(frozen=True)
class Noise:
    rows: tuple[Moved, ...]
    python: str


@dataclass(frozen=True)
class Grown:
    have: int
    want: int
    full: bool


@post("jepa/predict", JepaAsked)
def predict(shelf: Shelf, asked: JepaAsked) -> Answer:
    explorer = shelf.explorer(asked.run, asked.step)
    found = explorer.jepa(asked.input, asked.targets, context=asked.context, mode=asked.mode, quick=asked.quick)
    return packed(found, python(explorer, "jepa", asked))


@post("jepa/sweep", SweepAsked)
def sweep(shelf: Shelf, asked: SweepAsked) -> Iterator[Answer]:
    """One hole of `size` at every place, those nearest to `start` first: the surprise map, and what a drag will need."""
    explorer = shelf.explorer(asked.run, asked.step)
    fixed = [(0, asked.start[0])] if len(explorer.grid) == 3 else []
    places = windows(explorer.grid, asked.size, fixed)
    order = spiral(places, asked.start)

    def each() -> Iterator[Answer]:
        for index, place in enumerate(order):
            box = Box(tuple(places[place].tolist()), asked.size)
            one = replace(asked, targets=(box,))
            found = explorer.jepa(asked.input, one.targets, context=asked.context, mode=asked.mode, quick=asked.quick)
            answer = packed(found, python(explorer, "jepa", one))
            yield Answer(replace(answer.meta, at=box.at, index=index, count=len(order)), answer.tensors)

    return each()


@post("jepa/neighbours", NeighboursAsked)
def neighbours(shelf: Shelf, asked: NeighboursAsked) -> Answer:
    explorer = shelf.explorer(asked.run, asked.step)
    hits = nearest(explorer, asked.input, asked.targets, asked.target, asked.k, asked.context, asked.mode)
    text = f"neighbours(explorer, {asked.input!r}, {boxes(asked.targets)}, {asked.target}, {asked.k}{where(asked)})"
    return Answer(Neighbours(tuple(hits), len(explorer.bank.names), script(explorer, text, "neighbours")))


@post("jepa/decode", JepaAsked)
def decode(shelf: Shelf, asked: JepaAsked) -> Answer:
    explorer = shelf.explorer(asked.run, asked.step)
    found = sketch(explorer, asked.input, asked.targets, asked.context, asked.mode)
    text = f"sketch(explorer, {asked.input!r}, {boxes(asked.targets)}{where(asked)})"
    meta = Decoded(found.r2_true, found.r2_guess, found.bank, script(explorer, text, "sketch"))
    return Answer(meta, {"true": found.true, "guess": found.guess, "mean": found.mean})


@post("jepa/noise", NoiseAsked)
def noise(shelf: Shelf, asked: NoiseAsked) -> Answer:
    explorer = shelf.explorer(asked.run, asked.step)
    rows = noise_test(explorer, asked.input, asked.targets, asked.kind, asked.amount, asked.seed)
    text = f"noise_test(explorer, {asked.input!r}, {boxes(asked.targets)}, {asked.kind!r}, {asked.amount!r}, {asked.seed})"
    return Answer(Noise(tuple(rows), script(explorer, text, "noise", "noise_test")))


@post("bank/grow", BankAsked)
def grow(shelf: Shelf, asked: BankAsked) -> Answer:
    """A few more samples to compare with; the page asks while nobody drags, until it is full."""
    bank = shelf.explorer(asked.run, asked.step).bank
    bank.grow(GROWTH)
    return Answer(Grown(len(bank.names), len(bank.wanted), bank.full))


def packed(found: prediction.Predicted, text: str) -> Answer:
    maps = ("context", "energy", "skill", "pca_true", "pca_guess", "resid", "land")
    numbers = Predicted(
        scores=found.scores,
        total=found.total,
        loss=found.loss,
        explained=found.explained,
        land_true=found.land_true,
        land_min=found.land_min,
        bank=found.bank,
        timing={name: round(1000 * value, 2) for name, value in found.seconds.items()},
        python=text,
    )
    tensors: dict[str, torch.Tensor] = {name: getattr(found, name) for name in maps}
    return Answer(numbers, tensors)


def boxes(targets: tuple[Box, ...]) -> str:
    """As Python writes them."""
    return "[" + ", ".join(f"Box({box.at}, {box.size})" for box in targets) + "]"


def where(asked: JepaAsked) -> str:
    """The settings that are not the defaults, as arguments."""
    context = f", context=Box({asked.context.at}, {asked.context.size})" if asked.context else ""
    return context + (f", mode={asked.mode!r}" if asked.mode != "strict" else "")


def python(explorer: Explorer, method: str, asked: JepaAsked) -> str:
    """The call that gives the same numbers once the bank is full."""
    quick = ", quick=True" if asked.quick else ""
    return script(explorer, f"explorer.{method}({asked.input!r}, {boxes(asked.targets)}{where(asked)}{quick})")


def script(explorer: Explorer, call: str, module: str = "", name: str = "") -> str:
    """A whole program around `call`."""
    more = f"from openjepa.explore.{module} import {name or module}\n" if module else ""
    opened = f"explorer = Explorer({str(explorer.folder)!r}, {explorer.step})"
    return f"from openjepa.explore.explorer import Explorer\nfrom openjepa.explore.question import Box\n{more}\n{opened}\nfound = {call}\n"
