"""How other code names and lays out the tensors of our encoder and predictor; both ways, to the bit.

A row says which of their tensors make one of ours: joined along their first axis, then in our shape. The kernel of a
patch convolution [d c *patch] becomes a linear map [d (*patch c)], because our patches hold their channels last.
Names from the released files (recipes 1.10, 2.7, 3.10, 5.2) and from transformers' model classes.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from openjepa.interop.key_report import KeyReport

OFFICIAL = {"norm1": "norm1", "qkv": "attn.qkv", "proj": "attn.proj", "norm2": "norm2", "fc1": "mlp.fc1", "fc2": "mlp.fc2"}
_THREE = tuple(f"attention.attention.{part}" for part in ("query", "key", "value"))
HF_VIT: dict[str, str | tuple[str, ...]] = {
    "norm1": "layernorm_before",
    "qkv": _THREE,
    "proj": "attention.output.dense",
    "norm2": "layernorm_after",
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
}
HF_VJEPA2: dict[str, str | tuple[str, ...]] = {
    "norm1": "norm1",
    "qkv": tuple(f"attention.{part}" for part in ("query", "key", "value")),
    "proj": "attention.proj",
    "norm2": "norm2",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
}


@dataclass(frozen=True)
class Layout:
    """Names of one module. `mask` gives those of the mask tokens, by their count."""

    embed: str
    block: str  # with {} for its number
    parts: Mapping[str, str | tuple[str, ...]]
    norm: str
    proj: str = ""
    mask: Callable[[int], tuple[str, ...]] = lambda count: ()
    class_token: str = "cls_token"
    action: str = "action_encoder"
    state: str = "state_encoder"
    extrinsics: str = "extrinsics_encoder"


def numbered(name: str) -> Callable[[int], tuple[str, ...]]:
    return lambda count: tuple(f"{name}.{i}" for i in range(count))


def single(name: str) -> Callable[[int], tuple[str, ...]]:
    return lambda count: (name,)


ENCODER = Layout("patch_embed.proj", "blocks.{}", OFFICIAL, "norm")
_PREDICTOR = ("predictor_embed", "predictor_blocks.{}", OFFICIAL, "predictor_norm", "predictor_proj")
LAYOUTS: dict[str, tuple[Layout, Layout]] = {  # family -> encoder, predictor or decoder
    "ijepa": (ENCODER, Layout(*_PREDICTOR, mask=single("mask_token"))),
    "vjepa": (ENCODER, Layout(*_PREDICTOR, mask=numbered("mask_tokens"))),
    "mae": (ENCODER, Layout("decoder_embed", "decoder_blocks.{}", OFFICIAL, "decoder_norm", "decoder_pred", single("mask_token"))),
    "hf-ijepa": (Layout("embeddings.patch_embeddings.projection", "encoder.layer.{}", HF_VIT, "layernorm"), Layout(*_PREDICTOR)),
    "hf-vjepa2": (
        Layout("encoder.embeddings.patch_embeddings.proj", "encoder.layer.{}", HF_VJEPA2, "encoder.layernorm"),
        Layout(
            "predictor.embeddings.predictor_embeddings",
            "predictor.layer.{}",
            HF_VJEPA2,
            "predictor.layernorm",
            "predictor.proj",
            single("predictor.embeddings.mask_tokens"),
        ),
    ),
    "hf-mae": (
        Layout(
            "vit.embeddings.patch_embeddings.projection",
            "vit.encoder.layer.{}",
            HF_VIT,
            "vit.layernorm",
            class_token="vit.embeddings.cls_token",
        ),
        Layout(
            "decoder.decoder_embed",
            "decoder.decoder_layers.{}",
            HF_VIT,
            "decoder.decoder_norm",
            "decoder.decoder_pred",
            single("decoder.mask_token"),
        ),
    ),
}


@dataclass(frozen=True)
class Row:
    ours: str
    shape: tuple[int, ...]  # of ours
    theirs: tuple[str, ...]
    their_shape: tuple[int, ...]  # of each of them
    kernel: bool = False
    turned: bool = False  # [out in] there, [in out] here
    piece: tuple[int, int] = (0, 1)  # (which, of how many) along the first axis of theirs

    def read(self, get: Callable[[str], Tensor]) -> Tensor:
        """Ours, from theirs."""
        parts = [get(name) for name in self.theirs]
        whole = parts[0] if len(parts) == 1 else torch.cat(parts)
        if self.kernel:
            whole = whole.movedim(1, -1)
        whole = whole.chunk(self.piece[1])[self.piece[0]]
        return (whole.T if self.turned and whole.ndim == 2 else whole).reshape(self.shape)

    def write(self, x: Tensor) -> dict[str, Tensor]:
        """Theirs, from ours; not of heads, which are only read."""
        assert not self.turned
        if self.kernel:
            _, channels, *patch = self.their_shape
            x = x.reshape(len(x), *patch, channels).movedim(-1, 1)
        parts = x.reshape(len(self.theirs), *self.their_shape) if len(self.theirs) > 1 else (x.reshape(self.their_shape),)
        return {name: part.contiguous() for name, part in zip(self.theirs, parts, strict=True)}

    @property
    def change(self) -> str:
        """How the layout differs; empty where it does not."""
        if self.kernel:
            return "a convolution's kernel as a linear map"
        if self.turned and len(self.shape) == 2:
            return "transposed"
        return f"{len(self.theirs)} joined" if len(self.theirs) > 1 else ""


def rows(module: nn.Module, layout: Layout, kernel: tuple[int, ...] | None = None) -> Iterator[Row]:
    """One row per tensor of our encoder or predictor (on any device, meta too). `kernel` of an encoder: (channels, *patch)."""
    for name, value in module.state_dict().items():
        shape = tuple(value.shape)
        if name == "mask_token":
            count, theirs = shape[0], layout.mask(shape[0])
            if len(theirs) == 1:
                their_shape = (1, 1, shape[-1]) if count == 1 and "mask_tokens" not in theirs[0] else (count, 1, 1, shape[-1])
            else:
                their_shape = (1, 1, shape[-1])
            yield Row(name, shape, theirs, their_shape)
            continue
        if name == "class_token":
            yield Row(name, shape, (layout.class_token,), shape)
            continue
        stem, _, kind = name.rpartition(".")
        if stem.startswith("blocks."):
            _, number, part = stem.split(".")
            inside = layout.parts[part]
            parts = (inside,) if isinstance(inside, str) else inside
            theirs = tuple(f"{layout.block.format(number)}.{part}.{kind}" for part in parts)
            yield Row(name, shape, theirs, (shape[0] // len(theirs), *shape[1:]))
            continue
        theirs = (f"{getattr(layout, stem)}.{kind}",)
        if stem == "embed" and kind == "weight" and kernel is not None:
            yield Row(name, shape, theirs, (shape[0], *kernel), kernel=True)
        else:
            yield Row(name, shape, theirs, shape)


def match(prefix: str, wanted: list[Row], theirs: Mapping[str, Tensor], not_needed: Mapping[str, str], report: KeyReport) -> None:
    """Fill the report for one module."""
    left = set(theirs)
    for row in wanted:
        for name in row.theirs:
            if name not in theirs:
                report.missing += [prefix + name] * (prefix + name not in report.missing)
                continue
            if name not in left:  # another of ours is made of it, too
                continue
            left.discard(name)
            came = tuple(theirs[name].shape)
            if came != row.their_shape:
                report.misfits[prefix + name] = f"{list(came)}, {list(row.their_shape)} is wanted"
                continue
            report.matched.append(prefix + name)
            if row.change:
                report.reshaped[prefix + name] = row.change
    for name in sorted(left):
        if name in not_needed:
            report.unused[prefix + name] = not_needed[name]
        else:
            report.unexpected.append(prefix + name)
