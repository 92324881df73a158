"""The mask sampler of I-JEPA's released code, quirks included, so that its runs can be repeated.

Re-described from its behaviour (arXiv:2301.08243 gives the intent). What differs from the paper, and from `Blocks`:
one random number sets both scale and aspect; the last row and column are in no block; the context is
cut to the batch's minimum in raster order, so the batch size per device is part of the task; a context
that keeps failing is allowed to overlap targets. Where it would draw for ever, this raises ValueError.
"""

from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from openjepa.draws import key
from openjepa.tokens import Masks

if TYPE_CHECKING:
    from openjepa.masks.blocks import Blocks

MIN_KEEP = 10  # a block must hold more tokens than this, in every released configuration
PATIENCE = 20  # placements that may fail before one more target block may be overlapped


def official(config: "Blocks", grid: tuple[int, ...], seed: int, step: int, rows: Sequence[int]) -> Masks:
    """Masks of one batch: sizes from the step alone, as there; places from (seed, step, rows).

    There places come from whatever the worker's global generator holds, so no two runs agree.
    ValueError at once where some later step would draw for ever.
    """
    for u in (i / 256 for i in range(256)):
        block_sizes(config, grid, u, u, MIN_KEEP)
    places = Generator().manual_seed(key(seed, step, "official places", *rows) % 2**63)
    return multiblock(config, grid, step, len(rows), places)


def block_size(grid: tuple[int, ...], scale: tuple[float, float], aspect: tuple[float, float], u: float) -> tuple[int, int]:
    """Height and width of a block; the one random number sets both its scale and its aspect."""
    tokens = int(grid[0] * grid[1] * (scale[0] + u * (scale[1] - scale[0])))
    ratio = aspect[0] + u * (aspect[1] - aspect[0])
    high, wide = round(sqrt(tokens * ratio)), round(sqrt(tokens / ratio))
    # strictly smaller than the grid: a corner is drawn from [0, side - size), without + 1
    return min(high, grid[0] - 1), min(wide, grid[1] - 1)


def block_sizes(config: "Blocks", grid: tuple[int, ...], u: float, v: float, min_keep: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Sizes of the target blocks and of the context block. ValueError where one can never hold more than `min_keep` tokens."""
    if len(grid) != 2:
        raise ValueError(f"parity='ijepa' is for grids with two axes, not {grid}; drop parity")
    target, home = block_size(grid, config.scale, config.aspect, u), block_size(grid, config.context_scale, (1.0, 1.0), v)
    for name, (high, wide) in (("target", target), ("context", home)):
        if high * wide <= min_keep:
            raise ValueError(
                f"{name} blocks of {high} x {wide} on a {grid[0]} x {grid[1]} grid hold no more than min_keep={min_keep} tokens: "
                "the official sampler would draw for ever; use smaller patches, raise scale, or drop parity"
            )
    return target, home


def multiblock(config: "Blocks", grid: tuple[int, ...], counter: int, images: int, places: Generator, min_keep: int = MIN_KEEP) -> Masks:
    """Masks of batch number `counter` (from 0), whose places come from `places`. ValueError as `block_sizes`."""
    sizes = torch.rand(2, generator=Generator().manual_seed(counter)).tolist()
    target, home = block_sizes(config, grid, sizes[0], sizes[1], min_keep)
    contexts: list[Tensor] = []
    targets: list[Tensor] = []
    index = torch.arange(grid[0] * grid[1]).reshape(grid)
    for _ in range(images):
        blocks = [draw(index, target, places) for _ in range(config.count)]
        contexts.append(context_of(index, home, blocks, places, min_keep))
        targets.append(torch.stack([block.reshape(-1) for block in blocks]))
    keep = min(len(context) for context in contexts)
    # the first ones in raster order: the top of the image
    return Masks(torch.stack([context[:keep] for context in contexts]), torch.stack(targets))


def draw(index: Tensor, size: tuple[int, int], places: Generator) -> Tensor:
    top = int(torch.randint(0, index.shape[0] - size[0], (1,), generator=places))
    left = int(torch.randint(0, index.shape[1] - size[1], (1,), generator=places))
    return index[top : top + size[0], left : left + size[1]]


def context_of(index: Tensor, home: tuple[int, int], blocks: list[Tensor], places: Generator, min_keep: int) -> Tensor:
    """A context block without the target blocks; after every PATIENCE failures the last of them is forgotten."""
    failures = 0
    while True:
        respected = blocks[: max(len(blocks) - failures // PATIENCE, 0)]
        free = torch.ones(index.numel(), dtype=torch.bool)
        for block in respected:
            free[block.reshape(-1)] = False
        block = draw(index, home, places).reshape(-1)
        context = block[free[block]]
        if len(context) > min_keep:
            return context
        failures += 1
