"""A run that starts from the weights of another run or bundle, predictor included."""

from dataclasses import replace
from pathlib import Path

from openjepa.checkpoint import load_run, load_tensors, objective_file
from openjepa.objectives.objective import Objective
from openjepa.run import Run


def adopt(run: Run, folder: str | Path) -> Run:
    """`run`, starting from the weights in `folder`: with its architecture and geometry. ValueError where the two cannot meet."""
    other = load_run(folder).run
    if type(other.objective) is not type(run.objective) or type(other.modality) is not type(run.modality):
        here, there = ((type(r.objective).__name__, type(r.modality).__name__) for r in (run, other))
        raise ValueError(f"{folder} holds {there[0]} on {there[1]}, the recipe is {here[0]} on {here[1]}; take a recipe of the same kind")
    names = ("encoder", "predictor", "decoder", "mask_tokens", "shared_mask_token")
    same = {name: getattr(other.objective, name) for name in names if hasattr(other.objective, name)}
    geometry = {name: getattr(other.modality, name) for name in ("size", "patch") if hasattr(other.modality, name)}
    return replace(run, init=str(folder), objective=replace(run.objective, **same), modality=replace(run.modality, **geometry))


def load_start(objective: Objective, folder: str | Path) -> None:
    """The weights of another run or bundle, all of them. ValueError names what does not fit; nothing stays random silently."""
    saved, wanted = load_tensors(objective_file(load_run(folder))), objective.state_dict()
    wrong = [f"missing {name}" for name in wanted if name not in saved] + [f"unknown {name}" for name in saved if name not in wanted]
    wrong += [
        f"{name} is {list(saved[name].shape)}, {list(value.shape)} is wanted"
        for name, value in wanted.items()
        if name in saved and saved[name].shape != value.shape
    ]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ValueError(
            f"the weights in {folder} do not fit this run: {', '.join(wrong[:5])}{more}; leave out what changes the architecture"
        )
    objective.load_state_dict(saved)
