"""MAE: predict the pixels of hidden patches (arXiv:2111.06377)."""

from dataclasses import dataclass

from jaxtyping import Float, Shaped
from torch import Tensor

from openjepa.draws import Rows
from openjepa.masks.blocks import Blocks
from openjepa.masks.random import Random
from openjepa.modalities.grid import Grid
from openjepa.models.encoder import Encoder, EncoderConfig
from openjepa.models.predictor import Predictor, PredictorConfig
from openjepa.objectives.objective import LossOutput, Objective, Prediction, take_blocks
from openjepa.tokens import Batch, Tokens


@dataclass(frozen=True, kw_only=True)
class MAEConfig:
    """Three quarters hidden at random, a light decoder, per-patch normalised pixels."""

    encoder: EncoderConfig = EncoderConfig()
    decoder: PredictorConfig = PredictorConfig(dim=512, depth=8, heads=16)
    masks: Random | Blocks = Random(ratio=0.75)
    norm_pix: bool = True  # the published pre-training; its released demo weights were trained without

    def collate(self, view: Shaped[Tensor, "b c *size"], modality: Grid, seed: int, step: int, rows: Rows) -> Batch:
        """Masks for these samples; the view itself goes through unchanged."""
        return Batch((view,), (self.masks(modality.places(tuple(view.shape[2:])), seed, step, rows),))

    def build(self, modality: Grid) -> "MAE":
        return MAE(self, modality)


class MAE(Objective):
    """Encoder on the visible patches, decoder on all places, loss on the hidden ones."""

    def __init__(self, config: MAEConfig, modality: Grid) -> None:
        super().__init__()
        self.config, self.modality = config, modality
        self.encoder = Encoder(config.encoder, modality.patch_dim)
        self.decoder = Predictor(config.decoder, self.encoder.dim, modality.patch_dim)

    def predict(self, batch: Batch) -> Prediction:
        patches, (masks,) = self.modality.patchify(batch.views[0]), batch.masks
        context: Tokens = self.encoder(patches.take(masks.context))
        where = take_blocks(patches.positions, masks.targets)
        goals = pixel_targets(take_blocks(patches.values, masks.targets), self.config.norm_pix)
        return Prediction(context, self.decoder(context, where), goals, where, masks)

    def loss(self, batch: Batch, progress: float) -> LossOutput:
        """Mean squared error over the hidden patches, in float32."""
        prediction = self.predict(batch)
        return LossOutput(pixel_error(prediction.guesses, prediction.goals).mean(), prediction)


def pixel_targets(patches: Float[Tensor, "*b d"], norm_pix: bool) -> Float[Tensor, "*b d"]:
    """Pixels, or with `norm_pix` each patch less its mean over its own std (unbiased variance + 1e-6)."""
    if not norm_pix:
        return patches
    mean, variance = patches.mean(-1, keepdim=True), patches.var(-1, keepdim=True)
    return (patches - mean) / (variance + 1e-6).sqrt()


def pixel_error(guesses: Float[Tensor, "*b d"], goals: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
    """Squared error of each patch, in float32."""
    return (guesses.float() - goals).square().mean(-1)
