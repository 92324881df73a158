"""Recipes for videos. Published constants where a paper gives them; small ones say where they come from."""

from dataclasses import replace

from openjepa.masks.multiblock import MultiBlock
from openjepa.masks.random import Random
from openjepa.masks.tubes import Tube
from openjepa.modalities.video import Video
from openjepa.models.encoder import vit
from openjepa.models.predictor import PredictorConfig
from openjepa.objectives.jepa import JEPAConfig
from openjepa.objectives.mae import MAEConfig
from openjepa.recipes._small import ADAM, ENCODER, JEPA, PREDICTOR
from openjepa.run import DataConfig, OptimizerConfig, Run
from openjepa.schedules import Cosine, Linear, WarmupCosine

_MASKS = (MultiBlock(count=8, scale=(0.15, 0.15)), MultiBlock(count=2, scale=(0.7, 0.7)))  # short-range and long-range

vjepa: Run = Run(
    modality=Video(size=(16, 224, 224), patch=(2, 16, 16), fps=7.5),  # every fourth frame of 30 a second
    objective=JEPAConfig(
        encoder=vit("small", position_order="row-first"),
        predictor=PredictorConfig(dim=384, depth=12, heads=6, position_order="row-first", zero_mask_token=True),
        masks=_MASKS,
        momentum=Linear(start=0.998, final=1.0, stretch=1.25),
        loss="l1",
    ),
    optimizer=OptimizerConfig(
        lr=WarmupCosine(start=2e-4, peak=6.25e-4, final=1e-6, warmup=40 / 300, stretch=1.25),
        weight_decay=Cosine(start=0.04, final=0.4, stretch=1.25),
        clip=10.0,
    ),
    steps=90_000,
    batch_size=32,
)
"""V-JEPA (arXiv:2404.08471) with the published constants, at ViT-S/16 and 16 x 224 x 224; published batch 3,072."""

vjepa2: Run = replace(
    vjepa,
    modality=Video(size=(16, 256, 256), patch=(2, 16, 16), fps=4.0),
    objective=JEPAConfig(
        encoder=vit("small", position="rope", init_rescale=True),
        predictor=PredictorConfig(dim=384, depth=12, heads=12, position="rope", init_rescale=True, zero_mask_token=True),
        masks=_MASKS,
        momentum=Linear(start=0.99925, final=0.99925),
        loss="l1",
    ),
    optimizer=OptimizerConfig(
        lr=WarmupCosine(start=1e-4, peak=5.25e-4, final=5.25e-4, warmup=12 / 240), weight_decay=Cosine(start=0.04, final=0.04)
    ),
    steps=240_000,
)
"""V-JEPA 2 (arXiv:2506.09985), first phase with the published constants, at ViT-S/16; rotary positions, constant rates."""

mae: Run = Run(
    modality=Video(size=(16, 224, 224), patch=(2, 16, 16), fps=7.5),
    objective=MAEConfig(
        encoder=vit("small", init_std=None, position_order="row-first"),
        decoder=PredictorConfig(dim=192, depth=4, heads=3, init_std=None, position_order="row-first"),
        masks=Tube(ratio=0.9),
        per_channel=True,
    ),
    optimizer=OptimizerConfig(
        lr=WarmupCosine(start=0.0, peak=1.5e-4, final=0.0, warmup=40 / 800),
        weight_decay=Cosine(start=0.05, final=0.05),
        betas=(0.9, 0.95),
    ),
    steps=90_000,
    batch_size=256,
)
"""VideoMAE (arXiv:2203.12602) with the published constants, at ViT-S/16 and 16 x 224 x 224; lr is 1.5e-4 x batch / 256."""

_ENCODER = replace(ENCODER, position_order="row-first")
_PREDICTOR = replace(PREDICTOR, position_order="row-first")
_JEPA = replace(JEPA, encoder=_ENCODER, predictor=_PREDICTOR)

_MOVING = replace(_ENCODER, dim=128, depth=4, heads=2)
_ASKING = replace(_PREDICTOR, dim=64, depth=2, heads=2)

vjepa_motion: Run = Run(
    modality=Video(size=(8, 32, 32), patch=(4, 8, 8), fps=None, crop_scale=(0.8, 1.0), flip=False),
    objective=replace(
        _JEPA,
        encoder=_MOVING,
        predictor=_ASKING,
        masks=Random(ratio=0.6),
        momentum=Linear(start=0.98, final=1.0),
        balance=1.0,
        variance=1.0,
        covariance=1.0,
    ),
    optimizer=replace(ADAM, lr=replace(ADAM.lr, peak=2e-3), clip=5.0),
    data=DataConfig(path="world:tabletop-motion?frames=8&noise=0.1&objects=2&texture=0.3&scale=1.5"),
    steps=600,
    batch_size=128,
)
"""V-JEPA with variance and covariance (arXiv:2412.10925) on the built-in tabletop in motion, two minutes on two CPU cores.

Short on purpose: from some 600 steps on what stands still crowds out of the mean token what moves.
"""

mae_motion: Run = replace(
    vjepa_motion,
    objective=MAEConfig(encoder=_MOVING, decoder=_ASKING, masks=Tube(ratio=0.75), per_channel=True),
    optimizer=replace(ADAM, clip=5.0),
)
"""VideoMAE on the tabletop in motion, at the budget of video.vjepa_motion."""

vjepa_clips: Run = replace(
    vjepa_motion,
    modality=Video(size=(8, 64, 64), patch=(2, 16, 16), fps=8.0, crop_scale=(0.5, 1.0)),
    objective=replace(_JEPA, masks=_MASKS, instance_norm=True),
    optimizer=ADAM,
    data=DataConfig(),
    steps=1_000,
    batch_size=32,
)
"""V-JEPA on real clips of a second, minutes on two CPU cores."""

mae_clips: Run = replace(vjepa_clips, objective=MAEConfig(encoder=_ENCODER, decoder=_PREDICTOR, masks=Tube(ratio=0.75), per_channel=True))
"""VideoMAE at the budget of video.vjepa_clips."""
