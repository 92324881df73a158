"""Rotary positions: golden numbers (spec 3.2), a loop over pairs, and what a rotation must keep."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from openjepa.models.encoder import Encoder, EncoderConfig
from openjepa.models.predictor import Predictor, PredictorConfig
from openjepa.models.rope import rotate, rotations
from openjepa.tokens import Tokens


def turn(x, positions, style="interleaved"):
    """x [b h n e] at positions [b n axes]."""
    return rotate(x, rotations(positions, x.shape[-1], style))


def by_loop(x, place, style):
    """One vector, one pair at a time, in float64."""
    axes, out = len(place), list(map(float, x))
    width = 2 * (len(x) // axes // 2)
    for axis in range(axes):
        for k in range(width // 2):
            first, half = axis * width + 2 * k, width // 2
            angles = [
                place[axis] * 10_000 ** -(j / half) for j in ((k, k) if style == "interleaved" else (2 * k % half, (2 * k + 1) % half))
            ]
            a, b = float(x[first]), float(x[first + 1])
            out[first] = a * math.cos(angles[0]) - b * math.sin(angles[0])
            out[first + 1] = b * math.cos(angles[1]) + a * math.sin(angles[1])
    return torch.tensor(out)


def test_the_released_angles():
    found = turn(torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 1, 4), torch.tensor([[[3.0]]]), "official")
    torch.testing.assert_close(found.flatten(), torch.tensor([-1.272233, 2.029096, -3.534457, 4.088187]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("style", ["interleaved", "official"])
@pytest.mark.parametrize(("axes", "width", "left"), [(1, 10, 0), (1, 7, 1), (2, 14, 2), (3, 64, 4), (3, 32, 2), (3, 80, 2)])
def test_against_a_loop_over_pairs(axes, width, left, style):
    """Every axis has its part of the head, first axis first; what is left at the end does not move."""
    torch.manual_seed(0)
    x, positions = torch.randn(2, 3, 5, width), 20 * torch.rand(2, 5, axes)
    found = turn(x, positions, style)
    for b, h, n in torch.cartesian_prod(torch.arange(2), torch.arange(3), torch.arange(5)).tolist():
        torch.testing.assert_close(found[b, h, n], by_loop(x[b, h, n], positions[b, n].tolist(), style), atol=2e-5, rtol=0)
    assert not left or torch.equal(found[..., -left:], x[..., -left:])
    assert not torch.equal(found[..., -left - 1], x[..., -left - 1])


@given(axes=st.integers(1, 3), shift=st.lists(st.floats(-50, 50), min_size=3, max_size=3), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_a_rotation_sees_relative_positions_only(axes, shift, seed):
    """All places moved alike: every product of a query and a key stays, as does every length. The released angles keep neither."""
    torch.manual_seed(seed)
    q, k, positions = torch.randn(2, 1, 7, 24), torch.randn(2, 1, 7, 24), 9 * torch.rand(2, 7, axes)
    moved = positions + torch.tensor(shift[:axes])
    here, there = (turn(q, p) @ turn(k, p).transpose(-2, -1) for p in (positions, moved))
    torch.testing.assert_close(here, there, atol=2e-3, rtol=0)
    torch.testing.assert_close(turn(q, positions).norm(dim=-1), q.norm(dim=-1), atol=1e-4, rtol=1e-4)


def test_the_released_angles_are_no_rotation():
    torch.manual_seed(0)
    q, positions = torch.randn(1, 1, 7, 24), 9 * torch.rand(1, 7, 3)
    assert (turn(q, positions, "official").norm(dim=-1) - q.norm(dim=-1)).abs().max() > 0.1


def test_the_whole_encoder_and_predictor_see_distances_only():
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(dim=24, depth=3, heads=2, position="rope", init_std=0.3), 10)
    predictor = Predictor(PredictorConfig(dim=24, depth=2, heads=2, position="rope", init_std=0.3), 24, 7)
    values, positions, where = torch.randn(2, 5, 10), 9 * torch.rand(2, 5, 3), 9 * torch.rand(2, 3, 4, 3)
    shift = torch.tensor([3.0, -2.0, 0.5])
    here, there = encoder(Tokens(values, positions)), encoder(Tokens(values, positions + shift))
    torch.testing.assert_close(here.values, there.values, atol=1e-4, rtol=0)
    torch.testing.assert_close(predictor(here, where), predictor(there, where + shift), atol=1e-4, rtol=0)
    stretched = encoder(Tokens(values, positions * 2))
    assert (here.values - stretched.values).abs().max() > 0.1
    assert (predictor(here, where) - predictor(here, where + shift)).abs().max() > 1e-2


def test_pruning_the_last_predictor_block_changes_nothing():
    torch.manual_seed(0)
    block = Encoder(EncoderConfig(dim=24, depth=1, heads=2, init_std=0.3), 10).blocks[0]
    x, rope = torch.randn(2, 11, 24), rotations(9 * torch.rand(2, 11, 2), 12)
    torch.testing.assert_close(block(x, 4, rope), block(x, None, rope)[:, -4:], atol=1e-6, rtol=0)


def test_recomputing_activations_gives_the_same_gradient():
    grads = []
    for recompute in (False, True):
        torch.manual_seed(0)
        encoder = Encoder(EncoderConfig(dim=12, depth=3, heads=2, position="rope", checkpointing=recompute), 10)
        encoder(Tokens(torch.randn(2, 5, 10), torch.rand(2, 5, 2))).values.square().sum().backward()
        grads.append([p.grad for p in encoder.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_angles_are_float32_whatever_the_weights_are():
    """bfloat16 cannot tell place 256 from 257."""
    x = torch.randn(1, 1, 1, 8, dtype=torch.bfloat16)
    near, next_to_it = (turn(x, torch.tensor([[[place]]])) for place in (256.0, 257.0))
    assert near.dtype == torch.bfloat16
    assert (near - next_to_it).abs().max() > 0.1


def test_a_head_needs_a_pair_for_each_axis():
    with pytest.raises(ValueError, match="heads of width 5 are too narrow for rope on 3 axes; use fewer heads so that each has 6 or more"):
        rotations(torch.zeros(1, 1, 3), 5)


def test_hugging_face_has_the_released_angles():
    theirs = pytest.importorskip("transformers.models.vjepa2.modeling_vjepa2").rotate_queries_or_keys
    x, positions = torch.randn(2, 3, 7, 20), torch.arange(14.0).reshape(2, 7)
    wanted = theirs(x, positions[:, None].expand(-1, 3, -1))
    torch.testing.assert_close(turn(x, positions[..., None], "official"), wanted, atol=1e-5, rtol=0)
