"""The frozen encoder beneath every head: opened once, and looked at again after each answer."""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from openjepa.checkpoint import load_encoder
from openjepa.engine import choose_device
from openjepa.explore.explorer import Explorer
from openjepa.explore.nearest import Nearest
from openjepa.explore.shelf import Listed, Shelf
from openjepa.frozen import FrozenEncoder, weights_sha256


@dataclass(frozen=True)
class Below:
    """The encoder under the head, looked at after it answered: `same` compares its weights with those the head was fitted on."""

    sha256: str
    same: bool
    parameters: int
    trainable: int
    step: int


@dataclass(frozen=True)
class Opened:
    encoder: FrozenEncoder
    nearest: Nearest


beside: "WeakKeyDictionary[Explorer, Opened]" = WeakKeyDictionary()  # shares the explorer's weights, and goes with it
alone: dict[tuple[str, int], Opened] = {}  # of a bundle that holds an encoder and no objective: the last one asked


def opened(shelf: Shelf, listed: Listed, step: int) -> Opened:
    """The exported encoder of a checkpoint. ValueError where it is gone."""
    path = listed.folder / "checkpoints" / f"{step:08d}"
    if not path.is_dir():
        raise ValueError(f"the checkpoint of step {step} is not in {listed.id} any more; openjepa probe makes heads of one that is")
    inputs = shelf.inputs_of(listed)
    if (path / "objective.safetensors").exists():
        explorer = shelf.explorer(listed.id, step)
        if explorer not in beside:
            encoder = FrozenEncoder(explorer.objective.exported(), explorer.modality, explorer.run, step, path)
            beside[explorer] = Opened(encoder, Nearest(encoder, inputs))
        return beside[explorer]
    key = (str(path), path.stat().st_mtime_ns)
    if key not in alone:
        alone.clear()
        encoder = load_encoder(listed.folder, step=step)
        encoder.encoder.to(choose_device(shelf.device))
        alone[key] = Opened(encoder, Nearest(encoder, inputs))
    return alone[key]


def checked(encoder: FrozenEncoder, wanted: str) -> Below:
    """Its weights as they are now."""
    came = weights_sha256(encoder.encoder.state_dict())
    weights = list(encoder.encoder.parameters())
    trainable = sum(p.numel() for p in weights if p.requires_grad)
    return Below(came, came == wanted, sum(p.numel() for p in weights), trainable, encoder.step)


def opening(listed: Listed, step: int, name: str) -> list[str]:
    """The lines of Python that open encoder and input."""
    folder = repr(str(listed.folder))
    return [
        "import openjepa",
        "from openjepa.checkpoint import load_run",
        "from openjepa.explore.inputs import Inputs",
        "",
        f"encoder = openjepa.load_encoder({folder}, step={step})",
        f"inputs = Inputs(load_run({folder}))",
        f"view = inputs.view({name!r})[None]",
    ]
