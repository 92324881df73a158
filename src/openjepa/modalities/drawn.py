"""A view as a person sees it, and which token every pixel shows: what pages and the doctor draw masks and features on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int64, UInt8
from torch import Tensor

GREY = 128
BORDERS = [(37, 99, 235), (217, 119, 6), (5, 150, 105), (147, 51, 234), (220, 38, 38), (8, 145, 178)]
GAP = 2  # white pixels between frames of a strip


@dataclass(frozen=True)
class Drawn:
    """One picture, or the frames of a film, in RGB.

    `tokens`: the token that a pixel belongs to, counted as masks count them (registers first); -1 where none.
    """

    frames: UInt8[Tensor, "t h w 3"]
    tokens: Int64[Tensor, "t h w"]

    @property
    def moves(self) -> bool:
        return len(self.frames) > 1

    @property
    def wide(self) -> bool:
        """Too wide to stand beside others."""
        return self.frames.shape[2] > 2 * self.frames.shape[1]

    def only(self, places: Int[Tensor, " k"]) -> "Drawn":
        """Every other token grey: all that an encoder is given which sees these `places`."""
        hidden = ~torch.isin(self.tokens, places.cpu()) & (self.tokens >= 0)
        return replace(self, frames=self.frames.masked_fill(hidden[..., None], GREY))

    def asked(self, blocks: Int[Tensor, "blocks t"], border: int = 2) -> "Drawn":
        """Pale where nothing is asked, and around the places of each block a line in its colour, `border` pixels wide."""
        shown = torch.isin(self.tokens, blocks.cpu())[..., None]
        frames = torch.where(shown, self.frames.float(), 0.35 * self.frames.float() + 0.25 * 255)
        for i, block in enumerate(blocks.cpu()):
            frames[outline(torch.isin(self.tokens, block), border)] = torch.tensor(BORDERS[i % len(BORDERS)], dtype=torch.float32)
        return replace(self, frames=frames.round().clamp(0, 255).byte())

    def coloured(self, rgb: Float[Tensor, "n 3"]) -> "Drawn":
        """Each token's colour (0 to 1) in its place; white where there is no token."""
        palette = torch.cat([(rgb.cpu() * 255).round().clamp(0, 255).byte(), torch.full((1, 3), 255, dtype=torch.uint8)])
        return replace(self, frames=palette[self.tokens])  # -1 is the last one

    def enlarged(self, side: int = 128) -> "Drawn":
        """Each pixel repeated until the longer side has at least half of `side`, and no more than `side`."""
        times = max(1, side // max(self.frames.shape[1:3]))
        frames, tokens = (x.repeat_interleave(times, 1).repeat_interleave(times, 2) for x in (self.frames, self.tokens))
        return Drawn(frames, tokens)

    def strip(self, most: int = 8, down: bool = False) -> "Drawn":
        """Up to `most` frames in one picture, first to last, side by side or one under the other."""
        places = np.linspace(0, len(self.frames) - 1, min(len(self.frames), most)).round().astype(int)
        return beside([Drawn(self.frames[i : i + 1], self.tokens[i : i + 1]) for i in places], down)


def beside(parts: Sequence[Drawn], down: bool = False) -> Drawn:
    """Drawings of one size and length side by side, or one under the other, with a white gap."""
    axis = 1 if down else 2
    frames, tokens = [parts[0].frames], [parts[0].tokens]
    for part in parts[1:]:
        shape = list(part.tokens.shape)
        shape[axis] = GAP
        frames += [torch.full((*shape, 3), 255, dtype=torch.uint8), part.frames]
        tokens += [torch.full(shape, -1), part.tokens]
    return Drawn(torch.cat(frames, axis), torch.cat(tokens, axis))


def outline(inside: Tensor, width: int) -> Tensor:
    """The pixels [t h w] of a region that are within `width` of its edge in their frame."""
    outside = F.pad((~inside).float()[:, None], (width,) * 4, value=1.0)
    near = F.max_pool2d(outside, 2 * width + 1, 1)[:, 0] > 0
    found: Tensor = inside & near
    return found
