"""The past is seen, the future asked for."""

import numpy as np
import pytest

from openjepa.masks.future import Future


@pytest.mark.parametrize(("axis", "grid"), [(0, (5, 3, 2)), (1, (2, 5)), (-1, (3, 2, 5)), (0, (5,))])
def test_every_target_comes_after_all_of_the_context(axis: int, grid: tuple[int, ...]) -> None:
    for steps, last in ((None, 5), (2, 4)):
        masks = Future(past=0.4, steps=steps, axis=axis)(grid, 0, 0, [1, 2, 3])
        for context, (target,) in zip(masks.context.numpy(), masks.targets.numpy(), strict=True):
            times = [np.unravel_index(index, grid)[axis] for index in (context, target)]
            assert sorted(set(times[0].tolist())) == [0, 1]
            assert sorted(set(times[1].tolist())) == list(range(2, last))
            assert len(context) == 2 * np.prod(grid) // 5
            assert (np.diff(context) > 0).all()
            assert (np.diff(target) > 0).all()


@pytest.mark.parametrize(("settings", "grid"), [({}, (1, 4)), ({"steps": 3}, (4, 4)), ({"past": 0.99, "steps": 2}, (4, 4))])
def test_too_short(settings: dict[str, float], grid: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="time steps do not hold"):
        Future(**settings)(grid, 0, 0, [0])  # type: ignore[arg-type]


def test_a_long_past_leaves_one_step() -> None:
    assert Future(past=0.99)((4, 3), 0, 0, [0]).targets.tolist() == [[[9, 10, 11]]]


def test_an_axis_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="has 2 axes"):
        Future(axis=2)((4, 4), 0, 0, [0])
