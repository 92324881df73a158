"""Fine-tuning: a copy of the encoder learns the labels, too. The one probe here whose encoder is not frozen.

A linear classifier on the pooled tokens (`Modality.pool`) and the encoder below it are trained together on augmented views.
The untrained encoder is tuned the same way: what the labels alone teach, from scratch. Nothing is chosen by looking at test
samples, nor at others: the budget is fixed. `masked` hides tokens from attention while training (A-JEPA's regularised
masking, arXiv:2311.15830, section 3).
"""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from openjepa import draws
from openjepa.models.transformer import Block
from openjepa.probes.confidence import check_labels
from openjepa.probes.features import Frozen
from openjepa.probes.reading import Readable, chunks, read_some
from openjepa.schedules import WarmupCosine


@dataclass(frozen=True, kw_only=True)
class Finetune:
    """How encoder and classifier are trained: AdamW, a linear warm-up of the rate, then a cosine to 0."""

    steps: int = 400
    batch_size: int = 64
    rate: float = 5e-4  # peak
    decay: float = 0.05  # on matrices
    warmup: float = 0.1  # share of the steps
    clip: float = 1.0  # largest gradient norm
    masked: float = 0.0  # share of the tokens, drawn anew in every layer and step, that give nothing to attention; 0.1 in A-JEPA
    mask_mode: Literal["key", "self"] = "key"  # key: nothing to any token; self: nothing to themselves

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1:
            raise ValueError(f"steps is {self.steps} and batch_size {self.batch_size}; both must be at least 1")
        if not self.rate > 0:
            raise ValueError(f"rate is {self.rate}; it must be above 0")
        if not 0 <= self.masked < 1:
            raise ValueError(f"masked is {self.masked}; it is a share of the tokens, from 0 to below 1")


@dataclass(frozen=True)
class Task:
    """Samples of one data set with their classes: `rows` are numbers in the data set, y their classes."""

    dataset: Readable
    rows: Int[Tensor, " n"]
    y: Int[Tensor, " n"]

    def __getitem__(self, which: Tensor) -> "Task":
        return replace(self, rows=self.rows[which], y=self.y[which])


class Classifier(nn.Module):
    """Views to logits: the encoder's last layer, pooled as the modality does, and a linear map."""

    def __init__(self, encoder: nn.Module, modality: Any, classes: int, dim: int) -> None:
        super().__init__()
        self.encoder, self.modality = encoder, modality
        self.linear = nn.Linear(dim, classes)
        nn.init.zeros_(self.linear.weight)  # nothing is preferred before the first step, whatever the scale of the features
        nn.init.zeros_(self.linear.bias)

    def forward(self, views: Tensor) -> Float[Tensor, "b classes"]:
        patches = self.modality.patchify(views.to(self.linear.weight.device))
        tokens = self.encoder.layers(patches, 1)[-1]  # type: ignore[operator]
        out: Tensor = self.linear(self.modality.pool(tokens, patches.valid, tuple(views.shape[2:])).float())
        return out


class Regularised:
    """Hides tokens from the attention of every block of an encoder, other ones at every call in training."""

    def __init__(self, encoder: nn.Module, config: Finetune, seed: int) -> None:
        blocks = [part for part in encoder.modules() if isinstance(part, Block)]
        if not blocks:
            raise ValueError(f"masked is {config.masked}, but {type(encoder).__name__} has none of our transformer blocks; set masked to 0")
        self.config, self.rng = config, torch.Generator().manual_seed(draws.key(seed, "finetune masked") % 2**63)
        for block in blocks:
            block.register_forward_pre_hook(self.hide)

    def hide(self, block: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not block.training:
            return None
        x, last, rope, keys = arguments
        drawn = torch.rand(x.shape[:2], generator=self.rng)
        if keys is not None and keys.shape[-2] == 1:  # padding is hidden anyway: it must not use up the share
            drawn = drawn.masked_fill(~keys[:, 0, 0].cpu(), 1.0)
        seen = regularised_mask(drawn, self.config.masked, self.config.mask_mode).to(x.device)
        if keys is not None:
            seen = keys & seen
            # Of a sample that is mostly padding all may be hidden, and a softmax over nothing is NaN
            seen = seen | (keys & ~seen.any(-1, keepdim=True))
        return x, last, rope, seen


def regularised_mask(draws: Float[Tensor, "b n"], ratio: float = 0.1, mode: Literal["key", "self"] = "key") -> Bool[Tensor, "b 1 q n"]:
    """Which tokens A-JEPA's attention may look at while it is fine-tuned: all but a random `ratio` of them.

    `draws` are numbers of your own, new ones for every layer and step; the lowest floor(n ratio) of a row are chosen. With
    "key" a chosen token gives nothing to any token (q is 1), with "self" nothing to itself (q is n): the paper's
    words allow both (arXiv:2311.15830, section 3). Never all of them.
    """
    if not 0 <= ratio < 1:
        raise ValueError(f"ratio is {ratio}; it is a share of the tokens, from 0 to below 1")
    if mode not in ("key", "self"):
        raise ValueError(f"mode is {mode!r}; it must be 'key' or 'self'")
    n = draws.shape[1]
    chosen = draws.argsort(1).argsort(1) < (min(int(n * ratio + 1e-6), n - 1))
    return ~(chosen[:, None, None] if mode == "key" else torch.diag_embed(chosen)[:, None])


@dataclass(frozen=True)
class Tuned:
    """A classifier after training."""

    model: Classifier
    config: Finetune
    losses: tuple[float, ...]  # mean cross-entropy of each tenth of the steps

    @torch.no_grad()
    def predict(self, task: Task, clips: int = 1, views: int = 1) -> Int[Tensor, " m"]:
        """The class of each sample: of several clips and views the mean of the answers."""
        said = [
            torch.stack([self.model(view).softmax(-1) for view in chunk.all]).mean(0).argmax(1).cpu()
            for chunk in chunks(task.dataset, self.model.modality, task.rows.tolist(), clips, views)
        ]
        return torch.cat(said)

    def detail(self) -> dict[str, Any]:
        """What a report says of it."""
        told = {name: getattr(self.config, name) for name in ("steps", "batch_size", "rate", "decay", "masked", "mask_mode")}
        return told | {"losses": list(self.losses), "parameters": sum(p.numel() for p in self.model.parameters())}


def fit(bundle: Frozen, task: Task, classes: int, config: Finetune | None = None, *, seed: int = 0) -> Tuned:
    """Train a copy of the encoder of `bundle` and a classifier on `task`; pure in the seed on a CPU.

    ValueError for one class only, for `masked` with an encoder of your own, and where a loss is not finite.
    """
    config = config or Finetune()
    check_labels(task.y, classes)
    modality, encoder = bundle.modality, copy.deepcopy(bundle.encoder).requires_grad_(True)
    if config.masked:
        Regularised(encoder, config, seed)
    device = next(encoder.parameters()).device
    with torch.no_grad():
        _, first, _ = read_some(task.dataset, task.rows[:1].tolist())
        view = modality.center(first)
        patches = modality.patchify(view.to(device))
        dim = modality.pool(encoder.eval().layers(patches, 1)[-1], patches.valid, tuple(view.shape[2:])).shape[1]  # type: ignore[operator]
    model = Classifier(encoder, modality, classes, dim).to(device).train()
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": config.decay}, {"params": others, "weight_decay": 0.0}], lr=1.0)
    rate = WarmupCosine(start=0.0, peak=config.rate, final=0.0, warmup=config.warmup)
    losses = list[Tensor]()
    for step, (views, y) in enumerate(batches(task, modality, config, seed)):
        loss = F.cross_entropy(model(views), y.to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        for group in optimizer.param_groups:
            group["lr"] = rate((step + 0.5) / config.steps)
        optimizer.step()
        losses.append(loss.detach())
    every = torch.stack(losses).cpu()
    if not every.isfinite().all():
        raise ValueError(f"fine-tuning diverged at step {int((~every.isfinite()).nonzero()[0])}; take a smaller rate than {config.rate:g}")
    tenths = [part.mean().item() for part in every.split(math.ceil(len(every) / 10))]
    return Tuned(model.eval().requires_grad_(False), config, tuple(tenths))


def batches(task: Task, modality: Any, config: Finetune, seed: int) -> Iterator[tuple[Tensor, Int[Tensor, " b"]]]:
    """Augmented views and their classes for every step; samples that cannot be read at their place in time are left out."""
    size, epoch, at = min(config.batch_size, len(task.rows)), -1, 0
    order = torch.empty(0, dtype=torch.int64)
    for step in range(config.steps):
        if at + size > len(order):  # the rest of an epoch is joined to the next
            epoch += 1
            key = draws.uniform(seed, epoch, range(len(task.rows)), 1, "finetune order")[:, 0]
            order, at = torch.cat([order[at:], torch.from_numpy(key).argsort(stable=True)]), 0
        some, at = order[at : at + size], at + size
        rows = task.rows[some].tolist()
        places = draws.uniform(seed, step, rows, 1, "finetune time")[:, 0].tolist() if modality.timed else None
        good, samples, _ = read_some(task.dataset, rows, places)
        if good:
            number = {row: int(y) for row, y in zip(rows, task.y[some], strict=True)}
            yield modality.augment(samples, seed, step, good), torch.tensor([number[row] for row in good])
