import math

import pytest
import torch

from openjepa.probes import attentive_heads as ours
from tests.probes.attentive_reference import Probe

DIM, HEADS, CLASSES = 12, 3, 5


def stack(depth, count=3, seed=0, std=0.5):
    """Heads with weights large enough to matter, biases and norms included."""
    rng = torch.Generator().manual_seed(seed)
    return {
        name: std * torch.randn(count, *shape, generator=rng, dtype=torch.float64) + float(".norm" in name and name.endswith("weight"))
        for name, shape in ours.shapes(DIM, CLASSES, depth).items()
    }


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_every_head_is_the_plain_module(depth):
    weights, x = stack(depth), torch.randn(7, 11, DIM, dtype=torch.float64)
    said = ours.logits(weights, x, None, HEADS, depth)
    for i in range(3):
        alone = Probe(DIM, HEADS, CLASSES, depth).double().take(weights, i)
        torch.testing.assert_close(said[i], alone(x), atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("depth", [1, 3])
def test_padding_is_the_sample_without_it(depth):
    weights, x = stack(depth), torch.randn(5, 7, DIM, dtype=torch.float64)
    lengths = torch.tensor([7, 1, 4, 6, 2])
    valid = torch.arange(7) < lengths[:, None]
    said = ours.logits(weights, x, valid, HEADS, depth)
    for i, length in enumerate(lengths):
        alone = ours.logits(weights, x[i : i + 1, :length], None, HEADS, depth)
        torch.testing.assert_close(said[:, i : i + 1], alone, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("depth", [1, 3])
def test_gradients_of_each_head_are_those_of_the_plain_module(depth):
    """They pass through the mixing before the value map, and no head feels another."""
    weights, x = stack(depth), torch.randn(7, 11, DIM, dtype=torch.float64)
    weights = {name: w.requires_grad_() for name, w in weights.items()}
    target = torch.randn(3, 7, CLASSES, dtype=torch.float64)
    (ours.logits(weights, x, None, HEADS, depth) * target).sum().backward()
    for i in range(3):
        alone = Probe(DIM, HEADS, CLASSES, depth).double().take({name: w.detach() for name, w in weights.items()}, i)
        (alone(x) * target[i]).sum().backward()
        for name, own in alone.named_parameters():
            if name == "cross.k.bias":  # cancels in the softmax
                assert weights[name].grad is None and own.grad.abs().max() < 1e-12
                continue
            got = weights[name].grad[i]
            torch.testing.assert_close(got.T if got.ndim == 2 else got, own.grad, atol=1e-9, rtol=1e-9)


def test_parameter_counts_are_the_published_ones():
    """Recipes 2.5: the state dict of V-JEPA's probe holds an output projection, dim^2 + dim, that is never applied."""
    for dim, published in ((1024, 13_007_248), (1280, 20_191_120)):
        assert ours.parameters(dim, 400) + dim**2 + dim == published
    for depth in (1, 4):
        plain = sum(p.numel() for p in Probe(DIM, HEADS, CLASSES, depth).parameters())
        held = sum(math.prod(shape) for shape in ours.shapes(DIM, CLASSES, depth).values())
        assert ours.parameters(DIM, CLASSES, depth) == plain == held
    assert ours.parameters(1024, 174, 4) == pytest.approx(47 * 1024**2, rel=0.01)  # 49 M, beside 22 M of a ViT-S


def test_starts_as_published():
    weights = ours.initial(96, 10, 4, torch.Generator().manual_seed(0))
    assert weights["cross.norm1.weight"].eq(1).all() and weights["cross.norm1.bias"].eq(0).all()
    assert weights["linear.bias"].eq(0).all()
    spread = {name: w.std().item() / 0.02 for name, w in weights.items() if w.ndim == 3}
    for layer in (1, 2, 3):
        for name in ("proj", "fc2"):
            assert spread[f"blocks.{layer - 1}.{name}.weight"] == pytest.approx(1 / math.sqrt(2 * layer), rel=0.03)
    assert spread["cross.fc2.weight"] == pytest.approx(1 / math.sqrt(6), rel=0.03)  # it shares the number of the last block
    assert spread["cross.v.weight"] == pytest.approx(1, rel=0.03)
    alone = ours.initial(96, 10, 1, torch.Generator().manual_seed(0))
    assert alone["cross.fc2.weight"].std().item() / 0.02 == pytest.approx(1 / math.sqrt(2), rel=0.03)
