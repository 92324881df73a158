"""The suite finds each broken law by name, and calls what is ours sound."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from openjepa.cli.main import main
from openjepa.doctor.conformance import check
from openjepa.modalities.audio import Audio
from openjepa.modalities.drawn import Drawn
from openjepa.modalities.grid import Grid
from openjepa.modalities.image import Image
from openjepa.modalities.modality import Decoded
from openjepa.modalities.video import Video
from openjepa.tokens import Tokens
from tests.data.pictures import png


@dataclass(frozen=True, kw_only=True)
class Lines(Grid):
    """A sound modality to break."""

    channels: int = 2
    size: tuple[int, ...] = (12,)
    patch: tuple[int, ...] = (3,)

    def decode(self, data, at=None):
        return Decoded(torch.zeros(2, 12))

    def augment(self, samples, seed, step, rows):
        return torch.stack(list(samples))

    def center(self, samples, size=None):
        return torch.stack(list(samples))


@dataclass(frozen=True, kw_only=True)
class Listed(Lines):
    names: object = None

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "names", {1, 2})


class Shapeless(Lines):
    def center(self, samples, size=None):
        return torch.stack(list(samples))[..., :9]


class Moody(Lines):
    def augment(self, samples, seed, step, rows):
        return torch.stack(list(samples)) + torch.rand(1)


class Sociable(Lines):
    def augment(self, samples, seed, step, rows):
        x = torch.stack(list(samples))
        return x - x.mean(0)


class Crowded(Lines):
    def patchify(self, x):
        found = super().patchify(x)
        return Tokens(found.values, found.positions.clamp(max=2))


class Fickle(Lines):
    def patchify(self, x):
        found = super().patchify(x)
        return Tokens(found.values, found.positions + x.mean((1, 2))[:, None, None])


class Crooked(Lines):
    def unpatchify(self, values, size=None):
        return super().unpatchify(values, size).flip(-1)


class Cropping(Lines):
    def places(self, size):
        return tuple(s // p for s, p in zip(size, self.patch, strict=True))


class Leaking(Lines):
    def prepare(self, x, channel=1):
        return x.float()

    def patchify(self, x):
        found = super().patchify(x)
        return Tokens(found.values - found.values.mean((1, 2), keepdim=True), found.positions)

    def unpatchify(self, values, size=None):
        return super().unpatchify(values, size)


class Padded(Lines):
    lossy: ClassVar[str] = "padding"

    def patchify(self, x):
        found = super().patchify(x)
        valid = torch.ones(found.values.shape[:2], dtype=torch.bool)
        valid[:, -1] = False
        return Tokens(found.values + x[:, :1, -1:], found.positions, valid)

    def pad(self, view):
        other = view.clone()
        other[..., -3:] = 5.0
        return view, other


class Gathering(Lines):
    def pool(self, values, valid=None, size=None):
        return super().pool(values - values.mean(0), valid, size)


class Short(Lines):
    """The last token is padding, and pool counts it."""

    lossy: ClassVar[str] = "padding"

    def patchify(self, x):
        found = super().patchify(x)
        valid = torch.ones(found.values.shape[:2], dtype=torch.bool)
        valid[:, -1] = False
        return Tokens(found.values, found.positions, valid)

    def pad(self, view):
        other = view.clone()
        other[..., -3:] = 5.0
        return view, other

    def pool(self, values, valid=None, size=None):
        return values.mean(1)


class Overdrawn(Lines):
    def draw(self, x):
        return Drawn(torch.zeros(1, 5, 5, 3, dtype=torch.uint8), torch.full((1, 5, 5), 4))


class Unclean(Lines):
    def decode(self, data, at=None):
        return Decoded(torch.zeros(2, 12) if at is None else torch.ones(2, 12))


class Fragile(Lines):
    def decode(self, data, at=None):
        if not data:
            raise IndexError("no bytes")
        return Decoded(torch.zeros(2, 12))


@pytest.mark.parametrize(
    "modality",
    [Image(size=(32, 48), patch=(8, 8)), Video(size=(4, 16, 24), patch=(2, 8, 8)), Audio(size=(16, 32), patch=(4, 16)), Lines()],
    ids=lambda modality: type(modality).__name__,
)
def test_sound_modalities_keep_every_law(modality):
    faults = [str(law) for law in check(modality) if law.fault]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (Listed, "plain values"),
        (Shapeless, "views are"),
        (Moody, "same seed"),
        (Sociable, "same seed"),
        (Crowded, "each at its own position"),
        (Fickle, "positions do not depend"),
        (Crooked, "exact inverse"),
        (Cropping, "a remainder"),
        (Leaking, "no target content"),
        (Padded, "padding is invisible"),
        (Gathering, "pool gives one row"),
        (Short, "pool gives one row"),
        (Overdrawn, "a view can be drawn"),
    ],
)
def test_a_broken_law_is_named(broken, law):
    faults = [one.law for one in check(broken()) if one.fault]
    assert any(found.startswith(law) or law in found for found in faults), faults
    assert len(faults) <= 2, faults  # and hardly another


@pytest.mark.parametrize("broken", [Unclean, Fragile])
def test_decoding_is_looked_at_with_files(broken):
    (fault,) = [one for one in check(broken(), files=[b"data"]) if one.fault]
    assert fault.law.startswith("decode(file, at)")


def test_images_decode_lawfully():
    (law,) = [one for one in check(Image(size=(16, 16), patch=(8, 8)), files=[png(1)]) if one.law.startswith("decode")]
    assert law.fault is None and law.note == "1 files"


def test_a_new_modality_passes_its_own_test(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "modality", "my_sensor"]) == 0
    assert main(["new", "modality", "my_sensor"]) == 2 and "is there already" in capsys.readouterr().err
    assert main(["new", "modality", "My-Sensor"]) == 2 and "lower case" in capsys.readouterr().err
    assert main(["new", "thing", "x"]) == 2
    capsys.readouterr()
    assert main(["doctor", "--modality", "my_sensor:MySensor"]) == 0
    assert "BROKEN" not in capsys.readouterr().out
    assert pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "test_my_sensor.py"]) == 0
    assert main(["doctor", "--modality", "my_sensor"]) == 2 and "module:object" in capsys.readouterr().err
    assert main(["doctor", "--modality", "my_sensor:Other"]) == 2
