"""Combinations that are known to go wrong, each as a pure look at the facts."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from openjepa.doctor.cost import Size, Speed
from openjepa.doctor.masks import MaskReport
from openjepa.masks.blocks import Blocks
from openjepa.masks.future import Future
from openjepa.masks.random import Random
from openjepa.objectives.jepa import JEPAConfig
from openjepa.run import Run

Level = Literal["problem", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """problem: training would stop or not fit; warning: it would run and likely disappoint; note: good to know."""

    level: Level
    text: str
    change: str = ""


@dataclass(frozen=True)
class Facts:
    """What was found out; None where it could not be."""

    run: Run
    base: Run | None = None  # the recipe
    images: int | None = None
    labels: tuple[str, ...] = ()
    bad: int = 0  # files that cannot be used, seen while indexing
    sampled: int = 0  # images decoded
    sampled_bad: int = 0
    small: int = 0  # decoded images that are smaller than a training view
    masks: MaskReport | None = None
    size: Size | None = None
    speed: Speed | None = None
    free_mb: float | None = None  # on the device
    free_disk: int | None = None  # bytes where runs are written
    busy: float = 0.0  # processes that wanted a core when the doctor came, per core


def findings(facts: Facts) -> list[Finding]:
    """All that applies, problems first."""
    looks = (data, images, masks, schedule, position, momentum, memory, disk, speed, rates)
    found = [finding for look in looks for finding in look(facts)]
    order: dict[Level, int] = {"problem": 0, "warning": 1, "note": 2}
    return sorted(found, key=lambda finding: order[finding.level])


def data(facts: Facts) -> Iterator[Finding]:
    run, n = facts.run, facts.images
    if n is None:
        return
    if run.batch_size > n:
        yield Finding(
            "problem", f"a batch of {run.batch_size} is larger than the data, which has {n} samples", f"--batch-size {n} or lower"
        )
    elif n < 1000:
        yield Finding(
            "warning", f"{n} samples are few: the encoder can learn them by heart", "more data, or a smaller encoder and few epochs"
        )
    total = n + facts.bad
    if facts.bad > run.data.max_bad * total:
        yield Finding(
            "problem",
            f"{facts.bad} of {total} files cannot be used, more than --max-bad {run.data.max_bad} allows",
            "remove them, or raise --max-bad",
        )
    elif facts.sampled_bad > run.data.max_bad * facts.sampled:
        text = (
            f"{facts.sampled_bad} of {facts.sampled} sampled files cannot be decoded; more than a share of {run.data.max_bad} stops the run"
        )
        yield Finding("warning", text, "remove them, or raise --max-bad")
    if run.probe_every and not facts.labels:
        yield Finding("note", "the data has no labels, so --probe-every does nothing", "class subfolders give labels")


def images(facts: Facts) -> Iterator[Finding]:
    if facts.small:
        view, kind = " x ".join(map(str, facts.run.modality.size)), facts.run.modality.kind
        yield Finding(
            "warning" if 2 * facts.small > facts.sampled else "note",
            f"{facts.small} of {facts.sampled} sampled {kind} are smaller than the {view} view and are blown up",
            "a smaller --modality.size with a --modality.patch that divides it",
        )


def masks(facts: Facts) -> Iterator[Finding]:
    report, config = facts.masks, facts.run.objective
    if report is None:
        return
    if report.context[0] < 3:  # three slices of 40 ms of twelve taught words (audio.ajepa_words)
        yield Finding(
            "warning", f"the context has {report.context[0]} tokens, hardly anything to predict from", "smaller patches, or more context"
        )
    future = isinstance(config.masks, Future)  # which asks for what follows and shows what was, by its nature
    never = 0 if future else int((report.target_coverage == 0).sum())
    if never:
        yield Finding(
            "warning",
            f"{never} of {report.target_coverage.size} places were never asked for in {report.samples} masks",
            "other mask settings",
        )
    unseen = 0 if future else int((report.context_coverage == 0).sum())
    if unseen:
        yield Finding("warning", f"{unseen} places were never part of the context in {report.samples} masks", "other mask settings")
    if report.overlap:
        yield Finding(
            "problem", f"context and targets overlap in {report.overlap} places: the answer can be read off", "other mask settings"
        )
    if isinstance(config.masks, Blocks) and report.targets[0] < 2 and not getattr(config, "union", False):
        yield Finding(
            "warning",
            f"a target block has {report.targets[0]} token: too little to have content",
            "--objective.masks.scale, or smaller patches",
        )
    if not isinstance(config, JEPAConfig) and isinstance(config.masks, Random) and config.masks.ratio < 0.5:
        yield Finding(
            "warning",
            f"only {100 * config.masks.ratio:.0f} % of the pixels are hidden: neighbours give them away",
            "--objective.masks.ratio 0.75",
        )


def schedule(facts: Facts) -> Iterator[Finding]:
    run = facts.run
    warm = run.optimizer.lr.warmup * run.steps
    if 0 < warm < 20 and run.steps >= 20:
        yield Finding(
            "warning",
            f"warm-up lasts {warm:.0f} steps: the learning rate jumps to its peak",
            "more --steps, or a larger --optimizer.lr.warmup",
        )
    if run.optimizer.lr.warmup > 0.5:
        yield Finding("warning", f"{100 * run.optimizer.lr.warmup:.0f} % of the run is warm-up", "--optimizer.lr.warmup 0.1")
    if run.steps < 500:
        yield Finding("warning", f"{run.steps} steps are too few to learn from", "some thousand --steps")
    if facts.images:
        epochs = run.steps * run.batch_size / facts.images
        if epochs < 1:
            yield Finding("note", f"the run sees {100 * epochs:.0f} % of the data, once", "more --steps")
        elif epochs > 2000:
            yield Finding("note", f"the data is seen {epochs:,.0f} times", "fewer --steps, or more data")


def position(facts: Facts) -> Iterator[Finding]:
    config = facts.run.objective
    if not isinstance(config, JEPAConfig) or facts.speed is None:
        return
    share = facts.speed.health.get("position_share", 0.0)
    # Measured on untrained encoders: patch 4 at 32 x 32, which collapsed, .77 (CIFAR-10) and .88 (tabletop);
    # patch 8 at 32 x 32 .29 and .46; patch 16 at 224 x 224 .2
    if share > 0.6 and config.balance is None:
        yield Finding(
            "warning",
            f"place explains {100 * share:.0f} % of the untrained targets, patch {'x'.join(map(str, getattr(facts.run.modality, 'patch', ())))}: position collapse is likely",
            "--objective.balance 2.0, or larger patches (--modality.patch)",
        )


def momentum(facts: Facts) -> Iterator[Finding]:
    config, steps = facts.run.objective, facts.run.steps
    if not isinstance(config, JEPAConfig):
        return
    if not config.stop_gradient:
        yield Finding("warning", "without stop-gradient the targets collapse", "--objective.stop-gradient")
        return
    # How many times over the target encoder takes the encoder's weights: the sum of 1 - momentum
    points = [1 - config.momentum(i / 100) for i in range(101)]
    renewed = steps * sum(points) / len(points)
    if renewed < 5:
        fitting = max(0.9, 1 - 20 / steps)
        text = f"the target encoder follows too slowly for {steps} steps: its weights are renewed {renewed:.1f} times in the run"
        yield Finding("warning", text, f"--objective.momentum.start {fitting:.3g}, or more --steps")
    if config.momentum(0.0) < 0.9:
        yield Finding(
            "warning",
            f"momentum {config.momentum(0.0):g} lets the targets chase the encoder: collapse is likely",
            "--objective.momentum.start 0.99",
        )


def memory(facts: Facts) -> Iterator[Finding]:
    if facts.size is None or facts.free_mb is None:
        return
    state = facts.size.state / 2**20
    if state > facts.free_mb:
        yield Finding("problem", f"weights and optimizer alone take {state:,.0f} MB, {facts.free_mb:,.0f} MB are free", "a smaller encoder")
        return
    if facts.speed is not None:
        needed = expected_mb(facts.run, facts.size, facts.speed)
        if needed > facts.free_mb:
            yield Finding(
                "problem",
                f"a step is expected to take {needed:,.0f} MB, {facts.free_mb:,.0f} MB are free",
                f"--accumulate {accumulation(facts.run, needed - state, facts.free_mb - state)}, or a smaller --batch-size",
            )


def expected_mb(run: Run, size: Size, speed: Speed) -> float:
    """Peak MB of training: the state, and the activations of the timed batch scaled to a micro-batch."""
    state = size.state / 2**20
    return state + max(0.0, speed.memory - speed.before - state) * max(1.0, run.batch_size / run.accumulate / speed.batch)


def accumulation(run: Run, needed: float, free: float) -> int:
    """The least divisor of the batch that makes activations fit."""
    wanted = run.accumulate * needed / max(free, 1e-9)
    return next((k for k in range(1, run.batch_size + 1) if run.batch_size % k == 0 and k >= wanted), run.batch_size)


def disk(facts: Facts) -> Iterator[Finding]:
    if facts.size is None or facts.free_disk is None:
        return
    needed = facts.size.saved * (facts.run.keep_last + 2)  # the best by probe, and the one being written
    if needed > facts.free_disk:
        text = f"checkpoints take up to {needed / 2**20:,.0f} MB, {facts.free_disk / 2**20:,.0f} MB are free"
        yield Finding("problem", text, "another --out, or --keep-last 1")


def speed(facts: Facts) -> Iterator[Finding]:
    if facts.speed is None:
        return
    run, seconds = facts.run, facts.speed.seconds
    if facts.busy > 1.2:
        yield Finding(
            "note", f"other programs keep this machine busy ({facts.busy:.1f} processes per core): alone it is faster", "stop them"
        )
    if run.steps * seconds > 86400 * 7:
        yield Finding(
            "warning",
            f"at this speed the run takes {run.steps * seconds / 86400:,.0f} days here",
            "a GPU, a smaller recipe, or fewer --steps",
        )
    if run.save_every * seconds > 1800 and run.save_every < run.steps:
        change = f"--save-every {max(1, int(600 / seconds))}"
        yield Finding("warning", f"checkpoints are {run.save_every * seconds / 60:.0f} minutes apart: that much can be lost", change)


def rates(facts: Facts) -> Iterator[Finding]:
    run, base = facts.run, facts.base
    if base is None or run.optimizer.lr != base.optimizer.lr:
        return
    ratio = run.batch_size / base.batch_size
    if not 1 / 4 < ratio < 4:
        peak = run.optimizer.lr.peak * ratio**0.5
        text = f"the learning rate is the recipe's for a batch of {base.batch_size}; this batch is {run.batch_size}"
        yield Finding("note", text, f"try --optimizer.lr.peak {peak:.1g}")
