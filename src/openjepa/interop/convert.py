"""From their weights to ours and back: which reader, which writer, and the check that what was written computes the same."""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from openjepa.checkpoint import check_format, load_encoder, load_objective, load_run, write_json, write_tensors
from openjepa.frozen import FrozenEncoder
from openjepa.interop import bundle, hugging_face, official
from openjepa.interop.beside import beside
from openjepa.interop.export import LARGEST_DIFFERENCE, export_graph
from openjepa.interop.families import LICENCES, Architecture, Asked, code, predictor_code
from openjepa.interop.files import sha256
from openjepa.interop.heads import read_probe
from openjepa.interop.held import Held
from openjepa.models.encoder import Encoder, EncoderConfig
from openjepa.models.own import OwnEncoder
from openjepa.models.predictor import Predictor
from openjepa.objectives.jepa import JEPA
from openjepa.objectives.mae import MAE
from openjepa.probes.heads import FOLDER, Head
from openjepa.probes.keep import encoder_of
from openjepa.run import Run

RECIPES = {
    "ijepa": "image.ijepa",
    "vjepa": "video.vjepa",
    "vjepa2": "video.vjepa2",
    "vjepa2.1": "video.vjepa2",
    "vjepa2-ac": "video.vjepa2",
    "mae": "image.mae",
}
TARGETS = ("bundle", "hf", "official", "onnx", "torch-export")


@dataclass(frozen=True)
class Converted:
    """What was written, and how that is known to be right."""

    path: Path
    family: str
    notes: list[str]
    report: dict[str, Any] | None = None  # of the tensors, when weights of others came in
    difference: float | None = None  # largest one between features before and after, when ours went out


def convert(
    source: Path,
    out: Path,
    to: str = "bundle",
    asked: Asked | None = None,
    *,
    recipe: Callable[[str], Run],
    command: str = "",
    step: int | None = None,
) -> Converted:
    """Convert `source` (a run or bundle of ours, a checkpoint of the authors, a Hugging Face folder) into `out`.

    `recipe` gives the run of a recipe by name: what a file does not say (masks, schedules) is the family's published recipe.

    Raises:
        ValueError: what came cannot be held, does not fit, or cannot be written in that form. `out` is then not there.
        OSError: the disk is full or a folder cannot be written.
    """
    asked = asked or Asked()
    if to not in TARGETS:
        raise ValueError(f"cannot convert to {to!r}; there are {', '.join(TARGETS)}")
    if asked.probe is not None and to != "bundle":
        raise ValueError(f"--probe {asked.probe} becomes a head of a bundle, {to} has none; leave it out, or leave --to out")
    ours = (source / "run.json").exists()
    if not ours:
        held = read(source, asked)
        if to == "bundle":
            return taken_in(source, held, out, recipe, command)
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
            bundled = taken_in(source, held, Path(folder) / "bundle", recipe, command).path
            return give_out(bundled, out, to, None)
    if to == "bundle":
        added = () if asked.probe is None else added_head(source, step, asked)
        return Converted(bundle.write_run(out, source, step, command, added), "", remarks(head.info.source for head in added))
    return give_out(source, out, to, step)


def read(source: Path, asked: Asked) -> Held:
    """Weights of others, and the probe beside them where one is named."""
    if not source.exists():
        raise ValueError(f"no file or folder {source}; give a checkpoint, a Hugging Face folder or a run of ours")
    held = hugging_face.read(source, asked) if source.is_dir() else official.read(source, asked)
    if asked.probe is None:
        return held
    encoder = held.arch.encoder
    return replace(held, heads=(*held.heads, read_probe(asked.probe, encoder.dim, encoder.heads, asked)))


def added_head(folder: Path, step: int | None, asked: Asked) -> tuple[Head, ...]:
    """A probe of others on an encoder of a run or bundle of ours."""
    assert asked.probe is not None
    frozen = load_encoder(folder, step=step)
    heads = getattr(frozen.run.objective.encoder, "heads", None)
    return (read_probe(asked.probe, frozen.encoder.dim, heads, asked).head(encoder_of(frozen)),)


def remarks(sources: Iterable[Mapping[str, Any]]) -> list[str]:
    return [f"{source['name']}: {source['remark']}" for source in sources if "remark" in source]


def taken_in(source: Path, held: Held, out: Path, recipe: Callable[[str], Run], command: str) -> Converted:
    """Weights of others, as a bundle of ours."""
    family = held.arch.family
    weights = source if source.is_file() else next(iter(sorted(source.glob("*.safetensors")) or sorted(source.glob("*.bin"))))
    told = {"name": source.name, "sha256": sha256(weights), "family": family, "licence": LICENCES[family]}
    path = bundle.write_held(out, held, recipe(RECIPES[family]), RECIPES[family], told, command)
    notes = [f"the weights of this family were released under {LICENCES[family]}; the licence of the file itself decides"]
    if held.which == "context":
        notes.append(
            "this is the context encoder; the papers evaluate the target encoder, which the file does not hold or was not asked for"
        )
    if family == "vjepa2.1":
        notes.append(
            "its encoder of videos is taken, with the norm of the last level; its patches of single images and its predictor are not"
        )
    elif held.dynamics is not None:
        notes.append("its action-conditioned predictor is beside the encoder: openjepa.interop.load.load_dynamics opens it")
    elif held.objective is None:
        notes.append("there is no predictor in it: the encoder can be used and probed, not trained on")
    for theirs in held.heads:
        notes.append(f"its classifier of {len(theirs.classes)} classes is beside the encoder, in {FOLDER}: openjepa.load_head opens it")
        if held.which == "context" and theirs.source.get("sha256"):
            notes.append(f"{theirs.source['name']} was trained on the target encoder, as the papers evaluate; this is the context encoder")
    notes += remarks(theirs.source for theirs in held.heads)
    return Converted(path, family, notes, held.report.to_dict())


# -- out


def family_of_run(run: Run) -> str:
    """Which authors' code computes what this run's encoder computes. ValueError where none does."""
    encoder, axes = run.objective.encoder, len(run.modality.patch) if hasattr(run.modality, "patch") else 0
    if isinstance(encoder, OwnEncoder):
        raise ValueError(f"the encoder is a network of your own ({encoder.module}); convert to torch-export or onnx")
    if run.modality.kind not in ("images", "videos"):
        raise ValueError(f"no other code has an encoder of {run.modality.kind} like ours; convert to torch-export or onnx")
    if encoder.position_scale != 1.0:
        raise ValueError(f"position_scale is {encoder.position_scale}, which other code has not; convert to torch-export or onnx")
    if encoder.class_token:
        return "mae"
    if encoder.position == "rope":
        if encoder.rope_style != "official":
            raise ValueError(
                "rope_style is 'interleaved'; V-JEPA 2's code turns by 'official' angles: train with that, or convert to torch-export"
            )
        return "vjepa2"
    wanted = "column-first" if axes == 2 else "row-first"
    if encoder.position_order != wanted:
        raise ValueError(f"position_order is {encoder.position_order!r} where that code has {wanted!r}; convert to torch-export or onnx")
    if axes == 2 and run.modality.size[0] != run.modality.size[1]:
        raise ValueError(f"views are {run.modality.size}; that code's position tables are of squares: convert to torch-export or onnx")
    return "ijepa" if axes == 2 else "vjepa"


def give_out(folder: Path, out: Path, to: str, step: int | None) -> Converted:
    """A run or bundle of ours in the form of others, read again and compared before it counts."""
    opened = load_run(folder)
    check_format(opened.info, folder)
    frozen = load_encoder(folder, step=step)
    if to in ("onnx", "torch-export"):
        difference = export_graph(frozen, out, to)
        return Converted(out, "", [f"takes standardised float32 {list(frozen.modality.size)} views, [b c *size]"], None, difference)
    family = family_of_run(opened.run)
    objective = None
    with contextlib.suppress(ValueError):
        objective = load_objective(folder, step=step)
    arch = architecture_of(opened.run, family, objective)
    assert isinstance(frozen.encoder, Encoder)
    with beside(out) as written:
        if to == "hf":
            notes = write_hf(written, arch, frozen.encoder, objective, opened.info)
            again: Held = hugging_face.read(written, Asked())
        else:
            if objective is None:
                raise ValueError(f"{folder} holds an encoder alone; the authors' files hold predictor and both encoders: convert to hf")
            official.write(objective, family, (arch.channels, *arch.patch), tables(arch), written)
            notes, again = [], official.read(written, said(opened.info, arch))
        difference = compare(frozen, again)
    return Converted(out, family, notes, None, difference)


def said(info: dict[str, Any], arch: Architecture) -> Asked:
    """What reading a file of the authors again cannot know from shapes."""
    which = info.get("source", {}).get("exported", "target")
    video = len(arch.size) == 3
    return Asked(
        family=arch.family,
        heads=arch.encoder.heads,
        predictor_heads=arch.predictor.heads if arch.predictor else None,
        size=arch.size[-2:],
        frames=arch.size[0] if video else None,
        which=which,
    )


def architecture_of(run: Run, family: str, objective: Any) -> Architecture:
    """Of a run of ours."""
    inner = run.objective.predictor if hasattr(run.objective, "predictor") else run.objective.decoder
    masks = 0
    if isinstance(objective, JEPA):
        masks = objective.predictor.mask_token.shape[0]
    elif isinstance(objective, MAE):
        masks = 1
    modality: Any = run.modality
    assert isinstance(run.objective.encoder, EncoderConfig)
    return Architecture(
        family,
        family,
        run.objective.encoder,
        inner if masks else None,
        masks,
        modality.channels,
        tuple(modality.size),
        tuple(modality.patch),
    )


def tables(arch: Architecture) -> dict[str, Tensor]:
    """Position tables, which the authors' files store."""
    if arch.family == "vjepa2" or arch.predictor is None:
        return {}
    grid = tuple(s // p for s, p in zip(arch.size, arch.patch, strict=True))
    outer, inner = code(grid, arch.encoder), code(grid, predictor_code(arch))
    if arch.family == "mae":
        pad = torch.nn.functional.pad
        return {"pos_embed": pad(outer, (0, 0, 1, 0))[None], "decoder_pos_embed": pad(inner, (0, 0, 1, 0))[None]}
    return {"pos_embed": outer[None], "predictor_pos_embed": inner[None]}


def write_hf(out: Path, arch: Architecture, encoder: Encoder, objective: Any, info: dict[str, Any]) -> list[str]:
    """config.json, model.safetensors, preprocessor_config.json, README.md."""
    if arch.family == "vjepa":
        raise ValueError("transformers has no model of V-JEPA 1; convert to official, onnx or torch-export")
    predictor: Predictor | None = getattr(objective, "predictor", getattr(objective, "decoder", None))
    if arch.family in ("vjepa2", "mae") and predictor is None:
        raise ValueError(f"transformers' model of {arch.family} holds a predictor, and this folder has none")
    out.mkdir(parents=True)
    write_json(out / "config.json", hugging_face.write_config(arch))
    write_tensors(out / "model.safetensors", hugging_face.write_tensors(arch, encoder, predictor))
    write_json(out / "preprocessor_config.json", hugging_face.write_preprocessor(arch))
    licence = info.get("source", {}).get("licence", "yours: say it here")
    (out / "README.md").write_text(f"# {arch.family} encoder, converted from openjepa\n\nLicence of the weights: {licence}\n")
    return ["this holds the encoder that openjepa evaluates (JEPA: the target encoder); the published folders hold the context encoder"]


def compare(frozen: FrozenEncoder, again: Held) -> float:
    """Largest difference of features between ours and what was written, read again. ValueError when it is too large."""
    encoder = Encoder(again.arch.encoder, frozen.modality.patch_dim)
    encoder.load_state_dict({name: again.encoder[name] for name in again.encoder})
    encoder.eval()
    x = torch.sin(0.01 * torch.arange(prod((1, frozen.modality.channels, *frozen.modality.size)), dtype=torch.float64)).float()
    patches = frozen.modality.patchify(x.reshape(1, frozen.modality.channels, *frozen.modality.size))
    with torch.no_grad():
        difference = float((encoder(patches).values - frozen.encoder(patches).values).abs().max())
    if not difference <= LARGEST_DIFFERENCE:
        raise ValueError(f"features differ by {difference:.3g} after writing and reading again; this is a mistake in openjepa, report it")
    return difference


def as_json(converted: Converted) -> str:
    told = {name: value for name, value in vars(converted).items() if value is not None}
    return json.dumps({**told, "path": str(converted.path)})
