"""Small data sets and encoders with known answers, for the tests of the probes."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from openjepa.data.labels import LabelSet
from openjepa.frozen import FrozenEncoder
from openjepa.modalities.image import BadSample, Image
from openjepa.models.encoder import Encoder, EncoderConfig
from tests import tiny

MODALITY = Image(size=(8, 12), patch=(4, 4))


@dataclass
class Made:
    """Pictures in memory. `bad` rows cannot be read; `reads` counts pictures that were."""

    images: list[Tensor]
    labels: dict[str, LabelSet] = field(default_factory=dict)
    fingerprint: str = "made"
    bad: dict[int, str] = field(default_factory=dict)
    reads: int = 0

    def __len__(self):
        return len(self.images)

    def name(self, row):
        return f"{self.fingerprint}/{row:03d}.png"

    def read(self, rows, at=None):
        for row in rows:
            if row in self.bad:
                raise BadSample(self.bad[row])
        self.reads += len(rows)
        return [self.images[row] for row in rows]


def pictures(count, seed=0, size=(8, 12)):
    rng = torch.Generator().manual_seed(seed)
    return list(torch.randint(0, 256, (count, 3, *size), generator=rng, dtype=torch.uint8))


def bright(count, seed=0, names=("dark", "light", "white"), label="class", fingerprint="made"):
    """Noise whose brightness is the class: pixels tell it."""
    y = torch.arange(count) % len(names)
    images = [(x // 4 + 60 * int(c)).to(torch.uint8) for x, c in zip(pictures(count, seed), y, strict=True)]
    return Made(images, {label: LabelSet(tuple(names), y)}, fingerprint)


def vit(seed=0, **changes):
    """A real frozen encoder with random weights."""
    torch.manual_seed(seed)
    config = EncoderConfig(**{"dim": 12, "depth": 5, "heads": 2, **changes})
    encoder = Encoder(config, MODALITY.patch_dim).eval().requires_grad_(False)
    return FrozenEncoder(encoder, MODALITY, tiny.RUN, 0, Path())


class Stub(nn.Module):
    """An encoder whose features are a function of the picture, given in the test."""

    def __init__(self, function, dim):
        super().__init__()
        self.function, self.dim, self.calls = function, dim, 0
        self.weight = nn.Parameter(torch.zeros(1))


class Known:
    """A frozen encoder with features [b 1 d] = function(images)."""

    def __init__(self, function, dim=3):
        self.encoder, self.modality = Stub(function, dim), MODALITY

    def encode(self, images, /, *, layers=1):
        self.encoder.calls += 1
        tokens = self.encoder.function(images.float())[:, None]
        return SimpleNamespace(tokens=tokens, pooled=tokens.mean(1))
