"""What images and videos share: RGB bytes, random crops of them, ImageNet's statistics."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

from openjepa.modalities.drawn import Drawn
from openjepa.modalities.grid import Grid, numbered


@dataclass(frozen=True, kw_only=True)
class RGB(Grid):
    """A grid of RGB pixels, cropped and resized once per sample, standardised with ImageNet's statistics.

    The last two axes of `size` are height and width.
    """

    channels: int = 3
    crop_scale: tuple[float, float] = (0.3, 1.0)  # share of the picture's area in a training crop
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)  # width over height of a training crop
    flip: bool = False  # mirror half of the training crops
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
        return max(8, min(self.size[-2:]) // 4)

    @property
    def wanted(self) -> float:
        """Pixels of the shorter side that give every training crop as many as the view has."""
        return max(self.size[-2:]) / math.sqrt(self.crop_scale[0])

    def center(self, samples: Sequence[Tensor] | Tensor, size: tuple[int, ...] | None = None) -> UInt8[Tensor, "b 3 *size"]:
        """Evaluation view: resized until it just covers height and width of `size`, then the centre of it."""
        return self.covering(samples, size or self.size, 0.5)

    def crops(self, samples: Sequence[Tensor] | Tensor, count: int) -> list[UInt8[Tensor, "b 3 *size"]]:
        """As `center`, but evenly spread along the longer side, from one end to the other (V-JEPA evaluates 3 of a video)."""
        return [self.covering(samples, self.size, 0.5 if count == 1 else at / (count - 1)) for at in range(count)]

    def covering(self, samples: Sequence[Tensor] | Tensor, size: tuple[int, ...], at: float) -> UInt8[Tensor, "b 3 *size"]:
        """Resized until it just covers `size`, then the part of it at `at` in [0, 1] of what is left over."""
        raise NotImplementedError

    def prepare(self, x: Shaped[Tensor, "..."], channel: int = 1) -> Float[Tensor, "..."]:
        """Bytes to standardised float32; floats are taken as standardised already."""
        if x.dtype != torch.uint8:
            return x.float()
        shape = [3 if axis == channel % x.ndim else 1 for axis in range(x.ndim)]
        mean, std = (torch.tensor(v, device=x.device).view(shape) for v in (self.mean, self.std))
        return (x - 255 * mean).div_(255 * std)

    def unnormalize(self, x: Float[Tensor, "b 3 *axes"]) -> UInt8[Tensor, "b 3 *axes"]:
        """Standardised floats to bytes, for pictures."""
        mean, std = (torch.tensor(v, device=x.device).view(3, *(1,) * (x.ndim - 2)) for v in (self.mean, self.std))
        return (255 * (x * std + mean)).round().clamp(0, 255).byte()

    def draw(self, x: Shaped[Tensor, "3 *size"]) -> Drawn:
        """The pixels themselves; of a video, every frame."""
        x = x if x.dtype == torch.uint8 else self.unnormalize(x[None])[0]
        tokens = numbered(self.places(tuple(x.shape[1:])), self.patch)
        frames = x.cpu().movedim(0, -1)
        return Drawn(frames, tokens) if frames.ndim == 4 else Drawn(frames[None], tokens[None])
