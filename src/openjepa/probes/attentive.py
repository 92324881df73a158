"""Attentive probe: a small transformer that learns which tokens to look at, on cached features of a frozen encoder.

A whole grid of heads (learning rate x weight decay) is trained at once on the same batches, from the same start. The head to
report is chosen on a part of *train* that it did not learn from, then judged once on test; it is not refitted. The
published numbers take the best head on the very set that they report (recipes 3.6), which flatters them.
Views of a sample are samples of their own in training; judged is the mean of what a head answers to them.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from openjepa import draws
from openjepa.probes import attentive_heads as heads_of
from openjepa.probes.adamw import AdamW
from openjepa.probes.attentive_heads import Weights
from openjepa.probes.confidence import check_labels
from openjepa.probes.splits import hold_out, hold_out_groups
from openjepa.probes.token_file import TokenFeatures
from openjepa.schedules import Cosine, WarmupCosine

ACTIVATIONS = 2**28  # bytes of activations at a time: larger batches and grids are worked off in parts
STATE = 2**30  # bytes of weights, gradients and moments at a time: larger grids are trained one part after the other
FEW = 200  # validation samples below which the choice of a head is mostly luck: +- 7 points at an accuracy of a half
VIT_S = 21_700_000  # parameters of a ViT-S/16, beside which V-JEPA 2's probe of a ViT-L is twice as large


@dataclass(frozen=True, kw_only=True)
class Attentive:
    """How the heads are built and trained. The defaults are for small data on a CPU; V_JEPA and V_JEPA2 are published."""

    depth: int = 1  # 1: cross-attention alone (V-JEPA); 4: after 3 self-attention blocks (V-JEPA 2)
    heads: int | None = None  # attention heads; by default the encoder's
    rates: tuple[float, ...] = (5e-3, 3e-3, 1e-3, 3e-4, 1e-4)  # peak learning rates; times decays is the grid
    decays: tuple[float, ...] = (0.01, 0.1, 0.4, 0.8)  # decoupled weight decay, on every parameter
    final_decay: float | None = None  # decay falls to this by a cosine; None: constant
    warmup: float = 0.0  # share of the steps in which the rate rises from 0; then a cosine to 0
    clip: float | None = None  # largest gradient norm of one head
    epochs: int = 20
    most_steps: int | None = 400  # of the optimizer; fewer epochs where these run out
    batch_size: int = 256
    validation: float = 0.1  # share of train that chooses the head

    def __post_init__(self) -> None:
        if self.depth < 1 or self.epochs < 1 or self.batch_size < 1:
            raise ValueError(f"depth {self.depth}, epochs {self.epochs} and batch_size {self.batch_size} must be at least 1")
        if not self.rates or not self.decays or min(self.rates) <= 0 or min(self.decays) < 0:
            raise ValueError(f"rates {self.rates} must be above 0 and decays {self.decays} not below 0, at least one of each")
        if not 0 < self.validation < 1:
            raise ValueError(f"validation is {self.validation}; it is a share of train, between 0 and 1")

    @property
    def grid(self) -> list[tuple[float, float]]:
        """(learning rate, weight decay) of every head."""
        return list(product(self.rates, self.decays))

    def steps(self, samples: int) -> int:
        """Optimizer steps on that many samples."""
        steps = self.epochs * -(-samples // self.batch_size)
        return steps if self.most_steps is None else min(steps, self.most_steps)


V_JEPA = Attentive(rates=(1e-3,), decays=(0.01,), final_decay=1e-6, clip=1.0, most_steps=None)  # arXiv:2404.08471, K400 and SSv2
V_JEPA2 = Attentive(depth=4, heads=16, most_steps=None)  # arXiv:2506.09985, SSv2 and K400


@dataclass(frozen=True)
class Fitted:
    """The head chosen, and how."""

    weights: Weights = field(repr=False)  # of the head chosen, [1 ...]
    config: Attentive
    heads: int
    chosen: tuple[float, float]  # learning rate, weight decay
    validation: tuple[float, ...]  # accuracy of every head of config.grid
    judged_by: int  # validation samples
    steps: int
    device: torch.device = torch.device("cpu")  # where it answers

    @property
    def parameters(self) -> int:
        return sum(weight[0].numel() for weight in self.weights.values())

    @torch.no_grad()
    def probabilities(self, x: TokenFeatures) -> Float[Tensor, "m classes"]:
        """Of several views of a sample the mean of the answers, as the papers vote."""
        weights = {name: w.to(self.device) for name, w in self.weights.items()}
        return torch.cat([said[0].softmax(-1).cpu() for said in answers(weights, x, self.heads, self.config.depth)])

    def predict(self, x: TokenFeatures) -> Int[Tensor, " m"]:
        return self.probabilities(x).argmax(1)

    def detail(self) -> dict[str, Any]:
        """What a report says of it."""
        tried = [(rate, decay, right) for (rate, decay), right in zip(self.config.grid, self.validation, strict=True)]
        return {
            "depth": self.config.depth,
            "heads_tried": len(tried),
            "lr": self.chosen[0],
            "weight_decay": self.chosen[1],
            "validation": max(self.validation),
            "validation_samples": self.judged_by,
            "parameters": self.parameters,
            "steps": self.steps,
            "tried": tried,
        }


def fit(
    x: TokenFeatures,
    y: Int[Tensor, " n"],
    classes: int,
    config: Attentive | None = None,
    *,
    heads: int | None = None,
    seed: int = 0,
    groups: Int[Tensor, " n"] | None = None,
    device: torch.device | str = "cpu",
) -> Fitted:
    """Train the grid on part of (x, y), keep the head that is best on the rest: most right, of equals the lowest cross-entropy.

    `heads`: the encoder's attention heads, by default one per 64 features. With `groups` no group is on both sides. The weights
    returned are on the CPU, wherever they learnt.
    ValueError where nothing can be held out, or for heads that do not divide the features.
    """
    config = config or Attentive()
    heads = config.heads or heads or heads_for(x.dim)
    if x.dim % heads:
        raise ValueError(f"{x.dim} features do not split into {heads} attention heads; choose a divisor of {x.dim}")
    check(x, y, classes)
    if groups is None:
        kept, held = hold_out(y, config.validation, seed, "attentive")
    else:
        kept, held = hold_out_groups(y, groups, config.validation, seed, "attentive")
    if not len(held):
        raise ValueError(f"no class has 2 of the {len(y)} samples, so none can be held out to choose a head; give more")
    found = list[tuple[float, float]]()
    best, weights = (0.0, -math.inf), Weights()
    for part in parts(config, heads, x, classes):
        stack = train(x[kept], y[kept], classes, config, part, heads, seed, device)
        for i, (right, miss) in enumerate(judge(stack, x[held], y[held], heads, config.depth)):
            found.append((right, miss))
            if (right, -miss) > best:
                best, weights = (right, -miss), {name: w[i : i + 1].clone().cpu() for name, w in stack.items()}
    if not weights:
        raise ValueError("every head ended in NaN; take smaller learning rates")
    chosen = config.grid[found.index((best[0], -best[1]))]
    return Fitted(
        weights, config, heads, chosen, tuple(right for right, _ in found), len(held), config.steps(len(kept)), torch.device(device)
    )


def heads_for(dim: int) -> int:
    """About one attention head per 64 features, a divisor of `dim`."""
    return next(heads for heads in range(max(1, dim // 64), 0, -1) if dim % heads == 0)


def check(x: TokenFeatures, y: Int[Tensor, " n"], classes: int) -> None:
    """ValueError for labels that cannot be learnt; the tokens were looked at when they were written."""
    if len(x) != len(y):
        raise ValueError(f"tokens of {len(x)} samples but {len(y)} labels; give one label per sample")
    check_labels(y, classes)
    if x.valid is not None and not x.valid[x.rows].any(1).all():
        raise ValueError(f"{int((~x.valid[x.rows].any(1)).sum())} samples have no valid token")


def parts(config: Attentive, heads: int, x: TokenFeatures, classes: int) -> Iterator[Sequence[tuple[float, float]]]:
    """The grid, as many heads at a time as memory is meant for."""
    state = 16 * heads_of.parameters(x.dim, classes, config.depth)
    sample = 4 * x.views * heads_of.floats(x.dim, x.tokens, heads, classes, config.depth)
    most = max(1, min(STATE // state, ACTIVATIONS // sample))
    for start in range(0, len(config.grid), most):
        yield config.grid[start : start + most]


def rows_at_once(count: int, x: TokenFeatures, heads: int, classes: int, depth: int) -> int:
    """Samples that `count` heads work on at a time."""
    return max(1, ACTIVATIONS // (4 * count * x.views * heads_of.floats(x.dim, x.tokens, heads, classes, depth)))


def train(
    x: TokenFeatures,
    y: Int[Tensor, " n"],
    classes: int,
    config: Attentive,
    grid: Sequence[tuple[float, float]],
    heads: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> Weights:
    """The stack of heads after training; pure in the seed, and each head as if it were trained alone."""
    rng = torch.Generator().manual_seed(draws.key(seed, "attentive") % 2**63)
    start = heads_of.initial(x.dim, classes, config.depth, rng)
    dtype = torch.float64 if x.stored.dtype == "float64" else torch.float32
    weights = {name: w.to(device, dtype).repeat(len(grid), *[1] * (w.ndim - 1)).requires_grad_() for name, w in start.items()}
    steps, most = config.steps(len(x)), rows_at_once(len(grid), x, heads, classes, config.depth)
    rates, decays = (torch.tensor(column, dtype=dtype, device=device) for column in zip(*grid, strict=True))
    share, fall = WarmupCosine(start=0.0, peak=1.0, final=0.0, warmup=config.warmup), Cosine(start=1.0, final=0.0)
    optimizer = AdamW(list(weights.values()))
    for step, batch in enumerate(islice(batches(len(x), config.batch_size, seed), steps)):
        for some in batch.split(most):
            tokens, valid = x.batch(some, device)
            said = heads_of.logits(weights, tokens, valid, heads, config.depth)
            # Summed over heads, whose gradients do not meet; the mean over the whole batch
            right = y[some].repeat_interleave(x.views).repeat(len(grid)).to(device)
            loss = F.cross_entropy(said.flatten(0, 1), right, reduction="sum") / (len(batch) * x.views)
            loss.backward()
        progress = (step + 0.5) / steps  # the middle of the step: neither the first nor the last is lost to a rate of 0
        decay, final = decays, config.final_decay
        if final is not None:
            decay = final + (decays - final) * fall(progress)
        optimizer.step(rates * share(progress), decay, config.clip)
    return {name: w.detach() for name, w in weights.items()}


def batches(samples: int, size: int, seed: int) -> Iterator[Int[Tensor, " b"]]:
    """Every sample once per epoch, each epoch in an order of its own, without end."""
    epoch = 0
    while True:
        order = torch.from_numpy(draws.uniform(seed, epoch, range(samples), 1, "attentive order")[:, 0]).argsort(stable=True)
        yield from order.split(size)
        epoch += 1


def answers(weights: Weights, x: TokenFeatures, heads: int, depth: int) -> Iterator[Float[Tensor, "g b classes"]]:
    """Logits of all heads of a stack, some samples after the others; of several views the log of their mean probability."""
    count, classes = weights["linear.bias"].shape
    for some in torch.arange(len(x)).split(min(1024, rows_at_once(count, x, heads, classes, depth))):
        tokens, valid = x.batch(some, weights["query"].device)
        said = heads_of.logits(weights, tokens, valid, heads, depth)
        yield said if x.views == 1 else said.unflatten(1, (-1, x.views)).log_softmax(-1).logsumexp(2) - math.log(x.views)


@torch.no_grad()
def judge(weights: Weights, x: TokenFeatures, y: Int[Tensor, " m"], heads: int, depth: int) -> list[tuple[float, float]]:
    """(accuracy, mean cross-entropy) of each head of a stack."""
    totals, at = torch.zeros(2, len(weights["linear.bias"]), dtype=torch.float64), 0
    for at_once in answers(weights, x, heads, depth):
        said = at_once.cpu()
        some = y[at : at + said.shape[1]].expand(said.shape[0], -1)
        totals[0] += (said.argmax(2) == some).double().sum(1)
        totals[1] += F.cross_entropy(said.permute(0, 2, 1), some, reduction="none").double().sum(1)
        at += said.shape[1]
    return [(right, miss) if math.isfinite(miss) else (0.0, math.inf) for right, miss in (totals / at).T.tolist()]
