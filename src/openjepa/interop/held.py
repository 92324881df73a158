"""Tensors of others under our names, strictly: all of ours are there and all of theirs are used or named as not needed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from openjepa.interop.families import Architecture, Asked
from openjepa.interop.heads import Theirs
from openjepa.interop.key_report import KeyReport
from openjepa.interop.layouts import LAYOUTS, Row, match, rows
from openjepa.models.dynamics import Dynamics
from openjepa.models.encoder import Encoder
from openjepa.models.predictor import Predictor


class Ours(Mapping[str, Tensor]):
    """Our tensors, float32, each made from theirs when it is asked for."""

    def __init__(self) -> None:
        self.made: dict[str, tuple[Row, Mapping[str, Tensor]]] = {}

    def put(self, name: str, row: Row, theirs: Mapping[str, Tensor]) -> None:
        self.made[name] = (row, theirs)

    def __getitem__(self, name: str) -> Tensor:
        row, theirs = self.made[name]
        return row.read(lambda their_name: theirs[their_name].detach().float())

    def shape(self, name: str) -> tuple[int, ...]:
        return self.made[name][0].shape

    def __iter__(self) -> Iterator[str]:
        return iter(self.made)

    def __len__(self) -> int:
        return len(self.made)


@dataclass(frozen=True)
class Held:
    """What a file or folder of others holds."""

    arch: Architecture
    encoder: Ours  # the one that is exported
    objective: Ours | None  # all modules, or None where the predictor is not there
    which: str  # target or context
    report: KeyReport
    dtypes: tuple[str, ...]  # as stored
    dynamics: Ours | None = None  # V-JEPA 2-AC's predictor
    heads: tuple[Theirs, ...] = ()  # classifiers on the exported encoder


def meta_encoder(arch: Architecture) -> Encoder:
    with torch.device("meta"):
        size = arch.channels
        for p in arch.patch:
            size *= p
        return Encoder(arch.encoder, size)


def meta_predictor(arch: Architecture) -> Predictor:
    assert arch.predictor is not None
    encoder = meta_encoder(arch)
    out = encoder.embed.in_features if arch.family == "mae" else encoder.dim
    with torch.device("meta"):
        return Predictor(arch.predictor, encoder.dim, out, max(1, arch.mask_tokens))


def hold(
    source: str,
    arch: Architecture,
    parts: Mapping[str, Mapping[str, Tensor]],
    asked: Asked,
    not_needed: Mapping[str, str],
    report: KeyReport | None = None,
) -> Held:
    """Match every module. Mismatch (a ValueError) lists what is missing, unknown or of another shape, beside what `report` has already."""
    if asked.which == "context" and "encoder" not in parts:
        raise ValueError(f"--which is context, but {source} holds the target encoder alone; leave --which out to export that one")
    encoder_names, predictor_names = LAYOUTS[arch.layout]
    kernel = (arch.channels, *arch.patch)
    found: dict[str, list[Row]] = {}
    report, stored = report or KeyReport(source), set[torch.dtype]()
    several = len(parts) > 1
    for part, theirs in parts.items():
        if part == "predictor" and arch.dynamics is not None:
            with torch.device("meta"):
                wanted = list(rows(Dynamics(arch.dynamics, arch.encoder.dim), predictor_names))
        elif part == "predictor":
            wanted = list(rows(meta_predictor(arch), predictor_names))
        else:
            wanted = list(rows(meta_encoder(arch), encoder_names, kernel))
        match(f"{part}." if several and arch.family != "mae" else "", wanted, theirs, not_needed, report)
        found[part] = wanted
        stored |= {value.dtype for value in some(theirs)}
    report.check()
    which = asked.which if "target_encoder" in parts else "context"
    exported = "target_encoder" if which == "target" else "encoder"
    acting = ours(found["predictor"], parts["predictor"]) if arch.dynamics is not None else None
    dtypes = tuple(sorted(str(dtype).removeprefix("torch.") for dtype in stored))
    return Held(arch, ours(found[exported], parts[exported]), whole(arch, found, parts), which, report, dtypes, acting)


def whole(arch: Architecture, found: Mapping[str, list[Row]], parts: Mapping[str, Mapping[str, Tensor]]) -> Ours | None:
    """Everything that an objective has; where only one encoder was kept, it is both context and target encoder."""
    if "predictor" not in found or arch.dynamics is not None:
        return None
    first = "encoder" if "encoder" in found else "target_encoder"
    if arch.family == "mae":
        names = {"encoder": first, "decoder": "predictor"}
    else:
        names = {"encoder": first, "target_encoder": "target_encoder" if "target_encoder" in found else first, "predictor": "predictor"}
    made = Ours()
    for name, part in names.items():
        for row in found[part]:
            made.put(f"{name}.{row.ours}", row, parts[part])
    return made


def ours(wanted: list[Row], theirs: Mapping[str, Tensor]) -> Ours:
    made = Ours()
    for row in wanted:
        made.put(row.ours, row, theirs)
    return made


def some(theirs: Mapping[str, Tensor]) -> Iterator[Tensor]:
    """A tensor or two, to tell how they are stored."""
    for name in list(theirs)[:2]:
        yield theirs[name]
