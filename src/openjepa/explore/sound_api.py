"""What the sound panel asks: sounds to play, and what the grid's numbers mean in seconds and Hz."""

import struct
from dataclasses import dataclass

from jaxtyping import Float32
from torch import Tensor

from openjepa.explore.hearing import What, audio, axes, render
from openjepa.explore.jepa_api import boxes, script
from openjepa.explore.question import Box, Mode
from openjepa.explore.routes import Answer, Query, Raw, get, post
from openjepa.explore.shelf import Shelf


@dataclass(frozen=True, kw_only=True)
class RenderAsked:
    run: str
    input: str
    targets: tuple[Box, ...] = ()
    what: What = "original"
    step: int | None = None
    target: int = 0
    context: Box | None = None
    mode: Mode = "strict"


@post("audio/render", RenderAsked)
def rendered(shelf: Shelf, asked: RenderAsked) -> Raw:
    """A WAV file; its comment is the Python that makes the same samples."""
    arguments = [repr(asked.input), boxes(asked.targets), repr(asked.what)]
    arguments += [f"{asked.target}"] if asked.what == "nearest" else []
    arguments += [f"context=Box({asked.context.at}, {asked.context.size})"] if asked.context else []
    arguments += [f"mode={asked.mode!r}"] if asked.mode != "strict" else []
    settings = {"target": asked.target, "context": asked.context, "mode": asked.mode}
    if asked.what == "nearest":
        explorer = shelf.explorer(asked.run, asked.step)
        wave = render(explorer, asked.input, asked.targets, asked.what, **settings)  # type: ignore[arg-type]
        text = script(explorer, f"render(explorer, {', '.join(arguments)})", "hearing", "render")
        return Raw(wav(wave, audio(explorer.modality).rate, text), "audio/wav")
    run = shelf.run(asked.run)  # no weights are needed: a run without checkpoint can be listened to
    inputs = shelf.inputs_of(run)
    wave = render(inputs, asked.input, asked.targets, asked.what, **settings)  # type: ignore[arg-type]
    text = (
        "from openjepa.checkpoint import load_run\nfrom openjepa.explore.hearing import render\n"
        "from openjepa.explore.inputs import Inputs\nfrom openjepa.explore.question import Box\n\n"
        f"inputs = Inputs(load_run({str(run.folder)!r}))\nfound = render(inputs, {', '.join(arguments)})\n"
    )
    return Raw(wav(wave, audio(inputs.modality).rate, text), "audio/wav")


@get("audio/axes")
def meaning(shelf: Shelf, asked: Query) -> Answer:
    """Seconds and Hz at the edges of the grid's rows and columns."""
    if "run" not in asked:
        raise ValueError("no run named; ask for audio/axes?run=ID")
    run = shelf.run(asked["run"])
    found = axes(audio(shelf.inputs_of(run).modality))
    text = (
        "from openjepa.checkpoint import load_run\nfrom openjepa.explore.hearing import axes\n\n"
        f"found = axes(load_run({str(run.folder)!r}).run.modality)\n"
    )
    return Answer({"seconds": found.seconds, "hz": found.hz, "rate": found.rate, "python": text})


def wav(wave: Float32[Tensor, " n"], rate: int, comment: str = "") -> bytes:
    """A mono WAV file of 32-bit floats, so that not a bit is lost, with a comment."""
    samples = wave.contiguous().numpy().astype("<f4").tobytes()
    said = comment.encode() + b"\0"
    said += b"\0" * (len(said) % 2)
    info = b"INFO" + b"ICMT" + struct.pack("<I", len(said)) + said
    form = struct.pack("<HHIIHHH", 3, 1, rate, 4 * rate, 4, 32, 0)  # IEEE float, mono, no extension
    chunks = [(b"fmt ", form), (b"fact", struct.pack("<I", len(wave))), (b"LIST", info), (b"data", samples)]
    body = b"WAVE" + b"".join(name + struct.pack("<I", len(part)) + part for name, part in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body
