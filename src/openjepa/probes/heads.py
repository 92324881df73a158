"""Heads on disk: what a probe fitted, kept as <run>/probes/heads/<name>.safetensors, ready to be asked.

A file holds tensors, and in its header as JSON what they are: kind, question, classes, how features are taken, the sha256 of the
encoder's weights it was fitted on, its accuracy beside the floors. A listing reads headers alone. A head of another kind is one
class (see head_kinds) and one line in KINDS.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from openjepa.checkpoint import Damaged, write_tensors
from openjepa.frozen import Encoded, FrozenEncoder, weights_sha256
from openjepa.imported import imported
from openjepa.probes.answers import Answer
from openjepa.probes.features import depth_asked, pooled, tokens_of

FORMAT = 1
FOLDER = "probes/heads"  # of a run
KINDS = {
    "linear": "openjepa.probes.head_kinds:LinearHead",
    "knn": "openjepa.probes.head_kinds:KnnHead",
    "attentive": "openjepa.probes.head_kinds:AttentiveHead",
}


@dataclass(frozen=True)
class Of:
    """The encoder that a head was fitted on."""

    sha256: str  # of its weights, see frozen.weights_sha256
    parameters: int
    step: int


@dataclass(frozen=True)
class Score:
    """Accuracy of the head itself on test samples, with the 95 % interval."""

    accuracy: float  # 0..1
    low: float
    high: float
    samples: int


@dataclass(frozen=True)
class Wrong:
    """A test sample that the head gets wrong."""

    row: int  # its number in the test data
    name: str
    truth: str
    guess: str


@dataclass(frozen=True)
class HeadInfo:
    """What the header of a head's file says."""

    kind: str  # key of KINDS
    question: str  # which labels it learnt: "class", "shape", ...
    classes: tuple[str, ...]
    settings: dict[str, Any]  # pooling, layer, clips, views and what the kind needs
    encoder: Of
    parameters: int  # numbers that were fitted; a bank of samples has none
    score: Score | None = None  # None: not measured here
    floors: dict[str, float] = field(default_factory=dict)  # untrained, pixels, majority, chance -> accuracy
    data: dict[str, Any] = field(default_factory=dict)  # path, fingerprint, samples
    test: dict[str, Any] = field(default_factory=dict)  # the same, and held_out
    wrong: tuple[Wrong, ...] = ()  # a few test samples
    source: dict[str, Any] = field(default_factory=dict)  # of weights of others: name, sha256, licence
    created: str = ""

    @property
    def name(self) -> str:
        """Of the file: what tells this head from the others of a run."""
        pooling, layer = self.settings.get("pooling", "mean"), self.settings.get("layer", -1)
        how = [pooling] * (pooling != "mean") + [f"layer{layer}"] * (layer != -1)
        return "-".join([re.sub(r"[^\w.]+", "_", self.question), self.kind, *how, str(self.encoder.step)])


@dataclass(frozen=True)
class Head(ABC):
    """A fitted head of any kind."""

    info: HeadInfo
    kind: ClassVar[str]

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Everything that `of` needs beside the header."""

    @classmethod
    @abstractmethod
    def of(cls, info: HeadInfo, tensors: Mapping[str, Tensor]) -> "Head":
        """Inverse of `tensors`. KeyError or ValueError for tensors of another kind."""

    @abstractmethod
    def answer(self, encoded: Encoded) -> Answer:
        """About one sample, as `encode` gives it."""

    def check(self, encoder: FrozenEncoder) -> None:
        """ValueError for an encoder whose weights are not those that the head was fitted on."""
        came, wanted = encoder.sha256, self.info.encoder
        if came != wanted.sha256:
            raise ValueError(
                f"the head {self.info.name} was fitted on weights {wanted.sha256[:12]} (step {wanted.step}), the encoder's are {came[:12]} "
                f"(step {encoder.step}): its answers would mean nothing; take the encoder of that step, or openjepa probe again"
            )

    @torch.no_grad()
    def encode(self, encoder: FrozenEncoder, samples: Any) -> Encoded:
        """Features as the head was fitted on: of its layer, pooled as then. Checks that the weights are the same."""
        self.check(encoder)
        layer, pooling = self.info.settings["layer"], self.info.settings["pooling"]
        views = encoder.views(samples)
        seen = encoder.encode(views, layers=depth_asked(pooling, layer))
        width = int(encoder.encoder.dim)
        return Encoded(tokens_of(seen, width, pooling), pooled(seen, width, pooling, encoder.modality, tuple(views.shape[2:])), seen.valid)

    def save(self, folder: Path) -> Path:
        """<folder>/<name>.safetensors, atomically. OSError when it cannot be written."""
        folder.mkdir(parents=True, exist_ok=True)
        path, state = folder / f"{self.info.name}.safetensors", dict(sorted(self.tensors().items()))
        told = {"format": FORMAT, **asdict(self.info)}
        write_tensors(path, state, {"head": json.dumps(told), "sha256": weights_sha256(state)})
        return path


def load_head(path: str | Path) -> Head:
    """The head in a file. Damaged (a ValueError) when it is not whole, ValueError for a newer format or kind."""
    path = Path(path)
    info, digest = header(path)
    kind = imported(KINDS[info.kind])
    try:
        with safe_open(path, "pt") as file:
            state = {name: file.get_tensor(name) for name in sorted(file.keys())}
        if weights_sha256(state) != digest:
            raise Damaged(f"the head {path} is damaged: its numbers are not those that were written; openjepa probe again")
        head: Head = kind.of(info, state)
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        raise Damaged(f"the head {path} is damaged ({error}); openjepa probe again") from error
    return head


def header(path: Path) -> tuple[HeadInfo, str]:
    """What a file says it is, and the sha256 of its numbers; no tensor is read."""
    import cattrs

    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        told = json.loads(metadata["head"])
        version = told.pop("format")
        if version > FORMAT:
            raise ValueError(f"the head {path} has format {version}; this openjepa reads up to {FORMAT}. Upgrade openjepa to open it")
        info = cattrs.Converter(forbid_extra_keys=True).structure(told, HeadInfo)
        digest = metadata["sha256"]
    except (SafetensorError, OSError, KeyError, TypeError, AttributeError, json.JSONDecodeError, cattrs.BaseValidationError) as error:
        raise Damaged(f"{path} is no head, or it is damaged ({type(error).__name__}: {error}); openjepa probe again") from error
    if info.kind not in KINDS:
        raise ValueError(f"the head {path} is of kind {info.kind!r}; there are {', '.join(KINDS)}. Upgrade openjepa to open it")
    return info, digest


@dataclass(frozen=True)
class Listed:
    """A file of heads: what it says, or what is wrong with it."""

    name: str
    path: Path
    info: HeadInfo | None
    problem: str = ""


def heads_in(folder: str | Path) -> list[Listed]:
    """Every head of a run or bundle, by name, read from the headers alone."""
    found = []
    for path in sorted((Path(folder) / FOLDER).glob("*.safetensors")):
        try:
            found.append(Listed(path.stem, path, header(path)[0]))
        except ValueError as error:
            found.append(Listed(path.stem, path, None, str(error)))
    return found
