import torch

from openjepa.losses.variance import variance_and_covariance


def features(n=53, d=7):
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.1, 0.5, 0.9, 1.0, 1.5, 2.0, 0.0])
    x[:, 1] += 0.7 * x[:, 4]
    return x + 3


def test_against_a_slow_loop():
    x = features().double()
    n, d = x.shape
    short = shared = 0.0
    for i in range(d):
        std = (sum((v - x[:, i].mean()) ** 2 for v in x[:, i]) / (n - 1) + 1e-4) ** 0.5
        short += max(0.0, 1 - float(std)) / d
        for j in range(d):
            if i != j:
                shared += float(((x[:, i] - x[:, i].mean()) * (x[:, j] - x[:, j].mean())).sum() / (n - 1)) ** 2 / d
    got = variance_and_covariance(x.float())
    torch.testing.assert_close(torch.stack(got), torch.tensor([short, shared], dtype=torch.float32))
    assert short > 0.2 and shared > 0.2


def test_padding_counts_for_nothing():
    x = features()
    valid = torch.arange(len(x)) % 3 > 0
    with_other = x.masked_fill(~valid[:, None], 100.0)
    for got, want in zip(variance_and_covariance(with_other, valid), variance_and_covariance(x[valid]), strict=True):
        torch.testing.assert_close(got, want)


def test_white_features_cost_nothing_and_shrunken_ones_are_pushed_apart():
    x = features(5000, 7)
    white = torch.linalg.qr(x[:, :6] - x[:, :6].mean(0)).Q * 2 * 5000**0.5
    assert all(part < 1e-6 for part in variance_and_covariance(white))
    small = (0.1 * white).requires_grad_()
    short, _ = variance_and_covariance(small)
    short.backward()
    assert (small.grad * small).sum() < 0  # a step against the gradient makes them larger
