"""The attentive classifiers of V-JEPA 1 and 2: the official modules' outputs on filled weights (spec: forward goldens A2 and A3)."""

import math

import pytest
import torch

from openjepa.probes import attentive_heads as ours
from tests.models.test_golden_ijepa import check, wave
from tests.models.test_golden_vjepa import GRID, models

DIM, CLASSES = 48, 7
GOLDEN = {  # by depth
    1: (-0.48487, 0.308181, [-0.25776, -0.11963, 0.56817, -0.27021], [-0.28854, -0.00705, 0.38645, -0.53183]),
    4: (0.04447, 0.112212, [-0.08716, -0.00668, 0.26755, -0.03712], [-0.04127, -0.00198, 0.13335, -0.24556]),
}
OFFICIAL = {
    "query": "pooler.query_tokens",
    "cross": "pooler.cross_attention_block",
    "blocks": "pooler.blocks",
    "q": "xattn.q",
    "qkv": "attn.qkv",
    "proj": "attn.proj",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
}


def official(depth, unused):
    """(their name, their shape) of every key. Keys and values are one matrix there; `unused`: the projection never applied."""
    found = {}
    for name, shape in ours.shapes(DIM, CLASSES, depth).items():
        words = name.split(".")
        if words[0] == "cross" and words[1] in "kv":
            words[1], shape = "xattn.kv", (2 * shape[-1], *shape[:-1])  # out first
        elif len(shape) == 2:
            shape = shape[::-1]
        found[".".join(OFFICIAL.get(word, word) for word in words)] = shape
    if unused:
        found |= {"pooler.cross_attention_block.xattn.proj.weight": (DIM, DIM), "pooler.cross_attention_block.xattn.proj.bias": (DIM,)}
    return found


def filled(depth, unused):
    """v = .1 sin(.7 k + 1.1 j) over flat element k of the j-th key in sorted order, + 1 for norm weights, under our names."""
    theirs = official(depth, unused)
    for j, name in enumerate(sorted(theirs)):
        shape = theirs[name]
        v = 0.1 * torch.sin(0.7 * torch.arange(math.prod(shape), dtype=torch.float64) + 1.1 * j)
        theirs[name] = (v + 1 if "norm" in name and name.endswith("weight") else v).float().reshape(shape)
    weights = {}
    for name in ours.shapes(DIM, CLASSES, depth):
        words = name.split(".")
        part = None
        if words[0] == "cross" and words[1] in "kv":
            part, words[1] = "kv".index(words[1]), "xattn.kv"
        value = theirs[".".join(OFFICIAL.get(word, word) for word in words)]
        value = value if part is None else value.chunk(2)[part]
        weights[name] = (value.T if value.ndim == 2 else value)[None].contiguous()
    return weights, len(theirs)


@pytest.mark.parametrize(("position", "depth", "keys"), [("sincos", 1, 17), ("rope", 4, 51)])
def test_classes_are_the_official_ones(position, depth, keys):
    encoder, _ = models(position)
    weights, count = filled(depth, unused=depth == 1)
    assert count == keys
    with torch.no_grad():
        said = ours.logits(weights, encoder(GRID.patchify(wave(2, 3, 4, 64, 64))).values, None, 3, depth)[0]
    check(said, (2, CLASSES), *GOLDEN[depth])
