"""Pictures of what a run saw and what its features say: masks, PCA colours, nearest neighbours. PNG inside the page."""

import base64
import io
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from openjepa.report.text import safe
from openjepa.tokens import Masks

LARGEST = 160  # pixels of a picture's longer side in the page
BORDERS = [(37, 99, 235), (217, 119, 6), (5, 150, 105), (147, 51, 234), (220, 38, 38), (8, 145, 178)]


def png(pixels: UInt8[Tensor, "3 h w"], alt: str, mark: str = "") -> str:
    """An <img> with the picture inside. Small ones are shown large with square pixels."""
    height, width = pixels.shape[1:]
    picture = Pillow.fromarray(np.ascontiguousarray(pixels.permute(1, 2, 0).cpu().numpy()))
    if max(height, width) > LARGEST:
        picture.thumbnail((LARGEST, LARGEST), Pillow.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    classes = f' class="{mark}"' if mark else ""
    return f'<img{classes} width="{width}" height="{height}" alt="{safe(alt)}" src="data:image/png;base64,{data}">'


def context_only(pixels: UInt8[Tensor, "3 h w"], grid: tuple[int, int], context: Int[Tensor, " k"]) -> UInt8[Tensor, "3 h w"]:
    """The picture with every patch outside the context turned grey: all that the encoder is given."""
    kept = torch.zeros(grid[0] * grid[1])
    kept[context] = 1
    shown = stretched(kept.reshape(1, *grid), pixels)
    return (pixels * shown + 128 * (1 - shown)).to(torch.uint8)


def with_targets(pixels: UInt8[Tensor, "3 h w"], grid: tuple[int, int], targets: Int[Tensor, "blocks t"]) -> UInt8[Tensor, "3 H W"]:
    """The picture, dimmed where nothing is asked, with the outline of each target block in its colour; small ones enlarged."""
    scale = max(1, 128 // max(pixels.shape[1:]))
    large = pixels.repeat_interleave(scale, 1).repeat_interleave(scale, 2).float()
    asked = torch.zeros(grid[0] * grid[1])
    asked[targets.flatten()] = 1
    shown = stretched(asked.reshape(1, *grid), large)
    large = large * (0.35 + 0.65 * shown) + 255 * 0.25 * (1 - shown)
    for i, block in enumerate(targets):
        inside = torch.zeros(grid[0] * grid[1])
        inside[block] = 1
        colour = torch.tensor(BORDERS[i % len(BORDERS)], dtype=torch.float32)[:, None]
        large[:, outline(stretched(inside.reshape(1, *grid), large)[0] > 0, max(1, scale // 2))] = colour
    return large.clamp(0, 255).to(torch.uint8)


def stretched(patches: Float[Tensor, "c rows columns"], like: Tensor) -> Float[Tensor, "c h w"]:
    """One value per patch to one per pixel of `like`."""
    height, width = like.shape[1:]
    return patches.repeat_interleave(height // patches.shape[1], 1).repeat_interleave(width // patches.shape[2], 2)


def outline(inside: Tensor, width: int) -> Tensor:
    """The pixels of a region that are within `width` of its edge."""
    outside = F.pad((~inside).float()[None, None], (width,) * 4, value=1.0)
    near = F.max_pool2d(outside, 2 * width + 1, 1)[0, 0] > 0
    found: Tensor = inside & near
    return found


def colours(tokens: Float[Tensor, "b n d"], shown: int) -> Float[Tensor, "shown n 3"]:
    """First three principal components of all tokens as red, green and blue, 0 to 1, for the first `shown` samples.

    Each component is stretched between its 1st and 99th percentile over all tokens; its sign is the
    one that makes it skew positive, so that the same features always give the same colours.
    """
    flat = tokens.flatten(0, 1).double()
    flat = flat - flat.mean(0)
    _, vectors = torch.linalg.eigh(flat.T @ flat)
    scores = flat @ vectors[:, -3:].flip(-1)
    scores = scores * torch.where(scores.pow(3).sum(0) < 0, -1.0, 1.0)
    some = scores[torch.randperm(len(scores), generator=torch.Generator().manual_seed(0))[:100_000]]
    low, high = some.quantile(0.01, 0), some.quantile(0.99, 0)
    rgb: Tensor = ((scores - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    found: Tensor = rgb.float().unflatten(0, tokens.shape[:2])[:shown]
    return found


def colour_map(rgb: Float[Tensor, "n 3"], grid: tuple[int, int]) -> UInt8[Tensor, "3 rows columns"]:
    """Colours of the tokens of one picture, one pixel per patch."""
    return (rgb.T.reshape(3, *grid) * 255).round().to(torch.uint8)


def neighbours(x: Float[Tensor, "n d"], queries: Sequence[int], k: int) -> NDArray[np.int64]:
    """The k rows most like each query by cosine of centred features, best first, [queries, k]; never the query itself."""
    unit = F.normalize((x - x.mean(0)).double(), dim=-1)
    likeness = unit[list(queries)] @ unit.T
    likeness[range(len(queries)), list(queries)] = -torch.inf
    found: NDArray[np.int64] = likeness.topk(min(k, len(x) - 1), dim=-1).indices.numpy()
    return found


def mask_counts(masks: Masks) -> str:
    """Sizes of context and targets in words."""
    k, (blocks, t) = masks.context.shape[1], masks.targets.shape[1:]
    asked = f"{t} places" if blocks == 1 else f"{blocks} blocks of {t} places"
    return f"Context {k} places, asked {asked}"
