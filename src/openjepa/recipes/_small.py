"""What the recipes for two CPU cores share."""

from openjepa.models.encoder import EncoderConfig
from openjepa.models.predictor import PredictorConfig
from openjepa.run import OptimizerConfig
from openjepa.schedules import Cosine, WarmupCosine

ENCODER = EncoderConfig(dim=192, depth=6, heads=3)
PREDICTOR = PredictorConfig(dim=96, depth=3, heads=3)  # or decoder
ADAM = OptimizerConfig(
    lr=WarmupCosine(start=0.0, peak=1e-3, final=1e-5, warmup=0.1), weight_decay=Cosine(start=0.05, final=0.05), betas=(0.9, 0.95)
)
