"""What every self-supervised algorithm offers to the loop, the probes and the explorer."""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from openjepa.draws import Rows
from openjepa.masks.samplers import Sampler, draw
from openjepa.modalities.modality import Modality
from openjepa.models.own import AnyEncoder
from openjepa.tokens import Batch, Masks, Tokens, both, gather


@dataclass(frozen=True)
class Prediction:
    """What was asked, what was answered and what was right: the loss, health and the explorer start here."""

    context: Tokens  # features of the visible tokens
    guesses: Float[Tensor, "b blocks t d"]
    goals: Float[Tensor, "b blocks t d"]  # as the loss sees them: normalised
    where: Float[Tensor, "b blocks t axes"]
    masks: Masks
    raw_goals: Float[Tensor, "b n e"] | None = None  # target features of every token before normalisation
    valid: Bool[Tensor, "b blocks t"] | None = None  # False where nothing was asked (padding); None: asked everywhere
    raw_valid: Bool[Tensor, "b n"] | None = None  # False where raw_goals is of padding


@dataclass(frozen=True)
class LossOutput:
    loss: Float[Tensor, ""]
    prediction: Prediction | None = None  # detached from the graph
    metrics: dict[str, Float[Tensor, ""]] = field(default_factory=dict)  # detached, still on the device


class Objective(nn.Module):
    """One self-supervised algorithm: what it is asked, how it is scored, what moves after a step."""

    encoder: AnyEncoder

    def start(self, batch: Batch) -> None:
        """Called once with the first batch before the first step of a new run, never on resume."""

    def loss(self, batch: Batch, progress: float) -> LossOutput:
        """`progress` runs from 0 to 1 over training; every schedule is a function of it."""
        raise NotImplementedError

    def predict(self, batch: Batch) -> Prediction:
        """The training code's own line, with gradient."""
        raise NotImplementedError

    def after_step(self, progress: float) -> dict[str, float]:
        """Called once after the optimizer step: EMA, queues, centers. Returns what it logs."""
        return {}

    def exported(self) -> AnyEncoder:
        """The encoder that is saved alone, probed and shown."""
        return self.encoder

    def forward(self, batch: Batch, progress: float) -> LossOutput:
        return self.loss(batch, progress)  # DDP, FSDP and compile hook forward and nothing else


@runtime_checkable
class ObjectiveConfig(Protocol):
    def collate(
        self, view: Shaped[Tensor, "b c *size"], modality: Modality, seed: int, step: int, rows: Rows, progress: float = 0.0
    ) -> Batch:
        """Samples to batch, in a loader worker: a pure function of (seed, step, row). `progress` is step / steps."""

    def build(self, modality: Modality) -> Objective: ...


def take_blocks(x: Shaped[Tensor, "b n d"], index: Int[Tensor, "b blocks t"]) -> Shaped[Tensor, "b blocks t d"]:
    """Tokens of every block."""
    taken: Tensor = gather(x, index.flatten(1)).unflatten(1, index.shape[1:])
    return taken


def asked(patches: Tokens, masks: Masks) -> tuple[Float[Tensor, "b blocks t axes"], Bool[Tensor, "b blocks t"] | None]:
    """Places of the targets, and which of them are no padding (None: all)."""
    where, there = take_blocks(patches.positions, masks.targets), None
    if patches.valid is not None:
        there = take_blocks(patches.valid[..., None], masks.targets)[..., 0]
    return where, both(there, masks.target_valid)


def draw_masks(
    sampler: Sampler, view: Shaped[Tensor, "b c *size"], modality: Modality, seed: int, step: int, rows: Rows, progress: float
) -> Masks:
    """Masks for these samples: on the grid of their tokens, behind the modality's `registers`, among what is `valid`."""
    valid, registers = modality.valid(view), modality.registers
    here = None if valid is None else valid[:, registers:]
    return draw(sampler, modality.places(tuple(view.shape[2:])), seed, step, rows, progress, here).behind(registers)


def centred(x: Float[Tensor, "*axes"], axis: int) -> tuple[Float[Tensor, "*axes"], Float[Tensor, "..."]]:
    """`x` less its mean along `axis`, and the squares of that summed along it (length 1).

    What torch.std_mean does, without its loop over single numbers, which takes four to thirty times as long on a CPU.
    """
    less = x - x.mean(axis, keepdim=True)
    return less, less.square().sum(axis, keepdim=True)


def valid_mean(x: Float[Tensor, "*b"], valid: Bool[Tensor, "*b"] | None) -> Float[Tensor, ""]:
    """Mean over what is no padding; 0 where all is."""
    return x.mean() if valid is None else x.masked_fill(~valid, 0).sum() / valid.sum().clamp(min=1)
