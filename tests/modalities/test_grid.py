import math

import pytest
import torch

from openjepa.modalities.grid import Grid

GRIDS = [
    Grid(channels=3, size=(14,), patch=(7,)),
    Grid(channels=3, size=(10, 14), patch=(5, 7)),
    Grid(channels=2, size=(6, 10, 14), patch=(3, 5, 7)),
]  # a different prime on every axis
each = pytest.mark.parametrize("grid", GRIDS, ids=lambda g: f"{len(g.size)}d")


@each
def test_unpatchify_undoes_patchify_at_any_size(grid):
    for times in (1, 3):
        size = tuple(s * times for s in grid.size)
        x = torch.randn(2, grid.channels, *size)
        assert torch.equal(grid.unpatchify(grid.patchify(x).values, size), x)


@each
def test_position_says_where_the_patch_was_cut(grid):
    x = torch.randn(1, grid.channels, *grid.size)
    patches = grid.patchify(x)
    assert patches.values.shape == (1, math.prod(grid.grid), grid.patch_dim)
    for value, where in zip(patches.values[0], patches.positions[0], strict=True):
        cut = tuple(slice(int(w) * p, int(w) * p + p) for w, p in zip(where, grid.patch, strict=True))
        assert torch.equal(value, x[(0, slice(None), *cut)].movedim(0, -1).flatten())


def test_a_remainder_is_an_error_not_a_crop():
    with pytest.raises(ValueError, match=r"size \(19, 500\) is not a whole number of patches \(4, 30\); \(16, 480\) would be"):
        Grid(channels=1, size=(19, 500), patch=(4, 30))
    with pytest.raises(ValueError, match="not a whole number of patches"):
        GRIDS[1].patchify(torch.randn(1, 3, 10, 15))


def test_axes_must_agree():
    with pytest.raises(ValueError, match="same 1, 2 or 3 axes"):
        Grid(channels=1, size=(8, 8), patch=(4,))
