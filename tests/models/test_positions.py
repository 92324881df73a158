"""Golden position codes (spec 1.1 and 2.1) and a float64 loop."""

import math

import pytest
import torch

from openjepa.models.positions import sincos

PLACE = [0.841471, 0.01, 0.540302, 0.99995]
ORIGIN = [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize(("order", "wanted"), [("column-first", PLACE + ORIGIN), ("row-first", ORIGIN + PLACE)])
def test_two_axes(order, wanted):
    """Row 0, column 1, width 8: I-JEPA and MAE begin with the column, V-JEPA with the row."""
    torch.testing.assert_close(sincos(torch.tensor([0.0, 1.0]), 8, order), torch.tensor(wanted), atol=1e-5, rtol=0)


def test_three_axes_as_v_jepa():
    for place, wanted in (([0.0, 0.0, 1.0], ORIGIN + ORIGIN + PLACE), ([1.0, 0.0, 0.0], PLACE + ORIGIN + ORIGIN)):
        torch.testing.assert_close(sincos(torch.tensor(place), 12, "row-first"), torch.tensor(wanted), atol=1e-5, rtol=0)


def test_a_width_that_does_not_divide_rounds_up_and_cuts_the_end():
    """V-JEPA at width 1024: three axes of 342, two numbers cut."""
    code = sincos(torch.tensor([[3.0, 5.0, 7.0]]), 1024, "row-first")[0]
    assert code.shape == (1024,)
    loop = [f(p * 10_000 ** (-j / 171)) for p in (3, 5, 7) for f in (math.sin, math.cos) for j in range(171)]
    torch.testing.assert_close(code, torch.tensor(loop[:1024]), atol=1e-5, rtol=0)


def test_places_far_out_are_still_exact():
    code = sincos(torch.tensor([[999.0]]), 16)[0]
    loop = [f(999 * 10_000 ** (-j / 8)) for f in (math.sin, math.cos) for j in range(8)]
    torch.testing.assert_close(code, torch.tensor(loop), atol=1e-4, rtol=0)
