"""The vocabulary: a token carries its position, a mask says which tokens are context and which are targets."""

from dataclasses import dataclass

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

    def take(self, index: Int[Tensor, "samples k"]) -> "Tokens":
        """Keep tokens `index` of every sample. A value never moves without its position."""
        valid = None if self.valid is None else gather(self.valid[..., None], index)[..., 0]
        return Tokens(gather(self.values, index), gather(self.positions, index), valid)


@dataclass(frozen=True)
class Masks:
    """Which tokens the context encoder sees, and which blocks of tokens the predictor must fill in."""

    context: Int[Tensor, "b k"]
    targets: Int[Tensor, "b blocks t"]


@dataclass(frozen=True)
class Batch:
    """What a predicting objective may look at. There is no label field, so no label can leak in."""

    views: tuple[Shaped[Tensor, "b ..."], ...]  # 1 for prediction, 2 or more for joint embedding
    masks: tuple[Masks, ...] = ()  # 1 for I-JEPA and MAE, 2 for V-JEPA, else none
