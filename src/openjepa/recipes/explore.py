"""Recipes of the small models that `openjepa explore` brings along: made worlds, one core, minutes each.

Half of what they are asked is a block, as a person drags one over the picture, and half is random tokens, so that
other shapes are not new to them either. Both kinds ask with one mask token, as the explorer does.
"""

from dataclasses import replace

from openjepa.masks.blocks import Blocks
from openjepa.masks.future import Future
from openjepa.masks.multiblock import MultiBlock
from openjepa.masks.random import Random
from openjepa.masks.time_frequency import RandomRange
from openjepa.modalities.audio import Audio
from openjepa.modalities.image import Image
from openjepa.modalities.video import Video
from openjepa.models.encoder import EncoderConfig
from openjepa.models.predictor import PredictorConfig
from openjepa.objectives.jepa import JEPAConfig
from openjepa.objectives.mae import MAEConfig
from openjepa.recipes._small import ADAM
from openjepa.run import DataConfig, Run
from openjepa.schedules import Linear

_ENCODER = EncoderConfig(dim=96, depth=4, heads=4)
_PREDICTOR = PredictorConfig(dim=64, depth=2, heads=4)
_SMALLER = replace(_ENCODER, depth=3)
_JEPA = JEPAConfig(
    encoder=_ENCODER,
    predictor=_PREDICTOR,
    shared_mask_token=True,
    momentum=Linear(start=0.99, final=1.0),
    target_layers=2,
    instance_norm=True,
    balance=2.0,
)
_BLOCK = Blocks(count=1, scale=(0.05, 0.25), aspect=(0.5, 2.0), context_scale=(1.0, 1.0), context=0.7)

image_jepa: Run = Run(
    modality=Image(size=(64, 64), patch=(8, 8), crop_scale=(0.6, 1.0), flip=True),
    objective=replace(_JEPA, masks=(_BLOCK, Random(ratio=0.5))),
    optimizer=ADAM,
    data=DataConfig(path="world:tabletop?size=64&noise=0.25"),
    steps=3_500,
    batch_size=32,
    workers=0,
)
"""The explorer's image JEPA: 8 x 8 patches of a tabletop, an encoder of 0.5 million weights, minutes on one core."""

image_mae: Run = replace(
    image_jepa,
    objective=MAEConfig(encoder=_ENCODER, decoder=_PREDICTOR, masks=RandomRange(low=0.2, high=0.9), norm_pix=False),
)
"""The explorer's image MAE, beside explore.image_jepa: its pixels are to be looked at, so they are not normalised."""

video_jepa: Run = replace(
    image_jepa,
    modality=Video(size=(8, 48, 48), patch=(2, 8, 8), fps=None, crop_scale=(0.8, 1.0), flip=False),
    objective=replace(
        _JEPA,
        encoder=replace(_SMALLER, position_order="row-first"),
        predictor=replace(_PREDICTOR, position_order="row-first"),
        masks=(MultiBlock(count=1, scale=(0.1, 0.4), time=(0.5, 1.0), aspect=(0.5, 2.0), context=0.55, target=0.1), Future(past=0.5)),
    ),
    data=DataConfig(path="world:tabletop-motion?frames=8&size=48&noise=0.1&objects=2&texture=0.3&scale=1.5"),
    batch_size=16,
)
"""The explorer's video JEPA: tubes through clips of the tabletop in motion, and what comes after their first half."""

sound_jepa: Run = replace(
    image_jepa,
    modality=Audio(size=(128, 64), patch=(8, 8), gain=6.0),
    objective=replace(_JEPA, encoder=_SMALLER, masks=(_BLOCK, Random(ratio=0.5))),
    data=DataConfig(path="world:soundscape"),
    batch_size=16,
)
"""The explorer's sound JEPA: log-mel spectrograms of 1.3 seconds of a soundscape, tokens with both time and pitch."""
