"""The baseline that our speed is compared with computes the same step."""

import torch

from benchmarks.official_step import OfficialStep
from benchmarks.step import FLAT
from openjepa.engine import Engine
from openjepa.modalities.grid import positions
from openjepa.modalities.image import Image
from openjepa.models.encoder import EncoderConfig
from openjepa.models.predictor import PredictorConfig
from openjepa.objectives.jepa import JEPAConfig
from openjepa.run import Run
from openjepa.schedules import Linear


def test_the_transcribed_step_and_ours_have_the_same_losses():
    config = JEPAConfig(
        encoder=EncoderConfig(dim=24, depth=2, heads=2),
        predictor=PredictorConfig(dim=16, depth=2, heads=2),
        momentum=Linear(start=0.9, final=0.9),
    )
    run = Run(modality=Image(size=(64, 96), patch=(8, 8)), objective=config, optimizer=FLAT, steps=100, batch_size=4)
    torch.manual_seed(0)
    objective = config.build(run.modality)
    with torch.no_grad():  # or the layer norm of the goals would change nothing
        objective.encoder.norm.weight.uniform_(0.5, 1.5)
        objective.target_encoder.load_state_dict(objective.encoder.state_dict())
    official = OfficialStep(objective, positions(run.modality.grid)[0], 1e-3, autocast=False)
    engine = Engine(run, objective, torch.device("cpu"), "float32")
    losses = []
    for step in range(4):
        view = torch.randint(0, 256, (4, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(step))
        batch = config.collate(view, run.modality, 0, step, range(4))
        masks = batch.masks[0]
        theirs = official(run.modality.prepare(view), masks.context, masks.targets, 0.9)
        ours, _, _ = engine.step(batch, step)
        losses.append((theirs, float(ours.loss)))
    for theirs, ours in losses:
        assert abs(theirs - ours) < 1e-4, losses
    assert losses[0][0] - losses[-1][0] > 1e-3  # and they move
