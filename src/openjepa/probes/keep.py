"""From a probe that was just fitted on the encoder to the head that is kept of it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from openjepa import draws
from openjepa.frozen import FrozenEncoder
from openjepa.probes.confidence import wilson
from openjepa.probes.head_kinds import BANK, BANK_BYTES, AttentiveHead, KnnHead, LinearHead, settings_of
from openjepa.probes.heads import Head, HeadInfo, Of, Score, Wrong
from openjepa.probes.judge import Outcome, Sides
from openjepa.probes.questions import Labelled, Question
from openjepa.probes.report import Row

WRONG = 12  # test samples that the head gets wrong, whose rows are kept


@dataclass(frozen=True)
class Asked:
    """What is the same for every head of one run of the probes."""

    encoder: Of
    settings: Mapping[str, Any]  # pooling, layer, clips, views, seed
    train: Labelled
    test: Labelled  # the same as train where test was held out of it
    held_out: bool
    rows: Int[Tensor, " n"]  # of train
    test_rows: Int[Tensor, " m"]

    def data(self, which: Labelled, rows: Int[Tensor, " n"]) -> dict[str, Any]:
        return {"path": which.path, "fingerprint": which.dataset.fingerprint, "samples": len(rows)}


def encoder_of(bundle: FrozenEncoder) -> Of:
    return Of(bundle.sha256, sum(p.numel() for p in bundle.encoder.parameters()), bundle.step)


def head(asked: Asked, question: Question, found: Outcome, rows: Sequence[Row], sides: Sides, y: Tensor, test_y: Tensor) -> Head | None:
    """What to keep of a probe; None where nothing single was fitted, as by few-shot probes.

    `rows` are of this probe and question; `sides`, `y` and `test_y` are all samples read, -1 where one has no label.
    """
    if found.guess is None:
        return None
    here, there = y >= 0, test_y >= 0
    row = next(row for row in rows if row.method == "encoder")
    guess, truth, test_rows = found.guess, test_y[there], asked.test_rows[there]
    info = HeadInfo(
        kind=row.probe,
        question=question.label,
        classes=question.names,
        settings={**asked.settings, **settings_of(found.fitted)},
        encoder=asked.encoder,
        parameters=0,
        score=Score(row.accuracy, row.low, row.high, len(truth)),
        floors={other.method: other.accuracy for other in rows if other.method != "encoder"},
        data=asked.data(asked.train, asked.rows[here]),
        test=asked.data(asked.test, test_rows) | {"held_out": asked.held_out},
        wrong=wrong(asked, question, guess, truth, test_rows),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    if row.probe == "linear":
        return LinearHead(replace(info, parameters=found.fitted.weight.numel() + found.fitted.bias.numel()), found.fitted)
    if row.probe == "attentive":
        return AttentiveHead(replace(info, parameters=found.fitted.parameters), found.fitted.weights)
    x, test = sides
    assert isinstance(x, Tensor)
    assert isinstance(test, Tensor)
    return bank(asked, question, info, (x[here], y[here], asked.rows[here]), (test[there], truth, test_rows))


def bank(
    asked: Asked, question: Question, info: HeadInfo, train: tuple[Tensor, Tensor, Tensor], test: tuple[Tensor, Tensor, Tensor]
) -> KnnHead:
    """Of at most BANK samples drawn at random. Its score is its own: a part of the samples, as float16, may vote otherwise."""
    (x, y, rows), (test_x, truth, test_rows) = train, test
    key = draws.uniform(asked.settings["seed"], 0, range(len(x)), 1, "probe.bank")[:, 0]  # a stride could miss a whole class
    some = torch.from_numpy(key).argsort()[: min(BANK, BANK_BYTES // (2 * x.shape[1]))].sort().values
    names = [asked.train.dataset.name(int(row)) for row in rows[some]]
    made = KnnHead.fitted(info, x[some], y[some], rows[some], names)
    guess = made.predict(test_x)
    right, count = int((guess == truth).sum()), len(truth)
    score = Score(right / count, *wilson(right, count), count)
    told = {**info.settings, "bank": len(some)}
    missed = wrong(asked, question, guess, truth, test_rows)
    return replace(made, info=replace(info, settings=told, score=score, wrong=missed))


def wrong(asked: Asked, question: Question, guess: Tensor, truth: Tensor, rows: Tensor) -> tuple[Wrong, ...]:
    """A few test samples that were answered wrongly, evenly over the test data."""
    missed = torch.nonzero(guess != truth)[:, 0]
    found = []
    for i in missed[spread(len(missed), WRONG)].tolist():
        row = int(rows[i])
        found.append(Wrong(row, asked.test.dataset.name(row), question.names[int(truth[i])], question.names[int(guess[i])]))
    return tuple(found)


def spread(count: int, most: int) -> Int[Tensor, " k"]:
    """At most `most` of the numbers below `count`, evenly spread."""
    return torch.arange(min(count, most)) * count // min(count, most) if count else torch.arange(0)
