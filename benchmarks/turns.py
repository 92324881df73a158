"""Variants of one step take turns, each in a process of its own, as its user would run it.

Own processes, because one variant's allocator settings, caches and peak memory must not be another's.
Turns, because machines drift: only ratios within one run mean anything.
"""

import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection

import torch

from openjepa.engine import choose_device, memory_mb

Make = Callable[[], Callable[[], object]]  # builds a step; a picklable partial of a module's function


@dataclass(frozen=True)
class Measured:
    seconds: float  # median per step
    peak_mb: float  # allocated on a GPU, resident on a CPU


def take_turns(makes: Mapping[str, Make], rounds: int, warmup: int = 3) -> dict[str, Measured]:
    """Median seconds per step and peak memory of each variant; the first `warmup` rounds do not count."""
    context = get_context("spawn")
    workers: dict[str, Connection] = {}
    processes = []
    for name, make in makes.items():
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(make, theirs, torch.get_num_threads()), daemon=True)
        process.start()
        processes.append(process)
        workers[name] = ours
        ours.recv()  # built; builds must not run beside each other's first steps
    seconds: dict[str, list[float]] = {name: [] for name in makes}
    for turn in range(warmup + rounds):
        for name, worker in workers.items():
            worker.send(True)
            took = worker.recv()
            if turn >= warmup:
                seconds[name].append(took)
    measured = {}
    for name, worker in workers.items():
        worker.send(False)
        measured[name] = Measured(statistics.median(seconds[name]), worker.recv())
    for process in processes:
        process.join()
    return measured


def serve(make: Make, pipe: Connection, threads: int) -> None:
    """A worker: one timed step for every True, the peak memory for a False."""
    torch.set_num_threads(threads)
    step = make()
    device = choose_device("auto")
    pipe.send("ready")
    while pipe.recv():
        start = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        pipe.send(time.perf_counter() - start)
    pipe.send(memory_mb(device))


def show(
    title: str, batch: int, measured: Mapping[str, Measured], against: Mapping[str, str], flops: Mapping[str, float], as_json: bool
) -> None:
    """One line per variant: images a second, times the speed of the variants named in `against` (heading -> variant), memory.

    `flops` gives, for variants that have one, the share of the machine's own matrix product speed.
    """
    if not as_json:
        print(f"{title}, batch {batch}, {torch.get_num_threads()} threads")
    for name, value in measured.items():
        row: dict[str, object] = {
            "case": title,
            "batch": batch,
            "variant": name,
            "images_per_s": batch / value.seconds,
            "peak_mb": value.peak_mb,
        }
        row |= {f"x {heading}": measured[other].seconds / value.seconds for heading, other in against.items()}
        if name in flops:
            row["flops_utilisation"] = flops[name]
        if as_json:
            print(json.dumps(row))
            continue
        ratios = "   ".join(f"{measured[other].seconds / value.seconds:5.2f} x {heading}" for heading, other in against.items())
        used = f"   {100 * flops[name]:5.1f} % of this machine's bf16 products" if name in flops else ""
        print(f"  {name:26} {batch / value.seconds:9.1f} img/s   {ratios}   {value.peak_mb:6.0f} MB{used}")
