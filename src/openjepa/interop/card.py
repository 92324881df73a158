"""A model card: what the encoder is, where it came from, under which licence, and what was measured."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openjepa.probes.heads import FOLDER, heads_in


def card(folder: Path, info: Mapping[str, Any], step: int) -> str:
    """Markdown. Scores are those of the probe files in `folder`, beside their floors; none are typed."""
    run, source = info["run"], info.get("source", {})
    encoder = run["objective"]["encoder"]
    size, patch = (" x ".join(map(str, run["modality"][name])) for name in ("size", "patch"))
    lines = [
        f"# {info['recipe']} encoder",
        "",
        f"A vision transformer of width {encoder['dim']}, depth {encoder['depth']} and {encoder['heads']} heads for {info['data'].get('kind', 'images')}: "
        f"views of {size}, patches of {patch}. Made with openjepa {info['versions']['openjepa']}.",
        "",
        "```python",
        "import openjepa",
        "",
        'encoder = openjepa.load_encoder("THIS FOLDER")',
        "features = encoder.encode(samples).pooled",
        "```",
        "",
        "| what | |",
        "|---|---|",
        *origin(info, source, step),
        f"| licence of the weights | {source.get('licence', 'yours: say it here')} |",
        "",
        "## Measured",
        "",
        *scores(folder),
        *heads(folder),
    ]
    return "\n".join(lines) + "\n"


def origin(info: Mapping[str, Any], source: Mapping[str, Any], step: int) -> list[str]:
    if "sha256" in source:
        report = source["report"]
        return [
            f"| converted from | {source['name']}, sha256 {source['sha256']} |",
            f"| family | {source['family']} |",
            f"| tensors | {len(report['matched'])} matched, none missing, {len(report['unused'])} not needed |",
            f"| exported | the {source['exported']} encoder |",
        ]
    data = info["data"]
    return [
        f"| trained | {step} steps of {info['run']['batch_size']}: `{info['command']}` |",
        f"| data | {data['images']} {data.get('kind', 'images')}, fingerprint {data['fingerprint'][:16]} |",
    ]


def scores(folder: Path) -> list[str]:
    """The encoder's rows of every probe file."""
    found = []
    for path in sorted((folder / "probes").glob("*.json")):
        report = json.loads(path.read_text())
        by = {(row["label"], row["probe"], row["method"]): row["accuracy"] for row in report["rows"]}
        for (label, probe, method), accuracy in by.items():
            if method == "encoder":
                floors = [by.get((label, probe, floor)) for floor in ("untrained", "pixels", "chance")]
                told = " | ".join("-" if floor is None else f"{100 * floor:.1f}" for floor in floors)
                found.append(f"| {Path(str(report['data']['path'])).name} | {label} | {probe} | **{100 * accuracy:.1f}** | {told} |")
    if not found:
        return ["Nothing yet: `openjepa probe THIS_FOLDER --data LABELLED --test LABELLED_TEST` measures it beside its floors."]
    return ["| data | question | probe | encoder | untrained | pixels | chance |", "|---|---|---|---|---|---|---|", *found]


def heads(folder: Path) -> list[str]:
    """The heads beside the encoder, those with a score of ours with its interval."""
    told = []
    for head in heads_in(folder):
        if head.info is not None:
            info, score = head.info, head.info.score
            right = f"{100 * score.accuracy:.1f} [{100 * score.low:.1f}, {100 * score.high:.1f}]" if score else "not measured here"
            told.append(f"| {head.name} | {info.kind} | {info.question} | {len(info.classes)} | {info.parameters:,} | {right} |")
    if not told:
        return []
    title = ["", "## Heads", "", f"`openjepa.load_head('THIS FOLDER/{FOLDER}/NAME.safetensors')`", ""]
    return [*title, "| name | kind | question | classes | parameters | accuracy |", "|---|---|---|---|---|---|", *told]
