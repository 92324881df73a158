"""Images: bytes of a file to pixels, pixels to views, views to patches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import UInt8
from torch import Tensor

from openjepa.draws import Rows, key, uniform
from openjepa.modalities.decode import decode
from openjepa.modalities.modality import BadSample, Decoded
from openjepa.modalities.resize import TRIES, covering_boxes, crop_boxes, resize, shapes
from openjepa.modalities.rgb import RGB

__all__ = ["BadSample", "Decoded", "Image"]


@dataclass(frozen=True, kw_only=True)
class Image(RGB):
    """RGB pictures, cropped and resized once per sample, standardised with ImageNet's statistics."""

    kind: ClassVar[str] = "images"
    suffixes: ClassVar[frozenset[str]] = frozenset(
        ".jpg .jpeg .jpe .jfif .png .gif .bmp .tif .tiff .webp .ppm .pgm .pbm .pnm .avif .jp2 .tga .ico".split()  # noqa: SIM905  one line to read
    )
    decoded_by: ClassVar[tuple[str, ...]] = ("size", "crop_scale")

    size: tuple[int, int] = (224, 224)  # height, width in pixels
    patch: tuple[int, int] = (16, 16)
    flip: bool = False  # mirror half of the training crops; off in I-JEPA's released recipes

    def decode(self, data: bytes | Sequence[bytes], at: float | None = None) -> Decoded:
        """The first picture in `data`, upright, as RGB, and a note if there is more to know (see decode.py).

        Large ones are decoded at the smallest fraction of their size that still gives every training
        crop as many pixels as the view has. BadSample says why it cannot be used.
        """
        if not isinstance(data, bytes):
            raise BadSample(f"{len(data)} files for one picture")
        return decode(data, wanted=self.wanted, smallest=self.smallest)

    def read(self, data: bytes, name: str = "") -> UInt8[Tensor, "3 h w"]:
        """Pixels of `decode`."""
        return self.decode(data).pixels

    def example(self, seed: int, row: int) -> UInt8[Tensor, "3 h w"]:
        """A made picture a little larger than a view."""
        generator = torch.Generator().manual_seed(key(seed, row, "example") % 2**63)
        return torch.randint(0, 256, (3, self.size[0] + 5, self.size[1] + 3), dtype=torch.uint8, generator=generator)

    def augment(self, images: Sequence[Tensor] | Tensor, seed: int, step: int, rows: Rows) -> UInt8[Tensor, "b 3 h w"]:
        """One training view per sample: RandomResizedCrop and, if set, flip; pure in (seed, step, row)."""
        u = uniform(seed, step, rows, 2 * TRIES + 3, "crop")
        boxes = crop_boxes(shapes(images), u, self.crop_scale, self.crop_ratio)
        return resize(images, boxes, self.size, (u[:, -1] < 0.5) & self.flip)

    def covering(self, samples: Sequence[Tensor] | Tensor, size: tuple[int, ...], at: float) -> UInt8[Tensor, "b 3 h w"]:
        """See RGB."""
        height, width = size
        return resize(samples, covering_boxes(shapes(samples), (height, width), at), (height, width))
