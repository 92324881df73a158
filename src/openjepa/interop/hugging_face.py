"""Hugging Face folders of I-JEPA, V-JEPA 2 and MAE: config.json and safetensors, read and written without transformers.

Names on disk are those that transformers 4 and 5 both read and write. Their models hold the context encoder; which one we
write is the caller's choice.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from openjepa.interop.families import SETTINGS, Architecture, Asked, code, predictor_code, table_grid
from openjepa.interop.files import Renamed, read_folder
from openjepa.interop.heads import TASK, read_task_head
from openjepa.interop.held import Held, hold
from openjepa.interop.key_report import KeyReport
from openjepa.interop.layouts import LAYOUTS, rows
from openjepa.models.encoder import Encoder, EncoderConfig
from openjepa.models.predictor import Predictor, PredictorConfig

TABLES = ("embeddings.position_embeddings", "vit.embeddings.position_embeddings", "decoder.decoder_pos_embed")
FAMILIES = {"ijepa": "ijepa", "vjepa2": "vjepa2", "vit_mae": "mae"}  # model_type -> family
PREFIXES = {"ijepa": "ijepa.", "vjepa2": "vjepa2."}  # of the same model inside one with a task head
HEADS = ("classifier.", "pooler.")  # of models with a task head that is not known here
IN_MEMORY = {  # names of transformers 5 before it saves, and what its version 5.23 writes for MAE's decoder
    r"^decoder\.decoder_encoder\.layer\.": "decoder.decoder_layers.",
    r"^layers\.": "encoder.layer.",
    r"^vit\.layers\.": "vit.encoder.layer.",
    r"\.attention\.q_proj\.": ".attention.attention.query.",
    r"\.attention\.k_proj\.": ".attention.attention.key.",
    r"\.attention\.v_proj\.": ".attention.attention.value.",
    r"\.attention\.o_proj\.": ".attention.output.dense.",
}
IN_MEMORY_MLP = {r"\.mlp\.fc1\.": ".intermediate.dense.", r"\.mlp\.fc2\.": ".output.dense."}  # not of V-JEPA 2, which has them on disk


def read(folder: Path, asked: Asked) -> Held:
    """What a folder holds, matched to our names. ValueError says what is missing or cannot be held."""
    config, tensors = read_folder(folder)
    kind = str(config.get("model_type"))
    if kind not in FAMILIES:
        raise ValueError(f"{folder} holds a model of type {kind!r}; {', '.join(FAMILIES)} can be held")
    arch = architecture(FAMILIES[kind], config)
    inside: Mapping[str, Tensor] = Renamed(tensors, lambda name: on_disk(kind, name))
    if kind == "vit_mae" and not any(name.startswith("vit.") for name in inside):  # the bare encoder
        inside = Renamed(inside, lambda name: f"vit.{name}")
    part = {"hf-ijepa": "none", "hf-vjepa2": "predictor.", "hf-mae": "decoder."}[arch.layout]
    if not any(name.startswith(part) for name in inside):
        arch = replace(arch, predictor=None, mask_tokens=0)
    not_needed = dict.fromkeys(TABLES, "position table, computed instead")
    report = KeyReport(str(folder))
    heads = read_task_head(folder, config, inside, arch, report)
    inside = Renamed(inside, lambda name: None if name.startswith(TASK[arch.family]) else name)
    not_needed |= {name: "a task head" for name in inside if name.startswith(HEADS)}
    for name in TABLES:
        if name in inside:
            table_grid(inside[name], len(arch.patch), arch.encoder if name != TABLES[2] else predictor_code(arch))
    parts: dict[str, Mapping[str, Tensor]] = {"encoder": inside}
    if arch.predictor is not None:
        parts = {
            "encoder": Renamed(inside, lambda name: None if name.startswith(part) else name),
            "predictor": Renamed(inside, lambda name: name if name.startswith(part) else None),
        }
    held = hold(str(folder), arch, parts, Asked(), not_needed, report)
    return replace(held, heads=tuple(heads))


def on_disk(kind: str, name: str) -> str:
    """A tensor's name as transformers writes it for the bare model."""
    prefix = PREFIXES.get(kind, "")
    name = name[len(prefix) :] if prefix and name.startswith(prefix) else name
    for pattern, new in IN_MEMORY.items() if kind != "vjepa2" else ():
        name = re.sub(pattern, new, name)
    for pattern, new in IN_MEMORY_MLP.items() if kind != "vjepa2" else ():
        name = re.sub(pattern, new, name)
    return name


def architecture(family: str, config: Mapping[str, Any]) -> Architecture:
    """From config.json. ValueError for a missing entry, or one that our models have not."""
    try:
        return _architecture(family, config)
    except KeyError as error:
        raise ValueError(f"config.json has no {error}; it is not what transformers writes for {config.get('model_type')}") from None


def _architecture(family: str, config: Mapping[str, Any]) -> Architecture:
    if config.get("hidden_act", "gelu") != "gelu":
        raise ValueError(f"hidden_act is {config['hidden_act']!r}; only 'gelu' can be held")
    if not config.get("qkv_bias", True):
        raise ValueError("qkv_bias is off; attention without biases cannot be held")
    width, eps = config["hidden_size"], config.get("layer_norm_eps", 1e-6)
    same: dict[str, Any] = {**SETTINGS[family], "norm_eps": eps}
    mlp = config["mlp_ratio"] if family == "vjepa2" else config["intermediate_size"] / width
    first: dict[str, Any] = {"init_std": None if family == "mae" else 0.02, "init_rescale": family == "vjepa2"}
    encoder = EncoderConfig(
        dim=width,
        depth=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        mlp=mlp,
        **same,
        **first,
        class_token=family == "mae",
    )
    p = config["patch_size"]
    inner: PredictorConfig | None
    patch: tuple[int, ...]
    size: tuple[int, ...]
    if family == "vjepa2":
        side, patch = config["crop_size"], (config["tubelet_size"], p, p)
        size = (config["frames_per_clip"], side, side)
        inner, masks = _inner(config, "pred_", same | first | {"zero_mask_token": True}), config["pred_num_mask_tokens"]
    else:
        side, patch = config["image_size"], (p, p)
        size = (side, side)
        inner, masks = (_inner(config, "decoder_", same | first), 1) if family == "mae" else (None, 0)
    return Architecture(family, f"hf-{family}", encoder, inner, masks, config.get("num_channels", config.get("in_chans", 3)), size, patch)


def _inner(config: Mapping[str, Any], stem: str, settings: Mapping[str, Any]) -> PredictorConfig:
    dim = config[f"{stem}hidden_size"]
    mlp = config["pred_mlp_ratio"] if stem == "pred_" else config["decoder_intermediate_size"] / dim
    return PredictorConfig(
        dim=dim, depth=config[f"{stem}num_hidden_layers"], heads=config[f"{stem}num_attention_heads"], mlp=mlp, **settings
    )


def write_config(arch: Architecture, dtype: str = "float32") -> dict[str, Any]:
    """config.json of a bare model; for MAE of the one that pretrains, which has the decoder."""
    e, d = arch.encoder, arch.predictor
    shared = {
        "attention_probs_dropout_prob": 0.0,
        "dtype": dtype,
        "hidden_act": "gelu",
        "hidden_size": e.dim,
        "initializer_range": 0.02,
        "layer_norm_eps": e.norm_eps,
        "num_attention_heads": e.heads,
        "num_hidden_layers": e.depth,
        "patch_size": arch.patch[-1],
        "qkv_bias": True,
    }
    if arch.family == "vjepa2":
        assert d is not None
        more = {
            "architectures": ["VJEPA2Model"],
            "model_type": "vjepa2",
            "crop_size": arch.size[-1],
            "frames_per_clip": arch.size[0],
            "tubelet_size": arch.patch[0],
            "in_chans": arch.channels,
            "mlp_ratio": e.mlp,
            "pred_hidden_size": d.dim,
            "pred_num_attention_heads": d.heads,
            "pred_num_hidden_layers": d.depth,
            "pred_mlp_ratio": d.mlp,
            "pred_num_mask_tokens": arch.mask_tokens,
        }
        return shared | more
    vit = {
        "hidden_dropout_prob": 0.0,
        "image_size": arch.size[-1],
        "intermediate_size": round(e.dim * e.mlp),
        "num_channels": arch.channels,
    }
    if arch.family == "ijepa":
        return shared | vit | {"architectures": ["IJepaModel"], "model_type": "ijepa"}
    assert d is not None
    decoder = {
        "architectures": ["ViTMAEForPreTraining"],
        "model_type": "vit_mae",
        "decoder_hidden_size": d.dim,
        "decoder_intermediate_size": round(d.dim * d.mlp),
        "decoder_num_attention_heads": d.heads,
        "decoder_num_hidden_layers": d.depth,
        "mask_ratio": 0.75,
        "norm_pix_loss": True,
    }
    return shared | vit | decoder


def write_tensors(arch: Architecture, encoder: Encoder, predictor: Predictor | None) -> dict[str, Tensor]:
    """Tensors under transformers' names, position tables included."""
    outer, inner = LAYOUTS[f"hf-{arch.family}"]
    state = encoder.state_dict()
    found = {name: part for row in rows(encoder, outer, (arch.channels, *arch.patch)) for name, part in row.write(state[row.ours]).items()}
    if predictor is not None and arch.family != "ijepa":
        state = predictor.state_dict()
        found |= {name: part for row in rows(predictor, inner) for name, part in row.write(state[row.ours]).items()}
    grid = tuple(s // p for s, p in zip(arch.size, arch.patch, strict=True))
    if arch.family == "ijepa":
        found[TABLES[0]] = code(grid, arch.encoder)[None]
    if arch.family == "mae":
        for name, config in ((TABLES[1], arch.encoder), (TABLES[2], predictor_code(arch))):
            table = code(grid, config)
            found[name] = F.pad(table, (0, 0, 1, 0))[None]  # zero for the class token
    return found


def write_preprocessor(arch: Architecture) -> dict[str, Any]:
    """preprocessor_config.json: what `encode` does before the encoder."""
    side = arch.size[-1]
    shared = {
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    if arch.family == "vjepa2":
        return shared | {
            "video_processor_type": "VJEPA2VideoProcessor",
            "size": {"shortest_edge": side},
            "crop_size": {"height": side, "width": side},
        }
    return shared | {"image_processor_type": "ViTImageProcessor", "do_resize": True, "size": {"height": side, "width": side}}
