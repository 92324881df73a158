import numpy as np
import pytest
import torch

from openjepa.probes import floors


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
