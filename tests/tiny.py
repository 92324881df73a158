"""The smallest run that has every part, on made images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image as Picture

from openjepa.masks.blocks import Blocks
from openjepa.masks.random import Random
from openjepa.modalities.image import Image
from openjepa.models.encoder import EncoderConfig
from openjepa.models.predictor import PredictorConfig
from openjepa.objectives.jepa import JEPAConfig
from openjepa.objectives.mae import MAEConfig
from openjepa.run import DataConfig, Run

ENCODER = EncoderConfig(dim=24, depth=2, heads=2)
PREDICTOR = PredictorConfig(dim=16, depth=1, heads=2)

RUN = Run(
    modality=Image(size=(32, 48), patch=(8, 8)),
    objective=JEPAConfig(encoder=ENCODER, predictor=PREDICTOR, masks=Blocks(context=0.25)),
    steps=10,
    batch_size=4,
    precision="float32",
    device="cpu",
    workers=0,
    log_every=2,
    save_every=5,
)
MAE = replace(RUN, objective=MAEConfig(encoder=ENCODER, decoder=PREDICTOR, masks=Random(ratio=0.75)))


def photos(folder: Path, count: int = 12, classes: tuple[str, ...] = ("",)) -> Path:
    """A folder of small JPEGs of several sizes, in class subfolders if named: smooth colours, a patch per class."""
    rng = np.random.default_rng(0)
    for at in range(count):
        label = at % len(classes)
        h, w = 40 + 4 * (at % 3), 60 + 8 * (at % 2)
        x = np.linspace(0, 255, w)[None, :, None] * np.ones((h, 1, 3)) * rng.uniform(0.3, 1, 3)
        x[8 : 20 + 12 * label, 8:30] = rng.uniform(0, 255, 3)
        path = folder / classes[label] / f"{at:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(x.astype(np.uint8)).save(path, quality=90)
    return folder


def run_on(folder: Path, run: Run = RUN, **changes: object) -> Run:
    """`run` reading `folder`, without a cache outside it."""
    return replace(run, data=DataConfig(path=str(folder), cache="off"), **changes)  # type: ignore[arg-type]
