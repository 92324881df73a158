"""Classifiers that others trained on these encoders, as heads of ours: V-JEPA's attentive probes, and transformers' task heads.

Names from recipes 2.7 and 3.6 and from transformers' VJEPA2ForVideoClassification. An evaluation file of V-JEPA 1 holds one probe
("classifier"), one of V-JEPA 2 a list ("classifiers").
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from openjepa.imported import imported
from openjepa.interop.families import Architecture, Asked
from openjepa.interop.files import Tensors, read_torch, sha256, unwrapped
from openjepa.interop.key_report import KeyReport
from openjepa.interop.layouts import Row, match
from openjepa.probes.attentive_heads import EPS, shapes
from openjepa.probes.heads import KINDS, Head, HeadInfo, Of

OFFICIAL = {
    "query": "pooler.query_tokens",
    "cross": "pooler.cross_attention_block",
    "blocks": "pooler.blocks",
    "q": "xattn.q",
    "k": "xattn.kv",
    "v": "xattn.kv",
    "qkv": "attn.qkv",
    "proj": "attn.proj",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
}
HUGGING_FACE = {
    "query": "pooler.query_tokens",
    "cross": "pooler.cross_attention_layer",
    "blocks": "pooler.self_attention_layers",
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
    "q": "cross_attn.q_proj",
    "k": "cross_attn.k_proj",
    "v": "cross_attn.v_proj",
    "proj": "self_attn.out_proj",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
    "linear": "classifier",
}
HEADS_VJEPA2 = 16  # attention heads of V-JEPA 2's probes, for encoders of every size (recipes 3.6)
UNUSED = dict.fromkeys(
    (f"{OFFICIAL['cross']}.xattn.proj.{kind}" for kind in ("weight", "bias")), "a projection that V-JEPA's code never applies"
)
TASK: dict[str, tuple[str, ...]] = {"vjepa2": ("pooler.", "classifier."), "ijepa": ("classifier.",), "mae": ()}  # of transformers' models


@dataclass(frozen=True)
class Theirs:
    """A classifier, before it is known on which weights it sits."""

    kind: str
    question: str
    classes: tuple[str, ...]
    settings: dict[str, Any]
    tensors: dict[str, Tensor] = field(repr=False)
    source: dict[str, Any]

    def head(self, encoder: Of) -> Head:
        """On the encoder whose weights these are."""
        fitted = sum(self.tensors[name].numel() for name in self.tensors if name not in ("mean", "std"))
        told = {"pooling": "mean", "layer": -1, "clips": 1, "views": 1, **self.settings}
        info = HeadInfo(self.kind, self.question, self.classes, told, encoder, fitted, source=self.source)
        made: Head = imported(KINDS[self.kind]).of(info, self.tensors)
        return made


def rows(dim: int, classes: int, depth: int, names: Mapping[str, str]) -> Iterator[Row]:
    """How each tensor of an attentive head of ours is made of theirs."""
    for ours, shape in shapes(dim, classes, depth).items():
        words = ours.split(".")
        flat = shape[::-1]
        if ours == "query":
            yield Row(ours, shape, (names["query"],), (1, 1, dim))
            continue
        part, kind = words[-2], words[-1]
        stem = ".".join([names[words[0]], *words[1:-2]]) if part != words[0] else ""
        if part in "kv" and names["k"] == names["v"]:
            yield Row(ours, shape, (f"{stem}.{names[part]}.{kind}",), (2 * dim, *flat[1:]), turned=True, piece=("kv".index(part), 2))
        elif part == "qkv" and "qkv" not in names:
            theirs = tuple(f"{stem}.self_attn.{x}_proj.{kind}" for x in part)
            yield Row(ours, shape, theirs, (dim, *flat[1:]), turned=True)
        else:
            yield Row(ours, shape, (".".join(filter(None, (stem, names.get(part, part), kind))),), flat, turned=True)


def attentive(
    theirs: Mapping[str, Tensor], dim: int, names: Mapping[str, str], report: KeyReport, not_needed: Mapping[str, str]
) -> tuple[dict[str, Tensor], int]:
    """An attentive head on features of width `dim`, and its depth; what does not fit goes to `report`."""
    last = names.get("linear", "linear")
    numbers = {int(name.removeprefix(f"{names['blocks']}.").partition(".")[0]) for name in theirs if name.startswith(f"{names['blocks']}.")}
    depth = 1 + max(numbers, default=-1) + 1
    bias = theirs.get(f"{last}.bias")
    if bias is None:
        report.missing.append(f"{last}.bias")
        return {}, depth
    wanted = list(rows(dim, len(bias), depth, names))
    match("", wanted, theirs, not_needed, report)
    if not report.clean:
        return {}, depth
    return {row.ours: row.read(lambda name: theirs[name].detach().float()).contiguous() for row in wanted}, depth


def read_probe(path: Path, dim: int, heads: int | None, asked: Asked) -> Theirs:
    """The attentive probe in an evaluation file of V-JEPA, on an encoder of `dim` features and `heads` attention heads.

    ValueError for another file, or a probe of another encoder.
    """
    if not path.is_file():
        raise ValueError(f"no file {path}; --probe wants an evaluation file of V-JEPA, as k400-probe.pth.tar")
    whole: Mapping[str, Any] = Tensors([path]) if path.suffix == ".safetensors" else read_torch(path)
    source = {"name": path.name, "sha256": sha256(path)}
    if isinstance(many := whole.get("classifiers"), list) and many:
        if len(many) > 1:
            source["remark"] = (
                f"the file holds {len(many)} probes and does not say which was best; this is the first, as in the authors' demo"
            )
        whole = many[0]
    elif isinstance(one := whole.get("classifier"), dict):
        whole = one
    state = unwrapped({name: value for name, value in whole.items() if isinstance(value, Tensor)})
    if OFFICIAL["query"] not in state:
        raise ValueError(
            f"{path} holds {', '.join(map(str, list(whole)[:6]))}; classifier or classifiers with {OFFICIAL['query']} is wanted"
        )
    report = KeyReport(str(path))
    tensors, depth = attentive(state, dim, OFFICIAL, report, UNUSED)
    report.check()
    heads = asked.probe_heads or (heads if depth == 1 else HEADS_VJEPA2)
    if heads is None or dim % heads:
        raise ValueError(
            f"{dim} features do not split into {heads} attention heads of the probe; say --probe-heads with a divisor of {dim}"
        )
    classes = names_of(asked.classes, tensors["linear.bias"].numel())
    question = path.name.partition(".")[0]
    return Theirs("attentive", question, classes, {"heads": heads, "depth": depth, "eps": EPS}, tensors, source)


def names_of(path: Path | None, count: int) -> tuple[str, ...]:
    """One name per line; numbers where nobody gave names. ValueError for another count."""
    if path is None:
        return tuple(map(str, range(count)))
    try:
        names = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the class names in {path} cannot be read ({error}); give a text file with one name per line") from None
    if len(names) != count:
        raise ValueError(f"{path} has {len(names)} lines, the probe {count} classes; give one name per line, in the order of the classes")
    return tuple(names)


def read_task_head(
    folder: Path, config: Mapping[str, Any], inside: Mapping[str, Tensor], arch: Architecture, report: KeyReport
) -> list[Theirs]:
    """The classifier of a Hugging Face model, where it has one: V-JEPA 2's pooler and classifier, or I-JEPA's linear one."""
    state = {name: inside[name] for name in inside if name.startswith(TASK[arch.family])}
    if not state:
        return []
    named = config.get("id2label") or {}
    classes = [str(named.get(str(i), i)) for i in range(len(state.get("classifier.bias", torch.zeros(0))))]
    source = {"name": folder.name}
    if arch.family == "vjepa2":
        tensors, depth = attentive(state, arch.encoder.dim, HUGGING_FACE, report, {})
        settings = {"heads": arch.encoder.heads, "depth": depth, "eps": arch.encoder.norm_eps}
        return [Theirs("attentive", "class", tuple(classes), settings, tensors, source)] if tensors else []
    dim = arch.encoder.dim
    wanted = [
        Row("weight", (dim, len(classes)), ("classifier.weight",), (len(classes), dim), turned=True),
        Row("bias", (len(classes),), ("classifier.bias",), (len(classes),)),
    ]
    match("", wanted, state, {}, report)
    if not report.clean:
        return []
    found = {row.ours: row.read(lambda name: state[name].detach().float()).contiguous() for row in wanted}
    plain = {"mean": torch.zeros(dim), "std": torch.ones(dim)}  # nothing is standardised
    return [Theirs("linear", "class", tuple(classes), {}, plain | found, source)]
