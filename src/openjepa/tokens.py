"""The vocabulary: a token carries its position, a mask says which tokens are context and which are targets.

Samples of one length stack. Samples of several lengths ("ragged": points, tables, series) are padded to
the longest of their batch and a mask `valid` is False at the padding; None means that nothing is padded.
What a padded place holds is arbitrary: it changes no feature, no guess and no loss.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32, Int, Shaped
from torch import Tensor


def gather(x: Shaped[Tensor, "b n d"], index: Int[Tensor, "samples k"]) -> Shaped[Tensor, "b k d"]:
    """Rows `index` of every sample.

    Raises ValueError when `index` is for another number of samples: `torch.gather` alone would
    then read the wrong images and still return the right shape.
    """
    if len(index) != len(x):
        raise ValueError(f"index is for {len(index)} samples, tokens hold {len(x)}")
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))


def both(a: Bool[Tensor, "*b"] | None, b: Bool[Tensor, "*b"] | None) -> Bool[Tensor, "*b"] | None:
    """Where both are True; None says True everywhere."""
    return b if a is None else a if b is None else a & b


def unless_all(valid: Bool[Tensor, "*b"]) -> Bool[Tensor, "*b"] | None:
    """`valid`, or None where everything is real, which is cheaper to work with and gives the same numbers.

    Asked on a CPU alone: elsewhere the question would wait for the device in every step, and in a compiled one it would break the graph.
    """
    asked = valid.device.type == "cpu" and not torch.compiler.is_compiling()
    return None if asked and bool(valid.all()) else valid


@dataclass(frozen=True)
class Tokens:
    """A set of vectors that know where they are.

    values:    what each token says, [b n d].
    positions: where it sits, in patch units, one column per axis: (row, column), (frame, row,
               column), (frequency, time). float32 always, because bfloat16 cannot tell 256 from 257.
    valid:     False where a ragged sample is padded, [b n]; None when every token is real.
    """

    values: Float[Tensor, "b n d"]
    positions: Float32[Tensor, "b n axes"]
    valid: Bool[Tensor, "b n"] | None = None

    def take(self, index: Int[Tensor, "samples k"], valid: Bool[Tensor, "samples k"] | None = None) -> "Tokens":
        """Keep tokens `index` of every sample. A value never moves without its position.

        `valid` is False where `index` itself is padded: a token taken there counts as padding.
        """
        taken = None if self.valid is None else gather(self.valid[..., None], index)[..., 0]
        return Tokens(gather(self.values, index), gather(self.positions, index), both(taken, valid))

    def blank(self) -> "Tokens":
        """Zeros instead of whatever padding holds, which may be NaN."""
        if self.valid is None:
            return self
        padding = ~self.valid[..., None]
        return Tokens(self.values.masked_fill(padding, 0), self.positions.masked_fill(padding, 0), self.valid)


@dataclass(frozen=True)
class Masks:
    """Which tokens the context encoder sees, and which blocks of tokens the predictor must fill in.

    Where samples keep different numbers of tokens, the index lists are padded at their end to the
    longest of the batch, with any place of that sample, and the masks beside them are False there.
    """

    context: Int[Tensor, "b k"]
    targets: Int[Tensor, "b blocks t"]
    context_valid: Bool[Tensor, "b k"] | None = None  # None: every entry of `context` counts
    target_valid: Bool[Tensor, "b blocks t"] | None = None  # None: every entry of `targets` counts

    def behind(self, registers: int) -> "Masks":
        """The same masks where `registers` tokens, always seen and never asked for, come before those that were masked."""
        if not registers:
            return self
        first = torch.arange(registers).expand(len(self.context), -1)
        context, valid = torch.cat([first, self.context + registers], 1), self.context_valid
        valid = None if valid is None else torch.cat([torch.ones_like(first, dtype=torch.bool), valid], 1)
        return Masks(context, self.targets + registers, valid, self.target_valid)

    def map(self, change: Callable[[Tensor], Tensor]) -> "Masks":
        """The same masks with `change` done to every tensor, e.g. moved to a device or cut along samples."""
        return Masks(*(None if x is None else change(x) for x in (self.context, self.targets, self.context_valid, self.target_valid)))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Batch:
    """What a predicting objective may look at. There is no label field, so no label can leak in."""

    views: tuple[Shaped[Tensor, "b ..."], ...]  # 1 for prediction, 2 or more for joint embedding
    masks: tuple[Masks, ...] = ()  # one per mask configuration: 1 for I-JEPA and MAE, 2 for V-JEPA; else none

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The same batch with `change` done to every tensor."""
        return Batch(tuple(map(change, self.views)), tuple(masks.map(change) for masks in self.masks))
