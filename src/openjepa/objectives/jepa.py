"""I-JEPA: predict the target encoder's features at hidden places (arXiv:2301.08243)."""

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from openjepa.draws import Rows
from openjepa.masks.blocks import Blocks
from openjepa.masks.random import Random
from openjepa.modalities.grid import Grid
from openjepa.models.ema import ema_update
from openjepa.models.encoder import Encoder, EncoderConfig
from openjepa.models.positions import sincos
from openjepa.models.predictor import Predictor, PredictorConfig
from openjepa.objectives.objective import LossOutput, Objective, Prediction, take_blocks
from openjepa.schedules import Linear
from openjepa.tokens import Batch, Masks, Tokens


@dataclass(frozen=True, kw_only=True)
class JEPAConfig:
    """Defaults are the published I-JEPA recipe; the settings below the line are off in it."""

    encoder: EncoderConfig = EncoderConfig()
    predictor: PredictorConfig = PredictorConfig()
    masks: Blocks | Random = Blocks()
    momentum: Linear = Linear(start=0.996, final=1.0)  # EMA rate of the target encoder
    # ---- for small models and short runs
    union: bool = False  # one target, everything outside the context, instead of separate blocks
    target_layers: int = 1  # the target is the mean of the last so many layers (data2vec, arXiv:2202.03555)
    balance: float | None = None  # content over position std after the patch embedding, set on the first batch
    stop_gradient: bool = True  # False collapses: kept to show that health says so

    def collate(self, view: Shaped[Tensor, "b c *size"], modality: Grid, seed: int, step: int, rows: Rows) -> Batch:
        """Masks for these samples; the view itself goes through unchanged."""
        grid = modality.places(tuple(view.shape[2:]))
        masks = self.masks(grid, seed, step, rows)
        if self.union:
            total = int(torch.tensor(grid).prod())
            masks = Masks(masks.context, complement(masks.context, total)[:, None])
        return Batch((view,), (masks,))

    def build(self, modality: Grid) -> "JEPA":
        return JEPA(self, modality)


class JEPA(Objective):
    """Context encoder and predictor learn; the target encoder follows as a moving average."""

    def __init__(self, config: JEPAConfig, modality: Grid) -> None:
        super().__init__()
        self.config, self.modality = config, modality
        self.encoder = Encoder(config.encoder, modality.patch_dim)
        self.predictor = Predictor(config.predictor, self.encoder.dim, self.encoder.dim)
        self.target_encoder = copy.deepcopy(self.encoder).requires_grad_(False)

    @torch.no_grad()
    def start(self, batch: Batch) -> None:
        """Scale the patch embedding so that content outweighs position by `balance` at step 0.

        With small patches the position code drowns the content and the loss falls without learning.
        Content is the std over samples at one place, position the std over places.
        """
        if self.config.balance is None:
            return
        patches = self.modality.patchify(batch.views[0])
        content = self.encoder.embed(patches.values).std(0).square().mean().sqrt()
        code = sincos(patches.positions[0], self.encoder.dim, self.config.encoder.position_order)
        place = self.config.encoder.position_scale * code.std(0).square().mean().sqrt()
        for encoder in (self.encoder, self.target_encoder):
            encoder.embed.weight.mul_(self.config.balance * place / content)

    def predict(self, batch: Batch) -> Prediction:
        patches, (masks,) = self.modality.patchify(batch.views[0]), batch.masks
        goals = self.targets(patches)  # from the whole sample, cut afterwards
        context: Tokens = self.encoder(patches.take(masks.context))
        where = take_blocks(patches.positions, masks.targets)
        guesses = self.predictor(context, where)
        normed = F.layer_norm(goals.float(), goals.shape[-1:])
        return Prediction(context, guesses, take_blocks(normed, masks.targets), where, masks, goals)

    def targets(self, patches: Tokens) -> Float[Tensor, "b n d"]:
        """Features of every token, before the layer norm that makes them goals."""
        if not self.config.stop_gradient:
            return torch.stack(self.encoder.layers(patches, self.config.target_layers)).mean(0)
        with torch.no_grad():
            return torch.stack(self.target_encoder.layers(patches, self.config.target_layers)).mean(0)

    def loss(self, batch: Batch, progress: float) -> LossOutput:
        """Smooth L1 between guesses and layer-normed target features, in float32."""
        prediction = self.predict(batch)
        return LossOutput(F.smooth_l1_loss(prediction.guesses.float(), prediction.goals), prediction)

    def after_step(self, progress: float) -> dict[str, float]:
        momentum = self.config.momentum(progress)
        ema_update(self.target_encoder, self.encoder, momentum)
        return {"momentum": momentum}

    def exported(self) -> Encoder:
        return self.target_encoder  # what the paper evaluates


def complement(index: Int[Tensor, "b k"], total: int) -> Int[Tensor, "b rest"]:
    """The places not in `index`, ascending."""
    left = torch.ones(len(index), total, dtype=torch.bool).scatter_(1, index, False)
    return left.nonzero()[:, 1].reshape(len(index), -1)
