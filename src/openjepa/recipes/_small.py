"""What the recipes for two CPU cores share."""

from openjepa.models.encoder import EncoderConfig
from openjepa.models.predictor import PredictorConfig
from openjepa.objectives.jepa import JEPAConfig
from openjepa.run import OptimizerConfig
from openjepa.schedules import Cosine, Linear, WarmupCosine

ENCODER = EncoderConfig(dim=192, depth=6, heads=3)
PREDICTOR = PredictorConfig(dim=96, depth=3, heads=3)  # or decoder
JEPA = JEPAConfig(encoder=ENCODER, predictor=PREDICTOR, momentum=Linear(start=0.99, final=1.0), target_layers=3, balance=2.0)
ADAM = OptimizerConfig(
    lr=WarmupCosine(start=0.0, peak=1e-3, final=1e-5, warmup=0.1), weight_decay=Cosine(start=0.05, final=0.05), betas=(0.9, 0.95)
)
