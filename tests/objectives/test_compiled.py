"""Rotary positions, several masks and padding in one graph: nothing for torch.compile to break at."""

import subprocess
import sys

import pytest

# In a process of its own: there the type checker of the tests is not in the way of the compiler. No code is generated,
# which takes most of the time; a graph break is an error
STEPS = """
import torch
from dataclasses import replace
from openjepa.masks.random import Random
from openjepa.modalities.series import Series
from openjepa.modalities.table import Column, Table
from openjepa.models.encoder import EncoderConfig
from openjepa.models.predictor import PredictorConfig
from openjepa.objectives.jepa import JEPAConfig
from tests.objectives.test_several_masks import VJEPA, build

def check(config, change=lambda batch: batch):
    objective, batch = build(config)
    batch = change(batch)
    eager = objective.loss(batch, 0.0).loss
    compiled = torch.compile(objective, backend="eager", fullgraph=True)(batch, 0.0).loss
    torch.testing.assert_close(compiled, eager)
    compiled.backward()
    assert all(p.grad.isfinite().all() for p in objective.parameters() if p.requires_grad)

def ragged(batch):
    masks = tuple(Random(ratio=r).ragged([90, 50, 70], 90, 0, 0, [0, 1, 2]) for r in (0.5, 0.7))
    assert masks[0].target_valid is not None
    return replace(batch, masks=masks)

def of_modality(modality, samples):
    config = JEPAConfig(encoder=EncoderConfig(dim=24, depth=2, heads=2), predictor=PredictorConfig(dim=16, depth=2, heads=2), masks=Random(ratio=0.5))
    objective, x = config.build(modality), modality.augment(samples, 0, 0, range(len(samples)))
    batch = config.collate(x, modality, 0, 0, range(len(samples)))
    eager = objective.loss(batch, 0.0).loss
    compiled = torch.compile(objective, backend="eager", fullgraph=True)(batch, 0.0).loss
    torch.testing.assert_close(compiled, eager)

check(VJEPA, ragged)
check(replace(VJEPA, **{part: replace(getattr(VJEPA, part), checkpointing=True) for part in ("encoder", "predictor")}))
# what is padded is known on a CPU alone; a graph must not ask
for lengths in ((40, 40), (40, 27)):
    of_modality(Series(channels=2, size=(40,), patch=(4,)), [torch.randn(2, t) for t in lengths])
for cells in ((1.0, 2.0, 0.0), (1.0, torch.nan, 1.0)):
    table = Table(columns=(Column(name="a"), Column(name="b"), Column(name="c", categories=("x", "y"))), missing="invalid")
    of_modality(table, [torch.tensor([[3.0, 4.0, 1.0]]), torch.tensor([cells])])
"""


@pytest.mark.slow
def test_a_step_is_one_graph():
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
