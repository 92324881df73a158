"""Heads and their answers as the page draws them."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openjepa.explore.inputs import Inputs
from openjepa.explore.shelf import Listed
from openjepa.frozen import FrozenEncoder
from openjepa.probes.answers import Part
from openjepa.probes.heads import HeadInfo

NEAREST = "nearest"  # the head that needs no labels
SHOWN = 12  # classes of an answer, the likeliest first


@dataclass(frozen=True)
class Failure:
    """A test sample that the head gets wrong; `input` where the run's own data has it."""

    name: str
    truth: str
    guess: str
    input: str | None


@dataclass(frozen=True, kw_only=True)
class HeadShown:
    """A head beside its floors. `why`: what keeps it from being asked; empty where nothing does."""

    name: str
    kind: str
    question: str = ""
    classes: int = 0
    parameters: int = 0
    step: int | None = None
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None
    samples: int = 0
    floors: dict[str, float] = field(default_factory=dict)
    data: str = ""
    test: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    created: str = ""
    failures: tuple[Failure, ...] = ()
    own: bool  # whether it learnt from the run's own data, of which the inputs are
    why: str = ""


def shown(name: str, info: HeadInfo, inputs: Inputs, checkpoints: Sequence[int]) -> HeadShown:
    score = info.score
    there = info.encoder.step in checkpoints
    return HeadShown(
        name=name,
        kind=info.kind,
        question=info.question,
        classes=len(info.classes),
        parameters=info.parameters,
        step=info.encoder.step,
        accuracy=score.accuracy if score else None,
        low=score.low if score else None,
        high=score.high if score else None,
        samples=score.samples if score else 0,
        floors=info.floors,
        data=Path(str(info.data.get("path", ""))).name,
        test=Path(str(info.test.get("path", ""))).name,
        settings=info.settings,
        source=info.source,
        created=info.created,
        failures=tuple(Failure(one.name, one.truth, one.guess, row_of(info.test, inputs, one.row)) for one in info.wrong),
        own=same_data(info.data, inputs),
        why="" if there else f"its checkpoint, step {info.encoder.step}, is not in the run any more",
    )


def nearest_shown() -> HeadShown:
    return HeadShown(name=NEAREST, kind=NEAREST, own=True)


def drawn(part: Part, info: HeadInfo, inputs: Inputs, encoder: FrozenEncoder) -> dict[str, Any]:
    """A part of an answer, with what the page needs beside it. Kinds that are not known here pass as they are."""
    told = part.to_dict()
    if part.kind == "classes":
        order = sorted(range(len(told["names"])), key=lambda i: -told["probabilities"][i])[:SHOWN]
        return told | {name: [told[name][i] for i in order] for name in ("names", "probabilities")} | {"of": len(told["names"])}
    if part.kind == "neighbours":
        return told | {"inputs": [row_of(info.data, inputs, row) for row in told["rows"]]}
    if part.kind == "tokens":
        registers = encoder.modality.registers
        return told | {"values": told["values"][registers:], "shape": list(encoder.modality.grid)}
    return told


def same_data(data: Mapping[str, Any], inputs: Inputs) -> bool:
    """Whether rows of `data` are rows of what the page shows."""
    return inputs.dataset is not None and bool(data.get("fingerprint")) and inputs.dataset.fingerprint == data["fingerprint"]


def row_of(data: Mapping[str, Any], inputs: Inputs, row: int) -> str | None:
    return inputs.name_of(row) if same_data(data, inputs) and row < len(inputs) else None


def note(info: HeadInfo, inputs: Inputs, name: str) -> str:
    """What a reader of an answer must know."""
    told = []
    missed = {row_of(info.test, inputs, one.row) for one in info.wrong}
    if same_data(info.data, inputs) and name.startswith("data:") and name not in missed:
        told.append("the head may have learnt from this very sample: try a file of your own, or one of those it gets wrong")
    for what in ("clips", "views"):
        if info.settings.get(what, 1) > 1:
            told.append(f"it was scored on {info.settings[what]} {what} of each sample, here it sees one")
    return "; ".join(told)


def command(listed: Listed, info: Mapping[str, Any]) -> str:
    """The line that makes heads: on the run's own data where that has labels."""
    data = info.get("data", {})
    where = str(data["path"]) if data.get("labels") and data.get("path") else "LABELLED"
    return shlex.join(["openjepa", "probe", str(listed.folder), "--data", where, "--probes", "knn", "linear", "attentive"])
