"""Images: bytes of a file to pixels, pixels to views, views to patches."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

from openjepa.draws import Rows, uniform
from openjepa.modalities.decode import BadSample, Decoded, decode
from openjepa.modalities.grid import Grid
from openjepa.modalities.resize import TRIES, crop_boxes, resize, shapes

__all__ = ["BadSample", "Decoded", "Image"]


@dataclass(frozen=True, kw_only=True)
class Image(Grid):
    """RGB pictures, cropped and resized once per sample, standardised with ImageNet's statistics."""

    channels: int = 3
    size: tuple[int, int] = (224, 224)  # height, width in pixels
    patch: tuple[int, int] = (16, 16)
    crop_scale: tuple[float, float] = (0.3, 1.0)  # share of the picture's area in a training crop
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)  # width over height of a training crop
    flip: bool = False  # mirror half of the training crops; off in I-JEPA's released recipes
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # of RGB in [0, 1]
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels != 3:
            raise ValueError(f"channels is {self.channels}; pictures are read as RGB, so it must be 3")
        if not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise ValueError(f"crop_scale is {self.crop_scale}; it must be two shares of the area, 0 < smallest <= largest <= 1")
        if not 0 < self.crop_ratio[0] <= self.crop_ratio[1]:
            raise ValueError(f"crop_ratio is {self.crop_ratio}; it must be two ratios of width to height, 0 < smallest <= largest")
        if min(self.std) <= 0:
            raise ValueError(f"std is {self.std}; each must be above 0")

    @property
    def smallest(self) -> int:
        """Pixels of the shorter side under which a file is too small: a quarter of the view's, at least 8."""
        return max(8, min(self.size) // 4)

    def decode(self, data: bytes) -> Decoded:
        """The first picture in `data`, upright, as RGB, and a note if there is more to know (see decode.py).

        Large ones are decoded at the smallest fraction of their size that still gives every training
        crop as many pixels as the view has. BadSample says why it cannot be used.
        """
        return decode(data, wanted=max(self.size) / math.sqrt(self.crop_scale[0]), smallest=self.smallest)

    def read(self, data: bytes, name: str = "") -> UInt8[Tensor, "3 h w"]:
        """Pixels of `decode`."""
        return self.decode(data).pixels

    def augment(self, images: Sequence[Tensor] | Tensor, seed: int, step: int, rows: Rows) -> UInt8[Tensor, "b 3 h w"]:
        """One training view per sample: RandomResizedCrop and, if set, flip; pure in (seed, step, row)."""
        u = uniform(seed, step, rows, 2 * TRIES + 3, "crop")
        boxes = crop_boxes(shapes(images), u, self.crop_scale, self.crop_ratio)
        return resize(images, boxes, self.size, (u[:, -1] < 0.5) & self.flip)

    def center(self, images: Sequence[Tensor] | Tensor, size: tuple[int, int] | None = None) -> UInt8[Tensor, "b 3 h w"]:
        """Evaluation view: resized until it just covers `size`, then the centre of it."""
        height, width = size or self.size
        sizes = shapes(images).astype(float)
        scale = np.minimum(sizes[:, 0] / height, sizes[:, 1] / width)
        h, w = scale * height, scale * width
        boxes = np.stack([(sizes[:, 0] - h) / 2, (sizes[:, 1] - w) / 2, h, w], 1)
        return resize(images, boxes, (height, width))

    def prepare(self, x: Shaped[Tensor, "..."], channel: int = 1) -> Float[Tensor, "..."]:
        """Bytes to standardised float32; floats are taken as standardised already."""
        if x.dtype != torch.uint8:
            return x.float()
        shape = [3 if axis == channel % x.ndim else 1 for axis in range(x.ndim)]
        mean, std = (torch.tensor(v, device=x.device).view(shape) for v in (self.mean, self.std))
        return (x - 255 * mean).div_(255 * std)

    def unnormalize(self, x: Float[Tensor, "b 3 h w"]) -> UInt8[Tensor, "b 3 h w"]:
        """Standardised floats to bytes, for pictures."""
        mean, std = (torch.tensor(v, device=x.device).view(3, 1, 1) for v in (self.mean, self.std))
        return (255 * (x * std + mean)).round().clamp(0, 255).byte()
