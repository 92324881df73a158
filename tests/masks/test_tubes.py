"""Tied masks and tubes: each line along a tied axis is hidden whole."""

from math import prod

import numpy as np
import pytest
import torch

from openjepa.masks.blocks import Blocks
from openjepa.masks.random import Random
from openjepa.masks.tubes import Tied, Tube

GRID = (3, 5, 7)


def dense(index: torch.Tensor, grid: tuple[int, ...] = GRID) -> np.ndarray:
    """Index lists [b k] as grids of True and False."""
    seen = np.zeros((len(index), prod(grid)), bool)
    np.put_along_axis(seen, index.numpy(), True, 1)
    return seen.reshape(-1, *grid)


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 2), (2, 1)])
@pytest.mark.parametrize("masks", [Random(ratio=0.6), Blocks(count=2, scale=(0.1, 0.2))])
def test_the_untied_mask_is_repeated_along_the_tied_axes(axes: tuple[int, ...], masks: Random | Blocks) -> None:
    """Compare with the mask on the small grid, spread by numpy's broadcasting."""
    small = tuple(side for axis, side in enumerate(GRID) if axis not in axes)
    if isinstance(masks, Blocks) and len(small) == 1:
        masks = Blocks(count=1, scale=(0.1, 0.2), min_context=1)
    plain, tied = masks(small, 1, 2, [3, 4]), Tied(masks=masks, axes=axes)(GRID, 1, 2, [3, 4])
    shape = tuple(1 if axis in axes else side for axis, side in enumerate(GRID))
    pairs = [(plain.context, tied.context), *zip(plain.targets.unbind(1), tied.targets.unbind(1), strict=True)]
    for before, after in pairs:
        wanted = np.broadcast_to(dense(before, small).reshape(-1, *shape), (2, *GRID))
        assert (dense(after) == wanted).all()
        assert after.tolist() == [sorted(set(row)) for row in after.tolist()]


def test_a_tube_hides_the_same_places_in_every_frame() -> None:
    """VideoMAE's counts: int(196 x .1) places stay, in all 8 slices."""
    masks = Tube()((8, 14, 14), 0, 0, range(5))
    assert masks.context.shape == (5, 19 * 8)
    assert masks.targets.shape == (5, 1, 177 * 8)
    seen = dense(masks.context, (8, 14, 14))
    assert (seen == seen[:, :1]).all()
    assert len({grid.tobytes() for grid in seen}) == 5
    assert (dense(masks.targets[:, 0], (8, 14, 14)) == ~seen).all()


def test_ragged_samples() -> None:
    """3 leads of up to 7 moments; the second sample has 4 moments, and its third lead only 2."""
    valid = torch.ones(2, 3, 7, dtype=torch.bool)
    valid[1, :, 4:] = False
    valid[1, 2, 2:] = False
    masks = Tied(masks=Random(ratio=0.5), axes=(0,)).among((3, 7), valid.flatten(1), 0, 0, [5, 6])
    assert masks.context_valid is not None
    assert masks.target_valid is not None
    for i in range(2):
        context = masks.context[i][masks.context_valid[i]].tolist()
        target = masks.targets[i, 0][masks.target_valid[i, 0]].tolist()
        assert sorted(context + target) == valid[i].flatten().nonzero()[:, 0].tolist()
        assert not {c % 7 for c in context} & {t % 7 for t in target}
    whole = Tied(masks=Random(ratio=0.5), axes=(0,)).among((3, 7), torch.ones(2, 21, dtype=torch.bool), 0, 0, [5, 6])
    assert torch.equal(whole.context, Tied(masks=Random(ratio=0.5))((3, 7), 0, 0, [5, 6]).context)
    assert whole.context_valid is None


@pytest.mark.parametrize("axes", [(), (0, 0), (-1,)])
def test_axes_are_named_once_from_zero(axes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="counting from 0"):
        Tied(axes=axes)


@pytest.mark.parametrize("axes", [(3,), (0, 1, 2)])
def test_some_axis_stays_free(axes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="fewer than its axes"):
        Tied(axes=axes)(GRID, 0, 0, [0])


def test_a_share() -> None:
    with pytest.raises(ValueError, match="share of tokens to hide"):
        Tube(ratio=1.0)
