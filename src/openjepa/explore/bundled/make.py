"""Trains the bundled models again, from nothing: `python -m openjepa.explore.bundled.make --work runs/bundled`.

Each is a recipe of recipes/explore.py on a made world, trained and probed by the commands that anyone would give, then
packed: float16, the encoder once (inside the objective), no optimizer, and a card of measured rows. One seed each.
"""

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from openjepa import draws
from openjepa.checkpoint import RunFolder, checkpoints, load_run, load_tensors, pick, write_atomic
from openjepa.explore.explorer import Explorer
from openjepa.explore.inputs import Inputs
from openjepa.explore.question import Box, windows
from openjepa.interop.bundle import STATUS, write
from openjepa.interop.card import card

LICENCE = "Apache-2.0, as openjepa"
ASKED = 200  # held-out samples on which the guesses are judged, a hole in each
NOTE = "One seed, trained in minutes to be looked at, not to be used: a small model on a made world."


@dataclass(frozen=True)
class Model:
    """One bundled model: its recipe, how it is probed, and the hole in which its guesses are judged."""

    recipe: str
    train: str  # labelled world that the probes are fitted on
    test: str  # another seed of it
    hole: tuple[int, ...] = ()  # in tokens; empty: an MAE


MODELS = {
    "tabletop-jepa": Model(
        "explore.image_jepa", "world:tabletop?size=64&noise=0.25&count=4000", "world:tabletop?size=64&noise=0.25&count=2000&seed=1", (3, 3)
    ),
    "tabletop-mae": Model(
        "explore.image_mae", "world:tabletop?size=64&noise=0.25&count=4000", "world:tabletop?size=64&noise=0.25&count=2000&seed=1"
    ),
    "motion-jepa": Model(
        "explore.video_jepa",
        "world:tabletop-motion?frames=8&size=48&noise=0.1&objects=2&texture=0.3&scale=1.5&count=4000",
        "world:tabletop-motion?frames=8&size=48&noise=0.1&objects=2&texture=0.3&scale=1.5&count=2000&seed=1",
        (2, 3, 3),
    ),
    "soundscape-jepa": Model("explore.sound_jepa", "world:soundscape?count=4000", "world:soundscape?count=2000&seed=1", (4, 3)),
}


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which, by default all: {', '.join(MODELS)}")
    parser.add_argument("--work", type=Path, required=True, help="where the runs are trained; finished ones are not trained again")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where the bundles go; old ones are replaced")
    given = parser.parse_args(words)
    for name in given.names or MODELS:
        model, run = MODELS[name], given.work / name
        train(model, run)
        folder = pack(run, given.out / name, judge(run, model))
        add_heads(folder, model)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        print(f"{folder}: {size / 1e6:.2f} MB", flush=True)


def train(model: Model, run: Path) -> None:
    """The run and its probes, by the commands of openjepa; what is there already is kept."""
    if not (run.is_dir() and checkpoints(run)):
        openjepa("train", model.recipe, "--out", str(run), "--log-every", "50", "--no-progress")
    if not list((run / "probes").glob("*.json")):
        openjepa("probe", str(run), "--data", model.train, "--test", model.test)


def openjepa(*words: str) -> None:
    print(f"$ openjepa {shlex.join(words)}", flush=True)
    subprocess.run([sys.executable, "-m", "openjepa", *words], check=True)


def judge(run: Path, model: Model) -> dict[str, Any] | None:
    """Mean energy of guesses for one hole in each of ASKED held-out samples, and skill against the explorer's references."""
    if not model.hole:
        return None
    opened = load_run(run)
    unseen = replace(opened.run, data=replace(opened.run.data, path=model.test))
    explorer = Explorer(run, inputs=Inputs(RunFolder(opened.path, unseen, opened.info)))
    places = windows(explorer.grid, model.hole)
    chosen = (draws.uniform(0, 0, range(ASKED), 1, "judged holes")[:, 0] * len(places)).astype(int)
    # From the end: the bank of references is spread over all rows, and a sample of it would be compared with itself
    names = [explorer.inputs.name_of(len(explorer.inputs) - 1 - i) for i in range(ASKED)]
    found = [explorer.jepa(name, [Box(tuple(places[at].tolist()), model.hole)]).total for name, at in zip(names, chosen, strict=True)]
    own = sum(score.energy for score in found)
    against = {
        which: 1 - own / sum(score.energy / (1 - getattr(score, which)) for score in found)  # skill is 1 - own / reference
        for which in ("mean", "gist", "copy")
    }
    ranks = torch.tensor([score.rank_image[0] for score in found if score.rank_image]).float()
    return {
        "hole": list(model.hole),
        "samples": ASKED,
        "data": model.test,
        "energy": own / ASKED,
        "skill": against,
        "rank_image": [ranks.median().item(), found[0].rank_image[1] if found[0].rank_image else 0],
    }


def pack(run: Path, out: Path, judged: Mapping[str, Any] | None) -> Path:
    """The bundle of a trained run, with the floats at half precision."""
    opened = load_run(run)
    checkpoint = pick(run, None)
    half = {
        name: value.half() if value.is_floating_point() else value
        for name, value in load_tensors(checkpoint / "objective.safetensors").items()
    }
    info = {name: value for name, value in opened.info.items() if name not in ("pid", "updated")}
    info |= {"status": STATUS, "command": f"openjepa train {info['recipe']}"}
    info["source"] = {"run": out.name, "licence": LICENCE, "stored_as": ["float16"], "judged": judged}
    shutil.rmtree(out, ignore_errors=True)
    folder = write(out, int(checkpoint.name), info, {"objective.safetensors": half})
    rows = (json.dumps(short(json.loads(line))) for line in (run / "metrics.jsonl").read_text().splitlines())
    write_atomic(folder / "metrics.jsonl", "".join(f"{row}\n" for row in rows).encode())
    (folder / "probes").mkdir()
    for path in sorted((run / "probes").glob("[!.]*.json")):
        report = short(json.loads(path.read_text())) | {"run": out.name}
        write_atomic(folder / "probes" / path.name, (json.dumps(report) + "\n").encode())
    write_atomic(folder / "README.md", (card(folder, info, int(checkpoint.name)) + "\n" + told(judged)).encode())
    return folder


def add_heads(folder: Path, model: Model) -> None:
    """Linear heads, fitted on the weights as they are stored; the bank of neighbours would be larger than the model."""
    there = set((folder / "probes").glob("*.json"))
    openjepa("probe", str(folder), "--data", model.train, "--test", model.test, "--probes", "linear")
    for path in set((folder / "probes").glob("*.json")) - there:  # the card quotes the run's own report
        path.unlink()
    shutil.rmtree(folder / "features")


def short(value: Any) -> Any:
    """The same with numbers of six digits: half the bytes, and more than anybody reads off a curve."""
    if isinstance(value, dict):
        return {name: short(part) for name, part in value.items()}
    if isinstance(value, list):
        return [short(part) for part in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def told(judged: Mapping[str, Any] | None) -> str:
    """The card's last part."""
    if judged is None:
        return f"{NOTE}\n"
    skill = judged["skill"]
    rank, of = judged["rank_image"]
    return (
        f"## Guesses\n\nFor a hole of {' x '.join(map(str, judged['hole']))} tokens in each of {judged['samples']} held-out samples "
        f"(`{judged['data']}`), all else seen: mean energy {judged['energy']:.4f} in units of the training loss; "
        f"skill {100 * skill['mean']:+.0f} % against the mean of the place, {100 * skill['gist']:+.0f} % against the mean of what is seen, "
        f"{100 * skill['copy']:+.0f} % against the nearest seen token; "
        f"median rank of the true content among all windows of its sample {rank:.0f} of {of}.\n\n{NOTE}\n"
    )


if __name__ == "__main__":
    main()
