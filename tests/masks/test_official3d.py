"""V-JEPA's published sampler: golden sizes and counts (spec 2.2), and its quirks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Generator

from openjepa.masks.multiblock import MultiBlock
from openjepa.masks.official import block_size3d, multiblock3d

SHORT = MultiBlock(parity="vjepa")
LONG = MultiBlock(count=2, scale=(0.7, 0.7), parity="vjepa")
SIZES = {
    14: ([(5, 6), (6, 5), (6, 5), (5, 5)], [(11, 13), (12, 11), (13, 11), (11, 12)]),
    16: ([(6, 7), (6, 6), (7, 6), (6, 6)], [(12, 15), (14, 13), (15, 12), (13, 14)]),
    24: ([(8, 10), (10, 9), (10, 8), (9, 9)], [(18, 22), (21, 20), (22, 18), (20, 20)]),
}


@pytest.mark.parametrize("side", SIZES)
def test_block_sizes_of_the_first_batches(side: int) -> None:
    for masks, wanted in zip((SHORT, LONG), SIZES[side], strict=True):
        assert [block_size3d(masks, (8, side, side), counter) for counter in range(4)] == [(8, *size) for size in wanted]


def test_the_first_batch_of_both_configurations() -> None:
    """Batch of 24, 16 frames at 224, one stream of places for both."""
    places = Generator().manual_seed(0)
    short, long = (multiblock3d(masks, (8, 14, 14), 0, 24, places) for masks in (SHORT, LONG))
    assert (short.context.shape, short.targets.shape) == ((24, 360), (24, 1, 824))
    assert (long.context.shape, long.targets.shape) == ((24, 48), (24, 1, 1144))


def test_raster_truncation_starves_the_last_frames() -> None:
    seen = np.zeros(8)
    for counter in range(8):
        masks = multiblock3d(SHORT, (8, 14, 14), counter, 24, Generator().manual_seed(counter))
        seen += np.bincount(masks.context.flatten().numpy() // 196, minlength=8)
    assert seen[0] > 5 * seen[6] > 0


def test_reached_through_multiblock_it_is_pure_in_seed_step_and_rows() -> None:
    first, again, other = (SHORT((2, 8, 8), 3, 5, rows) for rows in ([1, 2], [1, 2], [1, 7]))
    assert torch.equal(first.context, again.context)
    assert first.context.shape != other.context.shape or not torch.equal(first.context, other.context)


def test_blocks_may_be_shorter_than_the_clip() -> None:
    masks = MultiBlock(count=1, time=(0.5, 0.5), parity="vjepa")
    found = multiblock3d(masks, (8, 14, 14), 0, 1, Generator().manual_seed(0))
    t, h, w = np.unravel_index(found.targets[0, 0].numpy(), (8, 14, 14))
    assert (np.ptp(t) + 1, np.ptp(h) + 1, np.ptp(w) + 1) == (4, 5, 6)


@pytest.mark.parametrize("masks", [MultiBlock(count=1, scale=(1.0, 1.0), aspect=(1.0, 1.0), parity="vjepa"), replace(LONG, count=60)])
def test_where_the_official_sampler_never_returns(masks: MultiBlock) -> None:
    with pytest.raises(ValueError, match="leave no context"):
        masks((4, 4, 4), 0, 0, [0])
