"""One question about every sample, and its right answers. Labels enter in probes, never in training."""

from dataclasses import dataclass

from jaxtyping import Int64
from torch import Tensor


@dataclass(frozen=True)
class LabelSet:
    """`names[values[i]]` is the answer for sample i."""

    names: tuple[str, ...]
    values: Int64[Tensor, " n"]
