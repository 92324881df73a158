"""How long masks take, against the published sampler, and what they look like on small grids.

    python benchmarks/masks.py [--images 256] [--rounds 15] [--coverage]

One thread, processor time, medians; the samplers take turns, so that a busy machine slows both, and
their ratio is what counts. The published sampler is our `parity="ijepa"`, image by image as there.
"""

import argparse
import json
import time
from collections.abc import Callable
from math import prod
from statistics import median

import numpy as np
import torch

from openjepa.engine import memory_mb
from openjepa.masks.blocks import Blocks
from openjepa.masks.random import Random

GRIDS = [(4, 4), (6, 6), (8, 8), (14, 14), (16, 16), (28, 28)]


def milliseconds(sampler: Callable[..., object], *arguments: object) -> float:
    start = time.process_time()
    sampler(*arguments)
    return (time.process_time() - start) * 1e3


def speed(images: int, rounds: int) -> None:
    """Median milliseconds for the masks of one batch; the first call on a grid, which checks it, is left out."""
    rows, official = range(images), Blocks(parity="ijepa")
    print(f"{'grid':>8} {'Random':>8} {'Blocks':>8} {'published':>10} {'ratio':>6}   ms for {images} images, medians of {rounds}")
    for grid in GRIDS:
        samplers = [Random(), Blocks()]
        if min(grid) >= 12:  # below, the published sampler meets sizes it cannot place
            samplers.append(official)
        times: list[list[float]] = [[] for _ in samplers]
        for step in range(rounds + 1):
            for sampler, taken in zip(samplers, times, strict=True):
                taken.append(milliseconds(sampler, grid, 0, step, rows))
        middle = [median(taken[1:]) for taken in times]
        published = f"{middle[2]:10.1f} {middle[2] / middle[1]:6.1f}" if len(middle) > 2 else f"{'-':>10} {'-':>6}"
        print(f"{'x'.join(map(str, grid)):>8} {middle[0]:8.2f} {middle[1]:8.2f} {published}")
    print(json.dumps({"peak_rss_mb": round(memory_mb(torch.device("cpu"))), "threads": torch.get_num_threads()}))


def coverage(steps: int = 200, images: int = 64) -> None:
    """Default blocks: how often a placement is drawn again, and how unevenly places are used (shares of the samples)."""
    print(f"{'grid':>8} {'keep':>5} {'again':>6} {'scale':>6} {'context min max':>16} {'target min max':>15} {'top':>5} {'left':>5}")
    blocks = Blocks()
    for grid in GRIDS:
        seen, again, scale = np.zeros((2, *grid)), 0, 0.0
        for step in range(steps):
            masks = blocks(grid, 0, step, range(images))
            target, home = blocks.sizes(grid, 0, step)
            free = blocks.draw(grid, target, home, 0, step, list(range(images)), 0)[1]
            again += int((free.sum(1) < blocks.keep(grid)).sum())
            scale += prod(target) / prod(grid) / steps
            for which, index in enumerate((masks.context, masks.targets.flatten(1))):
                hit = torch.zeros(images, prod(grid)).scatter_(1, index, 1.0)
                seen[which] += hit.sum(0).reshape(grid).numpy()
        context, target_share = seen / (steps * images)
        top, left = (np.split(context, 2, axis)[0].sum() / context.sum() for axis in (0, 1))
        print(
            f"{'x'.join(map(str, grid)):>8} {blocks.keep(grid):5d} {again / steps / images:6.1%} {scale:6.3f} {context.min():8.3f} "
            f"{context.max():7.3f} {target_share.min():7.3f} {target_share.max():7.3f} {top:5.3f} {left:5.3f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--coverage", action="store_true", help="also print how evenly places are used")
    options = parser.parse_args()
    torch.set_num_threads(1)
    speed(options.images, options.rounds)
    if options.coverage:
        coverage()
