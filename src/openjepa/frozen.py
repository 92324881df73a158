"""A frozen encoder with its preprocessing: images, videos or sounds in, tokens and pooled features out."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from openjepa.modalities.modality import Modality
from openjepa.models.own import AnyEncoder
from openjepa.run import Run

MIDDLE = 0.5  # where in time one view of a long sample lies


def weights_sha256(state: Mapping[str, Tensor]) -> str:
    """Of names and numbers, in the order of the mapping: whatever file they came from, the same weights give the same."""
    digest = hashlib.sha256()
    for name, value in state.items():
        digest.update(name.encode() + value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Encoded:
    """tokens: features of every patch in raster order, [b n d]; pooled: `Modality.pool` of them, [b e]. Both float32."""

    tokens: Float[Tensor, "b n d"]
    pooled: Float[Tensor, "b e"]
    valid: Bool[Tensor, "b n"] | None = None  # False where a ragged sample is padded; None: every token is real


@dataclass(frozen=True)
class FrozenEncoder:
    """An exported encoder (JEPA: the target encoder; MAE: the encoder) in eval mode and float32."""

    encoder: AnyEncoder
    modality: Modality
    run: Run
    step: int  # 0 is the untrained encoder
    path: Path

    @cached_property
    def sha256(self) -> str:
        """Of the weights, when it was first asked for: a head says which encoder it belongs to."""
        return weights_sha256(self.encoder.state_dict())

    @torch.no_grad()
    def encode(self, samples: Any, *, layers: int = 1, resize: bool = True, batch_size: int = 256) -> Encoded:
        """Features of `samples`: one or a list of paths, PIL images or encoded bytes, or a tensor of views.

        A tensor is [b c *size], for images uint8 [b 3 h w] (RGB). Samples are brought to the training size as
        evaluation does (images: resized and centre-cropped; what has time: its middle); `resize=False` keeps a
        tensor's own size, on every axis a whole number of patches. `layers` concatenates the last so many layers
        along the feature axis, last one last. Features come after the final layer norm.
        """
        x = self.views(samples, resize)
        device = next(self.encoder.parameters()).device
        parts, valid = [], []
        for chunk in x.split(batch_size):
            patches = self.modality.patchify(chunk.to(device))
            parts.append(torch.cat(self.encoder.layers(patches, layers), -1).float().cpu())
            if patches.valid is not None:
                valid.append(patches.valid.cpu())
        tokens = torch.cat(parts)
        real = torch.cat(valid) if valid else None
        return Encoded(tokens, self.modality.pool(tokens, real, tuple(x.shape[2:])), real)

    def views(self, samples: Any, resize: bool = True) -> Shaped[Tensor, "b c *size"]:
        """What `encode` shows the encoder, before standardising."""
        if isinstance(samples, Tensor):
            ndim, channels = 2 + len(self.modality.size), self.modality.channels
            if samples.ndim != ndim or samples.shape[1] != channels or (self.modality.kind == "images" and samples.dtype != torch.uint8):
                wanted = "uint8 [b 3 h w], RGB from 0 to 255" if self.modality.kind == "images" else f"{ndim} axes, [b {channels} *size]"
                raise ValueError(f"{self.modality.kind} are {samples.dtype} {list(samples.shape)}; encode wants {wanted}")
            ready = not resize or tuple(samples.shape[2:]) == self.modality.size
            return samples if ready else self.modality.center(samples)
        many: Sequence[Any] = samples if isinstance(samples, list | tuple) else [samples]
        if not many:
            raise ValueError(f"no {self.modality.kind} to encode: the list is empty")
        return self.modality.center([self.decode(sample) for sample in many])

    def decode(self, sample: Any) -> Shaped[Tensor, "c *axes"]:
        """One path, PIL image or encoded bytes, cut to the middle of its time."""
        if isinstance(sample, str | Path):
            sample = Path(sample).read_bytes()
        if hasattr(sample, "convert"):
            import io

            buffer = io.BytesIO()
            sample.save(buffer, "PNG")
            sample = buffer.getvalue()
        if isinstance(sample, bytes):
            return self.modality.decode(sample, MIDDLE).pixels
        raise ValueError(f"cannot encode a {type(sample).__name__}; give a path, bytes, a PIL image or a tensor [b c *size]")
