"""How fast is a training step, against the published formula in the same process?

    python -m benchmarks.step                       # ViT-Ti/16 at 224 and ViT-Ti/4 at 32, on this machine
    python -m benchmarks.step --case ti4 --rounds 9 --json

Variants take turns, one step each, and medians are compared: machines differ, ratios last. On a GPU
the bf16 steps are compiled too, and --case s16 l16 report memory and model FLOPs utilisation.
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from math import prod

import torch

from benchmarks.official_step import OfficialStep
from openjepa.engine import Engine, choose_device, time_gemm
from openjepa.modalities.grid import positions
from openjepa.modalities.image import Image
from openjepa.models.encoder import vit
from openjepa.models.predictor import PredictorConfig
from openjepa.objectives.jepa import JEPAConfig
from openjepa.objectives.mae import MAEConfig
from openjepa.run import OptimizerConfig, Run
from openjepa.schedules import Cosine, WarmupCosine


@dataclass(frozen=True)
class Case:
    size: int
    patch: int
    vit: str
    predictor: PredictorConfig
    batch: int


CASES = {
    "ti16": Case(224, 16, "tiny", PredictorConfig(dim=192, depth=6, heads=3), 32),
    "ti4": Case(32, 4, "tiny", PredictorConfig(dim=192, depth=6, heads=3), 256),
    "s16": Case(224, 16, "small", PredictorConfig(dim=384, depth=6, heads=6), 256),
    "l16": Case(224, 16, "large", PredictorConfig(dim=384, depth=12, heads=16), 256),
}
FLAT = OptimizerConfig(lr=WarmupCosine(start=1e-3, peak=1e-3, final=1e-3, warmup=0.0), weight_decay=Cosine(start=0.04, final=0.04))


def build(case: Case, objective: JEPAConfig | MAEConfig, compile: str) -> Run:
    modality = Image(size=(case.size, case.size), patch=(case.patch, case.patch))
    return Run(modality=modality, objective=objective, optimizer=FLAT, steps=100_000, batch_size=case.batch, compile=compile)  # type: ignore[arg-type]


def variants(case: Case, device: torch.device, compiled: bool) -> tuple[dict[str, Callable[[], object]], dict[str, Engine]]:
    """Name -> one step of it, all on the same images and masks."""
    config = JEPAConfig(encoder=vit(case.vit), predictor=case.predictor)  # type: ignore[arg-type]
    run = build(case, config, "off")
    view = torch.randint(0, 256, (case.batch, 3, case.size, case.size), dtype=torch.uint8)
    batch = config.collate(view, run.modality, 0, 0, range(case.batch))
    images, masks = run.modality.prepare(view).to(device), batch.masks[0]
    context, targets = masks.context.to(device), masks.targets.to(device)
    steps: dict[str, Callable[[], object]] = {}
    engines: dict[str, Engine] = {}
    for name, half in (("official float32", False), ("official bf16 autocast", True)):
        torch.manual_seed(0)
        official = OfficialStep(config.build(run.modality), positions(run.modality.grid)[0], 1e-3, half)
        for part in (official.encoder, official.predictor, official.target):
            part.to(device)
        steps[name] = lambda official=official: official(images, context, targets, 0.996)
    for name, precision, mode in (
        ("ours float32", "float32", "off"),
        ("ours bf16", "bfloat16", "off"),
        *((("ours bf16 compiled", "bfloat16", "on"),) if compiled else ()),
    ):
        torch.manual_seed(0)
        engine = Engine(replace(run, compile=mode), config.build(run.modality), device, precision)  # type: ignore[arg-type]
        engines[name] = engine
        steps[name] = lambda engine=engine, at=count(): engine.step(batch, next(at))  # noqa: B008  one counter per engine
    return steps, engines


def flops_per_image(case: Case) -> float:
    """Operations of one I-JEPA step per image, counted once: target pass, and context and predictor three times."""
    config = JEPAConfig(encoder=vit(case.vit), predictor=case.predictor)  # type: ignore[arg-type]
    grid = (case.size // case.patch,) * 2
    masks = config.masks(grid, 0, 0, [0])
    total, kept, (blocks, asked) = prod(grid), masks.context.shape[1], masks.targets.shape[1:]

    def encoder(n: int) -> float:
        e = config.encoder
        return e.depth * (12 * n * e.dim**2 + 2 * n**2 * e.dim)

    def predictor(n: int) -> float:
        p = config.predictor
        return p.depth * (12 * n * p.dim**2 + 2 * n**2 * p.dim)

    return 2 * (encoder(total) + 3 * (encoder(kept) + blocks * predictor(kept + asked)))


def measure(steps: dict[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, float]:
    """Median seconds per step; variants take turns, the first rounds warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 2):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn >= 2:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=CASES, default=["ti16", "ti4"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, help="samples per step, instead of the case's own")
    parser.add_argument("--compile", action="store_true", help="a compiled bf16 step too (always on a GPU)")
    parser.add_argument("--json", action="store_true", help="one object per variant")
    args = parser.parse_args()
    device = choose_device("auto")
    for name in args.case:
        case = replace(CASES[name], batch=args.batch or CASES[name].batch)
        steps, _ = variants(case, device, args.compile or device.type == "cuda")
        times = measure(steps, args.rounds, device)
        width = vit(case.vit).dim  # type: ignore[arg-type]
        peak = 2 * 4096 * width * 4 * width / time_gemm(torch.bfloat16, device, width)
        memory = (
            torch.cuda.max_memory_allocated(device) / 2**20
            if device.type == "cuda"
            else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        )
        if not args.json:
            print(
                f"{name}: ViT-{case.vit}/{case.patch} at {case.size}, batch {case.batch}, {device}, {torch.get_num_threads()} threads, {memory:.0f} MB peak"
            )
        for variant, seconds in times.items():
            row = {
                "case": name,
                "variant": variant,
                "images_per_s": case.batch / seconds,
                "x_official_float32": times["official float32"] / seconds,
                "x_official_bf16": times["official bf16 autocast"] / seconds,
                "flops_utilisation": flops_per_image(case) * case.batch / seconds / peak,
                "peak_mb": memory,
            }
            if args.json:
                print(json.dumps(row))
            else:
                print(
                    f"  {variant:24} {row['images_per_s']:9.1f} img/s   {row['x_official_float32']:5.2f} x official float32   "
                    f"{row['x_official_bf16']:5.2f} x official bf16   {100 * float(row['flops_utilisation']):5.1f} % of this machine's bf16 GEMM"
                )


if __name__ == "__main__":
    main()
