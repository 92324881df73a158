"""JEPA: predict the target encoder's features at hidden places (I-JEPA, arXiv:2301.08243; V-JEPA, arXiv:2404.08471)."""

import copy
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from openjepa.draws import Rows, key
from openjepa.losses.variance import variance_and_covariance
from openjepa.masks.blocks import Blocks
from openjepa.masks.samplers import Sampler
from openjepa.modalities.modality import Modality
from openjepa.models.ema import ema_update
from openjepa.models.encoder import Encoder, EncoderConfig
from openjepa.models.own import AnyEncoder, OwnEncoder, build_encoder
from openjepa.models.positions import sincos
from openjepa.models.predictor import Predictor, PredictorConfig
from openjepa.objectives.objective import LossOutput, Objective, Prediction, asked, centred, draw_masks, take_blocks, valid_mean
from openjepa.schedules import Linear
from openjepa.tokens import Batch, Masks, Tokens

Loss = Literal["smooth_l1", "l1", "l2"]
LOSSES = {"smooth_l1": F.smooth_l1_loss, "l1": F.l1_loss, "l2": F.mse_loss}
EPS = 1e-5  # beside a std


@dataclass(frozen=True, kw_only=True)
class JEPAConfig:
    """Defaults are the published I-JEPA recipe; the settings below the line are off in it."""

    encoder: EncoderConfig | OwnEncoder = EncoderConfig()
    predictor: PredictorConfig = PredictorConfig()
    masks: Sampler | tuple[Sampler, ...] = Blocks()  # or several: each has its own mask token and counts alike; one target pass
    momentum: Linear = Linear(start=0.996, final=1.0)  # EMA rate of the target encoder
    loss: Loss = "smooth_l1"  # V-JEPA: l1
    # ---- for small models and short runs
    union: bool = False  # one target, everything outside the context, instead of separate blocks
    target_layers: int = 1  # the target is the mean of the last so many layers (data2vec, arXiv:2202.03555)
    # before that, each layer less the mean of its sample's tokens, over their std (EAT, arXiv:2401.03497; WavJEPA, 2509.23238)
    instance_norm: bool = False
    balance: float | None = None  # content over position std after the patch embedding, set on the first batch
    # beside the loss, of the context tokens of all samples (VICReg, arXiv:2105.04906; with JEPA C-JEPA, 2410.19560; video 2412.10925)
    variance: float = 0.0  # weight of what the std of each feature lacks to 1
    covariance: float = 0.0  # weight of the squared covariances of features, over d
    prediction: float = 1.0  # weight of the prediction beside them; 0 is the control: what these two learn alone
    # ---- to hold released weights
    mask_tokens: int | None = None  # of the predictor; None: one per mask configuration. V-JEPA 2's weights have 10
    shared_mask_token: bool = False  # all configurations ask with the first one, as in V-JEPA 2's training code
    stop_gradient: bool = True  # False collapses: kept to show that health says so

    def __post_init__(self) -> None:
        if not self.samplers:
            raise ValueError("masks is empty; give at least one sampler, such as Blocks()")
        if self.mask_tokens is not None and self.mask_tokens < (1 if self.shared_mask_token else len(self.samplers)):
            raise ValueError(
                f"mask_tokens is {self.mask_tokens} for {len(self.samplers)} mask configurations; give as many, or shared_mask_token"
            )
        weights = {name: getattr(self, name) for name in ("variance", "covariance", "prediction")}
        if min(weights.values()) < 0 or not any(weights.values()):
            raise ValueError(f"the loss has the weights {weights}; each must be 0 or more, and one above 0")
        if self.balance is not None and isinstance(self.encoder, OwnEncoder):
            raise ValueError("balance sets the patch embedding of our encoder; a network of your own has none: drop balance")
        if self.balance is not None and isinstance(self.encoder, EncoderConfig) and self.encoder.position != "sincos":
            raise ValueError(
                f"balance weighs content against an added position code; position={self.encoder.position!r} adds none: drop balance"
            )

    @property
    def samplers(self) -> tuple[Sampler, ...]:
        """One per mask configuration."""
        return self.masks if isinstance(self.masks, tuple) else (self.masks,)

    def collate(
        self, view: Shaped[Tensor, "b c *size"], modality: Modality, seed: int, step: int, rows: Rows, progress: float = 0.0
    ) -> Batch:
        """Masks for these samples; the view itself goes through unchanged."""
        # The first configuration keeps the seed, so that one alone is what it always was; others must not repeat its draws
        seeds = (seed if at == 0 else key(seed, "masks", at) for at in range(len(self.samplers)))
        masks = tuple(
            draw_masks(sampler, view, modality, its, step, rows, progress) for sampler, its in zip(self.samplers, seeds, strict=True)
        )
        if self.union:
            total = modality.registers + prod(modality.places(tuple(view.shape[2:])))
            masks = tuple(everything_else(m, total) for m in masks)
        return Batch((view,), masks)

    def build(self, modality: Modality) -> "JEPA":
        return JEPA(self, modality)


class JEPA(Objective):
    """Context encoder and predictor learn; the target encoder follows as a moving average."""

    def __init__(self, config: JEPAConfig, modality: Modality) -> None:
        super().__init__()
        self.config, self.modality = config, modality
        self.encoder = build_encoder(config.encoder, modality)
        self.predictor = Predictor(config.predictor, self.encoder.dim, self.encoder.dim, config.mask_tokens or len(config.samplers))
        self.target_encoder = copy.deepcopy(self.encoder).requires_grad_(False)

    @torch.no_grad()
    def start(self, batch: Batch) -> None:
        """Scale the patch embedding so that content outweighs position by `balance` at step 0.

        With small patches the position code drowns the content and the loss falls without learning.
        Content is the std over samples at one place, position the std over places.
        """
        config = self.config.encoder
        if self.config.balance is None or not isinstance(config, EncoderConfig) or not isinstance(self.encoder, Encoder):
            return
        patches = self.modality.patchify(batch.views[0])
        content = self.encoder.embed(patches.values).std(0).square().mean().sqrt()
        code = sincos(patches.positions[0], self.encoder.dim, config.position_order)
        place = config.position_scale * code.std(0).square().mean().sqrt()
        for encoder in (self.encoder, self.target_encoder):
            assert isinstance(encoder, Encoder)
            encoder.embed.weight.mul_(self.config.balance * place / content)

    def predict(self, batch: Batch) -> Prediction:
        """Of the first mask configuration, where there are several."""
        return self.predictions(replace(batch, masks=batch.masks[:1]))[0]

    def predictions(self, batch: Batch) -> list[Prediction]:
        """One per mask configuration; the target encoder runs once for all."""
        patches = self.modality.patchify(batch.views[0]).blank()
        goals = self.targets(patches)  # from the whole sample, cut afterwards
        normed = F.layer_norm(goals.float(), goals.shape[-1:])
        return [self.answer(patches, masks, token, goals, normed) for token, masks in enumerate(batch.masks)]

    def answer(
        self, patches: Tokens, masks: Masks, token: int, goals: Float[Tensor, "b n d"], normed: Float[Tensor, "b n d"]
    ) -> Prediction:
        context: Tokens = self.encoder(patches.take(masks.context, masks.context_valid))
        where, valid = asked(patches, masks)
        guesses = self.predictor(context, where, valid, 0 if self.config.shared_mask_token else token)
        return Prediction(context, guesses, take_blocks(normed, masks.targets), where, masks, goals, valid, patches.valid)

    def targets(self, patches: Tokens) -> Float[Tensor, "b n d"]:
        """Features of every token, before the layer norm that makes them goals."""
        if not self.config.stop_gradient:
            return self.mixed(self.encoder, patches)
        with torch.no_grad():
            return self.mixed(self.target_encoder, patches)

    def mixed(self, encoder: AnyEncoder, patches: Tokens) -> Float[Tensor, "b n d"]:
        """The mean of the last `target_layers`."""
        layers = encoder.layers(patches, self.config.target_layers)
        if self.config.instance_norm:
            layers = [per_sample(layer, patches.valid) for layer in layers]
        return torch.stack(layers).mean(0)

    def loss(self, batch: Batch, progress: float) -> LossOutput:
        """Distance of guesses and layer-normed target features over all that was asked, in float32; mean over mask configurations.

        With `variance` or `covariance` what keeps the context features apart comes on top, and all parts are logged.
        """
        predictions = self.predictions(batch)
        losses = [distance(p.guesses, p.goals, p.valid, self.config.loss) for p in predictions]
        told = {f"loss_masks{at}": loss.detach() for at, loss in enumerate(losses)} if len(losses) > 1 else {}
        predicted = torch.stack(losses).mean()
        total = self.config.prediction * predicted
        if self.config.variance or self.config.covariance:
            short, shared = (torch.stack(each).mean() for each in zip(*(spread(p.context) for p in predictions), strict=True))
            told |= {"loss_prediction": predicted.detach(), "loss_variance": short.detach(), "loss_covariance": shared.detach()}
            total = total + self.config.variance * short + self.config.covariance * shared
        return LossOutput(total, predictions[0], told)

    def after_step(self, progress: float) -> dict[str, float]:
        momentum = self.config.momentum(progress)
        ema_update(self.target_encoder, self.encoder, momentum)
        return {"momentum": momentum}

    def exported(self) -> AnyEncoder:
        return self.target_encoder  # what the paper evaluates


def per_sample(x: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None) -> Float[Tensor, "b n d"]:
    """Mean 0 and std 1 of each feature over the real tokens of each sample: what all of a sample share is no goal any more."""
    if valid is None:
        less, squares = centred(x.float(), 1)
        return (less / ((squares / x.shape[1]).sqrt() + EPS)).to(x.dtype)
    real, count = valid[..., None], valid.sum(1)[:, None, None]
    mean = x.float().masked_fill(~real, 0).sum(1, keepdim=True) / count
    less = (x - mean).masked_fill(~real, 0)
    std = (less.square().sum(1, keepdim=True) / count).sqrt()
    return (less / (std + EPS)).to(x.dtype)


def spread(context: Tokens) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """See losses.variance; over all tokens of all samples that are no padding."""
    return variance_and_covariance(context.values.flatten(0, 1), None if context.valid is None else context.valid.flatten())


def distance(
    guesses: Float[Tensor, "b blocks t d"], goals: Float[Tensor, "b blocks t d"], valid: Bool[Tensor, "b blocks t"] | None, kind: Loss
) -> Float[Tensor, ""]:
    """Mean smooth L1, absolute or squared difference in float32, over what is no padding."""
    if valid is None:
        return LOSSES[kind](guesses.float(), goals)
    return valid_mean(distances(guesses, goals, kind), valid)


def distances(guesses: Float[Tensor, "*b d"], goals: Float[Tensor, "*b d"], kind: Loss) -> Float[Tensor, "*b"]:
    """The same of every place alone."""
    return LOSSES[kind](guesses.float(), goals, reduction="none").mean(-1)


def everything_else(masks: Masks, total: int) -> Masks:
    """The same context and, as one target, all tokens outside it."""
    if masks.context_valid is not None:
        raise ValueError("union needs contexts of one length; for ragged samples drop it: Random asks for everything else as it is")
    return Masks(masks.context, complement(masks.context, total)[:, None])


def complement(index: Int[Tensor, "b k"], total: int) -> Int[Tensor, "b rest"]:
    """The places not in `index`, ascending."""
    left = torch.ones(len(index), total, dtype=torch.bool).scatter_(1, index, False)
    return left.nonzero()[:, 1].reshape(len(index), -1)
