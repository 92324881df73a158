"""What a run costs: parameters, memory, and seconds from a few real steps."""

import statistics
import time
from dataclasses import dataclass, replace
from typing import Any

import torch

from openjepa import health
from openjepa.data.dataset import Dataset
from openjepa.data.loader import Steps
from openjepa.engine import Engine, memory_mb, to_device
from openjepa.models.own import build_encoder
from openjepa.run import Run
from openjepa.tokens import Batch

SMALL = 16  # samples of the first step, which says whether a whole batch can be timed
PATIENCE = 6.0  # seconds that one timed step may take


@dataclass(frozen=True)
class Size:
    """Numbers of parameters, and bytes that do not depend on the batch."""

    encoder: int
    rest: int  # predictor or decoder
    trained: int
    total: int  # with the target encoder
    state: int  # bytes: weights, gradients, optimizer, the bfloat16 copy
    saved: int  # bytes of one checkpoint


@dataclass(frozen=True)
class Speed:
    """From `steps` real steps of `batch` samples, scaled to the run's batch."""

    batch: int  # samples timed
    seconds: float  # per optimizer step of the whole batch, median
    load: float  # seconds to read, crop and mask the whole batch in one process
    memory: float  # peak MB, of this process or on the GPU
    before: float  # MB of this process before the model was made; 0 on a GPU
    health: dict[str, float]  # of the untrained encoder
    loss: float


def size(run: Run, precision: str) -> Size:
    """Counted on the meta device: nothing is allocated, whatever the model."""
    with torch.device("meta"):
        objective = run.objective.build(run.modality)
        encoder = build_encoder(run.objective.encoder, run.modality)
    count = sum(p.numel() for p in encoder.parameters())
    total = sum(p.numel() for p in objective.parameters())
    trained = sum(p.numel() for p in objective.parameters() if p.requires_grad)
    state = 4 * total + 12 * trained + (2 * total + 2 * trained if precision == "bfloat16" else 0)
    return Size(count, trained - count, trained, total, state, 4 * (count + total) + 8 * trained)


def measure(run: Run, dataset: Dataset, device: torch.device, precision: str, steps: int = 3) -> Speed:
    """Time `steps` steps after one that is not timed. A batch that would take long is timed in part and scaled.

    Nothing is compiled and nothing is written. ValueError when settings do not fit each other or the data.
    """
    before = 0.0 if device.type == "cuda" else memory_mb(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    torch.manual_seed(run.seed)
    run = replace(run, compile="off")
    batch = part = min(SMALL, run.batch_size)
    first = replace(run, batch_size=part, accumulate=1)
    loaded = Steps(dataset, first.batch, run.seed, part, steps + 2)
    objective = run.objective.build(run.modality)
    engine = Engine(first, objective, device, precision)
    first_batch = batch_of(loaded, 0)
    with torch.no_grad():
        objective.start(to_device(first_batch, device))
    engine.refresh()
    output, _, _ = engine.step(first_batch, 0)
    untrained: dict[str, Any] = health.measure(output.prediction) if output.prediction is not None else {}
    numbers = {name: float(value) for name, value in untrained.items()}
    trial = took(engine, loaded, 1, device)
    times = [trial] if trial[1] > PATIENCE else []  # on a slow machine the trial is already dear enough
    if trial[1] * run.batch_size / part <= PATIENCE and part < run.batch_size:
        batch = run.batch_size
        engine.run = run
        loaded = Steps(dataset, run.batch, run.seed, batch, steps + 2)
        took(engine, loaded, 1, device)  # the first of its shape warms up
    while len(times) < steps and sum(load + step for load, step in times) < 3 * PATIENCE:
        times.append(took(engine, loaded, 2 + len(times), device))
    scale = run.batch_size / batch
    load, seconds = (scale * statistics.median(t) for t in zip(*times, strict=True))
    return Speed(batch, seconds, load, memory_mb(device), before, numbers, float(output.loss))


def batch_of(source: Steps, step: int) -> Batch:
    """ValueError where the data cannot be read or the masks not drawn."""
    loaded = source[step]
    if isinstance(loaded, ValueError):
        raise loaded
    return loaded.batch


def took(engine: Engine, source: Steps, step: int, device: torch.device) -> tuple[float, float]:
    """Seconds to load the batch of a step, and to do the step."""
    start = time.perf_counter()
    batch = batch_of(source, step)
    middle = time.perf_counter()
    engine.step(batch, min(step, engine.run.steps - 1))
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return middle - start, time.perf_counter() - middle
