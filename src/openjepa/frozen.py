"""A frozen encoder with its preprocessing: images in, tokens and pooled features out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from openjepa.modalities.image import Image
from openjepa.models.encoder import Encoder
from openjepa.run import Run


@dataclass(frozen=True)
class Encoded:
    """tokens: features of every patch in raster order, [b n d]; pooled: their mean, [b d]. Both float32."""

    tokens: Float[Tensor, "b n d"]
    pooled: Float[Tensor, "b d"]


@dataclass(frozen=True)
class FrozenEncoder:
    """An exported encoder (JEPA: the target encoder; MAE: the encoder) in eval mode and float32."""

    encoder: Encoder
    modality: Image
    run: Run
    step: int  # 0 is the untrained encoder
    path: Path

    @torch.no_grad()
    def encode(self, images: Any, *, layers: int = 1, resize: bool = True, batch_size: int = 256) -> Encoded:
        """Features of `images`: one or a list of paths, PIL images or encoded bytes, or uint8 [b 3 h w] (RGB).

        Images are resized and centre-cropped to the training size; `resize=False` keeps a tensor's own
        height and width, each a whole number of patches. `layers` concatenates the last so many layers
        along the feature axis, last one last. Features come after the final layer norm.
        """
        x = self.pixels(images, resize)
        device = next(self.encoder.parameters()).device
        parts = []
        for chunk in x.split(batch_size):
            patches = self.modality.patchify(chunk.to(device))
            parts.append(torch.cat(self.encoder.layers(patches, layers), -1).float().cpu())
        tokens = torch.cat(parts)
        return Encoded(tokens, tokens.mean(1))

    def pixels(self, images: Any, resize: bool = True) -> UInt8[Tensor, "b 3 h w"]:
        """What `encode` shows the encoder, before standardising."""
        if isinstance(images, Tensor):
            if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != self.modality.channels:
                wanted = f"uint8 [b {self.modality.channels} h w]"
                raise ValueError(f"images are {images.dtype} {list(images.shape)}; encode wants {wanted}, RGB from 0 to 255")
            return self.modality.center(images) if resize else images
        many: Sequence[Any] = images if isinstance(images, list | tuple) else [images]
        if not many:
            raise ValueError("no images to encode: the list is empty")
        return self.modality.center([self.decode(image) for image in many])

    def decode(self, image: Any) -> UInt8[Tensor, "3 h w"]:
        """One path, PIL image or encoded bytes."""
        if isinstance(image, str | Path):
            return self.modality.read(Path(image).read_bytes(), str(image))
        if isinstance(image, bytes):
            return self.modality.read(image, "(bytes)")
        if hasattr(image, "convert"):
            import io

            buffer = io.BytesIO()
            image.save(buffer, "PNG")
            return self.modality.read(buffer.getvalue(), "(PIL image)")
        raise ValueError(f"cannot encode a {type(image).__name__}; give a path, a PIL image, bytes or a uint8 tensor [b 3 h w]")
