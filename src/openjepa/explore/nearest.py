"""A head without labels: which of a person's own samples does the frozen encoder find most alike?"""

from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from openjepa.explore.inputs import Inputs
from openjepa.frozen import FrozenEncoder
from openjepa.modalities.modality import BadSample
from openjepa.probes.answers import Neighbours
from openjepa.probes.knn import unit
from openjepa.report.gallery import spread

MOST = 512  # samples of the run's data that are compared with
CHUNK = 16  # encoded at a time


class Nearest:
    """Pooled features of the run's own samples and of dropped files. `grow` adds some; the numbers of a full one depend on nothing else."""

    def __init__(self, encoder: FrozenEncoder, inputs: Inputs) -> None:
        self.encoder, self.inputs = encoder, inputs
        self.known: dict[str, Tensor] = {}  # input -> features; None is never kept
        self.bad: set[str] = set()

    @cached_property
    def own(self) -> list[str]:
        """Samples of the run's data, spread evenly over it."""
        total = len(self.inputs)
        return [self.inputs.name_of(row) for row in spread(total, MOST)] if total else []

    @property
    def wanted(self) -> list[str]:
        """All that is compared with: dropped files come and go."""
        dropped = [f"upload:{file.key}" for file in self.inputs.uploads.of(self.inputs.modality.kind)]
        return [name for name in [*dropped, *self.own] if name not in self.bad]

    @property
    def missing(self) -> list[str]:
        return [name for name in self.wanted if name not in self.known]

    @torch.no_grad()
    def grow(self, count: int | None = None) -> None:
        """Encode `count` more, all that are missing where it is None. Those that cannot be read are left out."""
        rest = self.missing[:count]
        for start in range(0, len(rest), CHUNK):
            for name in rest[start : start + CHUNK]:
                self.features(name)

    def features(self, name: str) -> Float[Tensor, " e"] | None:
        if name not in self.known and name not in self.bad:
            try:
                self.known[name] = self.encoder.encode(self.inputs.view(name)[None]).pooled[0]
            except (BadSample, OSError):
                self.bad.add(name)
        return self.known.get(name)

    def find(self, name: str, k: int = 8) -> tuple[Neighbours, list[str]]:
        """The `k` most similar of those known so far, the sample itself left out; and the inputs that they are."""
        asked = self.features(name)
        if asked is None:
            raise ValueError(f"{name} cannot be read; choose another input")
        others = [other for other in self.wanted if other in self.known and other != name]
        if not others:
            return Neighbours((), (), (), ()), []
        bank = torch.stack([self.known[other] for other in others])
        mean = bank.mean(0) if len(bank) > 1 else torch.zeros_like(asked)  # what all share says nothing about any
        cosines = unit(bank - mean) @ unit(asked[None] - mean)[0]
        near = cosines.topk(min(k, len(others)))
        found = [others[i] for i in near.indices.tolist()]
        titles = [self.inputs.title(one) for one in found]
        rows = tuple(int(one.partition(":")[2]) if one.startswith("data:") else -1 for one in found)
        return Neighbours(tuple(t for t, _ in titles), rows, tuple(near.values.tolist()), tuple(label or "" for _, label in titles)), found
