"""What the decoder paints where a picture, a clip or a spectrogram is hidden, beside answers that need no model."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from openjepa.explore.question import Box, numbers
from openjepa.modalities.drawn import Drawn
from openjepa.objectives.mae import pixel_error, pixel_targets
from openjepa.tokens import Batch, Masks

if TYPE_CHECKING:
    from openjepa.explore.explorer import Explorer

Hiding = Literal["random", "block", "grid"]


@dataclass(frozen=True)
class Painted:
    """Frames are uint8 [t h w 3], as a person sees the view; maps are shaped as the grid, NaN where nothing was hidden."""

    hidden: UInt8[Tensor, "*grid"]
    seen: UInt8[Tensor, "t h w 3"]  # grey where hidden
    composite: UInt8[Tensor, "t h w 3"]  # the visible patches, and the model's where they are hidden
    output: UInt8[Tensor, "t h w 3"]  # the model's patches alone, grey where it was not asked
    as_trained: UInt8[Tensor, "t h w 3"]  # the same in the units of training: with norm_pix each patch has mean 0 and std 1
    error: Float[Tensor, "*grid"]  # squared error in the units of training
    constant_error: Float[Tensor, "*grid"]  # of one and the same answer everywhere
    mse: float
    constant_mse: float
    inpaint_mse: float  # of colours that flow in from the visible patches
    leaks: bool  # composite and output use each hidden patch's own mean and contrast, which the model never said


@torch.no_grad()
def paint(
    explorer: "Explorer",
    name: str,
    *,
    ratio: float | None = None,
    seed: int = 0,
    sampler: str = "random",
    hidden: Sequence[int] | None = None,
    targets: Sequence[Box] | None = None,
) -> Painted:
    """Hide, paint, compare. ValueError where nothing or everything is hidden."""
    mae, modality, grid = explorer.mae_model, explorer.modality, explorer.grid
    n, registers = prod(grid), modality.registers
    holes = hidden_tokens(grid, ratio, seed, sampler, hidden, targets)
    rest = torch.ones(n, dtype=torch.bool)
    rest[holes] = False
    known = rest.nonzero()[:, 0]
    if not len(known):
        raise ValueError("everything is hidden; leave at least one patch to see")
    masks = Masks(known[None], holes[None, None]).behind(registers)
    looked = explorer.look(name)
    view = looked.view.to(explorer.device)
    said = mae.predict(Batch((view,), (masks.map(lambda x: x.to(explorer.device)),)))
    guesses, goals = said.guesses[0, 0].float().cpu(), said.goals[0, 0].float().cpu()
    truth = looked.patches.values[0].cpu()
    channels = modality.channels if mae.config.per_channel else None

    def in_training_units(pixels: Tensor) -> Tensor:
        return pixel_targets(pixels, mae.config.norm_pix, channels)

    errors = pixel_error(guesses, goals)
    everywhere = in_training_units(truth[registers:])
    constant = pixel_error(everywhere[known].mean(0).expand_as(goals), goals)
    flown = pixel_error(in_training_units(inpainted(truth[registers:], known, grid, modality.patch_dim)[holes]), goals)
    pixels = original_units(guesses, truth[registers:][holes], mae.config.norm_pix, channels)
    asked = registers + holes

    def frames(values: Float[Tensor, "n e"]) -> UInt8[Tensor, "t h w 3"]:
        return modality.draw(modality.unpatchify(values[None], modality.size)[0]).frames

    composite, trained = truth.clone(), torch.zeros_like(truth)
    composite[asked], trained[asked] = pixels, guesses
    drawn = modality.draw(looked.view[0])
    painted = frames(composite)
    output = Drawn(painted, drawn.tokens).only(asked)
    scaled = Drawn(frames(trained), drawn.tokens).only(asked)

    def mapped(values: Tensor) -> Tensor:
        found = torch.full((n,), torch.nan)
        found[holes] = values
        return found.reshape(grid)

    return Painted(
        hidden=(~rest).to(torch.uint8).reshape(grid),
        seen=drawn.only(registers + known).frames,
        composite=painted,
        output=output.frames,
        as_trained=scaled.frames,
        error=mapped(errors),
        constant_error=mapped(constant),
        mse=errors.mean().item(),
        constant_mse=constant.mean().item(),
        inpaint_mse=flown.mean().item(),
        leaks=mae.config.norm_pix,
    )


def hidden_tokens(
    grid: tuple[int, ...], ratio: float | None, seed: int, sampler: str, hidden: Sequence[int] | None, targets: Sequence[Box] | None
) -> Int64[Tensor, " k"]:
    """Which tokens are hidden, ascending: those named, those of boxes, or a share. A larger share hides the same ones and more."""
    n = prod(grid)
    if hidden is not None:
        if not hidden or min(hidden) < 0 or max(hidden) >= n:
            raise ValueError(f"hidden patches {list(hidden)[:5]}...; name at least one, from 0 to {n - 1}")
        return torch.tensor(sorted(set(hidden)), dtype=torch.int64)
    if targets:
        every: Tensor = torch.cat([numbers(box.inside(grid), grid) for box in targets]).unique()
        return every
    if ratio is None or not 0 < ratio < 1:
        raise ValueError(f"ratio is {ratio}; hide a share above 0 and below 1")
    count = min(n - 1, max(1, round(ratio * n)))
    chosen: Tensor = hiding_order(grid, seed, sampler)[:count].sort().values
    return chosen


def hiding_order(grid: tuple[int, ...], seed: int, sampler: str) -> Int64[Tensor, " n"]:
    """All tokens in the order in which they disappear."""
    n = prod(grid)
    generator = torch.Generator().manual_seed(seed)
    if sampler == "random":
        return torch.randperm(n, generator=generator)
    places = torch.stack(torch.meshgrid(*[torch.arange(g) for g in grid], indexing="ij"), -1).reshape(n, len(grid))
    if sampler == "block":  # grows from a centre
        centre = torch.rand(len(grid), generator=generator) * torch.tensor(grid)
        return (places + 0.5 - centre).abs().amax(1).argsort(stable=True)
    if sampler == "grid":  # as dithering fills a page: each next one far from those before
        shift = torch.randint(0, 4, (len(grid),), generator=generator)
        bits = places + shift
        order = torch.zeros(n, dtype=torch.int64)
        for level in range(6):  # the lowest bits of the place decide first
            low = (bits >> level) & 1
            mixed = low[:, -1] * 2 + low.sum(1) % 2 if len(grid) > 1 else low[:, 0] * 2
            order = order * 4 + mixed
        return order.argsort(stable=True)
    raise ValueError(f"no sampler {sampler!r}; there are random, block, grid")


def inpainted(truth: Float[Tensor, "n e"], known: Int64[Tensor, " k"], grid: tuple[int, ...], width: int) -> Float[Tensor, "n e"]:
    """Each hidden patch as the mean patch around it, by push and pull over ever coarser grids (pyramid inpainting)."""
    weight = torch.zeros(len(truth))
    weight[known] = 1
    cube = truth.T.reshape(1, width, *grid) * weight.reshape(1, 1, *grid)
    return filled(cube, weight.reshape(1, 1, *grid)).reshape(width, len(truth)).T


def filled(values: Tensor, weight: Tensor) -> Tensor:
    """`values` (already times `weight`) where they are known, else what a grid half as fine says of the place."""
    axes = values.ndim - 2
    known = weight > 0
    here = values / weight.clamp(min=1e-6)
    if bool(known.all()) or max(values.shape[2:]) == 1:
        return here
    pool: Any = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[axes]
    size = tuple(min(2, s) for s in values.shape[2:])
    coarse = filled(pool(values, size, ceil_mode=True), pool(weight, size, ceil_mode=True))
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[axes]
    up: Tensor = F.interpolate(coarse, size=values.shape[2:], mode=mode, align_corners=False)
    return torch.where(known, here, up)


def original_units(
    guesses: Float[Tensor, "k e"], truth: Float[Tensor, "k e"], norm_pix: bool, channels: int | None
) -> Float[Tensor, "k e"]:
    """Pixels of normalised guesses, with the mean and contrast of the true patch, which the model did not say."""
    if not norm_pix:
        return guesses
    if channels is None:
        return guesses * (truth.var(-1, keepdim=True) + 1e-6).sqrt() + truth.mean(-1, keepdim=True)
    cube, true = guesses.unflatten(-1, (-1, channels)), truth.unflatten(-1, (-1, channels))
    whole: Tensor = (cube * (true.std(-2, keepdim=True) + 1e-6) + true.mean(-2, keepdim=True)).flatten(-2)
    return whole
