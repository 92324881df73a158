"""Block masks: against a loop over single numbers, and for what must hold on any grid."""

from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from itertools import product
from math import log, prod

import cattrs
import numpy as np
import pytest
import torch
import tyro
from hypothesis import given, settings
from hypothesis import strategies as st

from openjepa.draws import uniform
from openjepa.masks.blocks import Blocks, block_sides

GRIDS = st.one_of(
    st.tuples(st.integers(4, 18), st.integers(4, 18)),
    st.tuples(st.integers(2, 5), st.integers(3, 9), st.integers(3, 9)),
    st.tuples(st.integers(12, 50)),
)
SETTINGS = st.builds(
    Blocks,
    count=st.integers(1, 5),
    scale=st.tuples(st.floats(0.02, 0.2), st.floats(0.2, 0.4)),
    aspect=st.tuples(st.floats(0.3, 1.0), st.floats(1.0, 3.0)),
    context_scale=st.tuples(st.floats(0.5, 0.8), st.floats(0.8, 1.0)),
    context=st.floats(0.05, 0.4),
    min_context=st.integers(1, 6),
)


@given(blocks=SETTINGS, grid=GRIDS, seed=st.integers(0, 2**40), step=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_any_settings_on_any_grid(blocks: Blocks, grid: tuple[int, ...], seed: int, step: int) -> None:
    """Masks that keep every promise, or an error that says what to change."""
    try:
        masks = blocks(grid, seed, step, [4, 9, 2])
    except ValueError as error:
        assert "lower scale, count, context or min_context" in str(error)  # noqa: PT017
        return
    target, home = blocks.sizes(grid, seed, step)
    assert masks.context.shape == (3, max(blocks.min_context, round(blocks.context * prod(grid))))
    assert masks.targets.shape == (3, blocks.count, prod(target))
    for context, targets in zip(masks.context.tolist(), masks.targets.tolist(), strict=True):
        assert context == sorted(set(context))
        assert context[0] >= 0
        assert context[-1] < prod(grid)
        assert not set(context) & {place for block in targets for place in block}
        spread = np.ptp(np.array(np.unravel_index(context, grid)), 1) + 1
        assert (spread <= home).all()
        for block in targets:
            corner = np.unravel_index(block[0], grid)
            rectangle = product(*(range(c, c + s) for c, s in zip(corner, target, strict=True)))
            assert block == [int(np.ravel_multi_index(place, grid)) for place in rectangle]


@pytest.mark.parametrize("grid", [(11, 13), (4, 4), (3, 5, 7), (40,)])
def test_against_a_loop_over_single_numbers(grid: tuple[int, ...]) -> None:
    """One place, one token at a time, first placement that leaves enough; on 4 x 4 some rows are placed again."""
    blocks, again = Blocks(), 0
    for step, row in product(range(6), range(8)):
        target, home = blocks.sizes(grid, 17, step)
        for attempt in range(99):
            numbers = iter(uniform(17, step, [row], (blocks.count + 1) * len(grid), f"places {attempt}")[0].tolist())
            placed = [rectangle(grid, sides, numbers) for sides in [target] * blocks.count + [home]]
            free = [place for place in placed[-1] if not any(place in block for block in placed[:-1])]
            if len(free) >= blocks.keep(grid):
                break
            again += 1
        order = uniform(17, step, [row], prod(grid), "context")[0]
        masks = blocks(grid, 17, step, [row])
        assert masks.context[0].tolist() == sorted(sorted(free, key=lambda place: order[place])[: blocks.keep(grid)])
        assert masks.targets[0].tolist() == placed[:-1]
    assert again > 0 or grid != (4, 4)


def rectangle(grid: tuple[int, ...], sides: list[int], numbers: Iterator[float]) -> list[int]:
    corner = [int(next(numbers) * (g - s + 1)) for g, s in zip(grid, sides, strict=True)]
    places = product(*(range(g) for g in grid))
    inside = [all(c <= p < c + s for p, c, s in zip(place, corner, sides, strict=True)) for place in places]
    return [i for i, there in enumerate(inside) if there]


def test_a_row_does_not_know_its_batch() -> None:
    """4 x 4 with six tokens of context places many rows again: a neighbour's second try must not move mine."""
    for grid, blocks in (((4, 4), Blocks(context=6 / 16)), ((9, 7), Blocks())):
        for step in range(8):
            rows = [5, 900, 31, 7, 12, 77, 2**33]
            together = blocks(grid, 3, step, rows)
            for i in (6, 0, 3):
                alone = blocks(grid, 3, step, [rows[i]])
                assert torch.equal(together.context[i], alone.context[0])
                assert torch.equal(together.targets[i], alone.targets[0])


def test_seed_step_and_row_all_matter() -> None:
    asked = [((0, 0), 0), ((0, 0), 1), ((0, 1), 0), ((1, 0), 0)]
    masks = [Blocks()((14, 14), *which, [row]) for which, row in asked]
    assert len({tuple(m.context[0].tolist()) for m in masks}) == 4
    assert len({tuple(m.targets.flatten().tolist()) for m in masks}) == 4


def test_saved_runs_depend_on_these_numbers() -> None:
    """A resumed run draws the masks it would have drawn: changing them changes what old checkpoints continue with."""
    masks = Blocks()((14, 14), 0, 0, range(8))
    assert (masks.context.sum().item(), masks.targets.sum().item()) == (43231, 100590)


def coverage(blocks: Blocks, grid: tuple[int, ...], steps: int, rows: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """How many samples have each place in their context, and in a target."""
    context, target = np.zeros(prod(grid), int), np.zeros(prod(grid), int)
    for step in range(steps):
        masks = blocks(grid, 23, step, range(rows))
        context += np.bincount(masks.context.flatten().numpy(), minlength=prod(grid))
        for row in masks.targets.flatten(1):
            target[row.unique().numpy()] += 1
    return context.reshape(grid), target.reshape(grid)


@pytest.mark.parametrize("grid", [(4, 4), (4, 16), (5, 7), (16, 16), (13,), (3, 5, 7)])
def test_every_place_is_sometimes_context_and_sometimes_target(grid: tuple[int, ...]) -> None:
    """An exclusive upper bound hides the last row and column for ever."""
    context, target = coverage(Blocks(), grid, 20)
    assert (context > 0).all()
    assert (target > 0).all()


@pytest.mark.parametrize("grid", [(14, 14), (6, 10)])
def test_no_side_is_favoured(grid: tuple[int, int]) -> None:
    """Cutting sorted indices keeps the top: it held 79 % of the context of 128 images on 14 x 14. Flips must change nothing."""
    for seen in coverage(Blocks(), grid, 60):
        for axis in (0, 1):
            half = grid[axis] // 2
            first = np.take(seen, range(half), axis).sum() / seen.sum()
            assert abs(first - 0.5) < 0.01
            assert np.abs(seen - np.flip(seen, axis)).max() < 6 * (2 * 0.25 * 60 * 64) ** 0.5


def test_scale_and_aspect_are_independent() -> None:
    """On a grid so fine that whole numbers do not matter; also within their ranges."""
    blocks, logs = Blocks(), []
    for step in range(600):
        (high, wide), _ = blocks.sizes((400, 400), 0, step)
        assert 0.149 < high * wide / 400**2 < 0.201
        assert 0.74 < high / wide < 1.52
        logs.append((log(high * wide), log(high / wide)))
    assert abs(np.corrcoef(np.array(logs).T)[0, 1]) < 0.14  # three and a half standard errors of no correlation
    assert np.std(logs, 0).min() > 0.07


@pytest.mark.parametrize(
    ("grid", "area", "aspects", "sides"),
    [
        ((16, 16), 49.0, [1.0], [7, 7]),
        ((16, 16), 48.0, [4 / 3], [8, 6]),
        ((2, 40), 16.0, [1.0], [2, 8]),  # two rows only: longer, not smaller
        ((40, 2), 16.0, [1.0], [8, 2]),
        ((4, 2, 50), 96.0, [1.0, 1.0], [4, 2, 12]),
        ((3, 3), 9.0, [1.0], [3, 3]),
        ((30,), 7.4, [], [7]),
        ((4, 4), 0.3, [1.0], [1, 1]),
    ],
)
def test_sides_keep_the_area(grid: tuple[int, ...], area: float, aspects: list[float], sides: list[int]) -> None:
    assert block_sides(grid, area, aspects) == sides


@pytest.mark.parametrize("grid", [(4, 4), (6, 6), (8, 8), (4, 16), (5, 7), (14, 14), (16, 16), (4, 8, 8)])
def test_blocks_have_the_asked_scale_on_average(grid: tuple[int, ...]) -> None:
    sizes = [prod(Blocks().sizes(grid, 0, step)[0]) / prod(grid) for step in range(120)]
    assert 0.15 <= np.mean(sizes) <= 0.2


def test_an_unlucky_step_is_refused_before_the_first() -> None:
    """Step 0 of seed 0 draws small blocks; the settings also allow ones that leave nothing."""
    blocks = Blocks(count=6, scale=(0.02, 0.9))
    small = next(step for step in range(100) if prod(blocks.sizes((8, 8), 0, step)[0]) < 8)
    with pytest.raises(ValueError, match=r"6 target blocks of .* on a 8 x 8 grid leave fewer than 16 of 64 tokens as context.*lower scale"):
        blocks((8, 8), 0, small, [0])


@pytest.mark.parametrize("grid", [(1,), (1, 1), (2, 2), (1, 4), (1, 2, 2)])
def test_grids_too_small_for_blocks_say_so(grid: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="smaller patches"):
        Blocks()(grid, 0, 0, [0])


@pytest.mark.parametrize("side", range(3, 9))
def test_small_square_grids_work_at_every_step(side: int) -> None:
    for step in range(40):
        masks = Blocks()((side, side), 0, step, range(16))
        assert masks.context.shape == (16, max(4, round(side * side / 4)))


@pytest.mark.parametrize("grid", [(), (0, 4), (4, -4)])
def test_a_grid_has_tokens(grid: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="number of tokens along each axis"):
        Blocks()(grid, 0, 0, [0])


def test_no_rows_give_no_masks() -> None:
    masks = Blocks()((6, 6), 0, 0, [])
    assert masks.context.shape == (0, 9)
    assert masks.targets.shape[0] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, "count is 0"),
        ({"min_context": 0}, "min_context is 0"),
        ({"scale": (0.2, 0.15)}, "scale is .* low <= high"),
        ({"scale": (0.0, 0.2)}, "scale is"),
        ({"scale": (0.5, 1.2)}, "scale is .* <= 1"),
        ({"scale": (float("nan"), 0.2)}, "scale is"),
        ({"aspect": (1.0, float("inf"))}, "aspect is"),
        ({"context_scale": (0.85, 1.1)}, "context_scale is"),
        ({"context": 0.0}, "context is 0.0"),
        ({"context": 49}, "context is 49; it is the share"),
    ],
)
def test_settings_are_checked_when_written(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Blocks(**change)  # type: ignore[arg-type]


def test_settings_are_plain_values() -> None:
    """Written by a command line, saved as JSON, read back equal, and not changed on the way."""
    blocks = tyro.cli(Blocks, args=["--scale", "0.1", "0.3", "--count", "2"])
    assert blocks == Blocks(scale=(0.1, 0.3), count=2)
    assert cattrs.structure(cattrs.unstructure(blocks), Blocks) == blocks
    with pytest.raises(FrozenInstanceError):
        blocks.count = 3  # type: ignore[misc]
