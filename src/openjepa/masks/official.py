"""The mask samplers of I-JEPA's and, below, V-JEPA's released code, quirks included, so that their runs can be repeated.

Re-described from their behaviour (arXiv:2301.08243 gives the intent). What differs from the paper, and from `Blocks`:
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
    from openjepa.masks.multiblock import MultiBlock

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


def official3d(config: "MultiBlock", grid: tuple[int, ...], seed: int, step: int, rows: Sequence[int]) -> Masks:
    """V-JEPA's masks of one batch (arXiv:2404.08471): sizes from the step alone, as there; places from (seed, step, rows)."""
    places = Generator().manual_seed(key(seed, step, "official places", *rows) % 2**63)
    return multiblock3d(config, grid, step, len(rows), places)


def block_size3d(config: "MultiBlock", grid: tuple[int, ...], counter: int) -> tuple[int, int, int]:
    """Time steps, height and width of the blocks of batch number `counter`: three numbers, for time, scale and aspect."""
    u, v, w = torch.rand(3, generator=Generator().manual_seed(counter)).tolist()
    lasts = max(1, int(grid[0] * (config.time[0] + u * (config.time[1] - config.time[0]))))
    tokens = int(grid[1] * grid[2] * (config.scale[0] + v * (config.scale[1] - config.scale[0])))
    ratio = config.aspect[0] + w * (config.aspect[1] - config.aspect[0])
    return lasts, min(round(sqrt(tokens * ratio)), grid[1]), min(round(sqrt(tokens / ratio)), grid[2])


def multiblock3d(config: "MultiBlock", grid: tuple[int, ...], counter: int, clips: int, places: Generator) -> Masks:
    """Masks of batch number `counter` (from 0), whose places come from `places`: row, column, time step.

    Context and target are cut to the batch's minimum in raster order: the first frames. ValueError where
    no context can be left; there it would draw for ever.
    """
    lasts, high, wide = block_size3d(config, grid, counter)
    if not lasts * high * wide or (lasts, high, wide) == grid:
        raise ValueError(
            f"blocks of {lasts} x {high} x {wide} on a grid {grid} leave no context or cover nothing; change scale, or drop parity"
        )
    contexts: list[Tensor] = []
    targets: list[Tensor] = []
    failures = 0
    while len(contexts) < clips:
        free = torch.ones(grid, dtype=torch.bool)
        for _ in range(config.count):
            top, left, start = (
                int(torch.randint(0, side - size + 1, (1,), generator=places))
                for side, size in ((grid[1], high), (grid[2], wide), (grid[0], lasts))
            )
            free[start : start + lasts, top : top + high, left : left + wide] = False
        if free.any():
            contexts.append(free.flatten().nonzero()[:, 0])
            targets.append((~free).flatten().nonzero()[:, 0])
            failures = 0
        elif (failures := failures + 1) > 1000:
            raise ValueError(f"{config.count} blocks of {lasts} x {high} x {wide} on a grid {grid} leave no context; lower scale or count")
    keep, ask = min(map(len, contexts)), min(map(len, targets))
    return Masks(torch.stack([c[:keep] for c in contexts]), torch.stack([t[:ask] for t in targets])[:, None])
