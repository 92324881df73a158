"""How fast is a training step, against the published formula on the same machine?

    python -m benchmarks.step                       # ViT-Ti/16 at 224 and ViT-Ti/4 at 32, on this machine
    python -m benchmarks.step --case ti4 --rounds 9 --json

Variants take turns, one step each, in processes of their own (see turns.py), and medians are compared:
machines differ, ratios last. On a GPU the bf16 steps are compiled too, and --case s16 l16 report memory
and model FLOPs utilisation.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from math import prod
from typing import Literal

import torch

from benchmarks.official_step import OfficialStep
from benchmarks.turns import Make, show, take_turns
from openjepa.engine import Engine, choose_device, time_gemm
from openjepa.modalities.grid import positions
from openjepa.modalities.image import Image
from openjepa.models.encoder import vit
from openjepa.models.predictor import PredictorConfig
from openjepa.objectives.jepa import JEPAConfig
from openjepa.objectives.mae import MAEConfig
from openjepa.run import OptimizerConfig, Run
from openjepa.schedules import Cosine, WarmupCosine
from openjepa.tokens import Batch


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


def build(case: Case, objective: JEPAConfig | MAEConfig, compile: Literal["on", "off"] = "off") -> tuple[Run, Batch]:
    """A run and one batch of it: the same images and masks in every process."""
    modality = Image(size=(case.size, case.size), patch=(case.patch, case.patch))
    run = Run(modality=modality, objective=objective, optimizer=FLAT, steps=100_000, batch_size=case.batch, compile=compile)
    generator = torch.Generator().manual_seed(0)
    view = torch.randint(0, 256, (case.batch, 3, case.size, case.size), dtype=torch.uint8, generator=generator)
    return run, objective.collate(view, modality, 0, 0, range(case.batch))


def ours(case: Case, objective: JEPAConfig | MAEConfig, precision: str, compile: Literal["on", "off"] = "off") -> Callable[[], object]:
    run, batch = build(case, objective, compile)
    torch.manual_seed(0)
    engine, at = Engine(run, objective.build(run.modality), choose_device("auto"), precision), count()
    return lambda: engine.step(batch, next(at))


def official(case: Case, objective: JEPAConfig, half: bool) -> Callable[[], object]:
    run, batch = build(case, objective)
    device = choose_device("auto")
    torch.manual_seed(0)
    step = OfficialStep(objective.build(run.modality), positions(run.modality.grid)[0], 1e-3, half)
    for part in (step.encoder, step.predictor, step.target):
        part.to(device)
    images, context, targets = (
        x.to(device) for x in (run.modality.prepare(batch.views[0]), batch.masks[0].context, batch.masks[0].targets)
    )
    return lambda: step(images, context, targets, 0.996)


def flops_per_image(case: Case, objective: JEPAConfig) -> float:
    """Operations of one I-JEPA step per image, counted once: target pass, and context and predictor three times."""
    grid = (case.size // case.patch,) * 2
    masks = objective.masks(grid, 0, 0, [0])
    total, kept, (blocks, asked) = prod(grid), masks.context.shape[1], masks.targets.shape[1:]

    def encoder(n: int) -> float:
        e = objective.encoder
        return e.depth * (12 * n * e.dim**2 + 2 * n**2 * e.dim)

    def predictor(n: int) -> float:
        p = objective.predictor
        return p.depth * (12 * n * p.dim**2 + 2 * n**2 * p.dim)

    return 2 * (encoder(total) + 3 * (encoder(kept) + blocks * predictor(kept + asked)))


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
        objective = JEPAConfig(encoder=vit(case.vit), predictor=case.predictor)
        makes: dict[str, Make] = {
            "official float32": partial(official, case, objective, False),
            "official bf16 autocast": partial(official, case, objective, True),
            "ours float32": partial(ours, case, objective, "float32"),
            "ours bf16": partial(ours, case, objective, "bfloat16"),
        }
        if args.compile or device.type == "cuda":
            makes["ours bf16 compiled"] = partial(ours, case, objective, "bfloat16", "on")
        measured = take_turns(makes, args.rounds)
        width = objective.encoder.dim
        peak = 2 * 4096 * width * 4 * width / time_gemm(torch.bfloat16, device, width)
        work = flops_per_image(case, objective) * case.batch / peak
        show(
            f"{name}: ViT-{case.vit}/{case.patch} at {case.size}, {device}",
            case.batch,
            measured,
            {"official float32": "official float32", "official bf16": "official bf16 autocast"},
            {variant: work / value.seconds for variant, value in measured.items()},
            args.json,
        )


if __name__ == "__main__":
    main()
