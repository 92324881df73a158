"""The published sampler: golden sums, its quirks, and where it would never return."""

from math import log

import numpy as np
import pytest
import torch
from torch import Generator

from openjepa.masks.blocks import Blocks
from openjepa.masks.official import block_size, multiblock

IJEPA = Blocks(parity="ijepa")


@pytest.mark.parametrize(
    ("side", "targets", "homes"),
    [
        (16, [(7, 6), (8, 6), (7, 6), (5, 7), (7, 6), (8, 6)], [15] * 6),
        (14, [(6, 6), (7, 5), (7, 5), (5, 6), (6, 5), (7, 5)], [13] * 6),
        (28, [(12, 11), (14, 11), (13, 11), (9, 12), (13, 11), (14, 10)], [27, 26, 27, 26, 27, 26]),
        (12, [(5, 5), (6, 5), (6, 5), (4, 5), (5, 5), (6, 4)], [11] * 6),
        (8, [(4, 3), (4, 3), (4, 3), (3, 3)], [7] * 4),
    ],
)
def test_block_sizes(side: int, targets: list[tuple[int, int]], homes: list[int]) -> None:
    """Of the official collator's first batches."""
    for counter, (target, home) in enumerate(zip(targets, homes, strict=True)):
        u, v = torch.rand(2, generator=Generator().manual_seed(counter)).tolist()
        assert block_size((side, side), IJEPA.scale, IJEPA.aspect, u) == target
        assert block_size((side, side), IJEPA.context_scale, (1.0, 1.0), v) == (home, home)


@pytest.mark.parametrize(
    ("side", "images", "context", "context_sum", "target", "target_sums"),
    [
        (16, 4, 92, 33316, 42, [26376, 25158, 20790, 19782]),
        (16, 128, 81, 871935, 42, [638988, 625884, 610386, 631092]),
        (14, 128, 47, 322765, 36, [410976, 409896, 391716, 408024]),
    ],
)
def test_first_batch(side: int, images: int, context: int, context_sum: int, target: int, target_sums: list[int]) -> None:
    """The official collator after torch.manual_seed(0)."""
    masks = multiblock(IJEPA, (side, side), 0, images, Generator().manual_seed(0))
    assert masks.context.shape == (images, context)
    assert masks.context.sum() == context_sum
    assert masks.targets.shape == (images, 4, target)
    assert masks.targets.sum((0, 2)).tolist() == target_sums


def test_a_larger_batch_sees_less() -> None:
    """The quirk that makes the batch size per device part of the task."""
    kept = [multiblock(IJEPA, (14, 14), 0, images, Generator().manual_seed(0)).context.shape[1] for images in (1, 16, 128)]
    assert kept[0] > kept[1] > kept[2]


def test_last_row_and_column_are_never_used() -> None:
    used = np.zeros((12, 12), bool)
    for step in range(30):
        masks = IJEPA((12, 12), 0, step, range(16))
        used.reshape(-1)[masks.context.flatten().numpy()] = True
        used.reshape(-1)[masks.targets.flatten().numpy()] = True
    assert used[:-1, :-1].all()
    assert not used[-1].any()
    assert not used[:, -1].any()


def test_scale_and_aspect_are_one_number() -> None:
    sizes = [block_size((200, 200), IJEPA.scale, IJEPA.aspect, u) for u in np.random.default_rng(0).random(200)]
    logs = np.array([(log(high * wide), log(high / wide)) for high, wide in sizes])
    assert np.corrcoef(logs.T)[0, 1] > 0.98


def test_reached_through_blocks_it_is_pure_in_seed_step_and_rows() -> None:
    first, again = IJEPA((12, 12), 3, 5, [1, 2, 7]), IJEPA((12, 12), 3, 5, [1, 2, 7])
    assert torch.equal(first.context, again.context)
    assert torch.equal(first.targets, again.targets)
    for other in (IJEPA((12, 12), 4, 5, [1, 2, 7]), IJEPA((12, 12), 3, 5, [1, 2, 8])):
        assert not torch.equal(first.targets, other.targets)
    assert IJEPA((12, 12), 3, 3, [1]).targets.shape[2] == 20  # 4 x 5, the golden size of batch 3


def test_context_gives_up_target_blocks_from_the_last() -> None:
    """Eight targets of 12 x 12 on 16 x 16 leave no room: the last ones are overlapped, the first ones are not."""
    greedy = Blocks(count=8, scale=(0.6, 0.6), aspect=(1.0, 1.0), parity="ijepa")
    masks = multiblock(greedy, (16, 16), 0, 32, Generator().manual_seed(0))
    hit = [[bool(set(c) & set(t)) for t in ts] for c, ts in zip(masks.context.tolist(), masks.targets.tolist(), strict=True)]
    share = np.mean(hit, 0)
    assert share[:2].max() == 0
    assert share[-4:].min() > 0.3


@pytest.mark.parametrize("grid", [(8, 8), (4, 4), (1, 20), (1, 1)])
def test_where_the_official_sampler_never_returns(grid: tuple[int, int]) -> None:
    """8 x 8 draws 3 x 3 blocks in batch 3; we say so before batch 0."""
    with pytest.raises(ValueError, match=r"min_keep=10.*drop parity"):
        IJEPA(grid, 0, 0, [0])


def test_only_images() -> None:
    with pytest.raises(ValueError, match="two axes"):
        IJEPA((4, 8, 8), 0, 0, [0])


def test_settings_that_would_be_ignored_are_refused() -> None:
    with pytest.raises(ValueError, match="drop parity"):
        Blocks(parity="ijepa", context=0.4)
