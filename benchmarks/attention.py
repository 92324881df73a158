"""Which attention is faster here: the fused kernel or two matmuls?

    python -m benchmarks.attention
    python -m benchmarks.attention --dtype bfloat16 --rounds 9

Forward, and forward with backward, in milliseconds. `attention` in models/transformer.py follows one
rule; the last column says whether it took the faster path of this machine for training.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from openjepa.engine import choose_device
from openjepa.models import transformer

SHAPES = ((32, 3, 196), (128, 3, 79), (256, 3, 64), (1024, 3, 38), (4, 6, 1568))  # batch, heads, tokens
WIDTH = 64  # of a head


def fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v)


def matmuls(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q * (1 / math.sqrt(WIDTH)) @ k.transpose(-2, -1)).softmax(-1) @ v


def taken(shape: tuple[int, int, int], dtype: torch.dtype, device: torch.device) -> str:
    """The path that `attention` takes in training, by what autograd recorded."""
    batch, heads, tokens = 1, *shape[1:]
    q, k, v = (torch.randn(batch, heads, tokens, WIDTH, device=device, dtype=dtype, requires_grad=True) for _ in range(3))
    name = type(transformer.attention(q, k, v).grad_fn).__name__
    return "fused" if "ScaledDotProduct" in name else "matmuls"


def milliseconds(functions: dict[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, float]:
    """Medians; the functions take turns."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(rounds + 2):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn >= 2:
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", nargs="+", choices=["float32", "bfloat16"], default=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    device = choose_device("auto")
    print(f"{device}, {torch.get_num_threads()} threads; ms forward / forward + backward")
    for dtype_name in args.dtype:
        dtype = getattr(torch, dtype_name)
        for shape in SHAPES:
            q, k, v = (torch.randn(*shape, WIDTH, device=device, dtype=dtype, requires_grad=True) for _ in range(3))

            def forward(f: Callable[..., Tensor], q: Tensor = q, k: Tensor = k, v: Tensor = v) -> None:
                with torch.no_grad():
                    f(q, k, v)

            def both(f: Callable[..., Tensor], q: Tensor = q, k: Tensor = k, v: Tensor = v) -> None:
                f(q, k, v).sum().backward()

            paths = {"fused": fused, "matmuls": matmuls}
            one = milliseconds({name: lambda f=f: forward(f) for name, f in paths.items()}, args.rounds, device)
            two = milliseconds({name: lambda f=f: both(f) for name, f in paths.items()}, args.rounds, device)
            chosen, faster = taken(shape, dtype, device), min(two, key=lambda name: two[name])
            verdict = "the faster" if chosen == faster else f"{two[chosen] / two[faster]:.2f} x the faster"
            cells = "   ".join(f"{name} {one[name]:7.1f} / {two[name]:7.1f}" for name in paths)
            print(f"{' x '.join(map(str, shape)):>14} {dtype_name:9} {cells}   ours: {chosen}, {verdict}")


if __name__ == "__main__":
    main()
