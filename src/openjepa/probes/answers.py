"""What a head answers about one sample: a list of parts, each a plain value that a page or a terminal can show.

A new kind of answer is a new dataclass here or beside its head; whoever shows answers falls back to the parts' fields.
"""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Part:
    """One thing that a head says."""

    kind: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class Classes(Part):
    """Classes and how likely each is; the probabilities sum to 1."""

    kind: ClassVar[str] = "classes"
    names: tuple[str, ...]
    probabilities: tuple[float, ...]

    @staticmethod
    def of(names: tuple[str, ...], probabilities: Float[Tensor, " classes"]) -> "Classes":
        return Classes(names, tuple(probabilities.tolist()))

    @property
    def best(self) -> str:
        return self.names[max(range(len(self.names)), key=self.probabilities.__getitem__)]


@dataclass(frozen=True)
class Neighbours(Part):
    """The most similar samples that a head knows, nearest first; `rows` are their numbers in the data it was fitted on."""

    kind: ClassVar[str] = "neighbours"
    names: tuple[str, ...]
    rows: tuple[int, ...]
    similarities: tuple[float, ...]  # cosines, after the bank's mean is taken off
    labels: tuple[str, ...]  # empty where the samples have none


@dataclass(frozen=True)
class TokenMap(Part):
    """A number for every token, in raster order; `about` says what it is."""

    kind: ClassVar[str] = "tokens"
    values: tuple[float, ...]
    about: str


@dataclass(frozen=True)
class Text(Part):
    """Words."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Answer:
    """Everything that one head says of one sample."""

    parts: tuple[Part, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"parts": [part.to_dict() for part in self.parts]}

    def part(self, kind: str) -> Part | None:
        """The first part of that kind."""
        return next((part for part in self.parts if part.kind == kind), None)
