"""Inputs of a run: its own samples, and files that a person drops on the page."""

import io
from dataclasses import dataclass
from urllib.parse import unquote

import numpy as np
import torch
from PIL import Image as Picture
from PIL import UnidentifiedImageError

from openjepa.explore.inputs import Inputs
from openjepa.explore.routes import Answer, Problem, Query, Raw, get, post
from openjepa.explore.routes import Upload as Body
from openjepa.explore.shelf import Shelf
from openjepa.modalities.modality import BadSample
from openjepa.modalities.video import Video

LARGEST = 64 * 2**20  # bytes of a dropped file
PIXELS = 50_000_000  # of a dropped picture
THUMB = 96  # pixels of a thumbnail's longer side
PAGE = 200  # inputs in one answer, at most


@dataclass(frozen=True)
class InputInfo:
    id: str
    name: str
    label: str | None
    source: str  # data or upload


@dataclass(frozen=True)
class InputPage:
    total: int
    items: tuple[InputInfo, ...]
    note: str  # why the run's own data is not shown


@dataclass(frozen=True)
class ViewMeta:
    """Beside frames, and tokens: which token each pixel shows."""

    name: str
    label: str | None
    fps: float | None
    seconds: float | None
    note: str


@get("runs/{run}/inputs")
def inputs(shelf: Shelf, asked: Query) -> Answer:
    """A page of them: uploads first, then the run's data in its own order."""
    here = shelf.inputs_of(shelf.run(asked["run"]))
    offset, limit = whole(asked, "offset", 0), min(PAGE, whole(asked, "limit", 24))
    dropped = [InputInfo(f"upload:{file.key}", file.name, None, "upload") for file in here.uploads.of(here.modality.kind)]
    total = len(dropped) + len(here)
    rows = range(max(0, offset - len(dropped)), max(0, min(total, offset + limit) - len(dropped)))
    items = (*dropped[offset : offset + limit], *(stored(here, row) for row in rows))
    return Answer(InputPage(total, items, here.note))


@post("runs/{run}/inputs", Body)
def upload(shelf: Shelf, asked: Body) -> Answer:
    """Keep a file, if the run's kind of data can be read out of it."""
    here = shelf.inputs_of(shelf.run(asked.path["run"]))
    refuse_huge(asked.data)
    try:
        file = here.uploads.add(asked.data, unquote(asked.name) or "a dropped file", here.modality)
    except BadSample as error:
        kind = here.modality.kind
        raise Problem(422, "cannot be read", f"{unquote(asked.name)}: {error}", f"this run reads {kind}: drop one of those") from None
    return Answer(InputInfo(f"upload:{file.key}", file.name, None, "upload"))


@get("runs/{run}/inputs/{input}/thumb")
def thumb(shelf: Shelf, asked: Query) -> Raw:
    """A small PNG of what the model is shown; of a film the middle frame."""
    here = shelf.inputs_of(shelf.run(asked["run"]))
    frames = here.modality.draw(here.view(asked["input"])).frames
    picture = Picture.fromarray(np.ascontiguousarray(frames[len(frames) // 2].numpy()))
    if max(picture.size) > THUMB:
        picture.thumbnail((THUMB, THUMB), Picture.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return Raw(buffer.getvalue(), "image/png")


@get("runs/{run}/inputs/{input}/view")
def view(shelf: Shelf, asked: Query) -> Answer:
    """The frames that the model is given, as a person sees them."""
    here = shelf.inputs_of(shelf.run(asked["run"]))
    x = here.view(asked["input"])
    drawn = here.modality.draw(x)
    name, label = here.title(asked["input"])
    modality = here.modality
    fps = (modality.fps or 8.0) if isinstance(modality, Video) else None
    hop = getattr(modality, "hop_ms", None)
    seconds = x.shape[1] / fps if fps else x.shape[1] * hop / 1000 if hop else None
    return Answer(ViewMeta(name, label, fps, seconds, here.note), {"frames": drawn.frames, "tokens": drawn.tokens.to(torch.int32)})


def stored(here: Inputs, row: int) -> InputInfo:
    name, label = here.title(here.name_of(row))
    return InputInfo(here.name_of(row), name, label, "data")


def whole(asked: Query, name: str, default: int) -> int:
    text = asked.get(name, str(default))
    if not text.isdecimal():
        raise ValueError(f"{name}={text}; give a whole number, 0 or more")
    return int(text)


def refuse_huge(data: bytes) -> None:
    """Problem 413 for a picture whose header promises more pixels than this page decodes; its pixels are not touched."""
    if not data:
        raise Problem(422, "cannot be read", "the file is empty", "drop another one")
    try:
        with Picture.open(io.BytesIO(data)) as picture:
            w, h = picture.size
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Picture.DecompressionBombError) as error:
        if isinstance(error, Picture.DecompressionBombError):
            raise Problem(413, "too large", str(error), "scale it down first") from None
        return  # no picture; whoever decodes it says what it is
    if w * h > PIXELS:
        raise Problem(413, "too large", f"{w} x {h} pixels, more than {PIXELS:,}", "scale it down first")
