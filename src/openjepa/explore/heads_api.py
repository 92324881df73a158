"""One frozen encoder, many heads: which heads a run has, and what each says of an input."""

import time
from dataclasses import dataclass
from typing import Any

from openjepa.explore.beneath import Below, checked, opened, opening
from openjepa.explore.heads_shown import NEAREST, HeadShown, command, drawn, nearest_shown, note, shown
from openjepa.explore.routes import Answer, Query, get, post
from openjepa.explore.shelf import Listed, Shelf
from openjepa.probes.heads import heads_in, load_head

GROWTH = 48  # samples that one question adds to it


@dataclass(frozen=True)
class HeadAsked:
    run: str
    input: str
    head: str
    step: int | None = None  # by default the checkpoint that the head was fitted on


@dataclass(frozen=True)
class Heads:
    heads: tuple[HeadShown, ...]
    problems: tuple[str, ...]  # files that are damaged or of a newer version
    fix: str  # the command that makes heads


@dataclass(frozen=True, kw_only=True)
class HeadAnswer:
    """`parts` are probes.answers, each with its kind; neighbours also with `inputs`, token maps with the grid as `shape`."""

    head: str
    parts: tuple[dict[str, Any], ...]
    encoder: Below
    note: str
    have: int  # samples compared with, and how many it will be: the page asks again until all are there
    want: int
    timing: dict[str, float]  # milliseconds
    python: str


@get("heads")
def heads(shelf: Shelf, asked: Query) -> Answer:
    """What lies in the run's folder, read from headers, and the head that needs no labels."""
    listed = shelf.run(asked.get("run", ""))
    said, inputs = shelf.read(listed), shelf.inputs_of(listed)
    there = heads_in(listed.folder)
    found = [shown(one.name, one.info, inputs, said["checkpoints"]) for one in there if one.info is not None]
    problems = tuple(one.problem for one in there if one.info is None)
    return Answer(Heads((*found, nearest_shown()), problems, command(listed, said["info"])))


@post("heads/ask", HeadAsked)
def ask(shelf: Shelf, asked: HeadAsked) -> Answer:
    """What one head says of one input."""
    listed = shelf.run(asked.run)
    inputs = shelf.inputs_of(listed)
    inputs.parse(asked.input)
    if asked.head == NEAREST:
        return Answer(ask_nearest(shelf, listed, asked))
    path = next((one.path for one in heads_in(listed.folder) if one.name == asked.head), None)
    if path is None:
        raise LookupError(f"no head {asked.head!r} in {listed.id}; {command(listed, shelf.read(listed)['info'])} makes some")
    head = load_head(path)
    step = head.info.encoder.step if asked.step is None else asked.step
    encoder = opened(shelf, listed, step).encoder
    began = time.perf_counter()
    encoded = head.encode(encoder, inputs.view(asked.input)[None])
    between = time.perf_counter()
    answer = head.answer(encoded)
    ended = time.perf_counter()
    parts = tuple(drawn(part, head.info, inputs, encoder) for part in answer.parts)
    timing = {"encode": 1000 * (between - began), "head": 1000 * (ended - between)}
    lines = [
        *opening(listed, step, asked.input),
        f"head = openjepa.load_head({str(path)!r})",
        "found = head.answer(head.encode(encoder, view))",
    ]
    below = checked(encoder, head.info.encoder.sha256)
    return Answer(
        HeadAnswer(
            head=asked.head,
            parts=parts,
            encoder=below,
            note=note(head.info, inputs, asked.input),
            have=0,
            want=0,
            timing=timing,
            python="\n".join(lines) + "\n",
        )
    )


def ask_nearest(shelf: Shelf, listed: Listed, asked: HeadAsked) -> HeadAnswer:
    there = shelf.read(listed)["checkpoints"]
    if asked.step is None and not there:
        raise ValueError(f"{listed.id} has no checkpoint yet; it appears with the first save")
    both = opened(shelf, listed, max(there) if asked.step is None else asked.step)
    encoder, index = both.encoder, both.nearest
    before, began = encoder.sha256, time.perf_counter()
    index.grow(GROWTH)
    found, ids = index.find(asked.input)
    part = {**found.to_dict(), "inputs": ids}
    timing = {"encode": 1000 * (time.perf_counter() - began)}
    lines = [*opening(listed, encoder.step, asked.input), "nearest = Nearest(encoder, inputs)", "nearest.grow()"]
    python = "\n".join(["from openjepa.explore.nearest import Nearest", *lines, f"found, which = nearest.find({asked.input!r})"]) + "\n"
    have, want = len(index.known), len(index.known) + len(index.missing)
    return HeadAnswer(
        head=NEAREST, parts=(part,), encoder=checked(encoder, before), note="", have=have, want=want, timing=timing, python=python
    )
