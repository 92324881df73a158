"""MAE: predict the pixels of hidden patches (arXiv:2111.06377; VideoMAE, arXiv:2203.12602)."""

from dataclasses import dataclass

from jaxtyping import Float, Shaped
from torch import Tensor

from openjepa.draws import Rows
from openjepa.masks.random import Random
from openjepa.masks.samplers import Sampler
from openjepa.modalities.modality import Modality
from openjepa.models.encoder import EncoderConfig
from openjepa.models.own import OwnEncoder, build_encoder
from openjepa.models.predictor import Predictor, PredictorConfig
from openjepa.objectives.objective import LossOutput, Objective, Prediction, asked, centred, draw_masks, take_blocks, valid_mean
from openjepa.tokens import Batch


@dataclass(frozen=True, kw_only=True)
class MAEConfig:
    """Three quarters hidden at random, a light decoder, per-patch normalised pixels."""

    encoder: EncoderConfig | OwnEncoder = EncoderConfig()
    decoder: PredictorConfig = PredictorConfig(dim=512, depth=8, heads=16)
    masks: Sampler = Random(ratio=0.75)
    norm_pix: bool = True  # the published pre-training; its released demo weights were trained without
    per_channel: bool = False  # normalise the pixels of each channel on their own, as VideoMAE

    def __post_init__(self) -> None:
        if self.per_channel and not self.norm_pix:
            raise ValueError("per_channel says how pixels are normalised, but norm_pix is off; turn norm_pix on, or per_channel off")

    def collate(
        self, view: Shaped[Tensor, "b c *size"], modality: Modality, seed: int, step: int, rows: Rows, progress: float = 0.0
    ) -> Batch:
        """Masks for these samples; the view itself goes through unchanged."""
        return Batch((view,), (draw_masks(self.masks, view, modality, seed, step, rows, progress),))

    def build(self, modality: Modality) -> "MAE":
        return MAE(self, modality)


class MAE(Objective):
    """Encoder on the visible patches, decoder on all places, loss on the hidden ones."""

    def __init__(self, config: MAEConfig, modality: Modality) -> None:
        super().__init__()
        self.config, self.modality = config, modality
        self.encoder = build_encoder(config.encoder, modality)
        self.decoder = Predictor(config.decoder, self.encoder.dim, modality.patch_dim)

    def predict(self, batch: Batch) -> Prediction:
        patches, (masks,) = self.modality.patchify(batch.views[0]).blank(), batch.masks
        context, classes = self.encoder.classed(patches.take(masks.context, masks.context_valid))
        where, valid = asked(patches, masks)
        channels = self.modality.channels if self.config.per_channel else None
        goals = pixel_targets(take_blocks(patches.values, masks.targets), self.config.norm_pix, channels)
        return Prediction(context, self.decoder(context, where, valid, placeless=classes), goals, where, masks, valid=valid)

    def loss(self, batch: Batch, progress: float) -> LossOutput:
        """Mean squared error over the hidden patches, in float32."""
        prediction = self.predict(batch)
        return LossOutput(valid_mean(pixel_error(prediction.guesses, prediction.goals), prediction.valid), prediction)


def pixel_targets(patches: Float[Tensor, "*b d"], norm_pix: bool, channels: int | None = None) -> Float[Tensor, "*b d"]:
    """Pixels, or with `norm_pix` each patch less its mean over its own std (unbiased variance + 1e-6).

    With `channels` each channel of a patch on its own, over std + 1e-6 (VideoMAE's code); a patch holds
    its channels last.
    """
    if not norm_pix:
        return patches
    if channels is not None:
        cube: Tensor = patches.unflatten(-1, (-1, channels))
        less, squares = centred(cube, -2)
        return (less / ((squares / (cube.shape[-2] - 1)).sqrt() + 1e-6)).flatten(-2)
    less, squares = centred(patches, -1)
    return less / (squares / (patches.shape[-1] - 1) + 1e-6).sqrt()


def pixel_error(guesses: Float[Tensor, "*b d"], goals: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
    """Squared error of each patch, in float32."""
    return (guesses.float() - goals).square().mean(-1)
