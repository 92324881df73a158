"""Random boxes of pictures, and their resizing: the same bytes on every machine, in any batch, from any process."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image as Picture
from torch import Tensor

SMALL = 96  # longest side up to which a whole batch is resized at once by two matrix products
TRIES = 10  # random boxes tried before the central one is taken, as in the usual RandomResizedCrop
UNIT = 2.0**15  # weights are multiples of 1 / UNIT: 255 UNIT < 2^24, so float32 sums are exact in any order


def shapes(images: Sequence[Tensor] | Tensor) -> NDArray[np.int64]:
    """Height and width of each picture, [b 2]."""
    if isinstance(images, Tensor):
        return np.tile(np.array(images.shape[2:], np.int64), (len(images), 1))
    return np.array([image.shape[1:] for image in images], np.int64)


def crop_boxes(
    sizes: NDArray[np.int64], u: NDArray[np.float64], scale: tuple[float, float], ratio: tuple[float, float]
) -> NDArray[np.float64]:
    """Whole-pixel boxes (top, left, height, width), [b 4], from uniform numbers [b 2 TRIES + 2].

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
    w = np.where(whole, np.minimum(columns, np.maximum(1, np.rint(rows * ratio[1]))), w)
    h = np.where(whole, np.minimum(rows, np.maximum(1, np.rint(columns / ratio[0]))), h)
    top = np.where(whole, (rows - h) // 2, np.floor(u[:, 2 * TRIES] * (rows - h + 1)))
    left = np.where(whole, (columns - w) // 2, np.floor(u[:, 2 * TRIES + 1] * (columns - w + 1)))
    return np.stack([top, left, h, w], 1)


def covering_boxes(sizes: NDArray[np.int64], size: tuple[int, int], at: float) -> NDArray[np.float64]:
    """The largest box of the ratio of `size` in each picture, [b 4]; `at` in [0, 1] of the room there is along one side."""
    room = sizes.astype(float)
    shape = np.minimum(room[:, 0] / size[0], room[:, 1] / size[1])[:, None] * np.array(size)
    return np.concatenate([at * (room - shape), shape], 1)


def resize(
    images: Sequence[Tensor] | Tensor, boxes: NDArray[np.float64], size: tuple[int, int], flip: NDArray[np.bool_] | None = None
) -> UInt8[Tensor, "b c h w"]:
    """The boxes (top, left, height, width) of each picture at `size`, with an antialiased triangle filter.

    With `flip` the boxes are whole pixels, cut out first, and mirrored where it says so (RandomResizedCrop);
    without it the filter sees beyond the box, as if the picture were resized first and cut afterwards.
    Small pictures of one shape go through two batched matrix products, large ones one by one through
    Pillow, which computes the same but for the last bit; which of the two depends on the picture alone.
    """
    if isinstance(images, Tensor) and max(images.shape[2:]) <= SMALL:
        return resize_batch(images, boxes, size, flip)
    # channels last in memory, as Pillow gives them
    out = torch.empty(len(images), len(images[0]), *size, dtype=torch.uint8, memory_format=torch.channels_last)
    alike: dict[tuple[int, ...], list[int]] = {}
    for i, image in enumerate(images):
        if max(image.shape[1:]) <= SMALL:
            alike.setdefault(tuple(image.shape), []).append(i)
        else:
            out[i] = resize_one(image, boxes[i], size, None if flip is None else bool(flip[i]))
    for members in alike.values():
        same = torch.stack([images[i] for i in members])
        out[members] = resize_batch(same, boxes[members], size, None if flip is None else flip[members])
    return out


def resize_one(image: UInt8[Tensor, "3 h w"], box: NDArray[np.float64], size: tuple[int, int], flip: bool | None) -> UInt8[Tensor, "3 H W"]:
    top, left, h, w = (float(x) for x in box)
    if flip is not None:
        image = image[:, int(top) : int(top + h), int(left) : int(left + w)]
        top = left = 0.0
    picture = Picture.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    picture = picture.resize((size[1], size[0]), Picture.Resampling.BILINEAR, (left, top, left + w, top + h))
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    return pixels.flip(-1) if flip else pixels


def resize_batch(
    images: UInt8[Tensor, "b c h w"], boxes: NDArray[np.float64], size: tuple[int, int], flip: NDArray[np.bool_] | None
) -> UInt8[Tensor, "b c H W"]:
    rows = weights(boxes[:, 0], boxes[:, 2], images.shape[2], size[0], flip is not None)
    columns = weights(boxes[:, 1], boxes[:, 3], images.shape[3], size[1], flip is not None)
    if flip is not None:
        columns = np.where(flip[:, None, None], columns[:, ::-1], columns)
    # Pillow's order: along the rows, round to a byte, along the columns, round
    x = images.float() @ torch.from_numpy(columns).transpose(1, 2)[:, None]
    x = torch.from_numpy(rows)[:, None] @ x.add_(0.5).floor_()
    return x.add_(0.5).byte()


def weights(start: NDArray[np.float64], length: NDArray[np.float64], source: int, target: int, cut: bool) -> NDArray[np.float32]:
    """Triangle filter from `source` pixels to `target` pixels of the span that begins at `start`, [b target source].

    With `cut`, pixels outside the span have no weight.
    """
    pixel = np.arange(source) + 0.5
    step = (length / target)[:, None]
    centre = start[:, None] + (np.arange(target) + 0.5) * step
    reach = np.maximum(step, 1.0)[..., None]
    w = (1 - np.abs(pixel - centre[..., None]) / reach).clip(0)
    if cut:
        w *= ((pixel > start[:, None]) & (pixel < (start + length)[:, None]))[:, None]
    return (np.rint(w / w.sum(-1, keepdims=True) * UNIT) / UNIT).astype(np.float32)  # type: ignore[no-any-return]
