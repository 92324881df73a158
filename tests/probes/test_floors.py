import numpy as np
import pytest
import torch

from openjepa.models.positions import sincos
from openjepa.probes import floors
from openjepa.tokens import Tokens


def test_majority_is_the_commonest_class_of_train_judged_on_test():
    assert floors.majority(torch.tensor([0, 1, 1, 1, 2]), torch.tensor([1, 1, 0, 2, 2]), 3) == pytest.approx(2 / 5)


def test_pca_is_the_exact_one():
    """Axes up to sign, against numpy's full SVD, for pixels with the falling spectrum of pictures."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(211, 67)) * np.linspace(3, 0.1, 67) ** 2 @ np.linalg.qr(rng.normal(size=(67, 67)))[0] + 100
    fitted = floors.pca(torch.from_numpy(x), 11)
    axes = np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:11]
    np.testing.assert_allclose(np.abs(axes @ fitted.axes.numpy()), np.eye(11), atol=0.02)
    spread = fitted(torch.from_numpy(x)).var(0)
    assert (spread[:-1] >= spread[1:]).all()
    np.testing.assert_allclose(fitted(torch.from_numpy(x)).mean(0), np.zeros(11), atol=1e-9)


def test_pca_of_fewer_samples_or_pixels_than_the_width():
    assert floors.pca(torch.randint(0, 256, (5, 12), dtype=torch.uint8), 192)(torch.zeros(3, 12, dtype=torch.uint8)).shape == (3, 5)
    assert floors.pca(torch.rand(50, 6), 192).axes.shape == (6, 6)


def test_pca_of_test_samples_does_not_depend_on_their_number():
    train, test = torch.rand(40, 9), torch.rand(7, 9)
    fitted = floors.pca(train, 3)
    torch.testing.assert_close(fitted(test)[2:3], fitted(test[2:3]))


def test_small_pictures_keep_their_bytes_and_large_ones_are_averaged():
    small = torch.randint(0, 256, (2, 3, 20, 30), dtype=torch.uint8)
    assert torch.equal(floors.pixels(small), small.flatten(1))
    large = torch.randint(0, 256, (2, 3, 128, 128), dtype=torch.uint8)
    averaged = large.float().reshape(2, 3, 32, 4, 32, 4).mean((3, 5)).flatten(1)
    assert (floors.pixels(large).float() - averaged).abs().max() <= 0.5
    assert floors.pixels(torch.zeros(1, 3, 64, 256, dtype=torch.uint8)).shape == (1, 3 * 16 * 64)  # 1:4 stays 1:4


@pytest.mark.parametrize(("shape", "wanted"), [((2, 1, 5000), (1024,)), ((2, 3, 16, 64, 64), (4, 16, 16)), ((2, 1, 128, 32), (64, 16))])
def test_views_of_one_and_three_axes_are_averaged_too(shape, wanted):
    x = torch.rand(*shape)
    got = floors.pixels(x)
    if shape[2] % wanted[0]:
        assert got.shape == (2, shape[1] * wanted[0])
        return
    for axis, (large, small) in enumerate(zip(shape[2:], wanted, strict=True), 2):
        x = x.unflatten(axis, (small, large // small)).mean(axis + 1)
    torch.testing.assert_close(got, x.flatten(1))
    assert floors.pixels(torch.full((1, 1, 7), torch.nan)).eq(0).all()


def test_patches_as_tokens_keep_what_the_patch_holds_and_where_it_was():
    """[components | place | 0]: turned back by the axes they are the patches, and the rest is the code of their place."""
    rng = torch.Generator().manual_seed(0)
    places = torch.cartesian_prod(torch.arange(3.0), torch.arange(5.0)).expand(40, -1, -1)
    patches = Tokens(100 + 7 * torch.randn(40, 15, 12, generator=rng), places)
    code = floors.patch_code(patches, 48)
    got = code(patches)
    assert got.values.shape == (40, 15, 48) and got.values[..., 24:].eq(0).all()
    back = got.values[..., :12] / code.scale @ code.axes.axes.T + code.axes.mean
    torch.testing.assert_close(back, patches.values, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(got.values[..., 12:24], sincos(places, 12))
    assert got.values[..., :12].square().mean() == pytest.approx(1, rel=1e-3)
    assert floors.patch_code(patches, 12)(patches).values.shape == (40, 15, 16)  # wide enough to tell the place


def test_patch_code_does_not_see_padding():
    rng = torch.Generator().manual_seed(0)
    values, places = torch.randn(20, 7, 6, generator=rng), torch.arange(7.0)[None, :, None].expand(20, -1, -1)
    valid = torch.arange(7) < torch.randint(1, 8, (20, 1), generator=rng)
    spoilt = values.masked_fill(~valid[..., None], 1e6)
    a, b = (floors.patch_code(Tokens(x, places, valid), 16) for x in (values, spoilt))
    torch.testing.assert_close(a.axes.mean, b.axes.mean)
    torch.testing.assert_close(a(Tokens(values, places, valid)).values[valid], b(Tokens(spoilt, places, valid)).values[valid])
