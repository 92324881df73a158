"""What every self-supervised algorithm offers to the loop, the probes and the explorer."""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from openjepa.draws import Rows
from openjepa.modalities.grid import Grid
from openjepa.models.encoder import Encoder
from openjepa.tokens import Batch, Masks, Tokens, gather


@dataclass(frozen=True)
class Prediction:
    """What was asked, what was answered and what was right: the loss, health and the explorer start here."""

    context: Tokens  # features of the visible tokens
    guesses: Float[Tensor, "b blocks t d"]
    goals: Float[Tensor, "b blocks t d"]  # as the loss sees them: normalised
    where: Float[Tensor, "b blocks t axes"]
    masks: Masks
    raw_goals: Float[Tensor, "b n e"] | None = None  # target features of every token before normalisation


@dataclass(frozen=True)
class LossOutput:
    loss: Float[Tensor, ""]
    prediction: Prediction | None = None  # detached from the graph
    metrics: dict[str, Float[Tensor, ""]] = field(default_factory=dict)  # detached, still on the device


class Objective(nn.Module):
    """One self-supervised algorithm: what it is asked, how it is scored, what moves after a step."""

    encoder: Encoder

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

    def exported(self) -> Encoder:
        """The encoder that is saved alone, probed and shown."""
        return self.encoder

    def forward(self, batch: Batch, progress: float) -> LossOutput:
        return self.loss(batch, progress)  # DDP, FSDP and compile hook forward and nothing else


@runtime_checkable
class ObjectiveConfig(Protocol):
    def collate(self, view: Shaped[Tensor, "b c *size"], modality: Grid, seed: int, step: int, rows: Rows) -> Batch:
        """Samples to batch, in a loader worker: a pure function of (seed, step, row)."""

    def build(self, modality: Grid) -> Objective: ...


def take_blocks(x: Shaped[Tensor, "b n d"], index: Int[Tensor, "b blocks t"]) -> Shaped[Tensor, "b blocks t d"]:
    """Tokens of every block."""
    taken: Tensor = gather(x, index.flatten(1)).unflatten(1, index.shape[1:])
    return taken
