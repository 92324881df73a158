"""What a sampler is asked for: progress if it follows it, ragged samples if it can mask them."""

from dataclasses import dataclass
from typing import get_args

import pytest
import torch

from openjepa.draws import Rows
from openjepa.masks.blocks import Blocks
from openjepa.masks.random import Random
from openjepa.masks.samplers import Sampler, draw
from openjepa.tokens import Masks


@dataclass(frozen=True)
class Curriculum:
    def __call__(self, grid: tuple[int, ...], seed: int, step: int, rows: Rows, progress: float = 0.0) -> Masks:
        keep = 1 + int(progress * 3)
        return Masks(torch.arange(keep).repeat(len(rows), 1), torch.arange(keep, 9).repeat(len(rows), 1)[:, None])


def test_progress_goes_to_those_that_follow_it() -> None:
    masks = Curriculum()
    assert [draw(masks, (9,), 0, 0, [0], progress).context.shape[1] for progress in (0.0, 0.5, 1.0)] == [1, 2, 4]
    plain, told = Random()((9,), 0, 0, [0]), draw(Random(), (9,), 0, 0, [0], 0.5)
    assert torch.equal(plain.context, told.context)


def test_ragged_samples_need_a_sampler_that_knows_them() -> None:
    valid = torch.arange(9) < torch.tensor([[9], [4]])
    masks = draw(Random(), (9,), 0, 0, [0, 1], valid=valid)
    assert masks.context_valid is not None
    with pytest.raises(ValueError, match="Blocks masks need samples of one length"):
        draw(Blocks(), (9,), 0, 0, [0, 1], valid=valid)
    whole = draw(Blocks(min_context=1), (40,), 0, 0, [0, 1], valid=torch.ones(2, 40, dtype=torch.bool))
    assert whole.context_valid is None


@pytest.mark.parametrize("kind", get_args(Sampler))
def test_samplers_are_values(kind: type) -> None:
    """Defaults that can be compared, hashed and written down."""
    assert kind() == kind()
    assert hash(kind()) == hash(kind())
