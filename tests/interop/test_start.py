"""Training that starts from weights of others, and encoders from anywhere by one call."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import openjepa
from openjepa import recipes
from openjepa.checkpoint import load_objective, load_run
from openjepa.cli.main import main
from openjepa.cli.settings import command
from openjepa.interop.convert import convert
from openjepa.interop.families import Asked
from openjepa.start import adopt
from tests.interop import theirs
from tests.tiny import photos

WORDS = ["--batch-size", "4", "--device", "cpu", "--precision", "float32", "--workers", "0", "--data.cache", "off", "-q"]


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    theirs.saved(tmp_path / "w.pth.tar", "ijepa")
    photos(tmp_path / "photos", 12)
    return convert(tmp_path / "w.pth.tar", tmp_path / "b", asked=Asked(heads=3), recipe=recipes.load).path


MASKS = ["--objective.masks.kind", "Random"]  # 4 x 4 places are few for blocks


def test_a_run_starts_from_a_bundle_predictor_included(bundle, capsys):
    words = [
        "train",
        "image.ijepa",
        "--init",
        "b",
        "--data",
        "photos",
        "--steps",
        "1",
        "--optimizer.lr.peak",
        "0",
        "--optimizer.lr.start",
        "0",
    ]
    assert main([*words, "--optimizer.lr.final", "0", *MASKS, "--objective.momentum.start", "1", *WORDS, "--out", "a"]) == 0
    first, then = (load_objective(folder).state_dict() for folder in (bundle, Path("a")))
    assert first.keys() == then.keys()
    for name, value in first.items():  # a rate of 0 moves nothing: what is there is what came
        assert torch.equal(then[name], value), name
    floor = openjepa.load_encoder("a", untrained=True).encoder.state_dict()
    assert not any(torch.equal(floor[name], then[f"target_encoder.{name}"]) for name in floor if name.endswith("qkv.weight"))
    assert load_run("a").info["command"].startswith("openjepa train image.ijepa --init b --")
    assert main(["probe", "a", "--data", str(photos(Path("labelled"), 40, ("x", "y"))), "--probes", "knn", "-q"]) == 0


def test_the_doctor_looks_at_such_a_run(bundle, capsys):
    assert main(["doctor", "image.ijepa", "--init", "b", "--data", "photos", "--batch-size", "4", *MASKS, "--workers", "0"]) == 0
    size = sum(p.numel() for p in openjepa.load_encoder("b").encoder.parameters())  # not the recipe's 21 million
    assert f"parameters: encoder {size:,}," in capsys.readouterr().out


def test_the_command_of_such_a_run_reads_back_equal(bundle):
    base = recipes.load("image.ijepa")
    run = replace(adopt(base, "b"), steps=7)
    words = command("image.ijepa", base, run)
    assert words == ["openjepa", "train", "image.ijepa", "--init", "b", "--steps", "7"]


def test_training_goes_on_and_resumes_without_the_bundle(bundle):
    words = ["train", "image.ijepa", "--init", "b", "--data", "photos", "--steps", "4", "--save-every", "2", *MASKS, *WORDS]
    assert main([*words, "--out", "whole"]) == 0 and main([*words, "--out", "part"]) == 0
    for path in sorted(Path("part/checkpoints").iterdir())[1:]:
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    (bundle / "run.json").unlink()
    assert main(["train", "--resume", "part", "-q"]) == 0
    a, b = (load_objective(folder).state_dict() for folder in ("whole", "part"))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["image.mae", "--init", "b"], "holds JEPAConfig on Image, the recipe is MAEConfig on Image"),
        (["video.vjepa", "--init", "b"], "the recipe is JEPAConfig on Video"),
        (["image.ijepa", "--init", "nowhere"], "no run folder nowhere"),
        (["image.ijepa", "--init", "b", "--objective.encoder.depth", "3"], "missing encoder.blocks.2"),
        (["image.ijepa", "--init", "b", "--objective.predictor.dim", "48"], "[24, 48], [48, 48] is wanted"),
        (["--init", "b", "--resume", "b"], "--init starts a run and --resume goes on with one"),
        (["--resume", "b"], "b is a bundle, not a run to go on with"),
    ],
)
def test_what_does_not_fit_is_refused(bundle, capsys, words, error):
    assert (
        main(["train", *words, "--data", "photos", "--steps", "1", *MASKS[: 0 if "mae" in words[0] or "--resume" in words else 2], *WORDS])
        == 2
    )
    assert error in capsys.readouterr().err
    assert not Path("runs").exists() or not list(Path("runs").iterdir())


def test_an_encoder_without_predictor_cannot_be_trained_on(bundle, capsys):
    saved = theirs.checkpoint("ijepa")
    torch.save({"encoder": saved["encoder"]}, "alone.pth")
    assert main(["convert", "alone.pth", "--heads", "3", "--out", "alone"]) == 0
    assert main(["train", "image.ijepa", "--init", "alone", "--data", "photos", "--steps", "1", *MASKS, *WORDS]) == 2
    assert "holds an encoder alone" in capsys.readouterr().err


def test_one_call_opens_files_folders_and_bundles(bundle):
    convert(bundle, Path("hf"), "hf", recipe=recipes.load)
    x = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    wanted = openjepa.load_encoder("b").encode(x).pooled
    assert torch.equal(openjepa.load_encoder("hf").encode(x).pooled, wanted)
    from openjepa.interop.load import load_encoder

    assert torch.equal(load_encoder("w.pth.tar", asked=Asked(heads=3)).encode(x).pooled, wanted)
    with pytest.raises(ValueError, match="convert it first"):
        openjepa.load_encoder("hf", untrained=True)
    for name in ("nowhere", "facebook/nothing-of-that-name"):
        with pytest.raises(ValueError, match="nowhere|--local-dir"):
            openjepa.load_encoder(name)


def test_the_hub_offline_says_what_to_do(monkeypatch, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.chdir(tmp_path)
    import httpx2 as httpx  # what huggingface_hub talks with

    def unreachable(*args, **kwargs):
        raise hub.errors.LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(hub, "snapshot_download", unreachable)
    with pytest.raises(ValueError, match=r"cannot be reached; download it elsewhere.*--local-dir ijepa_vith14_1k"):
        openjepa.load_encoder("facebook/ijepa_vith14_1k")

    def absent(*args, **kwargs):
        response = httpx.Response(404, request=httpx.Request("GET", "https://hub"))
        raise hub.errors.RepositoryNotFoundError("404", response=response)

    monkeypatch.setattr(hub, "snapshot_download", absent)
    with pytest.raises(ValueError, match=r"has no facebook/nothing that you may read \(404\)"):
        openjepa.load_encoder("facebook/nothing")
    assert json
