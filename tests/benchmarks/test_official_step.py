"""The baseline that our speed is compared with computes the same step."""

import torch

from benchmarks.official_step import OfficialStep
from benchmarks.step import FLAT
from openjepa.modalities.grid import positions
from openjepa.modalities.image import Image
from openjepa.models.encoder import EncoderConfig
from openjepa.models.predictor import PredictorConfig
from openjepa.objectives.jepa import JEPAConfig
from openjepa.run import Run
from openjepa.schedules import Linear
from tests.benchmarks.same import check, losses


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
    check(losses(run, objective, lambda images, batch: official(images, batch.masks[0].context, batch.masks[0].targets, 0.9)))
