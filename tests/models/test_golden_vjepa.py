"""V-JEPA 1 and 2: the official modules' outputs on filled weights (spec: forward goldens A2 and A3), through our own names."""

import pytest
import torch

from openjepa.modalities.grid import Grid
from openjepa.models.encoder import Encoder, EncoderConfig
from openjepa.models.predictor import Predictor, PredictorConfig
from tests.models.test_golden_ijepa import check, encoder_name, predictor_name, wave

GRID = Grid(channels=3, size=(4, 64, 64), patch=(2, 16, 16))
E, P = torch.tensor([[0, 1, 2, 17, 20], [3, 4, 16, 25, 31]]), torch.tensor([[5, 10, 30], [6, 12, 24]])

ENCODER = {
    "sincos": (
        (8.90469, 0.839294, [-1.02147, -0.55852, -0.69302, -0.8776], [0.17858, 1.84763, 0.18296, 0.37409]),
        (-0.04721, 0.832564, [-1.03133, -0.49886, -0.80344, -0.86503], [0.20528, 1.87092, 0.15071, 0.40403]),
    ),
    "rope": (
        (-10.11014, 0.837602, [-0.57943, -0.14097, -0.14455, -0.62725], [-0.47726, 1.44419, -0.37338, -0.17478]),
        (-3.01863, 0.836393, [-0.60635, -0.04885, -0.26279, -0.64048], [-0.55912, 1.60902, -0.4712, -0.20574]),
    ),
}
PREDICTOR = {
    "sincos": (
        (-2.02556, 0.678573, [0.52272, -1.02443, 0.60649, 0.50408], [-0.79936, 0.53397, 0.55133, -0.8707]),
        (-0.96884, 0.676387, [0.68463, -1.00294, 0.42479, 0.65001], [-0.79078, 0.35789, 0.70498, -0.8362]),
    ),
    "rope": (
        (3.66166, 0.385705, [0.68592, -0.07789, -0.42881, 0.51142], [-0.16513, -0.2725, 0.66014, -0.1645]),
        (5.01956, 0.522250, [0.87293, -0.03202, -0.65807, 0.67679], [-0.15912, -0.48316, 0.84823, -0.12713]),
    ),
}


@torch.no_grad()
def fill(module, rename):
    """v = .1 sin(.7 k + 1.1 j) over flat element k of the j-th key in sorted order, + 1 for norm weights."""
    ours = {rename(name): p for name, p in module.named_parameters() if name != "mask_token"}
    ours |= {f"mask_tokens.{i}": p for name, whole in module.named_parameters() if name == "mask_token" for i, p in enumerate(whole)}
    for j, name in enumerate(sorted(ours)):
        p = ours[name]
        v = 0.1 * torch.sin(0.7 * torch.arange(p.numel(), dtype=torch.float64) + 1.1 * j)
        v = v + 1 if "norm" in name and name.endswith("weight") else v
        if "patch_embed" in name and p.ndim == 2:  # a convolution kernel [d, c, time, row, column]; ours reads (time, row, column, c)
            v = v.reshape(len(p), 3, 2, 16, 16).permute(0, 2, 3, 4, 1)
        p.copy_(v.reshape(p.shape))
    return len(ours)


def models(position):
    settings = {"position": position, "position_order": "row-first", "rope_style": "official"}
    encoder = Encoder(EncoderConfig(dim=48, depth=2, heads=3, **settings), GRID.patch_dim)
    heads = 3 if position == "sincos" else 1
    predictor = Predictor(PredictorConfig(dim=24, depth=2, heads=heads, **settings), 48, 48, mask_tokens=2)
    assert fill(encoder, encoder_name) == 28
    assert fill(predictor, predictor_name) == 32
    return encoder.eval(), predictor.eval()


@pytest.mark.parametrize("position", ["sincos", "rope"])
def test_the_encoder_computes_the_official_numbers(position):
    encoder, _ = models(position)
    patches = GRID.patchify(wave(2, 3, 4, 64, 64))
    whole, part = ENCODER[position]
    check(encoder(patches).values, (2, 32, 48), *whole)
    check(encoder(patches.take(E)).values, (2, 5, 48), *part)


@pytest.mark.parametrize("position", ["sincos", "rope"])
def test_the_predictor_computes_the_official_numbers_with_each_mask_token(position):
    encoder, predictor = models(position)
    patches = GRID.patchify(wave(2, 3, 4, 64, 64))
    context, where = encoder(patches.take(E)), patches.take(P).positions[:, None]
    for token, wanted in enumerate(PREDICTOR[position]):
        check(predictor(context, where, token=token)[:, 0], (2, 3, 48), *wanted)


def test_a_clip_that_is_not_square():
    encoder, _ = models("rope")
    found = encoder(GRID.patchify(wave(1, 3, 4, 64, 96))).values
    check(found, (1, 48, 48), -2.41228, 0.825611, [-0.67293, 0.8747, 0.5925, -0.05787], [-1.0654, 1.62846, -0.49917, 0.36559])
