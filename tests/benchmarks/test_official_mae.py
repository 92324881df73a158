"""The MAE baseline computes the same step as ours."""

import torch

from benchmarks.official_mae import OfficialMAE
from benchmarks.step import FLAT
from openjepa.modalities.grid import positions
from openjepa.modalities.image import Image
from openjepa.models.encoder import EncoderConfig
from openjepa.models.predictor import PredictorConfig
from openjepa.objectives.mae import MAEConfig
from openjepa.run import OptimizerConfig, Run
from openjepa.schedules import Cosine
from tests.benchmarks.same import check, losses


def test_the_transcribed_mae_step_and_ours_have_the_same_losses():
    config = MAEConfig(encoder=EncoderConfig(dim=24, depth=2, heads=2), decoder=PredictorConfig(dim=16, depth=2, heads=2))
    optimizer = OptimizerConfig(lr=FLAT.lr, weight_decay=Cosine(start=0.05, final=0.05), betas=(0.9, 0.95))
    run = Run(modality=Image(size=(32, 48), patch=(8, 8)), objective=config, optimizer=optimizer, steps=100, batch_size=4)
    torch.manual_seed(0)
    objective = config.build(run.modality)
    official = OfficialMAE(objective, positions(run.modality.grid)[0], 1e-3, autocast=False)
    check(losses(run, objective, lambda images, batch: official.step(images, batch.masks[0].context)))
