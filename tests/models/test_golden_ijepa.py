"""The official modules' outputs on filled weights (spec: forward golden A1), through our own names."""

import math
import re

import torch
import torch.nn.functional as F

from openjepa.modalities.grid import Grid
from openjepa.models.encoder import Encoder, EncoderConfig
from openjepa.models.predictor import Predictor, PredictorConfig
from openjepa.objectives.objective import take_blocks
from openjepa.tokens import Tokens

E0, E1 = [[0, 1, 2, 5], [3, 4, 6, 7]], [[1, 2, 9, 12], [0, 8, 10, 15]]
P0, P1 = [[10, 11, 14], [12, 13, 14]], [[3, 7, 15], [5, 9, 11]]
GRID = Grid(channels=3, size=(64, 64), patch=(16, 16))

ENCODER = (-1.84716, 0.808974, [-0.908, 0.22773, -0.5226, -0.14634], [-0.55444, 2.15085, -0.05564, 1.20359])
CONTEXTS = (-1.30415, 0.807726, [-0.8715, 0.20803, -0.52671, -0.12059], [-0.54356, 2.15448, -0.065, 1.21882])
PREDICTOR = (26.11140, 0.560505, [0.78272, 0.31437, -0.84537, 0.69769], [0.17674, -0.82683, 0.71695, 0.40022])
ONE_CONTEXT = (13.05767, 0.560652, [0.78272, 0.31437, -0.84537, 0.69769], [0.17656, -0.82747, 0.71772, 0.40016])
LOSS = 0.5395914


def wave(*shape):
    return torch.sin(0.01 * torch.arange(math.prod(shape), dtype=torch.float64)).float().reshape(shape)


def official_name(name):
    """Our parameter's name in the official state dict."""
    name = re.sub(r"\.(qkv|proj)\.", r".attn.\1.", name) if "blocks" in name else name
    return re.sub(r"\.(fc[12])\.", r".mlp.\1.", name)


def encoder_name(name):
    return official_name(name).replace("embed.", "patch_embed.proj.")


def predictor_name(name):
    name = official_name(name)
    for ours, theirs in {
        "embed.": "predictor_embed.",
        "blocks.": "predictor_blocks.",
        "norm.": "predictor_norm.",
        "proj.": "predictor_proj.",
    }.items():
        if name.startswith(ours):
            name = theirs + name[len(ours) :]
    return name


@torch.no_grad()
def fill(module, rename, patch=None):
    """v = .1 sin(.7 k + 1.1 j) over flat element k of the j-th key in sorted order, + 1 for norm weights."""
    ours = {rename(name): p for name, p in module.named_parameters()}
    for j, name in enumerate(sorted(ours)):
        p = ours[name]
        v = 0.1 * torch.sin(0.7 * torch.arange(p.numel(), dtype=torch.float64) + 1.1 * j)
        v = v + 1 if "norm" in name and name.endswith("weight") else v
        if "patch_embed" in name and p.ndim == 2:  # a convolution kernel [d, c, row, column]; ours reads (row, column, c)
            v = v.reshape(len(p), 3, patch, patch).permute(0, 2, 3, 1)
        p.copy_(v.reshape(p.shape))
    return len(ours)


def models():
    encoder = Encoder(EncoderConfig(dim=48, depth=2, heads=3), GRID.patch_dim)
    predictor = Predictor(PredictorConfig(dim=24, depth=2, heads=3), 48, 48)
    assert fill(encoder, encoder_name, 16) == 28
    assert fill(predictor, predictor_name) == 31
    return encoder.eval(), predictor.eval()


def check(x, shape, total, magnitude, first, last):
    assert tuple(x.shape) == shape
    flat = x.detach().flatten().double()
    assert abs(flat.sum() - total) < 2e-3  # a sum over up to 1,536 values, each within 1e-4
    assert abs(flat.abs().mean() - magnitude) < 1e-4
    torch.testing.assert_close(flat[:4], torch.tensor(first, dtype=torch.float64), atol=1e-4, rtol=0)
    torch.testing.assert_close(flat[-4:], torch.tensor(last, dtype=torch.float64), atol=1e-4, rtol=0)


def contexts(encoder, patches):
    return [encoder(patches.take(torch.tensor(e))) for e in (E0, E1)]


def test_the_encoder_computes_the_official_numbers():
    encoder, _ = models()
    patches = GRID.patchify(wave(2, 3, 64, 64))
    check(encoder(patches).values, (2, 16, 48), *ENCODER)
    both = torch.cat([c.values for c in contexts(encoder, patches)])
    check(both, (4, 4, 48), *CONTEXTS)


def guesses(predictor, context, positions):
    """The official order: predicted block outermost, then context, then sample."""
    where = take_blocks(positions, torch.tensor([P0, P1]).transpose(0, 1))
    return torch.stack([predictor(c, where) for c in context]).permute(2, 0, 1, 3, 4).flatten(0, 2)


def test_the_predictor_computes_the_official_numbers_and_loss():
    encoder, predictor = models()
    patches = GRID.patchify(wave(2, 3, 64, 64))
    context = contexts(encoder, patches)
    z = guesses(predictor, context, patches.positions)
    check(z, (8, 3, 48), *PREDICTOR)
    one = guesses(predictor, context[:1], patches.positions)
    check(one, (4, 3, 48), *ONE_CONTEXT)
    target = F.layer_norm(encoder(patches).values, (48,))
    goals = take_blocks(target, torch.tensor([P0, P1]).transpose(0, 1)).transpose(0, 1)  # block, sample, token, feature
    goals = goals[:, None].expand(-1, 2, -1, -1, -1).flatten(0, 2)
    torch.testing.assert_close(F.smooth_l1_loss(z, goals), torch.tensor(LOSS), atol=1e-5, rtol=0)


def test_a_permuted_set_of_tokens_gives_permuted_features():
    encoder, _ = models()
    patches = GRID.patchify(wave(2, 3, 64, 64))
    order = torch.stack([torch.randperm(16, generator=torch.Generator().manual_seed(s)) for s in (0, 1)])
    straight = Tokens(encoder(patches).values, patches.positions).take(order).values
    torch.testing.assert_close(encoder(patches.take(order)).values, straight, atol=1e-5, rtol=0)
