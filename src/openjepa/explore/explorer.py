"""One checkpoint, opened to be asked: the calls behind every panel, for Python.

explorer = Explorer("runs/a")
explorer.jepa("data:12", targets=[Box((5, 5), (4, 4))]).total.energy
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from openjepa.checkpoint import load_encoder, load_objective, load_run, objective_file
from openjepa.engine import choose_device
from openjepa.explore.axes import Axes
from openjepa.explore.bank import Bank, norm
from openjepa.explore.inputs import Inputs
from openjepa.explore.question import Box, Mode, Question, question
from openjepa.models.own import AnyEncoder
from openjepa.objectives.jepa import JEPA
from openjepa.objectives.mae import MAE
from openjepa.objectives.objective import Objective, Prediction
from openjepa.tokens import Batch, Tokens

if TYPE_CHECKING:
    from openjepa.explore.mae import Painted
    from openjepa.explore.prediction import Predicted

REMEMBERED = 24  # inputs whose target features are kept
STARTED_BY = 64  # samples that set up an untrained encoder


@dataclass(frozen=True)
class Looked:
    """Inputs as the model sees them, most often one."""

    view: Shaped[Tensor, "b c *size"]
    patches: Tokens
    goals: Float[Tensor, "b n d"] | None  # JEPA: target features of every token, before the layer norm
    normed: Float[Tensor, "b n d"] | None  # after it: what the loss compares with
    registers: int = 0

    @cached_property
    def right(self) -> Float[Tensor, "n d"]:
        """Of the first input, what is right at every place of the grid."""
        assert self.normed is not None
        return self.normed[0, self.registers :].cpu()

    @cached_property
    def axes(self) -> Axes:
        """Of the first input; they do not depend on what is hidden."""
        return Axes.of(self.right)


@dataclass(frozen=True)
class Asked:
    """A question that was put to the predictor."""

    looked: Looked
    prediction: Prediction
    guesses: list[Float[Tensor, "_ d"]]  # of each hole

    @property
    def goals(self) -> Float[Tensor, "n d"]:
        """What is right at every place of the grid."""
        return self.looked.right


class Explorer:
    """A run or bundle at one checkpoint. Nothing is written; every number is the training code's own.

    `patient`: references (the bank of target features) are complete before the first answer; else they grow with `bank.grow`.

    Raises:
        ValueError: no run, no such checkpoint, an encoder alone.
    """

    def __init__(
        self, folder: str | Path, step: int | None = None, *, inputs: Inputs | None = None, device: str = "cpu", patient: bool = True
    ) -> None:
        opened = load_run(folder)
        self.folder, self.run, self.patient = opened.path, opened.run, patient
        self.file = objective_file(opened, step)
        self.step = int(self.file.parent.name)
        self.device = choose_device(device)
        self.objective: Objective = load_objective(folder, self.step).requires_grad_(False).to(self.device)
        self.modality = self.run.modality
        self.inputs = inputs or Inputs(opened)
        self.bank = Bank(self)
        self.looked: OrderedDict[str, Looked] = OrderedDict()

    @property
    def grid(self) -> tuple[int, ...]:
        return self.modality.grid

    @cached_property
    def untrained(self) -> AnyEncoder:
        """The encoder before the first step: the control of every claim that something was learnt.

        Bundles that come without it get one of the same seed, set up on samples of the bank as training does on its first batch.
        """
        if (self.folder / "untrained").is_dir() or not self.bank.wanted:
            return load_encoder(self.folder, untrained=True).encoder.to(self.device)
        with torch.random.fork_rng([]):
            torch.manual_seed(self.run.seed)
            fresh = self.run.objective.build(self.modality)
        fresh.start(Batch((torch.stack([self.inputs.view(name) for name in self.bank.wanted[:STARTED_BY]]),)))
        return fresh.exported().eval().requires_grad_(False).to(self.device)

    def look(self, name: str) -> Looked:
        """An input, and where there is a target encoder its features; the same one twice costs once."""
        if name in self.looked:
            self.looked.move_to_end(name)
            return self.looked[name]
        found = self.looked[name] = self.look_at(self.inputs.view(name)[None])
        while len(self.looked) > REMEMBERED:
            self.looked.popitem(last=False)
        return found

    @torch.no_grad()
    def look_at(self, view: Shaped[Tensor, "b c *size"]) -> Looked:
        """The same of views that are no stored input."""
        patches = self.modality.patchify(view.to(self.device)).blank()
        goals = self.objective.targets(patches) if isinstance(self.objective, JEPA) else None
        return Looked(view, patches, goals, None if goals is None else norm(goals), self.modality.registers)

    @property
    def jepa_model(self) -> JEPA:
        if not isinstance(self.objective, JEPA):
            raise ValueError(f"{self.folder.name} predicts pixels, not embeddings; choose a JEPA run")
        return self.objective

    @property
    def mae_model(self) -> MAE:
        if not isinstance(self.objective, MAE):
            raise ValueError(f"{self.folder.name} predicts embeddings, not pixels; choose an MAE run")
        return self.objective

    @torch.no_grad()
    def ask(self, name: str, asked: Question) -> Asked:
        """The predictor's answer by the training code's own line, with the target features that are known of this input."""
        jepa, looked = self.jepa_model, self.look(name)
        assert looked.goals is not None
        assert looked.normed is not None
        masks = asked.masks.map(lambda x: x.to(self.device))
        said = jepa.answer(looked.patches, masks, 0, looked.goals, looked.normed)
        return Asked(looked, said, asked.of_each(said.guesses.float().cpu()))

    def jepa(
        self, name: str, targets: Sequence[Box], *, context: Box | None = None, mode: Mode = "strict", quick: bool = False
    ) -> "Predicted":
        """What the predictor says of `targets`, beside what was right and what simpler answers would have scored.

        `quick` leaves out the references that cost another pass of the encoder, as while a block is dragged.
        """
        from openjepa.explore.prediction import predict

        asked = question(self.modality, targets, context, mode, self.jepa_model.config.union)
        if self.patient:
            self.bank.grow()
        return predict(self, name, asked, quick)

    def mae(
        self,
        name: str,
        *,
        ratio: float | None = None,
        seed: int = 0,
        sampler: str = "random",
        hidden: Sequence[int] | None = None,
        targets: Sequence[Box] | None = None,
    ) -> "Painted":
        """The decoder's pixels for what is hidden: a share of the patches, or the tokens or boxes that are named."""
        from openjepa.explore.mae import paint

        return paint(self, name, ratio=ratio, seed=seed, sampler=sampler, hidden=hidden, targets=targets)
