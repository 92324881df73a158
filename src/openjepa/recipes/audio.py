"""Recipes for sounds. Published constants where a paper gives them; small ones say where they come from."""

from dataclasses import replace

from openjepa.masks.random import Random
from openjepa.masks.time_frequency import Curriculum, RandomRange
from openjepa.modalities.audio import Audio
from openjepa.models.encoder import vit
from openjepa.models.predictor import PredictorConfig
from openjepa.objectives.jepa import JEPAConfig
from openjepa.objectives.mae import MAEConfig
from openjepa.recipes._small import ADAM, ENCODER, JEPA, PREDICTOR
from openjepa.run import OptimizerConfig, Run
from openjepa.schedules import Cosine, Linear, WarmupCosine

ajepa: Run = Run(
    modality=Audio(size=(1024, 128), patch=(16, 16), short="repeat", gain=6.0),
    objective=JEPAConfig(
        encoder=vit("small"),
        predictor=PredictorConfig(dim=512, depth=16, heads=8),
        masks=Curriculum(),
        momentum=Linear(start=0.996, final=1.0),
        loss="l2",
    ),
    optimizer=OptimizerConfig(
        lr=WarmupCosine(start=0.0, peak=2e-4, final=1e-6, warmup=0.1), weight_decay=Cosine(start=0.04, final=0.4), betas=(0.9, 0.999)
    ),
    steps=90_000,
    batch_size=64,
)
"""A-JEPA (arXiv:2311.15830) with the published constants, at ViT-S/16 and 10 s at 16 kHz; published batch 512, ViT-B."""

mae: Run = Run(
    modality=Audio(size=(1024, 128), patch=(16, 16)),
    objective=MAEConfig(
        encoder=vit("small", init_std=None), decoder=PredictorConfig(dim=512, depth=8, heads=16, init_std=None), masks=Random(ratio=0.8)
    ),
    optimizer=OptimizerConfig(
        lr=WarmupCosine(start=0.0, peak=2e-4, final=0.0, warmup=3 / 33), weight_decay=Cosine(start=1e-4, final=1e-4), betas=(0.9, 0.95)
    ),
    steps=90_000,
    batch_size=256,
)
"""Audio-MAE (arXiv:2207.06405) with the published constants but a plain decoder, at ViT-S/16; lr is 2e-4 x batch / 256."""

_SMALL = replace(JEPA, masks=RandomRange(low=0.5, high=0.7), union=True)

ajepa_words: Run = Run(
    modality=Audio(size=(48, 64), patch=(4, 64), short="repeat"),
    objective=replace(_SMALL, instance_norm=True),
    optimizer=replace(ADAM, lr=replace(ADAM.lr, peak=3e-4)),
    steps=3_000,
    batch_size=128,
)
"""A-JEPA on single words or other sounds of half a second, minutes on two CPU cores. A token is all bands of 40 ms."""

mae_words: Run = replace(ajepa_words, objective=MAEConfig(encoder=ENCODER, decoder=PREDICTOR, masks=Random(ratio=0.75)), optimizer=ADAM)
"""Audio MAE at the budget of audio.ajepa_words."""

ajepa_scenes: Run = replace(
    ajepa_words,
    modality=Audio(size=(240, 64), patch=(8, 64), short="repeat"),
    objective=_SMALL,
    steps=1_500,
    batch_size=64,
)
"""A-JEPA on environmental sounds, views of 2.4 seconds, minutes on two CPU cores.

Without instance norm: what all moments of a sound share, the rain of it, is what its name is about.
"""

mae_scenes: Run = replace(mae_words, modality=ajepa_scenes.modality, steps=1_500, batch_size=64)
"""Audio MAE at the budget of audio.ajepa_scenes."""
