"""What can be shown to a model: samples of the run's own data, of a made world, and files that a person dropped."""

import hashlib
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path

from jaxtyping import Shaped
from torch import Tensor

from openjepa.checkpoint import RunFolder, load_run
from openjepa.data.dataset import Dataset, open_dataset
from openjepa.data.worlds.motion import Motion
from openjepa.explore.scenes import made
from openjepa.modalities.modality import Modality
from openjepa.modalities.video import Video

NAME = re.compile(r"(data|upload|scene):([0-9a-f]+)(?:@(0?\.\d+|0|1))?")
MIDDLE = 0.5
KEPT = 256  # views in memory
MADE = {"images": "tabletop", "videos": "tabletop-motion", "sounds": "soundscape"}  # kind -> world, where a run has no data any more


@dataclass(frozen=True)
class Upload:
    """A file that a person gave."""

    key: str  # of its bytes
    name: str
    kind: str  # of the modality that could read it
    data: bytes = field(repr=False)


@dataclass
class Uploads:
    """Files of this session, shared by all runs of their kind. They lie in memory alone and go with the server."""

    files: dict[str, Upload] = field(default_factory=dict)
    most: int = 256 * 2**20  # bytes; the oldest go first

    def add(self, data: bytes, name: str, modality: Modality) -> Upload:
        """Keep a file that `modality` can read. BadSample says why it cannot be used."""
        modality.center([modality.decode(data, MIDDLE).pixels])
        found = Upload(hashlib.sha256(data).hexdigest()[:12], name, modality.kind, data)
        self.files[found.key] = found
        while sum(len(file.data) for file in self.files.values()) > self.most and len(self.files) > 1:
            del self.files[next(iter(self.files))]
        return found

    def get(self, key: str) -> Upload:
        if key not in self.files:
            raise LookupError(f"no upload {key}; it was dropped in another session: drop the file again")
        return self.files[key]

    def of(self, kind: str) -> list[Upload]:
        """The newest first."""
        return [file for file in reversed(self.files.values()) if file.kind == kind]


class Inputs:
    """Inputs by name: "data:12" is row 12 of the run's data, "upload:3f2a..." a dropped file, "scene:7" a made clip.

    "@0.3" behind it says where in time.
    """

    def __init__(self, run: RunFolder, uploads: Uploads | None = None) -> None:
        self.run, self.modality, self.uploads, self.folder = run.run, run.run.modality, uploads or Uploads(), run.path
        self.views: OrderedDict[str, Tensor] = OrderedDict()
        self.lenders: dict[str, Inputs] = {}  # other runs whose samples were asked for here
        self.note = ""  # why the run's own data is not shown
        self.lock = threading.Lock()

    @cached_property
    def dataset(self) -> Dataset | None:
        """The run's data, or a made world of its kind where that is gone; None where there is none."""
        try:
            return open_dataset(self.run.data.path, self.modality, "off", self.run.data.exclude)[0]
        except (ValueError, OSError) as error:
            world = MADE.get(self.modality.kind)
            self.note = f"the run's data cannot be opened ({error})"
            if world is None:
                return None
            size = "x".join(map(str, self.modality.size[-2:]))
            spec = {"images": f"?size={size}", "videos": f"?size={size}&frames={self.modality.size[0]}"}.get(self.modality.kind, "")
            try:
                found = open_dataset(f"world:{world}{spec}", self.modality, "off")[0]
            except ValueError:  # that world has no views so small or so short
                return None
            self.note += f"; shown is the made world {world}"
            return found

    @cached_property
    def scenes(self) -> Motion | None:
        """Made clips with exact labels, for runs on videos."""
        return made(self.modality) if isinstance(self.modality, Video) else None

    def __len__(self) -> int:
        return 0 if self.dataset is None else len(self.dataset)

    @staticmethod
    def name_of(row: int) -> str:
        return f"data:{row}"

    def borrow(self, run: "str | Path | Inputs", name: str) -> str:
        """The name here of an input of another run: the same one where both have the same data, else "NAME/data:12"."""
        its = run if isinstance(run, Inputs) else Inputs(load_run(run), self.uploads)
        if name.startswith("upload:") or (its.run.data.path, its.run.data.exclude) == (self.run.data.path, self.run.data.exclude):
            return name
        self.lenders[its.folder.name] = its
        return f"{its.folder.name}/{name}"

    def parse(self, name: str) -> tuple[str, str, float]:
        """Source, key and place in time. LookupError where there is no such input."""
        found = NAME.fullmatch(name)
        rows = {"data": len(self), "scene": len(self.scenes or ())}
        if found is None or (found[1] in rows and not (found[2].isdecimal() and int(found[2]) < rows[found[1]])):
            there = f"data:0 to data:{len(self) - 1}" if len(self) else "none from the run's data"
            raise LookupError(f"no input {name!r}; there are {there}, and uploads")
        return found[1], found[2], float(found[3] or MIDDLE)

    def sample(self, name: str) -> Shaped[Tensor, "c *axes"]:
        """The stored sample, cut in time. BadSample or OSError where it cannot be read."""
        lender, _, rest = name.rpartition("/")
        if lender in self.lenders:
            return self.lenders[lender].sample(rest)
        source, key, at = self.parse(name)
        if source == "upload":
            return self.modality.decode(self.uploads.get(key).data, at).pixels
        if source == "scene":
            assert self.scenes is not None
            assert isinstance(self.modality, Video)
            return self.modality.cut(self.scenes.read([int(key)])[0], at)
        assert self.dataset is not None
        with self.lock:  # a data set is read by one at a time
            return self.dataset.read([int(key)], [at])[0]

    def view(self, name: str) -> Shaped[Tensor, "c *size"]:
        """As evaluation shows it to the encoder."""
        if name not in self.views:
            self.views[name] = self.modality.center([self.sample(name)])[0]
            while len(self.views) > KEPT or sum(prod(v.shape) * v.element_size() for v in self.views.values()) > 2**28:
                self.views.popitem(last=False)
        return self.views[name]

    def title(self, name: str) -> tuple[str, str | None]:
        """What a person calls it, and its class in the first question that the data answers."""
        source, key, _ = self.parse(name)
        if source == "upload":
            return self.uploads.get(key).name, None
        if source == "scene":
            assert self.scenes is not None
            return self.scenes.name(int(key)), None
        assert self.dataset is not None
        for labels in self.dataset.labels.values():
            return self.dataset.name(int(key)), labels.names[int(labels.values[int(key)])]
        return self.dataset.name(int(key)), None
