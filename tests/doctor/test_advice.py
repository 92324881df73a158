"""Every known-bad combination is named once, and good ones are left alone."""

from dataclasses import replace

import numpy as np
import pytest

from openjepa import recipes
from openjepa.doctor.advice import Facts, accumulation, findings
from openjepa.doctor.cost import Size, Speed, size
from openjepa.doctor.masks import simulate
from openjepa.masks.blocks import Blocks
from openjepa.masks.random import Random
from openjepa.run import Run
from openjepa.schedules import Linear, WarmupCosine
from tests.tiny import RUN

IJEPA, MAE = recipes.load("image.ijepa"), recipes.load("image.mae")
SPEED = Speed(batch=128, seconds=0.1, load=0.01, memory=1500, before=500, health={"position_share": 0.2}, loss=0.4)
SIZE = Size(encoder=10, rest=10, trained=20, total=30, state=100 * 2**20, saved=2**20)
GOOD = Facts(IJEPA, IJEPA, images=200_000, sampled=64, size=SIZE, speed=SPEED, free_mb=4000, free_disk=2**40)


def said(facts: Facts) -> list[str]:
    return [f"{f.level}: {f.text} | {f.change}" for f in findings(facts)]


def with_lr(run: Run, **changes) -> Run:
    return replace(run, optimizer=replace(run.optimizer, lr=replace(run.optimizer.lr, **changes)))


def with_objective(run: Run, **changes) -> Run:
    return replace(run, objective=replace(run.objective, **changes))


@pytest.mark.parametrize("name", [name for name in recipes.names() if name != "series.table"])  # it has no columns before it has data
def test_shipped_recipes_are_not_warned_of(name):
    run = recipes.load(name)
    images = min(GOOD.images or 0, run.steps * run.batch_size)
    facts = replace(
        GOOD, images=images, run=run, base=run, masks=simulate(run, 1000), speed=replace(SPEED, seconds=0.01, batch=run.batch_size)
    )
    assert said(facts) == []


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        (replace(GOOD, images=100), "problem: a batch of 128 is larger than the data, which has 100 samples | --batch-size 100"),
        (replace(GOOD, images=500), "warning: 500 samples are few"),
        (replace(GOOD, bad=5000), "problem: 5000 of 205000 files cannot be used"),
        (replace(GOOD, sampled_bad=2), "warning: 2 of 64 sampled files cannot be decoded"),
        (replace(GOOD, run=replace(IJEPA, probe_every=10)), "note: the data has no labels"),
        (replace(GOOD, busy=5.5), "note: other programs keep this machine busy (5.5 processes per core)"),
        (replace(GOOD, small=40), "warning: 40 of 64 sampled images are smaller than the 224 x 224 view"),
        (replace(GOOD, small=4), "note: 4 of 64 sampled images are smaller"),
        (replace(GOOD, run=replace(with_lr(IJEPA, warmup=0.001), steps=2000)), "warning: warm-up lasts 2 steps"),
        (replace(GOOD, run=with_lr(IJEPA, warmup=0.6)), "warning: 60 % of the run is warm-up"),
        (replace(GOOD, run=replace(MAE, steps=300), images=20_000), "warning: 300 steps are too few"),
        (replace(GOOD, images=10_000_000), "note: the run sees 64 % of the data"),
        (replace(GOOD, images=1000), "note: the data is seen 6,400 times"),
        (replace(GOOD, speed=replace(SPEED, health={"position_share": 0.77})), "warning: place explains 77 % of the untrained targets, patch 16x16"),
        (replace(GOOD, run=with_objective(IJEPA, stop_gradient=False)), "warning: without stop-gradient"),
        (replace(GOOD, run=replace(IJEPA, steps=1500)), "its weights are renewed 3.0 times"),
        (replace(GOOD, run=with_objective(IJEPA, momentum=Linear(start=0.5, final=1.0))), "warning: momentum 0.5"),
        (replace(GOOD, free_mb=50), "problem: weights and optimizer alone take 100 MB, 50 MB are free"),
        (replace(GOOD, free_mb=600), "problem: a step is expected to take 1,000 MB, 600 MB are free | --accumulate 2"),
        (replace(GOOD, free_disk=2**20), "problem: checkpoints take up to 4 MB, 1 MB are free"),
        (replace(GOOD, speed=replace(SPEED, seconds=20)), "warning: at this speed the run takes 12 days here"),
        (replace(GOOD, speed=replace(SPEED, seconds=5)), "warning: checkpoints are 42 minutes apart: that much can be lost | --save-every 120"),
        (replace(GOOD, run=replace(IJEPA, batch_size=2048)), "note: the learning rate is the recipe's for a batch of 128; this batch is 2048"),
        (replace(GOOD, run=with_objective(MAE, masks=Random(ratio=0.25)), masks=simulate(with_objective(RUN, masks=Random(ratio=0.25)), 50)), "only 25 % of the pixels"),
        (replace(GOOD, masks=simulate(with_objective(RUN, masks=Blocks(count=1, scale=(0.01, 0.02))), 1000)), "warning: a target block has 1 token"),
        (replace(GOOD, masks=simulate(with_objective(RUN, masks=Random(ratio=0.9)), 100)), "warning: the context has 2 tokens"),
    ],
)  # fmt: skip
def test_a_bad_combination_is_named_with_the_knob(facts, wanted):
    assert any(wanted in line for line in said(facts)), said(facts)
    assert len(said(facts)) <= 2, said(facts)


def test_places_that_are_never_reached_are_named():
    report = simulate(RUN, 200)
    hole = report.target_coverage.copy()
    hole[-1] = 0
    lines = said(replace(GOOD, masks=replace(report, target_coverage=hole)))
    assert any("6 of 24 places were never asked for" in line for line in lines)
    assert any(
        "were never part of the context" in line for line in said(replace(GOOD, masks=replace(report, context_coverage=np.zeros((4, 6)))))
    )
    assert any("problem: context and targets overlap in 3 places" in line for line in said(replace(GOOD, masks=replace(report, overlap=3))))


def test_problems_come_first():
    found = findings(replace(GOOD, images=100, small=4, run=replace(IJEPA, steps=1500)))
    assert [f.level for f in found] == sorted((f.level for f in found), key=["problem", "warning", "note"].index)
    assert found[0].level == "problem"


def test_a_peak_learning_rate_that_was_set_is_left_alone():
    assert said(replace(GOOD, run=with_lr(replace(IJEPA, batch_size=2048), peak=4e-3), free_mb=None)) == []
    assert WarmupCosine(start=0, peak=1, final=0, warmup=0.1)(0.1) == 1


def test_accumulation_is_the_least_divisor_that_fits():
    assert accumulation(IJEPA, 900, 500) == 2 and accumulation(IJEPA, 900, 250) == 4 and accumulation(IJEPA, 900, 1) == 128


def test_sizes_are_counted_as_published_without_allocating():
    cost = size(IJEPA, "float32")
    objective = IJEPA.objective.build(IJEPA.modality)
    assert cost.encoder == sum(p.numel() for p in objective.encoder.parameters())
    assert cost.total == sum(p.numel() for p in objective.parameters()) == 2 * cost.encoder + cost.rest
    assert cost.state == 4 * cost.total + 12 * (cost.encoder + cost.rest)
    huge = size(recipes.load("image.ijepa_vith14"), "bfloat16")
    assert abs(huge.encoder / 630e6 - 1) < 0.01  # ViT-H/14
