"""A network of one's own as encoder: the same laws hold around it."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import openjepa
from openjepa.checkpoint import load_objective
from openjepa.cli.main import main
from openjepa.modalities.image import Image
from openjepa.models.own import Adapter, OwnEncoder
from openjepa.objectives.jepa import JEPAConfig
from openjepa.run import from_dict, to_dict
from tests.interop import theirs
from tests.tiny import PREDICTOR, RUN, photos

IMAGE = Image(size=(32, 48), patch=(8, 8))


class OfTokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.values, self.places = nn.Linear(192, 20), nn.Linear(2, 20)
        self.mix = nn.TransformerEncoderLayer(20, 2, 40, batch_first=True, dropout=0.0)

    def forward(self, values, positions):
        x = self.values(values) + self.places(positions.to(values.dtype))
        return [x, self.mix(x)]


class OfImages(nn.Module):
    """A convolution over everything, with a token in front that nobody asked for."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 20, 8, 8)
        self.wide = nn.Conv1d(20, 20, 5, padding=2)

    def forward(self, images):
        x = self.wide(self.conv(images).flatten(2)).transpose(1, 2)
        return torch.cat([x.mean(1, keepdim=True), x], 1)


def config(kind, takes):
    return OwnEncoder(module=f"{__name__}:{kind}", takes=takes, dim=20)


OWN = [config("OfTokens", "tokens"), config("OfImages", "images")]


@pytest.mark.parametrize("own", OWN, ids=["tokens", "images"])
def test_hidden_patches_cannot_reach_the_context(own):
    torch.manual_seed(0)
    adapter, x = Adapter(own, IMAGE), torch.randn(2, 3, 32, 48, requires_grad=True)
    patches = IMAGE.patchify(x)
    seen = torch.tensor([[0, 5, 23], [7, 8, 9]])
    found = adapter(patches.take(seen))
    assert found.values.shape == (2, 3, 20) and torch.equal(found.positions, patches.take(seen).positions)
    (slope,) = torch.autograd.grad(found.values.square().sum(), x)
    touched = IMAGE.patchify(slope).values.abs().sum(-1) > 0
    for row, places in zip(touched, seen, strict=True):
        assert row.nonzero()[:, 0].tolist() == places.tolist()


def test_images_are_put_together_as_they_were():
    torch.manual_seed(0)
    adapter, x = Adapter(OWN[1], IMAGE), torch.randn(2, 3, 32, 48)
    order = torch.stack([torch.randperm(24) for _ in range(2)])
    got = adapter(IMAGE.patchify(x).take(order)).values
    want = adapter.body(x)[:, 1:]
    torch.testing.assert_close(got, want.gather(1, order[..., None].expand(-1, -1, 20)))


@pytest.mark.parametrize("own", OWN, ids=["tokens", "images"])
@pytest.mark.parametrize("objective", ["jepa", "mae"])
def test_it_learns_is_saved_probed_and_resumed(own, objective, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    photos(Path("data"), 12)
    words = [
        "train",
        f"image.{'i' if objective == 'jepa' else ''}{objective}",
        "--data",
        "data",
        "--steps",
        "4",
        "--batch-size",
        "4",
        "--workers",
        "0",
    ]
    words += [
        "--modality.size",
        "32",
        "48",
        "--modality.patch",
        "8",
        "8",
        "--precision",
        "bfloat16",
        "--save-every",
        "2",
        "--data.cache",
        "off",
        "-q",
    ]
    inner = "predictor" if objective == "jepa" else "decoder"
    words += [f"--objective.{inner}.dim", "16", f"--objective.{inner}.depth", "1", f"--objective.{inner}.heads", "2"]
    words += ["--objective.encoder.kind", "OwnEncoder", "--objective.encoder.module", own.module]
    words += ["--objective.encoder.takes", own.takes, "--objective.encoder.dim", "20"]
    assert main([*words, "--out", "a"]) == 0
    frozen = openjepa.load_encoder("a")
    assert frozen.encode(torch.zeros(2, 3, 32, 48, dtype=torch.uint8)).pooled.shape == (2, 20)
    trained, untrained = (openjepa.load_encoder("a", untrained=which).encoder.state_dict() for which in (False, True))
    assert not all(torch.equal(trained[name], untrained[name]) for name in trained)
    capsys.readouterr()
    assert main(["probe", "a", "--data", str(photos(Path("labelled"), 40, ("x", "y"))), "--probes", "knn"]) == 0
    assert main(["report", "a"]) == 0
    assert main(["convert", "a", "--to", "hf", "--out", "hf"]) == 2 and "a network of your own" in capsys.readouterr().err
    assert set(load_objective("a").state_dict()) > {f"encoder.{name}" for name in trained}


def test_a_run_with_it_is_stored_and_an_old_one_without_kind_is_read():
    run = replace(RUN, objective=JEPAConfig(encoder=OWN[0], predictor=PREDICTOR))
    assert from_dict(to_dict(run)) == run
    old = to_dict(RUN)
    assert old["objective"]["encoder"].pop("kind") == "EncoderConfig"
    assert from_dict(old) == RUN


def wrong(values, positions):
    return values


class Wrong(nn.Module):
    def forward(self, values, positions):
        return values


@pytest.mark.parametrize(
    ("own", "match"),
    [
        (OwnEncoder(module="nothing_there:build"), "cannot be imported"),
        (OwnEncoder(module=f"{__name__}:Absent"), "cannot be imported"),
        (OwnEncoder(module="no-colon"), "write module:object"),
        (OwnEncoder(module=f"{__name__}:photos"), "photos"),
        (config("Wrong", "tokens"), r"your network gives \[2, 24, 192\], \[2, 24, 20\] is wanted"),
        (config("OfTokens", "tokens"), "asked for the last 3 layers, the network gives 2"),
    ],
)
def test_what_is_no_encoder_says_so(own, match):
    with pytest.raises((ValueError, TypeError), match=match):
        Adapter(own, IMAGE).layers(IMAGE.patchify(torch.randn(2, 3, 32, 48)), 3 if "OfTokens" in own.module else 1)


def test_balance_is_refused_with_it():
    with pytest.raises(ValueError, match="drop balance"):
        JEPAConfig(encoder=OWN[0], balance=2.0)
    with pytest.raises(ValueError, match="set takes='images'"):
        OwnEncoder(module="hf:folder")


def dinov2(folder):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    settings = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 48, "patch_size": 8}
    model = transformers.Dinov2Model(transformers.Dinov2Config(**settings)).eval()
    model.save_pretrained(folder)
    return model


def test_a_backbone_of_transformers_gives_its_own_features(tmp_path):
    model = dinov2(tmp_path / "hf")
    image = Image(size=(48, 48), patch=(8, 8))
    adapter, x = Adapter(OwnEncoder(module=f"hf:{tmp_path / 'hf'}", takes="images", dim=24), image).eval(), torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        torch.testing.assert_close(adapter(image.patchify(x)).values, model(x).last_hidden_state[:, 1:], atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="transformers cannot open"):
        Adapter(OwnEncoder(module=f"hf:{tmp_path}", takes="images", dim=24), image)


def test_a_broken_torchvision_is_named_or_not_needed(tmp_path):
    """A torchvision that cannot be imported, as beside a torch of another build."""
    dinov2(tmp_path / "hf")
    theirs.saved(tmp_path / "w.pth", "ijepa")
    poisoned = tmp_path / "poison/torchvision"
    poisoned.mkdir(parents=True)
    (poisoned / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    (tmp_path / "poison/torchvision-0.1.dist-info").mkdir()
    (tmp_path / "poison/torchvision-0.1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.1\n")
    source = str(Path(openjepa.__file__).parents[1])
    env = os.environ | {"PYTHONPATH": f"{tmp_path / 'poison'}:{source}"}
    code = "import sys; from openjepa.cli.main import main; assert main(sys.argv[1:]) == 0; assert 'torchvision' not in sys.modules"
    command = [sys.executable, "-c", code, "convert", str(tmp_path / "w.pth"), "--heads", "3", "--out", str(tmp_path / "b")]
    subprocess.run(command, env=env, check=True, capture_output=True)  # ours needs neither
    code = (
        "import sys; from openjepa.models.own import body\n"
        "try:\n    body(sys.argv[1])\nexcept ValueError as error:\n    print(error)\nelse:\n    print('fine')"
    )
    done = subprocess.run([sys.executable, "-c", code, f"hf:{tmp_path / 'hf'}"], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "fine" in done.stdout or "because torchvision is broken (operator torchvision::nms does not exist)" in done.stdout
