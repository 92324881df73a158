"""Pictures of what a run saw and what its features say: masks, PCA colours, nearest neighbours. PNG inside the page."""

import base64
import io
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from openjepa.modalities.drawn import Drawn
from openjepa.report.text import safe
from openjepa.tokens import Masks

LARGEST = 160  # pixels of a picture's longer side in the page
WIDE = 900  # of one that has the page's width to itself
SECONDS = 0.2  # between frames of a film


def png(drawn: Drawn, alt: str, mark: str = "", largest: int = LARGEST) -> str:
    """An <img> with a drawing of one frame inside. Small ones are shown large with square pixels."""
    picture = shrunk(drawn, largest)[0]
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    names = [*([mark] if mark else []), *(["wide"] if drawn.wide else [])]
    attributes = f' class="{" ".join(names)}"' if names else ""
    return f"<img{attributes} {described(drawn, alt)} src={inside(buffer, 'png')}>"


def film(drawn: Drawn, alt: str, largest: int = WIDE) -> str:
    """The frames one after the other, without end; the first alone for those who asked their system for less motion."""
    frames = shrunk(drawn, largest)
    moving, still = io.BytesIO(), io.BytesIO()
    small = [frame.quantize(64, Pillow.Quantize.MEDIANCUT, dither=Pillow.Dither.NONE) for frame in frames]
    small[0].save(moving, "GIF", save_all=True, append_images=small[1:], duration=round(1000 * SECONDS), loop=0)
    frames[0].save(still, "PNG", optimize=True)
    calm = f'<source media="(prefers-reduced-motion:reduce)" srcset={inside(still, "png")}>'
    return f'<picture>{calm}<img class="wide" {described(drawn, alt)} src={inside(moving, "gif")}></picture>'


def described(drawn: Drawn, alt: str) -> str:
    """Attributes of the image element: the size that it has before it is made smaller, and its words."""
    return f'width="{drawn.frames.shape[2]}" height="{drawn.frames.shape[1]}" alt="{safe(alt)}"'


def shrunk(drawn: Drawn, largest: int) -> list[Pillow.Image]:
    """Each frame, made smaller where its longer side is over `largest`."""
    found = [Pillow.fromarray(np.ascontiguousarray(frame.numpy())) for frame in drawn.frames]
    if max(drawn.frames.shape[1:3]) > largest:
        for picture in found:
            picture.thumbnail((largest, largest), Pillow.Resampling.LANCZOS)
    return found


def inside(buffer: io.BytesIO, kind: str) -> str:
    """The address of a picture that is part of the page, in quotation marks."""
    return f'"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"'


def colours(tokens: Float[Tensor, "b n d"], shown: int, valid: Bool[Tensor, "b n"] | None = None) -> Float[Tensor, "shown n 3"]:
    """First three principal components of all valid tokens as red, green and blue, 0 to 1, for the first `shown` samples.

    Each component is stretched between its 1st and 99th percentile over all tokens; its sign is the
    one that makes it skew positive, so that the same features always give the same colours.
    """
    every = tokens.flatten(0, 1).double()
    real = torch.ones(len(every), dtype=torch.bool) if valid is None else valid.flatten()
    every = every - every[real].mean(0)
    _, vectors = torch.linalg.eigh(every[real].T @ every[real])
    scores = every @ vectors[:, -3:].flip(-1)
    scores = scores * torch.where(scores[real].pow(3).sum(0) < 0, -1.0, 1.0)
    among = scores[real]
    some = among[torch.randperm(len(among), generator=torch.Generator().manual_seed(0))[:100_000]]
    low, high = some.quantile(0.01, 0), some.quantile(0.99, 0)
    rgb: Tensor = ((scores - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    found: Tensor = rgb.float().unflatten(0, tokens.shape[:2])[:shown]
    return found


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
