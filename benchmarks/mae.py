"""How fast is an MAE step, against the published formula and, where installed, transformers' ViTMAE?

    python -m benchmarks.mae                         # ViT-Ti/16 at 224 with the published 512 x 8 decoder
    python -m benchmarks.mae --batch 16 --rounds 5 --json

Same widths, same images, variants in processes of their own that take turns (see turns.py), medians;
only ratios travel between machines. `pip install transformers` for the peer; it is in no extra.
"""

import argparse
import importlib.util
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from benchmarks.official_mae import OfficialMAE
from benchmarks.step import Case, build, ours
from benchmarks.turns import Make, show, take_turns
from openjepa.engine import choose_device
from openjepa.masks.random import Random
from openjepa.modalities.grid import positions
from openjepa.models.encoder import vit
from openjepa.models.predictor import PredictorConfig
from openjepa.objectives.mae import MAEConfig

CASE = Case(224, 16, "tiny", PredictorConfig(dim=512, depth=8, heads=16), 32)


def published(case: Case, objective: MAEConfig, half: bool) -> Callable[[], object]:
    run, batch = build(case, objective)
    device = choose_device("auto")
    torch.manual_seed(0)
    model = OfficialMAE(objective.build(run.modality), positions(run.modality.grid)[0], 1e-3, half).to(device)
    images, context = run.modality.prepare(batch.views[0]).to(device), batch.masks[0].context.to(device)
    return lambda: model.step(images, context)


def peer(case: Case, objective: MAEConfig, half: bool) -> Callable[[], object]:
    """ViTMAEForPreTraining of the same widths."""
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    e, d = objective.encoder, objective.decoder
    config = ViTMAEConfig(
        hidden_size=e.dim, num_hidden_layers=e.depth, num_attention_heads=e.heads, intermediate_size=round(e.dim * e.mlp),
        image_size=case.size, patch_size=case.patch, decoder_hidden_size=d.dim, decoder_num_hidden_layers=d.depth,
        decoder_num_attention_heads=d.heads, decoder_intermediate_size=round(d.dim * d.mlp), mask_ratio=0.75, norm_pix_loss=True,
    )  # fmt: skip
    run, batch = build(case, objective)
    images = run.modality.prepare(batch.views[0]).to(choose_device("auto"))
    model = ViTMAEForPreTraining(config).to(images.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05, betas=(0.9, 0.95))

    def step() -> float:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            loss = model(pixel_values=images).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=CASE.batch)
    parser.add_argument("--json", action="store_true", help="one object per variant")
    args = parser.parse_args()
    case = replace(CASE, batch=args.batch)
    objective = MAEConfig(encoder=vit(case.vit), decoder=case.predictor, masks=Random(ratio=0.75))
    makes: dict[str, Make] = {
        "published float32": partial(published, case, objective, False),
        "published bf16 autocast": partial(published, case, objective, True),
    }
    against = {"published float32": "published float32", "published bf16": "published bf16 autocast"}
    if importlib.util.find_spec("transformers"):
        makes |= {
            "transformers float32": partial(peer, case, objective, False),
            "transformers bf16 autocast": partial(peer, case, objective, True),
        }
        against |= {"transformers float32": "transformers float32", "transformers bf16": "transformers bf16 autocast"}
    makes |= {"ours float32": partial(ours, case, objective, "float32"), "ours bf16": partial(ours, case, objective, "bfloat16")}
    measured = take_turns(makes, args.rounds)
    title = f"MAE ViT-{case.vit}/{case.patch} at {case.size}, {choose_device('auto')}"
    show(title, case.batch, measured, against, {}, args.json)


if __name__ == "__main__":
    main()
