"""Which model do these tensors make? Sizes are read from shapes, the rest from what the papers released."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from openjepa.modalities.grid import positions
from openjepa.models.dynamics import DynamicsConfig
from openjepa.models.encoder import EncoderConfig
from openjepa.models.positions import sincos
from openjepa.models.predictor import PredictorConfig

HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16, 1408: 16, 1664: 26}  # by width, as released (recipes 1.2, 3.1)
HEADS_VJEPA2 = {**HEADS, 1408: 22}
TOLERANCE = 1e-4  # of a stored position table against the code: float32, and float64 rounded by others

NON_COMMERCIAL = "CC-BY-NC 4.0: not for commercial use"
LICENCES = {
    "ijepa": NON_COMMERCIAL,
    "vjepa": NON_COMMERCIAL,
    "vjepa2": "MIT (V-JEPA 2's repository; see the model card of the file)",
    "vjepa2-ac": "MIT (V-JEPA 2's repository; see the model card of the file)",
    "vjepa2.1": "MIT (V-JEPA 2's repository; see the model card of the file)",
    "mae": NON_COMMERCIAL,
}
TRAINED_2_1 = 256  # pixels of the views whose distances V-JEPA 2.1 keeps


@dataclass(frozen=True)
class Asked:
    """What a person may say where shapes do not."""

    family: str | None = None
    heads: int | None = None
    predictor_heads: int | None = None
    size: tuple[int, ...] | None = None  # (height, width)
    frames: int | None = None
    which: str = "target"  # the encoder that is exported: target or context
    probe: Path | None = None  # an evaluation file of V-JEPA, whose classifier becomes a head
    probe_heads: int | None = None  # attention heads of that
    classes: Path | None = None  # names of its classes, one per line


@dataclass(frozen=True)
class Architecture:
    """Everything that building takes, but for weights."""

    family: str  # ijepa, vjepa, vjepa2, vjepa2.1, vjepa2-ac or mae
    layout: str  # key of LAYOUTS
    encoder: EncoderConfig
    predictor: PredictorConfig | None  # or decoder
    mask_tokens: int
    channels: int
    size: tuple[int, ...]  # of a view
    patch: tuple[int, ...]
    dynamics: DynamicsConfig | None = None  # of V-JEPA 2-AC, in place of a predictor


def family_of(parts: Mapping[str, Mapping[str, Tensor]], asked: Asked) -> str:
    """ValueError where the tensors are of no family that can be held."""
    encoder = parts["encoder"]
    kernel = encoder.get("patch_embed.proj.weight")
    if kernel is None:
        known = ", ".join(list(encoder)[:4])
        raise ValueError(
            f"no tensor patch_embed.proj.weight among {len(encoder)} ({known}, ...); this is no I-JEPA, V-JEPA or MAE checkpoint of the authors"
        )
    predictor = parts.get("predictor", {})
    if any(name.startswith("norms_block") for name in encoder):
        found = "vjepa2.1"
    elif "cls_token" in encoder:
        found = "mae"
    elif any(name.startswith("action_encoder") for name in predictor):
        found = "vjepa2-ac"
    elif kernel.ndim == 4:
        found = "ijepa"
    elif predictor:
        found = "vjepa" if "predictor_pos_embed" in predictor else "vjepa2"
    elif "pos_embed" not in encoder:
        found = "vjepa2"
    elif asked.family is None:
        raise ValueError(
            "V-JEPA 1 and 2 cannot be told apart without a predictor, for both files hold a position table; say --family vjepa or vjepa2"
        )
    else:
        found = asked.family
    if asked.family not in (None, found):
        raise ValueError(f"--family is {asked.family}, but the tensors are {found}'s; leave it out")
    return found


def architecture(family: str, parts: Mapping[str, Mapping[str, Tensor]], asked: Asked) -> Architecture:
    """Sizes from shapes. ValueError where they do not tell, or where a stored position table is not the code's."""
    if family == "vjepa2-ac":
        encoder_alone = architecture("vjepa2", {"encoder": parts["encoder"]}, asked)
        return replace(encoder_alone, family=family, dynamics=dynamics_of(parts["predictor"], encoder_alone, asked))
    if family == "vjepa2.1":
        return of_2_1(parts["encoder"], asked)
    tensors, predictor = parts["encoder"], parts.get("predictor", {})
    kernel = tensors["patch_embed.proj.weight"]
    width, channels, *patch = kernel.shape
    heads = asked.heads or (HEADS_VJEPA2 if family == "vjepa2" else HEADS).get(width)
    if heads is None:
        raise ValueError(f"no released model has width {width}, so its attention heads cannot be known; say --heads")
    encoder = EncoderConfig(
        dim=width,
        depth=count(tensors, "blocks."),
        heads=heads,
        mlp=first(tensors, "blocks.", ".mlp.fc1.weight").shape[0] / width,
        **SETTINGS[family],
        init_std=None if family == "mae" else 0.02,
        init_rescale=family == "vjepa2",
        class_token=family == "mae",
    )
    size = size_of(family, tensors, tuple(patch), encoder, asked)
    inner, masks = None, 0
    if predictor:
        stem = "decoder_" if family == "mae" else "predictor_"
        dim = first(predictor, f"{stem}embed", ".weight").shape[0]
        inner = PredictorConfig(
            dim=dim,
            depth=count(predictor, f"{stem}blocks."),
            heads=asked.predictor_heads or {"mae": 16, "vjepa2": 12}.get(family, heads),
            mlp=first(predictor, f"{stem}blocks.", ".mlp.fc1.weight").shape[0] / dim,
            **SETTINGS[family],
            init_std=encoder.init_std,
            init_rescale=encoder.init_rescale,
            zero_mask_token=family in ("vjepa", "vjepa2"),
        )
        masks = 1 if "mask_token" in predictor else sum(name.startswith("mask_tokens.") for name in predictor)
        check_heads(inner.dim, inner.heads, "--predictor-heads")
    check_heads(width, heads, "--heads")
    layout = "vjepa" if family == "vjepa2" else family
    return Architecture(family, layout, encoder, inner, masks, channels, size, tuple(patch))


def of_2_1(tensors: Mapping[str, Tensor], asked: Asked) -> Architecture:
    """V-JEPA 2.1's encoder: V-JEPA 2's with rotations that are some, and distances of a 256-pixel view on larger ones (recipes 3.11)."""
    size = asked.size or (384, 384)
    found = architecture("vjepa2", {"encoder": tensors}, replace(asked, family=None, size=size))
    places = {s // p for s, p in zip(found.size[-2:], found.patch[-2:], strict=True)}
    if len(places) > 1:
        raise ValueError(f"size is {size}; V-JEPA 2.1 stretches its positions to those of a square view: give a square --size")
    (side,) = places
    trained = TRAINED_2_1 // found.patch[-1]
    encoder = replace(found.encoder, rope_style="interleaved", rope_stretch=(trained - 1) / (side - 1) if side > 1 else 1.0)
    return replace(found, family="vjepa2.1", encoder=encoder)


def dynamics_of(tensors: Mapping[str, Tensor], arch: Architecture, asked: Asked) -> DynamicsConfig:
    """Of V-JEPA 2-AC's predictor."""
    dim = first(tensors, "predictor_embed", ".weight").shape[0]
    heads = asked.predictor_heads or 16
    check_heads(dim, heads, "--predictor-heads")
    height, width = (s // p for s, p in zip(arch.size[-2:], arch.patch[-2:], strict=True))
    told: dict[str, Any] = {name: first(tensors, f"{name.removesuffix('s')}_encoder", ".weight").shape[1] for name in ("actions", "states")}
    return DynamicsConfig(
        dim=dim,
        depth=count(tensors, "predictor_blocks."),
        heads=heads,
        mlp=first(tensors, "predictor_blocks.", ".mlp.fc1.weight").shape[0] / dim,
        grid=(height, width),
        extrinsics=first(tensors, "extrinsics_encoder", ".weight").shape[1],
        **told,
    )


SETTINGS: dict[str, dict[str, Any]] = {  # parity presets: how each family's code computes (recipes 1.1, 2.1, 3.2, 5.1)
    "ijepa": {"position": "sincos", "position_order": "column-first", "norm_eps": 1e-6, "residual": "float32"},
    "vjepa": {"position": "sincos", "position_order": "row-first", "norm_eps": 1e-6},
    "vjepa2": {"position": "rope", "rope_style": "official", "norm_eps": 1e-6},
    "mae": {"position": "sincos", "position_order": "column-first", "norm_eps": 1e-6, "residual": "float32"},
}


def check_heads(width: int, heads: int, flag: str) -> None:
    if width % heads:
        raise ValueError(f"width {width} does not split into {heads} attention heads; say {flag} with a divisor of {width}")


def first(tensors: Mapping[str, Tensor], stem: str, end: str) -> Tensor:
    """Any tensor of that kind, to read a size from; which ones are missing is said when all are matched."""
    for name in tensors:
        if name.startswith(stem) and name.endswith(end):
            return tensors[name]
    raise ValueError(f"no tensor {stem}...{end}; half of the checkpoint is missing")


def count(tensors: Mapping[str, Tensor], stem: str) -> int:
    """Blocks, by the largest number: a missing one in between is found when the tensors are matched."""
    numbers = [int(name[len(stem) :].partition(".")[0]) for name in tensors if name.startswith(stem)]
    if not numbers:
        raise ValueError(f"no tensor begins with {stem!r}; half of the checkpoint is missing")
    return max(numbers) + 1


def size_of(family: str, tensors: Mapping[str, Tensor], patch: tuple[int, ...], encoder: EncoderConfig, asked: Asked) -> tuple[int, ...]:
    """Size of a view. A stored position table must be the code on its grid, which also says how its tokens split into frames."""
    table = tensors.get("pos_embed")
    if family == "vjepa2" or table is None:
        height, width = asked.size or ((256, 256) if family == "vjepa2" else (224, 224))
        return (height, width) if len(patch) == 2 else (asked.frames or 16, height, width)
    grid = table_grid(table, len(patch), encoder)
    stored = tuple(g * p for g, p in zip(grid, patch, strict=True))
    return (*stored[:-2], *(asked.size or stored[-2:]))


def table_grid(table: Tensor, axes: int, encoder: EncoderConfig) -> tuple[int, ...]:
    """The grid whose code a stored position table is. ValueError where it is none: we compute positions and could not keep it."""
    table = table.reshape(-1, encoder.dim).float()
    if encoder.class_token:
        if table[0].abs().max() > TOLERANCE:
            raise ValueError("the class token has a position of its own here; only the published table, which is zero there, can be held")
        table = table[1:]
    for grid in grids(len(table), axes):
        if (code(grid, encoder) - table).abs().max() <= TOLERANCE:
            return grid
    raise ValueError(
        f"the position table of {len(table)} places is not the sine-cosine code of a square grid: learnt or interpolated tables cannot be held"
    )


def grids(places: int, axes: int) -> list[tuple[int, ...]]:
    """Square grids of so many places: with frames, every split whose rest is a square, most frames of 8 first."""
    if axes == 2:
        side = math.isqrt(places)
        return [(side, side)] if side * side == places else []
    splits = [t for t in range(1, places + 1) if places % t == 0 and math.isqrt(places // t) ** 2 == places // t]
    return [(t, math.isqrt(places // t), math.isqrt(places // t)) for t in sorted(splits, key=lambda t: abs(t - 8))]


def predictor_code(arch: Architecture) -> EncoderConfig:
    """An encoder whose position code is that of the predictor or decoder."""
    assert arch.predictor is not None
    return replace(arch.encoder, dim=arch.predictor.dim, heads=1)


def code(grid: tuple[int, ...], encoder: EncoderConfig) -> Tensor:
    """The position code of every place of a grid, in raster order, [n d]."""
    return sincos(positions(grid)[0], encoder.dim, encoder.position_order)
