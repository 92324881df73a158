"""Checkpoints as the authors' code writes them, made from the spec's list of names: nothing here asks our converter."""

import math

import torch
import torch.nn.functional as F


def block(prefix, dim, hidden):
    shapes = {
        "norm1": (dim,),
        "norm2": (dim,),
        "attn.qkv": (3 * dim, dim),
        "attn.proj": (dim, dim),
        "mlp.fc1": (hidden, dim),
        "mlp.fc2": (dim, hidden),
    }
    found = {}
    for name, shape in shapes.items():
        found |= {f"{prefix}.{name}.weight": shape, f"{prefix}.{name}.bias": shape[:1]}
    return found


def encoder_shapes(dim, depth, patch, hidden=None):
    found = {"patch_embed.proj.weight": (dim, 3, *patch), "patch_embed.proj.bias": (dim,), "norm.weight": (dim,), "norm.bias": (dim,)}
    for i in range(depth):
        found |= block(f"blocks.{i}", dim, hidden or 4 * dim)
    return found


def predictor_shapes(outer, dim, depth, masks, numbered):
    found = {"predictor_embed.weight": (dim, outer), "predictor_embed.bias": (dim,)}
    found |= {
        "predictor_norm.weight": (dim,),
        "predictor_norm.bias": (dim,),
        "predictor_proj.weight": (outer, dim),
        "predictor_proj.bias": (outer,),
    }
    found |= {f"mask_tokens.{i}": (1, 1, dim) for i in range(masks)} if numbered else {"mask_token": (1, 1, dim)}
    for i in range(depth):
        found |= block(f"predictor_blocks.{i}", dim, 4 * dim)
    return found


def decoder_shapes(outer, dim, depth, out):
    found = {"decoder_embed.weight": (dim, outer), "decoder_embed.bias": (dim,), "decoder_norm.weight": (dim,), "decoder_norm.bias": (dim,)}
    found |= {"decoder_pred.weight": (out, dim), "decoder_pred.bias": (out,), "mask_token": (1, 1, dim)}
    for i in range(depth):
        found |= block(f"decoder_blocks.{i}", dim, 4 * dim)
    return found


def filled(shapes, add=0.0):
    """The spec's fill: v = .1 sin(.7 k + 1.1 j) of the j-th key in sorted order, + 1 for norm weights."""
    found = {}
    for j, name in enumerate(sorted(shapes)):
        v = 0.1 * torch.sin(0.7 * torch.arange(math.prod(shapes[name]), dtype=torch.float64) + 1.1 * j + add)
        v = v + 1 if "norm" in name and name.endswith("weight") else v
        found[name] = v.float().reshape(shapes[name])
    return found


def code(positions, dim):
    angle = positions.double()[:, None] * 10_000.0 ** -(torch.arange(dim // 2, dtype=torch.float64) / (dim // 2))
    return torch.cat([angle.sin(), angle.cos()], 1)


def table(dim, grid, family):
    """The position table that each code base stores: column first in images, (time, row, column) and cut in V-JEPA."""
    places = torch.cartesian_prod(*(torch.arange(g) for g in grid))
    if family == "vjepa":
        each = math.ceil(dim / 6) * 2
        return torch.cat([code(places[:, axis], each) for axis in range(3)], 1)[:, :dim].float()[None]
    found = torch.cat([code(places[:, 1], dim // 2), code(places[:, 0], dim // 2)], 1).float()
    return (F.pad(found, (0, 0, 1, 0)) if family == "mae" else found)[None]


def checkpoint(family, dim=48, depth=2, inner=24, size=(64, 64), frames=4, masks=2):
    """What torch.save would write."""
    if family == "mae":
        state = filled(encoder_shapes(dim, depth, (16, 16)) | {"cls_token": (1, 1, dim)} | decoder_shapes(dim, inner, depth, 768))
        grid = (size[0] // 16, size[1] // 16)
        return {"model": state | {"pos_embed": table(dim, grid, "mae"), "decoder_pos_embed": table(inner, grid, "mae")}, "epoch": 3}
    video = family != "ijepa"
    patch = (2, 16, 16) if video else (16, 16)
    grid = (*((frames // 2,) if video else ()), size[0] // 16, size[1] // 16)
    shapes = encoder_shapes(dim, depth, patch)
    parts = {"encoder": filled(shapes), "target_encoder": filled(shapes, 0.3)}
    parts["predictor"] = filled(predictor_shapes(dim, inner, depth, masks, video))
    if family != "vjepa2":
        for name in ("encoder", "target_encoder"):
            parts[name]["pos_embed"] = table(dim, grid, family)
        parts["predictor"]["predictor_pos_embed"] = table(inner, grid, family)
    prefix = "module.backbone." if video else "module."
    saved = {part: {prefix + name: value for name, value in state.items()} for part, state in parts.items()}
    return saved | {
        "opt": {"state": {}, "param_groups": [{"lr": 1e-3}]},
        "scaler": None,
        "epoch": 3,
        "loss": 0.4,
        "batch_size": 2,
        "world_size": 1,
        "lr": 1e-3,
    }


def saved(path, family, **changes):
    torch.save(checkpoint(family, **changes), path)
    return path
