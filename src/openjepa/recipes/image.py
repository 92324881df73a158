"""Recipes for images. Published constants where a paper gives them; small ones say where they come from."""

from dataclasses import replace

from openjepa.masks.random import Random
from openjepa.modalities.image import Image
from openjepa.models.encoder import vit
from openjepa.models.predictor import PredictorConfig
from openjepa.objectives.jepa import JEPAConfig
from openjepa.objectives.mae import MAEConfig
from openjepa.recipes._small import ADAM, ENCODER, JEPA, PREDICTOR
from openjepa.run import DataConfig, OptimizerConfig, Run
from openjepa.schedules import Cosine, WarmupCosine

ijepa: Run = Run(
    modality=Image(size=(224, 224), patch=(16, 16)),
    objective=JEPAConfig(encoder=vit("small"), predictor=PredictorConfig(dim=384, depth=6, heads=6)),
    steps=50_000,
    batch_size=128,
)
"""I-JEPA (arXiv:2301.08243) with the published constants, at ViT-S/16 and 224 x 224."""

ijepa_vith14: Run = replace(
    ijepa,
    modality=Image(size=(224, 224), patch=(14, 14)),
    objective=JEPAConfig(encoder=vit("huge"), predictor=PredictorConfig(dim=384, depth=12, heads=16)),
    steps=187_500,
    batch_size=2048,
)
"""I-JEPA as released: ViT-H/14, 300 epochs of ImageNet-1k at batch 2048. Wants many GPUs."""

mae: Run = Run(
    modality=Image(size=(224, 224), patch=(16, 16), crop_scale=(0.2, 1.0), flip=True),
    objective=MAEConfig(encoder=vit("small", init_std=None), decoder=PredictorConfig(dim=512, depth=8, heads=16, init_std=None)),
    optimizer=OptimizerConfig(
        lr=WarmupCosine(start=0.0, peak=1.5e-4, final=0.0, warmup=40 / 800),
        weight_decay=Cosine(start=0.05, final=0.05),
        betas=(0.9, 0.95),
    ),
    steps=50_000,
    batch_size=256,
)
"""MAE (arXiv:2111.06377) with the published constants, at ViT-S/16 and 224 x 224; lr is 1.5e-4 x batch / 256."""

ijepa_cifar10: Run = Run(
    modality=Image(size=(32, 32), patch=(8, 8), crop_scale=(0.4, 1.0), flip=True),
    objective=replace(JEPA, masks=Random(ratio=10 / 16), union=True),
    optimizer=ADAM,
    steps=5_000,
    batch_size=128,
)
"""I-JEPA on 32 x 32 photos: few large patches, one union target, content balanced against position."""

ijepa_tabletop: Run = replace(
    ijepa_cifar10,
    objective=replace(JEPA, masks=Random(ratio=0.5), union=True, instance_norm=True),
    optimizer=replace(ADAM, lr=WarmupCosine(start=0.0, peak=2e-3, final=1e-5, warmup=0.1)),
    data=DataConfig(path="world:tabletop?noise=0.75"),
    steps=1_600,
)
"""The quickstart: I-JEPA on the built-in tabletop world, three to four minutes on two CPU cores."""

mae_cifar10: Run = Run(
    modality=Image(size=(32, 32), patch=(4, 4), crop_scale=(0.4, 1.0), flip=True),
    objective=MAEConfig(encoder=ENCODER, decoder=PREDICTOR, masks=Random(ratio=0.75)),
    optimizer=ADAM,
    steps=6_000,
    batch_size=128,
)
"""MAE on 32 x 32 photos, minutes on two CPU cores."""
