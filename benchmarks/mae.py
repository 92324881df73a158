"""How fast is an MAE step, against the published formula and, where installed, transformers' ViTMAE?

    python -m benchmarks.mae                         # ViT-Ti/16 at 224 with the published 512 x 8 decoder
    python -m benchmarks.mae --batch 16 --rounds 5 --json

Same widths, same images, interleaved in one process, medians; only ratios travel between machines.
"""

import argparse
import json
import resource
from collections.abc import Callable
from dataclasses import replace

import torch

from benchmarks.official_mae import OfficialMAE
from benchmarks.step import FLAT, Case, build, measure
from openjepa.engine import Engine, choose_device
from openjepa.masks.random import Random
from openjepa.modalities.grid import positions
from openjepa.models.encoder import vit
from openjepa.models.predictor import PredictorConfig
from openjepa.objectives.mae import MAEConfig

CASE = Case(224, 16, "tiny", PredictorConfig(dim=512, depth=8, heads=16), 32)
Steps = dict[str, Callable[[], object]]


def variants(case: Case, device: torch.device) -> Steps:
    """Name -> one step of it."""
    config = MAEConfig(encoder=vit(case.vit), decoder=case.predictor, masks=Random(ratio=0.75))  # type: ignore[arg-type]
    run = build(case, config, "off")
    view = torch.randint(0, 256, (case.batch, 3, case.size, case.size), dtype=torch.uint8)
    batch = config.collate(view, run.modality, 0, 0, range(case.batch))
    images, context = run.modality.prepare(view).to(device), batch.masks[0].context.to(device)
    steps: Steps = {}
    for name, half in (("published float32", False), ("published bf16 autocast", True)):
        torch.manual_seed(0)
        official = OfficialMAE(config.build(run.modality), positions(run.modality.grid)[0], 1e-3, half).to(device)
        steps[name] = lambda official=official: official.step(images, context)
    steps |= transformers_steps(case, images)
    for name, precision in (("ours float32", "float32"), ("ours bf16", "bfloat16")):
        torch.manual_seed(0)
        engine = Engine(replace(run, optimizer=FLAT), config.build(run.modality), device, precision)
        steps[name] = lambda engine=engine: engine.step(batch, 0)
    return steps


def transformers_steps(case: Case, images: torch.Tensor) -> Steps:
    """ViTMAEForPreTraining of the same widths, if transformers is installed."""
    try:
        from transformers import ViTMAEConfig, ViTMAEForPreTraining
    except ImportError:
        return {}
    e, d = vit(case.vit), case.predictor  # type: ignore[arg-type]
    config = ViTMAEConfig(
        hidden_size=e.dim, num_hidden_layers=e.depth, num_attention_heads=e.heads, intermediate_size=round(e.dim * e.mlp),
        image_size=case.size, patch_size=case.patch, decoder_hidden_size=d.dim, decoder_num_hidden_layers=d.depth,
        decoder_num_attention_heads=d.heads, decoder_intermediate_size=round(d.dim * d.mlp), mask_ratio=0.75, norm_pix_loss=True,
    )  # fmt: skip
    steps: Steps = {}
    for name, half in (("transformers float32", False), ("transformers bf16 autocast", True)):
        model = ViTMAEForPreTraining(config).to(images.device).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05, betas=(0.9, 0.95))

        def step(model: torch.nn.Module = model, optimizer: torch.optim.Optimizer = optimizer, half: bool = half) -> float:
            with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
                loss = model(pixel_values=images).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss.item()

        steps[name] = step
    return steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=CASE.batch)
    parser.add_argument("--json", action="store_true", help="one object per variant")
    args = parser.parse_args()
    device, case = choose_device("auto"), replace(CASE, batch=args.batch)
    times = measure(variants(case, device), args.rounds, device)
    memory = (
        torch.cuda.max_memory_allocated(device) / 2**20
        if device.type == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    )
    if not args.json:
        print(
            f"MAE ViT-{case.vit}/{case.patch} at {case.size}, batch {case.batch}, {device}, {torch.get_num_threads()} threads, {memory:.0f} MB peak"
        )
    full, half = times["published float32"], times["published bf16 autocast"]
    for name, seconds in times.items():
        row = {
            "variant": name,
            "images_per_s": case.batch / seconds,
            "x_float32": full / seconds,
            "x_bf16": half / seconds,
            "peak_mb": memory,
        }
        if args.json:
            print(json.dumps(row))
        else:
            print(
                f"  {name:28} {case.batch / seconds:8.1f} img/s   {full / seconds:5.2f} x published float32   {half / seconds:5.2f} x published bf16"
            )


if __name__ == "__main__":
    main()
