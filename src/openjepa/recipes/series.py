"""Recipes for time series, point clouds and tables: small ones, with constants of our own where no paper's fit."""

from dataclasses import replace

from openjepa.masks.random import Random
from openjepa.modalities.points import Points
from openjepa.modalities.series import Series
from openjepa.modalities.table import Table
from openjepa.models.encoder import EncoderConfig
from openjepa.models.predictor import PredictorConfig
from openjepa.objectives.jepa import JEPAConfig
from openjepa.objectives.mae import MAEConfig
from openjepa.recipes._small import ADAM, ENCODER, PREDICTOR
from openjepa.run import Run
from openjepa.schedules import Linear

_ENCODER = EncoderConfig(dim=128, depth=4, heads=4)
_PREDICTOR = PredictorConfig(dim=64, depth=2, heads=2)

jepa: Run = Run(
    modality=Series(size=(128,), patch=(8,)),
    objective=JEPAConfig(
        encoder=_ENCODER,
        predictor=_PREDICTOR,
        masks=Random(ratio=0.7),  # TS-JEPA's share
        momentum=Linear(start=0.99, final=1.0),
        loss="l1",
        target_layers=2,
        balance=2.0,
    ),
    optimizer=ADAM,
    steps=2_000,
    batch_size=64,
)
"""JEPA on windows of one-channel series, minutes on two CPU cores; more channels with --modality.channels."""

mae: Run = replace(jepa, objective=MAEConfig(encoder=_ENCODER, decoder=_PREDICTOR, masks=Random(ratio=0.7), norm_pix=False))
"""Masked autoencoder on windows of series, at the budget of series.jepa."""

_TINY = EncoderConfig(dim=96, depth=4, heads=4, position_scale=0.5)

points: Run = replace(
    jepa,
    modality=Points(size=(1024,), groups=64, neighbours=32),
    objective=JEPAConfig(
        encoder=ENCODER,
        predictor=PREDICTOR,
        masks=Random(ratio=0.6),
        momentum=Linear(start=0.99, final=1.0),
    ),
    batch_size=32,
)
"""JEPA on point clouds, groups of near points as tokens, after Point-JEPA (arXiv:2404.16432); a toy."""

table: Run = replace(
    jepa,
    modality=Table(),
    objective=JEPAConfig(
        encoder=_TINY, predictor=_PREDICTOR, masks=Random(ratio=0.5), momentum=Linear(start=0.99, final=1.0), loss="l2", target_layers=2
    ),
)
"""JEPA on the rows of a csv, one token per column and a register token, after T-JEPA (arXiv:2410.05016); a toy."""
