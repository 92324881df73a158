"""Logistic regression on frozen features: the linear probe for data sets that fit in memory.

Protocol (DINOv3's logistic regression, written anew): features are standardised on train, the strength of the L2
penalty is chosen on a tenth of *train*, then all of train is fitted. The penalty is scikit-learn's: minimise
C x sum of cross-entropies + |W|^2 / 2, biases free. C runs over a bounded grid, from strong to weak penalty, each
solution warm-starting the next, and the walk ends once the held-out cross-entropy keeps rising.

It is fast because L-BFGS runs in the principal axes of the features, where |W|^2 is unchanged, each axis scaled by
its own curvature: frozen features are so ill-conditioned that plain L-BFGS takes a hundred times the steps.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from openjepa.probes.confidence import check
from openjepa.probes.splits import hold_out, hold_out_groups

# C, two values per decade; an untrained encoder asks for the upper end, and a floor must not be cut short
STRENGTHS = tuple(10 ** (i / 2) for i in range(-12, 9))
FEW = 10  # samples of the rarest class below which no tenth is held out and C is FEW_C
FEW_C = 1e-2  # of .001, .01, .1 and 1 the best at 5 shots on CIFAR-10, for an MAE and for its untrained self
PATIENCE = 4  # values of C in a row that overfit before the walk ends
OVERFIT = 1.02  # held-out cross-entropy over the lowest so far from which a value counts as overfitting


@dataclass(frozen=True)
class Scale:
    """Standardises features as the training set was."""

    mean: Float[Tensor, " d"]
    std: Float[Tensor, " d"]

    @staticmethod
    def of(x: Float[Tensor, "n d"]) -> "Scale":
        var, mean = torch.var_mean(x, 0, correction=0)
        std = var.sqrt()
        # A constant feature has only rounding noise for a spread; dividing by it would blow that up
        return Scale(mean, torch.where(std > 1e-6 * mean.abs(), std, torch.inf))

    def __call__(self, x: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
        return (x - self.mean) / self.std


@dataclass(frozen=True)
class Linear:
    """A fitted probe: class = argmax of standardised features x weight + bias."""

    scale: Scale
    weight: Float[Tensor, "d classes"]
    bias: Float[Tensor, " classes"]
    strength: float  # C
    held_out: tuple[tuple[float, float], ...]  # (C, held-out accuracy) of each value tried; empty when C was not chosen

    def logits(self, x: Float[Tensor, "m d"]) -> Float[Tensor, "m classes"]:
        return self.scale(x) @ self.weight + self.bias

    @torch.no_grad()
    def predict(self, x: Float[Tensor, "m d"]) -> Int[Tensor, " m"]:
        check(x, None, len(self.bias))
        return self.logits(x).argmax(1)


class LBFGS(torch.optim.LBFGS):
    """torch's, without the wrapper around one of its methods that imports all of torch.compile: 1.5 s of a short probe."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)


class Problem:
    """Multinomial logistic regression in the principal axes of one standardised training set."""

    def __init__(self, x: Float[Tensor, "n d"], y: Int[Tensor, " n"], classes: int) -> None:
        self.x_scale = Scale.of(x)
        z = self.x_scale(x)
        if len(z) < z.shape[1]:  # weights outside the span of the samples are zero at the optimum, so few samples mean few axes
            _, singular, axes = torch.linalg.svd(z, full_matrices=False)
            curvature, self.axes = singular.square() / len(z), axes.T
        else:
            curvature, self.axes = torch.linalg.eigh(z.T @ z / len(z))
        self.z, self.y, self.classes = z @ self.axes, y, classes
        self.curvature = curvature.clamp(min=0) / classes  # of the mean cross-entropy at equal probabilities, nearly
        self.params = torch.zeros(len(curvature) + 1, classes, dtype=x.dtype, device=x.device)  # last row: biases

    def loss(self, params: Float[Tensor, "r1 k"], decay: float) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy + decay |W|^2 / 2, and its gradient."""
        weight, n = params[:-1], len(self.z)
        logp = torch.addmm(params[-1], self.z, weight).log_softmax(1)
        value = -logp.gather(1, self.y[:, None]).mean() + decay / 2 * weight.square().sum()
        error = logp.exp()
        error[torch.arange(n, device=error.device), self.y] -= 1
        error /= n
        gradient = torch.cat([self.z.T @ error + decay * weight, error.sum(0, keepdim=True)])
        return value, gradient

    def solve(self, strength: float, tolerance: float, steps: int = 1000) -> None:
        """Minimise for C = `strength`, starting from the present parameters.

        `tolerance`: largest slope left in any scaled direction; the value is then within about its square of the least.
        """
        decay = 1 / (strength * len(self.z))
        shape = torch.cat([self.curvature + decay, self.curvature.new_full((1,), 1 / self.classes)]).rsqrt()[:, None]
        scaled = (self.params / shape).requires_grad_()
        solver = LBFGS(
            [scaled],
            max_iter=steps,
            history_size=20,
            tolerance_grad=tolerance,
            tolerance_change=tolerance**2,
            line_search_fn="strong_wolfe",
        )

        def closure() -> Tensor:
            with torch.no_grad():
                value, gradient = self.loss(scaled * shape, decay)
                scaled.grad = gradient * shape
            return value

        solver.step(closure)  # type: ignore[no-untyped-call]
        self.params = scaled.detach() * shape

    def fitted(self, strength: float, held_out: Sequence[tuple[float, float]] = ()) -> Linear:
        return Linear(self.x_scale, self.axes @ self.params[:-1], self.params[-1], strength, tuple(held_out))


def fit(
    x: Float[Tensor, "n d"],
    y: Int[Tensor, " n"],
    classes: int,
    *,
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
    tolerance: float = 1e-5,
    groups: Int[Tensor, " n"] | None = None,
) -> Linear:
    """Choose C on a tenth of (x, y), refit on all of it. With `groups` the tenth is of whole groups.

    With one value in `strengths`, or fewer than 10 samples in the rarest class (then C = .01), nothing is held out.
    ValueError for one class only, for features that are not finite, for labels outside 0..classes-1.
    """
    check(x, y, classes)
    counts = y.bincount()
    if len(strengths) > 1 and counts[counts > 0].min() < FEW:
        strengths = (FEW_C,)
    start: Problem | None = None
    strength, tried = strengths[0], list[tuple[float, float]]()
    if len(strengths) > 1:
        split = hold_out(y, 0.1, seed, "strength") if groups is None else hold_out_groups(y, groups, 0.1, seed, "strength")
        kept, held = (rows.to(x.device) for rows in split)
        start, strength, tried = choose(Problem(x[kept], y[kept], classes), x[held], y[held], sorted(strengths))
    problem = Problem(x, y, classes)
    if start is not None:  # the same weights in the axes of all of train: a start, not a constraint
        problem.params = torch.cat([problem.axes.T @ (start.axes @ start.params[:-1]), start.params[-1:]])
    problem.solve(strength, tolerance)
    return problem.fitted(strength, tried)


def choose(
    problem: Problem, x: Float[Tensor, "m d"], y: Int[Tensor, " m"], strengths: Sequence[float]
) -> tuple[Problem, float, list[tuple[float, float]]]:
    """The C with the best held-out accuracy, of equals the one with the lowest cross-entropy; `problem` is left at that solution."""
    tried: list[tuple[float, float]] = []
    best, best_params, strength = (-1.0, 0.0), problem.params, strengths[0]
    least, since = float("inf"), 0
    for c in strengths:
        problem.solve(c, 1e-3, steps=100)  # enough to rank; the refit goes on to the end
        logits = problem.fitted(c).logits(x)
        right = (logits.argmax(1) == y).double().mean().item()
        miss = torch.nn.functional.cross_entropy(logits, y).item()
        tried.append((c, right))
        if (right, -miss) > best:
            best, best_params, strength = (right, -miss), problem.params, c
        # Patience counts clear overfitting alone: under strong penalties accuracy and cross-entropy stay flat for decades of C
        least = min(miss, least)
        since = since + 1 if miss > OVERFIT * least else 0
        if since >= PATIENCE:
            break
    problem.params = best_params
    return problem, strength, tried


def accuracy(x: Float[Tensor, "n d"], y: Int[Tensor, " n"], test: Float[Tensor, "m d"], test_y: Int[Tensor, " m"], seed: int = 0) -> float:
    """Share of the test samples that a logistic regression fitted on (x, y) puts in the right class."""
    probe = fit(x, y, int(y.max()) + 1, seed=seed)
    return (probe.predict(test) == test_y).double().mean().item()
