"""Graphs that run without openjepa: written, opened again, compared; and refused where they cannot be."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import openjepa
from openjepa import recipes
from openjepa.checkpoint import load_encoder
from openjepa.cli.main import main
from openjepa.interop import export
from openjepa.interop.convert import convert
from openjepa.interop.families import Asked
from openjepa.train import train
from tests.interop import theirs
from tests.tiny import RUN, photos, run_on


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A trained run, and a bundle of each family."""
    folder = tmp_path_factory.mktemp("export")
    train(run_on(photos(folder / "data", 12), RUN), folder / "run")
    for family in ("vjepa2", "mae"):
        theirs.saved(folder / f"{family}.pth", family)
        asked = Asked(heads=3, predictor_heads=1 if family == "vjepa2" else 3, size=(64, 64), frames=4)
        convert(folder / f"{family}.pth", folder / family, asked=asked, recipe=recipes.load)
    return folder


def command(*words):
    """In a process of its own: the shape checks of the tests would fix the batch size of a traced graph."""
    env = os.environ | {"PYTHONPATH": str(Path(openjepa.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-m", "openjepa", "convert", "--json", *map(str, words)], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("family", ["run", "vjepa2"])
def test_torch_export_runs_without_openjepa(runs, tmp_path, family):
    assert command(runs / family, "--to", "torch-export", "--out", tmp_path / "e.pt2")["difference"] < 1e-5
    frozen = load_encoder(runs / family)
    x = torch.randn(5, 3, *frozen.modality.size)
    torch.save(x, tmp_path / "x.pt")
    code = (
        "import sys, torch; x = torch.load('x.pt'); torch.save(torch.export.load('e.pt2').module()(x), 'y.pt')\n"
        "assert 'openjepa' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    with torch.no_grad():
        wanted = frozen.encoder(frozen.modality.patchify(x)).values
    torch.testing.assert_close(torch.load(tmp_path / "y.pt"), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["mae"])
def test_onnx_runs_in_onnxruntime(runs, tmp_path, family):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    assert command(runs / family, "--to", "onnx", "--out", tmp_path / "e.onnx")["difference"] < 1e-4
    assert [path.name for path in tmp_path.iterdir()] == ["e.onnx"]  # weights inside
    frozen = load_encoder(runs / family)
    x = torch.randn(4, 3, *frozen.modality.size)
    (got,) = runtime.InferenceSession(str(tmp_path / "e.onnx")).run(None, {"views": x.numpy()})
    with torch.no_grad():
        wanted = frozen.encoder(frozen.modality.patchify(x)).values
    torch.testing.assert_close(torch.from_numpy(got), wanted, atol=1e-4, rtol=1e-4)


def test_a_graph_that_computes_something_else_is_not_written(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "through_onnx", lambda graph, example, other, path: path.write_bytes(b"x") * graph(other) + 0.001)
    with pytest.raises(ValueError, match="exported graph's features differ by 0.001"):
        convert(runs / "run", tmp_path / "e.onnx", "onnx", recipe=recipes.load)
    assert not list(tmp_path.iterdir())


def test_onnx_without_its_packages_names_the_extra(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert main(["convert", str(runs / "run"), "--to", "onnx", "--out", str(tmp_path / "e.onnx")]) == 2
    assert "openjepa[onnx]" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_run_becomes_a_bundle_with_a_card_of_what_was_measured(runs, tmp_path):
    found = convert(runs / "run", tmp_path / "bundle", recipe=recipes.load)
    a, b = (load_encoder(path).encoder.state_dict() for path in (runs / "run", found.path))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert "Nothing yet" in (found.path / "README.md").read_text()
    data = photos(tmp_path / "labelled", 40, ("cat", "dog"))
    assert main(["probe", str(found.path), "--data", str(data), "--probes", "knn", "-q"]) == 0
    again = convert(found.path, tmp_path / "again", recipe=recipes.load)
    card = (again.path / "README.md").read_text()
    assert "| labelled | class | knn | **" in card and "12 images" in card
    assert not list((again.path / "checkpoints").rglob("optimizer*"))


def test_a_run_that_no_other_code_computes_says_why(runs, tmp_path, capsys):
    """The tiny run's views are no squares."""
    assert main(["convert", str(runs / "run"), "--to", "hf", "--out", str(tmp_path / "hf")]) == 2
    assert "position tables are of squares" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
