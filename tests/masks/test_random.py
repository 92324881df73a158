"""Random masks: against a loop that sorts one row at a time, and for what must hold of any of them."""

from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from openjepa.draws import uniform
from openjepa.masks.random import Random

GRIDS = st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple)


@given(grid=GRIDS, ratio=st.floats(0.05, 0.95), seed=st.integers(0, 2**40), step=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_context_and_targets_share_out_the_tokens(grid: tuple[int, ...], ratio: float, seed: int, step: int) -> None:
    total = prod(grid)
    keep = int(total * (1 - ratio) + 1e-6)
    if not 1 <= keep < total:
        with pytest.raises(ValueError, match="another ratio"):
            Random(ratio=ratio)(grid, seed, step, [0])
        return
    masks = Random(ratio=ratio)(grid, seed, step, [3, 5, 7])
    assert masks.context.shape == (3, keep)
    assert masks.targets.shape == (3, 1, total - keep)
    for context, (target,) in zip(masks.context.tolist(), masks.targets.tolist(), strict=True):
        assert sorted(context + target) == list(range(total))
        assert context == sorted(context)
        assert target == sorted(target)


def test_against_a_loop_over_single_rows() -> None:
    masks = Random(ratio=0.6)((5, 7), 11, 13, [2, 9, 4])
    for i, row in enumerate([2, 9, 4]):
        numbers = uniform(11, 13, [row], 35, "random")[0].tolist()
        smallest = sorted(range(35), key=lambda place: numbers[place])[:14]
        assert masks.context[i].tolist() == sorted(smallest)


@pytest.mark.parametrize(("grid", "ratio", "keep"), [((14, 14), 0.75, 49), ((4, 4), 0.75, 4), ((10, 10), 0.9, 10), ((7, 7), 0.75, 12)])
def test_context_sizes(grid: tuple[int, int], ratio: float, keep: int) -> None:
    """MAE keeps 49 of 196; 10 of 100 at 0.9, although 1 - 0.9 is below 0.1 in binary."""
    assert Random(ratio=ratio)(grid, 0, 0, [0]).context.shape[1] == keep


def test_a_row_does_not_know_its_batch() -> None:
    together = Random()((6, 6), 1, 2, [10, 20, 30])
    alone = [Random()((6, 6), 1, 2, [row]) for row in (30, 10, 20)]
    assert torch.equal(together.context[[2, 0, 1]], torch.cat([m.context for m in alone]))
    assert torch.equal(together.targets[[2, 0, 1]], torch.cat([m.targets for m in alone]))


def test_seed_step_and_row_all_matter() -> None:
    contexts = {tuple(Random()((8, 8), *which, [row]).context[0].tolist()) for which in [(0, 0), (0, 1), (1, 0)] for row in (0, 1)}
    assert len(contexts) == 6


def test_every_place_is_hidden_equally_often() -> None:
    seen = np.zeros(30)
    for step in range(50):
        seen += np.bincount(Random(ratio=0.6)((5, 6), 0, step, range(100)).context.flatten().numpy(), minlength=30)
    assert np.abs(seen / 5000 - 0.4).max() < 5 * (0.4 * 0.6 / 5000) ** 0.5  # five standard errors


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.5, 75, float("nan")])
def test_ratio_is_a_share(ratio: float) -> None:
    with pytest.raises(ValueError, match="share of tokens to hide"):
        Random(ratio=ratio)


@pytest.mark.parametrize("grid", [(), (0, 4), (-1, 3)])
def test_a_grid_has_tokens(grid: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="number of tokens along each axis"):
        Random()(grid, 0, 0, [0])


def test_one_token_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="smaller patches"):
        Random()((1, 1), 0, 0, [0])


@given(lengths=st.lists(st.integers(2, 12), min_size=1, max_size=6), ratio=st.floats(0.05, 0.95), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_ragged_samples_share_out_their_own_tokens(lengths: list[int], ratio: float, seed: int) -> None:
    rows = list(range(len(lengths)))
    masks = Random(ratio=ratio).ragged(lengths, 12, seed, 3, rows)
    here = torch.ones_like(masks.context, dtype=torch.bool) if masks.context_valid is None else masks.context_valid
    asked = torch.ones_like(masks.targets, dtype=torch.bool) if masks.target_valid is None else masks.target_valid
    assert here.any(0).all()  # no longer than the longest
    assert asked.any(0).all()
    for i, n in enumerate(lengths):
        context, target = masks.context[i][here[i]].tolist(), masks.targets[i][asked[i]].tolist()
        assert sorted(context + target) == list(range(n))
        assert len(context) == min(max(int(n * (1 - ratio) + 1e-6), 1), n - 1)
        assert context == sorted(context)
        assert target == sorted(target)
        assert not (~here[i][: len(context)]).any()  # padding comes last and points at padding
        assert (masks.context[i][~here[i]] >= n).all()
        assert (masks.targets[i][~asked[i]] >= n).all()
        alone = Random(ratio=ratio).ragged([n], 12, seed, 3, [i])
        assert alone.context[0].tolist() == context
        assert alone.targets[0, 0].tolist() == target


def test_full_length_samples_are_masked_as_ever() -> None:
    plain, ragged = Random()((5, 7), 1, 2, [3, 4]), Random().ragged([35, 35], 35, 1, 2, [3, 4])
    assert torch.equal(plain.context, ragged.context)
    assert torch.equal(plain.targets, ragged.targets)
    assert ragged.context_valid is None
    assert ragged.target_valid is None


def test_real_tokens_may_lie_anywhere() -> None:
    """A table with missing cells: every real one is seen or asked for, no missing one is."""
    valid = torch.tensor([[False, True, True, False, True, True], [True, False, False, False, False, True]])
    masks = Random(ratio=0.5).among((6,), valid, 0, 0, [0, 1])
    assert masks.context_valid is not None
    assert masks.target_valid is not None
    for i, wanted in enumerate(([1, 2, 4, 5], [0, 5])):
        context, target = masks.context[i][masks.context_valid[i]], masks.targets[i][masks.target_valid[i]]
        assert sorted([*context.tolist(), *target.tolist()]) == wanted
        assert len(context) == len(target)


def test_a_sample_too_short_to_split_is_named() -> None:
    with pytest.raises(ValueError, match="sample 8 has 1 real tokens"):
        Random().ragged([5, 1], 5, 0, 0, [7, 8])
