"""The verdict in words, with the knob to turn."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

WARMUP = 0.15  # progress before which nothing but a full collapse is called


@dataclass(frozen=True)
class Verdict:
    """One word or two on a run, what to change, and the numbers it rests on (name: now, untrained)."""

    name: str
    advice: str
    numbers: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def collapsed(self) -> bool:
        return self.name.endswith("collapse")

    def __str__(self) -> str:
        shown = ", ".join(f"{name} {now:.3g} (untrained {then:.3g})" for name, (now, then) in self.numbers.items())
        return f"{self.name}: {shown}" if shown else self.name


def judge(now: Mapping[str, Any], untrained: Mapping[str, Any], history: Sequence[Mapping[str, Any]], progress: float) -> Verdict:
    """What the numbers say.

    now, untrained: values of `measure` as floats, and "loss" where known; names may begin with "health/".
    history:        earlier rows of the same kind, oldest first. The last two smooth `now`.
    progress:       0 to 1; before WARMUP only a full collapse is called.
    Thresholds: std under a twentieth of the untrained value, participation under 2, centred cosine over
    .95, 1 - R^2 over .99. An untrained encoder may be past two of them: with small patches it is mostly
    position, and on photos brightness alone gives it a participation near 2. So these are called only
    when position has not come down from the untrained share, or participation has come down by a quarter.
    Healthy runs, too, pass a low rank in their first tenth (brightness is learnt first), hence WARMUP.
    """
    start, value = row_of(untrained), smoothed([row_of(row) for row in [*history[-2:], now]])
    teacher = "miss_vs_copy" in value
    verdict = full_collapse(value, start, teacher)
    if verdict is None and progress < WARMUP:
        return Verdict("warming up", f"nothing to change yet: verdicts start at {WARMUP:.0%} of the run")
    found = verdict or position_collapse(value, start, teacher) or dimensional_collapse(value, start, teacher)
    every = len(history) // 400 + 1  # enough to see a trend, however long the run
    return found or trend([row_of(row) for row in [*history[::every], now]], value, start, teacher)


def full_collapse(value: dict[str, float], start: dict[str, float], teacher: bool) -> Verdict | None:
    for name in ("spread", "std"):
        if value.get(name, 1.0) < 0.05 * start.get(name, 0.0):
            advice = (
                "every token gets the same feature: raise --objective.momentum.start towards 1, keep --objective.stop-gradient on, "
                "lower --optimizer.lr.peak"
                if teacher
                else "every token gets the same feature: lower --optimizer.lr.peak or lengthen --optimizer.lr.warmup, set --optimizer.clip 1.0"
            )
            return Verdict("full collapse", advice, pairs(value, start, name, "miss_vs_mean"))
    return None


def position_collapse(value: dict[str, float], start: dict[str, float], teacher: bool) -> Verdict | None:
    share = value.get("position_share", 0.0)
    content, content_start = 1 - share, 1 - start.get("position_share", 0.0)
    if share <= 0.9 or content > 2 * content_start:
        return None
    advice = (
        "the targets say where they are, hardly what is there: set --objective.balance 1.0 or more (content against position at the start), "
        "take larger patches (--modality.patch) or lower --objective.encoder.position-scale"
        if teacher
        else "the features say where they are, hardly what is there: lower --objective.encoder.position-scale or take larger patches (--modality.patch)"
    )
    return Verdict("position collapse", advice, pairs(value, start, "position_share", "miss_vs_mean", "miss_vs_place"))


def dimensional_collapse(value: dict[str, float], start: dict[str, float], teacher: bool) -> Verdict | None:
    few = value.get("participation", 9.0) < 2 and value["participation"] < 0.75 * start.get("participation", 9.0)
    for name, bad in (("participation", few), ("cosine_centred", value.get("cosine_centred", 0.0) > 0.95)):
        if bad:
            advice = (
                "features use a line or two of their space: raise --objective.momentum.start, lower --optimizer.lr.peak, "
                "average more layers with --objective.target-layers, or take a shallower --objective.predictor.depth"
                if teacher
                else "features use a line or two of their space: lower --optimizer.lr.peak, hide more with --objective.masks.ratio, deepen --objective.decoder.depth"
            )
            return Verdict("dimensional collapse", advice, pairs(value, start, name, "effective_rank"))
    return None


def trend(rows: list[dict[str, float]], value: dict[str, float], start: dict[str, float], teacher: bool) -> Verdict:
    """Without a collapse: does it learn, and does a rising loss mean harm?"""
    miss = pairs(value, start, "miss_vs_mean", "miss_vs_place")
    if value.get("miss_vs_mean", 0.0) > 0.99:
        knob = "--objective.predictor.depth" if teacher else "--objective.decoder.depth"
        return Verdict(
            "not learning", f"no better than answering the mean: raise --optimizer.lr.peak or train longer, then deepen {knob}", miss
        )
    loss, rank, std, error, copy = since_lowest_loss(rows, "loss", "effective_rank", "std", "miss_vs_mean", "miss_vs_copy")
    richer = max(rank, std) > 1.02
    if loss > 1.05 and richer and (error < 1.1 or copy < 1):
        advice = "nothing to change: targets carry more, so they are harder to hit (1 - R^2 holds); trust the probes, not the loss"
        return Verdict("loss rising: richer targets", advice, pairs(value, start, "effective_rank", "std", "miss_vs_mean", "miss_vs_copy"))
    if loss > 1.2 and error > 1.1 and not richer:
        return Verdict("not learning", "the loss rises and 1 - R^2 gets worse: lower --optimizer.lr.peak, set --optimizer.clip 1.0", miss)
    return Verdict(
        "learning",
        "nothing to change; how much was learnt only a probe can say",
        pairs(value, start, "miss_vs_place", "effective_rank", "position_share"),
    )


def since_lowest_loss(rows: list[dict[str, float]], *names: str) -> list[float]:
    """Each number now over the same when the loss was lowest, both as means of a tenth of the rows (at least 3).

    1 where it cannot be said: too few rows, no such number, or the loss is lowest now.
    """
    size = max(3, len(rows) // 10)
    parts = [rows[i : i + size] for i in range(len(rows) % size, len(rows), size)]  # the last one ends now
    losses = [fmean([row["loss"] for row in part if "loss" in row] or [math.inf]) for part in parts]
    if len(parts) < 2:
        return [1.0] * len(names)
    lowest, last = parts[losses.index(min(losses))], parts[-1]

    def ratio(name: str) -> float:
        before, after = ([row[name] for row in part if name in row] for part in (lowest, last))
        return fmean(after) / fmean(before) if before and after and fmean(before) else 1.0

    return [ratio(name) for name in names]


def smoothed(rows: list[dict[str, float]]) -> dict[str, float]:
    """Median of these rows: one odd batch does not make a verdict."""
    return {name: median([row[name] for row in rows if name in row]) for name in rows[-1]}


def row_of(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row under their plain names; what is missing or not finite is left out."""
    found = {name.removeprefix("health/"): value for name, value in row.items()}
    return {k: float(v) for k, v in found.items() if isinstance(v, int | float) and math.isfinite(v)}


def pairs(value: dict[str, float], start: dict[str, float], *names: str) -> dict[str, tuple[float, float]]:
    return {name: (value[name], start.get(name, float("nan"))) for name in names if name in value}
