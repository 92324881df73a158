"""Checkpoints as the authors' code writes them: I-JEPA, V-JEPA 1, V-JEPA 2 and MAE (recipes 1.10, 2.7, 3.10, 5.2)."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from openjepa.interop.families import Architecture, Asked, architecture, family_of, predictor_code, table_grid
from openjepa.interop.files import Renamed, Tensors, read_torch, unwrapped
from openjepa.interop.held import Held, hold
from openjepa.interop.layouts import LAYOUTS, rows
from openjepa.objectives.jepa import JEPA
from openjepa.objectives.mae import MAE
from openjepa.objectives.objective import Objective

LEVELS = dict.fromkeys((f"norms_block.{i}.{kind}" for i in range(3) for kind in ("weight", "bias")), "norm of an inner level of V-JEPA 2.1")
IMAGES = dict.fromkeys(
    ("patch_embed_img.proj.weight", "patch_embed_img.proj.bias", "img_mod_embed"), "V-JEPA 2.1's patches of single images"
)
NOT_NEEDED = dict.fromkeys(("pos_embed", "predictor_pos_embed"), "position table, computed instead") | LEVELS | IMAGES
NOT_NEEDED_MAE = dict.fromkeys(("pos_embed", "decoder_pos_embed"), "position table, computed instead")


def read(path: Path, asked: Asked) -> Held:
    """What a file holds, matched to our names; ValueError says what it is instead. Nothing of a file is ever run."""
    parts = parts_of(path)
    present = {
        "encoder": parts.get("encoder", parts.get("target_encoder", {})),
        **({"predictor": parts["predictor"]} if "predictor" in parts else {}),
    }
    family = family_of(present, asked)
    if family == "vjepa2.1":
        parts = {name: one_level(inside) for name, inside in parts.items() if name != "predictor"}
        present = {"encoder": parts.get("encoder", parts.get("target_encoder", {}))}
    arch = architecture(family, present, asked)
    check_tables(arch, parts)
    return hold(str(path), arch, parts, asked, NOT_NEEDED_MAE if family == "mae" else NOT_NEEDED)


def one_level(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """V-JEPA 2.1's encoder of videos as one of V-JEPA 2: the norm of the last level is the norm, and what it adds to every token of a video
    is part of the bias of the patches. The rest, for images and inner levels, keeps its name and is told as not needed."""
    levels = [int(name.split(".")[1]) for name in tensors if name.startswith("norms_block.") and name.endswith(".weight")]
    last = f"norms_block.{max(levels)}."
    found = Renamed(tensors, lambda name: f"norm.{name.removeprefix(last)}" if name.startswith(last) else name)
    if "video_mod_embed" not in tensors:
        return found
    added = {"patch_embed.proj.bias": tensors["patch_embed.proj.bias"].float() + tensors["video_mod_embed"].float().flatten()}
    return {name: added.get(name, found[name]) for name in found if name != "video_mod_embed"}


def check_tables(arch: Architecture, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Every stored position table is the code that we compute. ValueError for a learnt or interpolated one."""
    if arch.encoder.position != "sincos":
        return  # V-JEPA 2's files hold a table that nothing uses
    for part, inside in parts.items():
        config = predictor_code(arch) if part == "predictor" else arch.encoder
        for name in ("pos_embed", "predictor_pos_embed", "decoder_pos_embed"):
            if name in inside:
                table_grid(inside[name], len(arch.patch), config)


def parts_of(path: Path) -> dict[str, Mapping[str, Tensor]]:
    """The modules in a file, by the authors' names, without what wrappers added."""
    whole: Mapping[str, Any] = Tensors([path]) if path.suffix == ".safetensors" else read_torch(path)
    if "model" in whole and isinstance(whole["model"], dict):  # MAE
        whole = whole["model"]
    if any(isinstance(value, dict) for value in whole.values()):
        if "ema_encoder" in whole:  # V-JEPA 2.1, distilled
            whole = {**{name: value for name, value in whole.items() if name != "ema_encoder"}, "target_encoder": whole["ema_encoder"]}
        parts = {name: unwrapped(tensors(value)) for name, value in whole.items() if name in ("encoder", "target_encoder", "predictor")}
        if not parts.keys() & {"encoder", "target_encoder"}:
            raise ValueError(f"{path} holds {', '.join(map(str, list(whole)[:6]))}; encoder, target_encoder or model is wanted")
        return parts
    flat = unwrapped(tensors(whole))
    if any(name.startswith("encoder.") for name in flat):  # one dict of all modules
        found: dict[str, Mapping[str, Tensor]] = {}
        for part in ("encoder", "target_encoder", "predictor"):
            if inside := Renamed(flat, partial(below, f"{part}.")):
                found[part] = inside
        return found
    decoder = Renamed(flat, lambda name: name if name.startswith("decoder_") or name == "mask_token" else None)
    encoder = Renamed(flat, lambda name: None if name.startswith("decoder_") or name == "mask_token" else name)
    return {"encoder": encoder, **({"predictor": decoder} if decoder else {})}


def below(stem: str, name: str) -> str | None:
    """A name without its first part, where that is `stem`."""
    return name[len(stem) :] if name.startswith(stem) else None


def tensors(whole: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """The tensors of a state dict; it should hold nothing else."""
    if isinstance(whole, Tensors):
        return whole
    return {name: value for name, value in whole.items() if isinstance(value, Tensor)}


def write(objective: Objective, family: str, kernel: tuple[int, ...], tables: Mapping[str, Tensor], path: Path) -> None:
    """The layout that the authors' loaders read, with the prefixes that theirs strip."""
    encoder, predictor = LAYOUTS["vjepa" if family == "vjepa2" else family]

    def named(module: torch.nn.Module, layout: Any, shape: tuple[int, ...] | None, prefix: str) -> dict[str, Tensor]:
        state = module.state_dict()
        return {prefix + name: part for row in rows(module, layout, shape) for name, part in row.write(state[row.ours]).items()}

    if isinstance(objective, MAE):
        content: dict[str, Any] = {"model": named(objective.encoder, encoder, kernel, "") | named(objective.decoder, predictor, None, "")}
        content["model"] |= dict(tables)
        torch.save(content, path)
        return
    assert isinstance(objective, JEPA)
    prefix = "module." if family == "ijepa" else "module.backbone."
    content = {
        "encoder": named(objective.encoder, encoder, kernel, prefix),
        "target_encoder": named(objective.target_encoder, encoder, kernel, prefix),
        "predictor": named(objective.predictor, predictor, None, prefix),
        "epoch": 0,
    }
    for name, table in tables.items():
        for part in ("predictor",) if name.startswith("predictor") else ("encoder", "target_encoder"):
            content[part][prefix + name] = table
    torch.save(content, path)
