"""Which labelled samples a probe may learn from: stratified, and a pure function of the seed."""

import torch
from jaxtyping import Int
from torch import Tensor

from openjepa import draws


def shuffled(labels: Int[Tensor, " n"], seed: int, stream: str) -> list[Int[Tensor, " m"]]:
    """Rows of every class that occurs, each class in an order of its own."""
    key = torch.from_numpy(draws.uniform(seed, 0, range(len(labels)), 1, f"probe.{stream}")[:, 0])
    order = key.argsort(stable=True)
    by_class = labels.cpu()[order]
    return [order[by_class == label] for label in torch.unique(by_class)]


def hold_out(
    labels: Int[Tensor, " n"], share: float, seed: int, stream: str = "hold out"
) -> tuple[Int[Tensor, " kept"], Int[Tensor, " held"]]:
    """Rows to learn from and rows to judge by, both ascending: `share` of every class is held out.

    A class of one sample stays whole on the learning side; a class of two or more gives at least one to either side.
    """
    kept, held = [], []
    for rows in shuffled(labels, seed, stream):
        count = min(max(1, round(share * len(rows))), len(rows) - 1)
        held.append(rows[:count])
        kept.append(rows[count:])
    return torch.cat(kept).sort().values, torch.cat(held).sort().values


def draw_per_class(labels: Int[Tensor, " n"], count: float, seed: int) -> Int[Tensor, " m"]:
    """`count` rows of every class (an int), or that share of every class (a float below 1), at least one each."""
    picked = []
    for rows in shuffled(labels, seed, "few"):
        picked.append(rows[: count if isinstance(count, int) else max(1, round(count * len(rows)))])
    return torch.cat(picked).sort().values
