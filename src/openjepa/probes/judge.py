"""One question, one probe, every method: the same lines run on the encoder and on each of its floors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from openjepa.probes import attentive, fewshot, finetune, knn, linear
from openjepa.probes.attentive import Attentive
from openjepa.probes.confidence import check, paired_gain, wilson
from openjepa.probes.features import Frozen
from openjepa.probes.finetune import Finetune, Task
from openjepa.probes.questions import Question
from openjepa.probes.report import Row
from openjepa.probes.token_file import TokenFeatures

PROBES = ("knn", "linear", *fewshot.BUDGETS, "attentive", "finetune")


@dataclass(frozen=True)
class Tunable:
    """An encoder that learns the labels itself, and the samples of one side."""

    bundle: Frozen
    task: Task

    def __getitem__(self, which: Tensor) -> "Tunable":
        return Tunable(self.bundle, self.task[which])


Sides = tuple[Tensor, Tensor] | tuple[TokenFeatures, TokenFeatures] | tuple[Tunable, Tunable]  # train, test


@dataclass(frozen=True)
class Outcome:
    """What a probe found on one method's features."""

    right: Bool[Tensor, " m"] | None  # per test sample; None for few-shot
    tries: tuple[float, ...]  # accuracies of the draws; empty otherwise
    detail: dict[str, Any]
    guess: Int[Tensor, " m"] | None = None  # class of each test sample; None for few-shot
    fitted: Any = None  # what learnt: linear.Linear, attentive.Fitted; None where nothing did


@dataclass
class Judge:
    """What stays the same from question to question, and what need not be computed twice."""

    seed: int
    groups: Int[Tensor, " n"] | None = None  # of the training samples: choices within train never cut one
    pooler: Attentive = field(default_factory=Attentive)
    tuning: Finetune = field(default_factory=Finetune)
    clips: int = 1
    views: int = 1
    device: torch.device = torch.device("cpu")  # where an attentive probe learns
    heads: int | None = None  # attention heads of the encoder
    near: dict[str, tuple[bytes, knn.Near]] = field(default_factory=dict)  # method -> (samples, their neighbours)

    def neighbours(self, method: str, x: Tensor, test: Tensor, here: Tensor, there: Tensor) -> knn.Near:
        """Of features that were asked of before, from memory, if the same samples are asked of."""
        which = here.numpy().tobytes() + there.numpy().tobytes()
        known = self.near.get(method)
        if known is None or known[0] != which:
            known = self.near[method] = (which, knn.search(x, test))
        return known[1]


def compare(
    methods: Mapping[str, Sides], question: Question, name: str, y: Int[Tensor, " n"], test_y: Int[Tensor, " m"], judge: Judge
) -> tuple[list[Row], Outcome | None]:
    """Probe `name` on every method's (train, test) features, then the majority class and chance; what the encoder's probe found.

    A label of -1 is a sample without an answer, which is not asked. The method "encoder" gets its gains over the others.
    """
    here, there = y >= 0, test_y >= 0
    y, test_y, classes = y[here], test_y[there], len(question.names)
    if not len(test_y):
        raise ValueError(f"no test sample that has a label {question.label!r} could be read")
    groups = None if judge.groups is None else judge.groups[here]
    outcomes = {}
    for method, (x, test) in methods.items():
        x, test = x[here], test[there]
        if isinstance(x, TokenFeatures) and isinstance(test, TokenFeatures):
            outcomes[method] = pool(x, y, test, test_y, classes, groups, judge)
        elif isinstance(x, Tunable) and isinstance(test, Tunable):
            outcomes[method] = tune(x, test, classes, judge)
        elif isinstance(x, Tensor) and isinstance(test, Tensor):
            near = None
            if name == "knn":
                check(x, y, classes)
                near = judge.neighbours(method, x, test, here, there)
            outcomes[method] = run(name, x, y, test, test_y, classes, judge.seed, groups, near)
    rows = []
    for method, outcome in outcomes.items():
        floors = {m: other for m, other in outcomes.items() if m != method and method == "encoder"}
        rows.append(to_row(question, name, method, outcome, test_y, {m: gain(outcome, other) for m, other in floors.items()}))
    right = test_y == y.bincount(minlength=classes).argmax()
    rows.append(to_row(question, name, "majority", Outcome(right, (), {}), test_y, {}))
    chance = 1 / len(torch.unique(y))
    return [*rows, Row(question.label, name, "chance", chance, chance, chance, None, {}, {}, {})], outcomes.get("encoder")


def run(
    name: str,
    x: Float[Tensor, "n d"],
    y: Int[Tensor, " n"],
    test: Float[Tensor, "m d"],
    test_y: Int[Tensor, " m"],
    classes: int,
    seed: int,
    groups: Int[Tensor, " n"] | None,
    near: knn.Near | None,
) -> Outcome:
    """Fit probe `name` on (x, y), ask it about `test`."""
    if name == "knn":
        guesses = knn.predict(x, y, test, classes, near=near)
        by_k = {str(k): (guess == test_y).double().mean().item() for k, guess in guesses.items()}
        return Outcome(guesses[knn.DEFAULT] == test_y, (), {"k": by_k}, guesses[knn.DEFAULT])
    if name == "linear":
        fitted = linear.fit(x, y, classes, seed=seed, groups=groups)
        guess = fitted.predict(test)
        return Outcome(guess == test_y, (), {"C": fitted.strength, "held_out": fitted.held_out}, guess, fitted)
    few = fewshot.run(x, y, test, test_y, classes, fewshot.BUDGETS[name], seed=seed)
    return Outcome(None, few.tries, {"samples": few.samples, "tries": few.tries})


def pool(
    x: TokenFeatures,
    y: Int[Tensor, " n"],
    test: TokenFeatures,
    test_y: Int[Tensor, " m"],
    classes: int,
    groups: Int[Tensor, " n"] | None,
    judge: Judge,
) -> Outcome:
    """The attentive probe, which pools tokens for itself."""
    heads = judge.heads if judge.heads and x.dim % judge.heads == 0 else None
    fitted = attentive.fit(x, y, classes, judge.pooler, heads=heads, seed=judge.seed, groups=groups, device=judge.device)
    guess = fitted.predict(test)
    return Outcome(guess == test_y, (), fitted.detail(), guess, fitted)


def tune(x: Tunable, test: Tunable, classes: int, judge: Judge) -> Outcome:
    """Fine-tuning, which trains an encoder of its own and gives no head for the frozen one."""
    fitted = finetune.fit(x.bundle, x.task, classes, judge.tuning, seed=judge.seed)
    guess = fitted.predict(test.task, judge.clips, judge.views)
    return Outcome(guess == test.task.y, (), fitted.detail())


def gain(ours: Outcome, floor: Outcome) -> tuple[float, float, float]:
    """How much better than a floor, with its 95 % interval: over test samples, or over draws."""
    if ours.right is not None and floor.right is not None:
        return paired_gain(ours.right, floor.right)
    differences = [a - b for a, b in zip(ours.tries, floor.tries, strict=True)]
    return sum(differences) / len(differences), *fewshot.interval(differences)


def to_row(
    question: Question, probe: str, method: str, outcome: Outcome, test_y: Int[Tensor, " m"], gains: dict[str, tuple[float, float, float]]
) -> Row:
    if outcome.right is None:
        few = fewshot.FewShot(outcome.tries, outcome.detail["samples"])
        return Row(question.label, probe, method, few.mean, *fewshot.interval(few.tries), few.sd, gains, {}, outcome.detail)
    right, count = int(outcome.right.sum()), len(test_y)
    per_class = {}
    for index, name in enumerate(question.names):
        of_class = outcome.right[test_y == index]
        if len(of_class):
            per_class[name] = (of_class.double().mean().item(), len(of_class))
    return Row(question.label, probe, method, right / count, *wilson(right, count), None, gains, per_class, outcome.detail)
