"""Images: bytes of a file to pixels, pixels to views, views to patches."""

import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from numpy.typing import NDArray
from PIL import Image as Picture
from PIL import ImageOps, UnidentifiedImageError
from torch import Tensor

from openjepa.draws import Rows, uniform
from openjepa.modalities.grid import Grid

MAX_PIXELS = 100_000_000  # a larger picture is taken for a decompression bomb
SMALL = 96  # longest side up to which a whole batch is resized at once by two matrix products
TRIES = 10  # random boxes tried before the central one is taken, as in the usual RandomResizedCrop


class BadSample(ValueError):
    """A file that cannot be a sample, and why."""


@dataclass(frozen=True)
class Decoded:
    """One picture: pixels uint8 [3 h w] RGB, and what a person should know about it."""

    pixels: UInt8[Tensor, "3 h w"]
    note: str | None = None


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

    def decode(self, data: bytes) -> Decoded:
        """The first picture in `data`, upright, as RGB.

        Large ones are decoded at the smallest whole fraction of their size that still gives every
        training crop as many pixels as the view has. Transparency lies on white; 16-bit values keep
        their upper byte. BadSample says why it cannot be used.
        """
        if not data:
            raise BadSample("the file is empty")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image: Picture.Image = Picture.open(io.BytesIO(data))
                note = self.inspect(image)
                image = self.shrink(image)
                image.load()
                image = to_rgb(ImageOps.exif_transpose(image))
        except BadSample:
            raise
        except UnidentifiedImageError:
            raise BadSample("not an image that Pillow can identify") from None
        except Picture.DecompressionBombError as error:
            raise BadSample(f"decompression bomb: {error}") from None
        except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, EOFError and more for damaged files
            raise BadSample(f"cannot be decoded ({type(error).__name__}: {error})") from None
        return Decoded(torch.from_numpy(np.array(image).transpose(2, 0, 1).copy()), note)

    def read(self, data: bytes, name: str = "") -> UInt8[Tensor, "3 h w"]:
        """Pixels of `decode`."""
        return self.decode(data).pixels

    def inspect(self, image: Picture.Image) -> str | None:
        """Refuse sizes that cannot be used; a note on an animation."""
        w, h = image.size
        if w * h > MAX_PIXELS:
            raise BadSample(f"decompression bomb: {w} x {h} pixels, more than {MAX_PIXELS:,}")
        if min(w, h) < max(8, min(self.size) // 4):
            raise BadSample(f"too small: {w} x {h} pixels, the shorter side must have at least {max(8, min(self.size) // 4)}")
        frames = getattr(image, "n_frames", 1)
        return f"animated: the first of {frames} frames is used" if frames > 1 else None

    def shrink(self, image: Picture.Image) -> Picture.Image:
        """A large picture at 1/2, 1/4 or 1/8: inside the JPEG decoder, or by averaging."""
        wanted = max(self.size) / math.sqrt(self.crop_scale[0])
        factor = min(8, 2 ** int(math.log2(max(1.0, min(image.size) / wanted))))
        if factor == 1:
            return image
        if image.format == "JPEG":
            image.draft(None, (image.width // factor, image.height // factor))
            return image
        return to_rgb(ImageOps.exif_transpose(image)).reduce(factor)

    def augment(self, images: Sequence[Tensor] | Tensor, seed: int, step: int, rows: Rows) -> UInt8[Tensor, "b 3 h w"]:
        """One training view per sample: RandomResizedCrop and, if set, flip; pure in (seed, step, row)."""
        sizes = np.array([image.shape[1:] for image in images])
        u = uniform(seed, step, rows, 2 * TRIES + 3, "crop")
        boxes = crop_boxes(sizes, u, self.crop_scale, self.crop_ratio)
        return resize(images, boxes, self.size, (u[:, -1] < 0.5) & self.flip)

    def center(self, images: Sequence[Tensor] | Tensor, size: tuple[int, int] | None = None) -> UInt8[Tensor, "b 3 h w"]:
        """Evaluation view: the largest central box of the view's shape, resized."""
        height, width = size or self.size
        sizes = np.array([image.shape[1:] for image in images], float)
        scale = np.minimum(sizes[:, 0] / height, sizes[:, 1] / width)
        h, w = scale * height, scale * width
        boxes = np.stack([(sizes[:, 0] - h) / 2, (sizes[:, 1] - w) / 2, h, w], 1)
        return resize(images, boxes, (height, width), np.zeros(len(images), bool))

    def prepare(self, x: Shaped[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Bytes to standardised float32; floats are taken as standardised already."""
        if x.dtype != torch.uint8:
            return x.float()
        mean, std = (torch.tensor(v, device=x.device).view(3, 1, 1) for v in (self.mean, self.std))
        return (x.float() - 255 * mean) / (255 * std)

    def unnormalize(self, x: Float[Tensor, "b 3 h w"]) -> UInt8[Tensor, "b 3 h w"]:
        """Standardised floats to bytes, for pictures."""
        mean, std = (torch.tensor(v, device=x.device).view(3, 1, 1) for v in (self.mean, self.std))
        return (255 * (x * std + mean)).round().clamp(0, 255).byte()


def to_rgb(image: Picture.Image) -> Picture.Image:
    """RGB of any mode: CMYK, grey, palette, alpha on white, 16 and 32 bits to their upper 8."""
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        return Picture.fromarray((values >> 8 if values.max() > 255 else values).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        values = np.nan_to_num(np.asarray(image))
        return Picture.fromarray((values * (255 if values.max() <= 1 else 1)).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layered = image.convert("RGBA")
        return Picture.alpha_composite(Picture.new("RGBA", layered.size, "white"), layered).convert("RGB")
    return image.convert("RGB")


def crop_boxes(
    sizes: NDArray[np.int64], u: NDArray[np.float64], scale: tuple[float, float], ratio: tuple[float, float]
) -> NDArray[np.float64]:
    """Whole-pixel boxes (top, left, height, width), [b 4], from uniform numbers [b 2 TRIES + 3].

    The first of TRIES boxes of random area and log-uniform ratio that fits; else the largest central
    box whose ratio is allowed.
    """
    height, width = sizes[:, :1], sizes[:, 1:]
    area = height * width * (scale[0] + (scale[1] - scale[0]) * u[:, :TRIES])
    shape = np.exp(math.log(ratio[0]) + math.log(ratio[1] / ratio[0]) * u[:, TRIES : 2 * TRIES])
    w, h = np.rint(np.sqrt(area * shape)), np.rint(np.sqrt(area / shape))
    fits = (w >= 1) & (h >= 1) & (w <= width) & (h <= height)
    first = fits.argmax(1)[:, None]
    w, h = np.take_along_axis(w, first, 1)[:, 0], np.take_along_axis(h, first, 1)[:, 0]
    rows, columns = sizes[:, 0].astype(float), sizes[:, 1].astype(float)
    whole = ~fits.any(1)
    w = np.where(whole, np.minimum(columns, np.rint(rows * ratio[1])), w)
    h = np.where(whole, np.minimum(rows, np.rint(columns / ratio[0])), h)
    top = np.where(whole, (rows - h) // 2, np.floor(u[:, -3] * (rows - h + 1)))
    left = np.where(whole, (columns - w) // 2, np.floor(u[:, -2] * (columns - w + 1)))
    return np.stack([top, left, h, w], 1)


def resize(
    images: Sequence[Tensor] | Tensor, boxes: NDArray[np.float64], size: tuple[int, int], flip: NDArray[np.bool_]
) -> UInt8[Tensor, "b c h w"]:
    """Cut each box (top, left, height, width) and resize it with an antialiased triangle filter.

    Small pictures of one shape go through two batched matrix products, large ones one by one through
    Pillow, which computes the same; which of the two depends on the picture alone.
    """
    if isinstance(images, Tensor) and max(images.shape[2:]) <= SMALL:
        return resize_batch(images, boxes, size, flip)
    out = torch.empty(len(images), len(images[0]), *size, dtype=torch.uint8)
    shapes: dict[tuple[int, ...], list[int]] = {}
    for i, image in enumerate(images):
        if max(image.shape[1:]) <= SMALL:
            shapes.setdefault(tuple(image.shape), []).append(i)
        else:
            out[i] = resize_one(image, boxes[i], size, bool(flip[i]))
    for members in shapes.values():
        out[members] = resize_batch(torch.stack([images[i] for i in members]), boxes[members], size, flip[members])
    return out


def resize_one(image: UInt8[Tensor, "3 h w"], box: NDArray[np.float64], size: tuple[int, int], flip: bool) -> UInt8[Tensor, "3 H W"]:
    top, left, h, w = box
    picture = Picture.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    picture = picture.resize((size[1], size[0]), Picture.Resampling.BILINEAR, (left, top, left + w, top + h))
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    return pixels.flip(-1) if flip else pixels


def resize_batch(
    images: UInt8[Tensor, "b c h w"], boxes: NDArray[np.float64], size: tuple[int, int], flip: NDArray[np.bool_]
) -> UInt8[Tensor, "b c H W"]:
    rows = weights(boxes[:, 0], boxes[:, 2], images.shape[2], size[0])
    columns = weights(boxes[:, 1], boxes[:, 3], images.shape[3], size[1])
    columns = np.where(flip[:, None, None], columns[:, ::-1], columns)
    x = torch.from_numpy(rows)[:, None] @ images.float() @ torch.from_numpy(columns).transpose(1, 2)[:, None]
    return x.round().clamp(0, 255).byte()


def weights(start: NDArray[np.float64], length: NDArray[np.float64], source: int, target: int) -> NDArray[np.float32]:
    """Triangle filter from `source` pixels to `target` pixels of the span that begins at `start`, [b target source]."""
    step = (length / target)[:, None]
    centre = start[:, None] + (np.arange(target) + 0.5) * step
    reach = np.maximum(step, 1.0)[..., None]
    w = (1 - np.abs(np.arange(source) + 0.5 - centre[..., None]) / reach).clip(0)
    # Pillow does not look outside the box
    inside = (np.arange(source) >= start[:, None]) & (np.arange(source) < (start + length)[:, None])
    w = w * inside[:, None]
    out: NDArray[np.float32] = (w / w.sum(-1, keepdims=True)).astype(np.float32)
    return out
