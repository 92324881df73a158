"""Multi-block masks of clips: against a loop over single places, and for what must hold of any of them."""

from itertools import product
from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from openjepa.draws import uniform
from openjepa.masks.multiblock import MultiBlock, counts

GRID = (3, 7, 11)
LONG = MultiBlock(count=2, scale=(0.7, 0.7))
SETTINGS = st.builds(
    MultiBlock,
    count=st.integers(1, 8),
    scale=st.tuples(st.floats(0.02, 0.2), st.floats(0.2, 0.8)),
    time=st.tuples(st.floats(0.1, 0.5), st.floats(0.5, 1.0)),
    aspect=st.tuples(st.floats(0.3, 1.0), st.floats(1.0, 3.0)),
)


@given(masks=SETTINGS, grid=st.tuples(st.integers(1, 5), st.integers(2, 9), st.integers(2, 9)), seed=st.integers(0, 2**40))
@settings(max_examples=40, deadline=None)
def test_any_settings_on_any_grid(masks: MultiBlock, grid: tuple[int, int, int], seed: int) -> None:
    """Disjoint ascending lists of the same length in every step, or an error that says what to change."""
    try:
        first, second = masks(grid, seed, 3, [4, 9, 2]), masks(grid, seed, 8, [1])
    except ValueError as error:
        assert "change scale or count" in str(error)  # noqa: PT017
        return
    keep, ask = counts(masks, grid)
    assert first.context.shape == (3, keep)
    assert second.context.shape == (1, keep)
    assert first.targets.shape == (3, 1, ask)
    assert second.targets.shape == (1, 1, ask)
    for context, (target,) in zip(first.context.tolist(), first.targets.tolist(), strict=True):
        assert context == sorted(set(context))
        assert target == sorted(set(target))
        assert not set(context) & set(target)
        assert min(context + target) >= 0
        assert max(context + target) < prod(grid)


def test_against_a_loop_over_single_places() -> None:
    """Blocks put down one by one; a draw that covers too little or too much is thrown away; then tokens by their rank."""
    masks, again = MultiBlock(count=3, scale=(0.1, 0.4), time=(0.3, 1.0)), 0
    keep, ask = counts(masks, GRID)
    for step, row in product(range(4), range(8)):
        for attempt in range(99):
            u = uniform(5, step, [row], 12, f"multiblock {attempt}")[0]
            t, h, w = masks.sides(GRID, u[None, :3])[0].tolist()
            free = np.ones(GRID, bool)
            for block in range(3):
                a, b, c = (int(u[3 + 3 * block + i] * (g - s + 1)) for i, (g, s) in enumerate(zip(GRID, (t, h, w), strict=True)))
                free[a : a + t, b : b + h, c : c + w] = False
            if keep <= free.sum() <= prod(GRID) - ask:
                break
            again += 1
        rank = uniform(5, step, [row], prod(GRID), "multiblock")[0]
        order = sorted(range(prod(GRID)), key=lambda place: rank[place] + (not free.flat[place]))
        found = masks(GRID, 5, step, [row])
        assert found.context[0].tolist() == sorted(order[:keep])
        assert found.targets[0, 0].tolist() == sorted(order[-ask:])
    assert again > 0


@pytest.mark.parametrize(("masks", "wanted"), [(MultiBlock(), (0.276, 0.531)), (LONG, (0.092, 0.714))])
def test_published_masks_on_published_clips(masks: MultiBlock, wanted: tuple[float, float]) -> None:
    """16 frames at 224: about as many tokens as V-JEPA's batches of 24 keep (spec 2.2: 24 and 49 %, 6.7 and 71 %)."""
    assert [count / 1568 for count in counts(masks, (8, 14, 14))] == pytest.approx(wanted, abs=0.01)


@pytest.mark.parametrize("masks", [MultiBlock(), LONG])
def test_blocks_last_through_time_and_their_tokens_are_drawn_evenly(masks: MultiBlock) -> None:
    """Temporal scale 1: a place is free in all frames or in none; no frame is preferred, as raster truncation does."""
    grid = (4, 9, 9)
    context, target = (np.zeros((400, prod(grid)), bool) for _ in range(2))
    for step in range(4):
        found = masks(grid, 0, step, range(100))
        for seen, index in ((context, found.context), (target, found.targets[:, 0])):
            np.put_along_axis(seen[100 * step : 100 * step + 100], index.numpy(), True, 1)
    context, target = context.reshape(400, 4, 81), target.reshape(400, 4, 81)
    assert not (context.any(1) & target.any(1)).any()
    for seen in (context, target):
        share = seen.sum((0, 2)) / seen.sum()
        assert np.abs(share - 0.25).max() < 0.02
    assert target.any((0, 1)).all()
    assert context.any((0, 1)).all() or masks is LONG  # blocks of .7 always cover the middle


def test_sizes_are_asked_for_and_each_samples_own() -> None:
    masks = MultiBlock(scale=(0.1, 0.4), time=(0.2, 1.0))
    u = uniform(0, 0, range(4000), 3, "test")
    t, h, w = masks.sides((10, 20, 30), u).T
    assert (t.min(), t.max()) == (2, 10)
    area, aspect = h * w / 600, h / w
    assert abs(area.mean() - 0.25) < 0.01
    assert np.abs(area - (0.1 + 0.3 * u[:, 1])).max() < 0.04
    assert aspect.min() > 0.75 * 0.75
    assert aspect.max() < 1.5 * 1.25
    assert abs(np.corrcoef(area, aspect)[0, 1]) < 0.1


def test_a_row_does_not_know_its_batch() -> None:
    together = LONG((4, 8, 8), 1, 2, [10, 20, 30])
    alone = [LONG((4, 8, 8), 1, 2, [row]) for row in (30, 10, 20)]
    assert torch.equal(together.context[[2, 0, 1]], torch.cat([m.context for m in alone]))
    assert torch.equal(together.targets[[2, 0, 1]], torch.cat([m.targets for m in alone]))


def test_seed_step_and_row_all_matter() -> None:
    contexts = {tuple(MultiBlock()((2, 8, 8), *which, [row]).context[0].tolist()) for which in [(0, 0), (0, 1), (1, 0)] for row in (0, 1)}
    assert len(contexts) == 6


def test_shares_can_be_set() -> None:
    found = MultiBlock(context=0.2, target=0.4)((4, 8, 8), 0, 0, [0, 1])
    assert found.context.shape == (2, 51)
    assert found.targets.shape == (2, 1, 102)


def test_one_frame_is_a_clip() -> None:
    assert MultiBlock()((1, 6, 6), 0, 0, [0]).context.shape[1] > 0


@pytest.mark.parametrize(
    ("settings", "grid", "message"),
    [
        ({}, (14, 14), "use Blocks or Random"),
        ({"count": 2, "scale": (1.0, 1.0)}, (4, 8, 8), "2 blocks of 1 to 1 of a frame on a 4 x 8 x 8 grid seldom leave 1 of 256"),
        ({"context": 0.7}, (4, 8, 8), "seldom leave 179 of 256"),
        ({"target": 0.95}, (4, 8, 8), "cover 243"),
    ],
)
def test_what_cannot_be(settings: dict[str, object], grid: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiBlock(**settings)(grid, 0, 0, [0])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 0}, "count is 0"),
        ({"scale": (0.5, 1.5)}, "scale is"),
        ({"time": (0.0, 1.0)}, "time is"),
        ({"context": 1.0}, "context is 1.0"),
        ({"parity": "vjepa", "target": 0.5}, "drop parity"),
    ],
)
def test_wrong_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiBlock(**settings)  # type: ignore[arg-type]
