"""What the video panel asks: surprise over time, and scenes in which things are hidden."""

from dataclasses import dataclass

from openjepa.explore.edits import Edit
from openjepa.explore.jepa_api import script
from openjepa.explore.routes import Answer, Query, get, post
from openjepa.explore.scenes import scenes
from openjepa.explore.shelf import Shelf
from openjepa.explore.surprise import Sees, surprise


@dataclass(frozen=True, kw_only=True)
class SurpriseAsked:
    run: str
    input: str
    step: int | None = None
    edit: Edit = Edit()
    sees: Sees = "past"


@post("video/surprise", SurpriseAsked)
def surprised(shelf: Shelf, asked: SurpriseAsked) -> Answer:
    """Energy of each next time step of the clip as it is and with an edit, and the edited frames."""
    explorer = shelf.explorer(asked.run, asked.step)
    edit = None if asked.edit.kind == "none" else asked.edit
    found = surprise(explorer, asked.input, edit, asked.sees)
    arguments = [repr(asked.input), *([repr(edit)] if edit else []), *([f"sees={asked.sees!r}"] if asked.sees != "past" else [])]
    text = script(explorer, f"surprise(explorer, {', '.join(arguments)})", "surprise")
    text = text.replace("from openjepa.explore.question import Box", "from openjepa.explore.edits import Edit") if edit else text
    tensors = {
        "curve": found.curve,
        "untouched": found.untouched,
        "energy": found.energy,
        "energy_untouched": found.energy_untouched,
        "still": found.still,
        "still_untouched": found.still_untouched,
        "frames": explorer.modality.draw(found.clip).frames,
    }
    meta = {"first": found.first, "asked": found.asked, "note": found.note, "python": text}
    return Answer(meta, tensors)


@get("video/scenes")
def hidden(shelf: Shelf, asked: Query) -> Answer:
    """Scenes for a run, and what is hidden in which frame of them."""
    if "run" not in asked:
        raise ValueError("no run named; ask for video/scenes?run=ID")
    run = shelf.run(asked["run"])
    found = scenes(shelf.inputs_of(run))
    text = f"from openjepa.checkpoint import load_run\nfrom openjepa.explore.inputs import Inputs\nfrom openjepa.explore.scenes import scenes\n\nfound = scenes(Inputs(load_run({str(run.folder)!r})))\n"
    return Answer({"scenes": found, "python": text})
