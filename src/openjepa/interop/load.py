"""One call for every frozen encoder: a run, a bundle, a checkpoint of the authors, a Hugging Face folder or id."""

from pathlib import Path

from openjepa.checkpoint import load_encoder as load_ours
from openjepa.checkpoint import load_run, load_tensors, pick
from openjepa.frozen import FrozenEncoder
from openjepa.interop.bundle import run_of
from openjepa.interop.convert import read
from openjepa.interop.families import Asked
from openjepa.interop.hub import fetched
from openjepa.modalities.image import Image
from openjepa.modalities.video import Video
from openjepa.models.dynamics import Dynamics, DynamicsConfig
from openjepa.models.encoder import Encoder
from openjepa.objectives.jepa import JEPAConfig
from openjepa.objectives.mae import MAEConfig
from openjepa.run import Run


def load_dynamics(folder: str | Path) -> Dynamics:
    """V-JEPA 2-AC's predictor of a bundle, in eval mode and float32. ValueError where the bundle has none."""
    opened = load_run(folder)
    config = opened.info.get("source", {}).get("dynamics")
    if config is None:
        raise ValueError(f"{folder} has no action-conditioned predictor; convert a V-JEPA 2-AC checkpoint")
    config = DynamicsConfig(**{**config, "grid": tuple(config["grid"])})
    dynamics = Dynamics(config, opened.run.objective.encoder.dim)
    dynamics.load_state_dict(load_tensors(pick(opened.path, None) / "dynamics.safetensors"))
    return dynamics.eval()


def load_encoder(source: str | Path, *, step: int | None = None, untrained: bool = False, asked: Asked | None = None) -> FrozenEncoder:
    """The frozen encoder of `source`, ready for `.encode(samples)`.

    `source` is a run or bundle folder, a checkpoint as the authors of I-JEPA, V-JEPA or MAE write it, or a Hugging Face folder or id.
    JEPA gives the target encoder, which the papers evaluate; Hugging Face folders hold the context encoder alone. `step` and
    `untrained` are of runs; `asked` says what a file of others does not (families.Asked).

    Raises:
        ValueError: nothing is there, or what is there does not fit; the message lists missing and unknown tensors.
    """
    path = fetched(str(source))
    if not path.exists() or (path / "run.json").exists() or (path.is_dir() and not (path / "config.json").exists()):
        return load_ours(path, step=step, untrained=untrained)
    if step is not None or untrained:
        raise ValueError(f"{source} is no run of ours, so it has neither steps nor an untrained encoder; convert it first")
    held = read(path, asked or Asked())
    modality = Image() if len(held.arch.patch) == 2 else Video()
    run = run_of(held, Run(modality=modality, objective=MAEConfig() if held.arch.family == "mae" else JEPAConfig()))
    encoder = Encoder(held.arch.encoder, run.modality.patch_dim)
    encoder.load_state_dict(dict(held.encoder))
    encoder.eval().requires_grad_(False)
    return FrozenEncoder(encoder, run.modality, run, 0, path)
