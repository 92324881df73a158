"""Labels of two data sets, brought to one numbering: what is asked, and of which samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from openjepa.data.labels import LabelSet
from openjepa.probes.reading import Readable
from openjepa.probes.splits import Groups, hold_out, hold_out_groups

HELD_OUT = 0.2  # share of every class that judges when no test set is given


@dataclass(frozen=True)
class Labelled:
    """A data set with what is known about its samples. `path` is what a person called it."""

    path: str
    dataset: Readable
    labels: Mapping[str, LabelSet]


@dataclass(frozen=True)
class Question:
    """One kind of label over all samples of either side, numbered as `names`; -1 where a sample has none."""

    label: str
    names: tuple[str, ...]
    train: Int[Tensor, " n"]
    test: Int[Tensor, " m"]


def questions(train: Labelled, test: Labelled | None, wanted: Sequence[str] | None) -> tuple[list[Question], list[str]]:
    """The questions to ask and notes about them. ValueError says which labels are missing or do not fit."""
    for side in (train, test or train):
        if not side.labels:
            raise ValueError(
                f"{side.path} has no labels to probe with: sort its images into one subfolder per class, <folder>/<class>/<image>"
            )
    for name in wanted or ():
        if name not in train.labels:
            raise ValueError(f"no label {name!r} in {train.path}; it has {', '.join(train.labels)}")
    asked, notes = [], list[str]()
    for name in wanted or train.labels:
        if test is not None and name not in test.labels:
            raise ValueError(f"{test.path} has no label {name!r}; it has {', '.join(test.labels)}. Train and test must ask the same")
        asked.append(match(name, train, test, notes))
    return asked, notes


def match(label: str, train: Labelled, test: Labelled | None, notes: list[str]) -> Question:
    """One label of both sides under train's numbering."""
    known = train.labels[label]
    seen = sorted(int(v) for v in torch.unique(known.values) if v >= 0)
    if len(seen) < 2:
        only = f"one class only, {known.names[seen[0]]!r}" if seen else "no labelled sample"
        raise ValueError(f"label {label!r} of {train.path} has {only}; a probe needs samples of at least 2 classes")
    missing = int((known.values < 0).sum())
    if missing:
        notes.append(f"{missing} samples of {train.path} have no label {label!r} and are left out")
    if test is None:
        return Question(label, known.names, known.values, known.values)
    asked = test.labels[label]
    there = {asked.names[int(v)] for v in torch.unique(asked.values) if v >= 0}
    learnt = {known.names[v] for v in seen}
    if there - learnt:
        odd, missed = sorted(there - learnt), sorted(learnt - there)
        lacking = f", and lacks {some(missed)}" if missed else ""
        raise ValueError(
            f"{test.path} has {label} {some(odd)}, which {train.path} does not{lacking}; train and test must have the same class names"
        )
    if learnt - there:
        absent = some(sorted(learnt - there))
        notes.append(f"{test.path} has no sample of {label} {absent}: the score is over the other {len(there)} classes")
    index = {name: i for i, name in enumerate(known.names)}
    table = torch.tensor([index.get(name, -1) for name in asked.names] + [-1])  # the last one is for -1, no label
    return Question(label, known.names, known.values, table[asked.values])


def some(names: Sequence[str]) -> str:
    """A few names, and how many more."""
    listed = ", ".join(repr(name) for name in names[:5])
    return listed if len(names) <= 5 else f"{listed} and {len(names) - 5} more"


def held_out_rows(
    asked: Sequence[Question], seed: int, groups: Groups | None = None, wanted: Sequence[str] = ()
) -> tuple[list[int], list[int]]:
    """(rows to learn from, rows to judge by): the share HELD_OUT of every class of the first question.

    With `groups` about so much of all samples in whole groups, or the groups `wanted`.
    """
    labels = asked[0].train
    there = torch.nonzero(labels >= 0)[:, 0]
    if groups is not None and wanted:
        out = torch.isin(groups.values[there], groups.numbers(wanted))
        lost = set(labels[there][out].tolist()) - set(labels[there][~out].tolist())
        if lost:
            names = some([asked[0].names[i] for i in sorted(lost)])
            raise ValueError(f"without the groups {', '.join(wanted)} no sample of {asked[0].label} {names} is left to learn from")
        return there[~out].tolist(), there[out].tolist()
    if groups is not None:
        kept, held = hold_out_groups(labels[there], groups.values[there], HELD_OUT, seed, "test")
        return there[kept].tolist(), there[held].tolist()
    kept, held = hold_out(labels[there], HELD_OUT, seed, "test")
    if not len(held):
        raise ValueError(f"no class of {asked[0].label!r} has 2 samples, so none can be held out; give a test set with --test")
    return there[kept].tolist(), there[held].tolist()
