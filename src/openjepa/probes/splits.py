"""Which labelled samples a probe may learn from: stratified or by whole groups, and a pure function of the seed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Groups:
    """Which samples belong together (a speaker's, a fold's) and must not be split: a number for each, and the names."""

    values: Int[Tensor, " n"]
    names: tuple[str, ...]

    def numbers(self, wanted: Sequence[str]) -> Int[Tensor, " k"]:
        """Of groups by name. ValueError names those that there are."""
        for name in wanted:
            if name not in self.names:
                listed = ", ".join(self.names[:20]) + (", ..." if len(self.names) > 20 else "")
                raise ValueError(f"no group {name!r}; there are {listed}")
        return torch.tensor([self.names.index(name) for name in wanted], dtype=torch.int64)


def groups_of(names: Sequence[str], pattern: str) -> Groups:
    """The first group of the regular expression `pattern`, searched in the name of every sample.

    ValueError for a pattern that is no regular expression, has no group, misses a name or finds one group only.
    """
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"--group {pattern!r} is not a regular expression: {error}") from None
    if not found.groups:
        raise ValueError(f"--group {pattern!r} marks no group; put brackets around the part of the name that tells it, as in '(s\\d+)_'")
    matches = [found.search(name) for name in names]
    missed = [name for name, match in zip(names, matches, strict=True) if match is None or match[1] is None]
    if missed:
        raise ValueError(f"--group {pattern!r} does not match {len(missed)} of {len(names)} samples, the first is {missed[0]}")
    said = [match[1] for match in matches if match is not None]
    called = tuple(sorted(set(said)))
    if len(called) < 2:
        only = f"only {called[0]!r}" if called else "nothing"
        raise ValueError(f"--group {pattern!r} finds {only} in {len(names)} samples; a split needs at least 2 groups")
    number = {name: i for i, name in enumerate(called)}
    return Groups(torch.tensor([number[name] for name in said]), called)


def hold_out_groups(
    labels: Int[Tensor, " n"], groups: Int[Tensor, " n"], share: float, seed: int, stream: str = "hold out"
) -> tuple[Int[Tensor, " kept"], Int[Tensor, " held"]]:
    """As `hold_out`, by whole groups: about `share` of all samples is held out, and at least one group.

    Groups are tried in random order; one is taken where that comes nearer to the share and every class stays on the
    learning side. ValueError where no group can be spared.
    """
    labels, groups = labels.cpu(), groups.cpu()
    present = torch.unique(groups)
    if len(present) < 2:
        raise ValueError(f"the {len(labels)} samples to split are of one group; at least 2 are needed so that none is cut")
    key = torch.from_numpy(draws.uniform(seed, 0, present.tolist(), 1, f"probe.{stream}.groups")[:, 0])
    _, labels = labels.unique(return_inverse=True)
    counts = torch.zeros(int(groups.max()) + 1, int(labels.max()) + 1, dtype=torch.int64)
    counts.index_put_((groups, labels), torch.ones_like(labels), accumulate=True)
    taken, left, want = list[int](), counts.sum(0), share * len(labels)
    spare = [int(g) for g in present[key.argsort(stable=True)] if (left - counts[g]).min() > 0]
    if not spare:
        raise ValueError("every group holds a class that no other has, so none can be held out; use other groups or give a test set")
    for g in spare:
        size, held = int(counts[g].sum()), len(labels) - int(left.sum())
        if (left - counts[g]).min() > 0 and abs(held + size - want) < abs(held - want):
            taken.append(g)
            left = left - counts[g]
    if not taken:  # all are far larger than the share
        taken = [min(spare, key=lambda g: int(counts[g].sum()))]
    out = torch.isin(groups, torch.tensor(taken))
    return torch.nonzero(~out)[:, 0], torch.nonzero(out)[:, 0]
