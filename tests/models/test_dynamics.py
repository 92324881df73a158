"""V-JEPA 2-AC's predictor: forward golden A4 through the spec's names, and what may look at what."""

import pytest
import torch

from openjepa.models.dynamics import Dynamics, DynamicsConfig, earlier
from tests.interop.theirs import block, filled
from tests.models.test_golden_ijepa import check, wave

TINY = DynamicsConfig(dim=48, depth=2, heads=3, grid=(4, 4))
NAMES = {"predictor_embed": "embed", "action_encoder": "action", "state_encoder": "state", "extrinsics_encoder": "extrinsics"}
NAMES |= {"predictor_norm": "norm", "predictor_proj": "proj", "predictor_blocks": "blocks", ".attn.": ".", ".mlp.": "."}


def official():
    shapes = {"predictor_norm.weight": (48,), "predictor_norm.bias": (48,)}
    for name, width in {
        "predictor_embed": 48,
        "action_encoder": 7,
        "state_encoder": 7,
        "extrinsics_encoder": 6,
        "predictor_proj": 48,
    }.items():
        shapes |= {f"{name}.weight": (48, width), f"{name}.bias": (48,)}
    for i in range(2):
        shapes |= block(f"predictor_blocks.{i}", 48, 192)
    assert len(shapes) == 36
    return filled(shapes)


def model():
    state = {}
    for name, value in official().items():
        for theirs, ours in NAMES.items():
            name = name.replace(theirs, ours)
        state[name] = value
    dynamics = Dynamics(TINY, 48)
    dynamics.load_state_dict(state)
    return dynamics.eval()


@torch.no_grad()
def test_computes_golden_a4():
    found = model()(wave(2, 48, 48).unflatten(1, (3, 16)), wave(2, 3, 7), wave(2, 3, 7)).flatten(1, 2)
    check(found, (2, 48, 48), 43.81433, 0.733298, [1.07455, -0.55518, -0.69659, 1.11823], [-0.07051, -0.86511, 0.88826, -0.42265])


@torch.no_grad()
def test_a_frame_never_sees_what_comes_after_it():
    dynamics, frames = model(), torch.randn(2, 3, 16, 48)
    actions, states = torch.randn(2, 3, 7), torch.randn(2, 3, 7)
    first = dynamics(frames, actions, states)
    changed = [x.clone() for x in (frames, actions, states)]
    for x in changed:
        x[:, 2] += 1
    then = dynamics(*changed)
    assert torch.equal(first[:, :2], then[:, :2]) and not torch.allclose(first[:, 2], then[:, 2])
    shorter = dynamics(frames[:, :2], actions[:, :2], states[:, :2])
    torch.testing.assert_close(shorter, first[:, :2], atol=1e-5, rtol=1e-5)
    with_camera = dynamics(frames, actions, states, torch.randn(2, 3, 6))
    assert with_camera.shape == first.shape and not torch.allclose(with_camera, first)


def test_who_sees_whom_by_a_loop():
    seen = earlier(3, 2, torch.device("cpu"))[0, 0]
    for q in range(6):
        for k in range(6):
            assert bool(seen[q, k]) == (k // 2 <= q // 2)


def test_another_number_of_patches_is_an_error():
    with pytest.raises(ValueError, match=r"frames of 9 patches, the grid is \(4, 4\); give 16"):
        model()(torch.randn(1, 1, 9, 48), torch.randn(1, 1, 7), torch.randn(1, 1, 7))
