"""Target features of other samples of the run's data: what a guess is compared with to be worth anything."""

from collections.abc import Callable, Sequence
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from openjepa.modalities.modality import BadSample
from openjepa.report.gallery import spread

if TYPE_CHECKING:
    from openjepa.explore.explorer import Explorer

T = TypeVar("T")
MOST = 256  # samples
MOST_BYTES = 96 * 2**20  # of features
CHUNK = 16  # samples encoded at a time


def norm(goals: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
    """Features as the loss compares them: JEPA.predictions' own layer norm."""
    return F.layer_norm(goals.float(), goals.shape[-1:])


class Bank:
    """Layer-normed target features [b n d] and patches of samples spread evenly over the run's data.

    It grows by `grow`; the numbers of a full one are a function of checkpoint and data alone.
    """

    def __init__(self, explorer: "Explorer") -> None:
        self.explorer = explorer
        self.names: list[str] = []
        self.parts: list[Tensor] = []
        self.pixels: list[Tensor] = []
        self.tried = 0
        self.made: dict[str, tuple[int, object]] = {}  # of so many samples: what was computed of the whole bank

    @cached_property
    def wanted(self) -> list[str]:
        """Names of the samples of a full bank."""
        explorer = self.explorer
        each = 4 * prod(explorer.grid) * (explorer.objective.encoder.dim + explorer.modality.patch_dim)
        total = len(explorer.inputs)
        most = max(8, min(MOST, MOST_BYTES // each))
        return [explorer.inputs.name_of(row) for row in spread(total, most)] if total else []

    @property
    def full(self) -> bool:
        return self.tried >= len(self.wanted)

    @torch.no_grad()
    def grow(self, count: int | None = None) -> None:
        """Up to `count` more samples; all that are missing where it is None. Unreadable ones are left out."""
        end = len(self.wanted) if count is None else min(len(self.wanted), self.tried + count)
        while self.tried < end:
            some = self.wanted[self.tried : min(end, self.tried + CHUNK)]
            self.tried += len(some)
            views, names = [], []
            for name in some:
                try:
                    views.append(self.explorer.inputs.view(name))
                except (BadSample, OSError):
                    continue
                names.append(name)
            if not views:
                continue
            looked = self.explorer.look_at(torch.stack(views))
            if looked.patches.valid is not None and not bool(looked.patches.valid.all()):
                continue  # padded samples have no features at some places
            self.names += names
            self.pixels.append(looked.patches.values.cpu())
            if looked.normed is not None:
                self.parts.append(looked.normed.cpu())

    @property
    def goals(self) -> Float[Tensor, "b n d"] | None:
        """None while it is empty."""
        return self._joined("parts")

    @property
    def patches(self) -> Float[Tensor, "b n e"] | None:
        return self._joined("pixels")

    @property
    def mean(self) -> Float[Tensor, "n d"]:
        """The mean target feature of every place. ValueError while the bank is empty."""
        return self.once("mean", lambda goals, _: goals.mean(0))

    def once(self, what: str, make: Callable[[Tensor, Tensor], T]) -> T:
        """`make(goals, patches)`, again only after the bank has grown. ValueError while it is empty."""
        goals, patches = self.goals, self.patches
        if goals is None or patches is None:
            raise ValueError(f"no sample of {self.explorer.run.data.path or 'the data'} could be read, so there is nothing to compare with")
        known = self.made.get(what)
        if known is None or known[0] != len(goals):
            known = self.made[what] = (len(goals), make(goals, patches))
        return known[1]  # type: ignore[return-value]

    def _joined(self, which: str) -> Tensor | None:
        parts: list[Tensor] = getattr(self, which)
        if len(parts) > 1:
            parts[:] = [torch.cat(parts)]
        return parts[0] if parts else None

    def others(self, name: str) -> Sequence[int]:
        """Numbers of the samples that are not `name` itself."""
        return [i for i, other in enumerate(self.names) if other != name]
