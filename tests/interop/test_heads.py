"""Classifiers of others come in with their encoder and say the same as in their own code."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

import openjepa
from openjepa import recipes
from openjepa.checkpoint import load_encoder
from openjepa.cli.main import main
from openjepa.interop.convert import convert
from openjepa.interop.families import Asked
from openjepa.interop.key_report import Mismatch
from openjepa.probes import attentive_heads
from openjepa.probes.heads import FOLDER, heads_in, load_head
from tests.interop import theirs
from tests.interop.test_hugging_face import SMALL, VIT, made
from tests.models import test_golden_vjepa as a2
from tests.models.test_golden_ijepa import check
from tests.probes.test_golden_attentive import GOLDEN, filled, official

VIDEO = {"patch_size": 16, "crop_size": 64, "frames_per_clip": 4, "pred_hidden_size": 24, "pred_num_attention_heads": 1}
NAMES = dict(enumerate(("cut", "pour", "stir", "open", "close", "lift", "drop")))


def only_head(bundle):
    (listed,) = heads_in(bundle)
    return load_head(listed.path)


@torch.no_grad()
@pytest.mark.parametrize("layers", [0, 3])
def test_a_video_classifier_of_transformers_says_the_same(tmp_path, layers):
    """Pixels in, logits out, through both; eps, attention heads and class names are those of its config."""
    config = {**SMALL, **VIDEO, "num_pooler_layers": layers, "pred_num_hidden_layers": 1, "id2label": NAMES, "layer_norm_eps": 1e-3}
    model = made("VJEPA2ForVideoClassification", "VJEPA2Config", tmp_path / "hf", **config)
    found = convert(tmp_path / "hf", tmp_path / "ours", recipe=recipes.load)
    assert not found.report["unused"] and any("classifier of 7 classes" in note for note in found.notes)
    head, encoder = only_head(found.path), load_encoder(found.path)
    x = torch.randint(0, 256, (1, 3, 4, 64, 64), dtype=torch.uint8)
    seen = head.encode(encoder, x)
    pixels = encoder.modality.unpatchify(encoder.modality.patchify(x).values)
    wanted = model(pixel_values_videos=pixels.transpose(1, 2)).logits
    torch.testing.assert_close(head.logits(seen), wanted, atol=1e-5, rtol=1e-5)
    assert head.answer(seen).part("classes").best == model.config.id2label[int(wanted.argmax())]


@torch.no_grad()
def test_an_image_classifier_of_transformers_says_the_same(tmp_path):
    model = made("IJepaForImageClassification", "IJepaConfig", tmp_path / "hf", **VIT, id2label=dict(list(NAMES.items())[:5]))
    model.ijepa.embeddings.position_embeddings.copy_(theirs.table(48, (4, 4), "ijepa"))
    model.save_pretrained(tmp_path / "hf")
    found = convert(tmp_path / "hf", tmp_path / "ours", recipe=recipes.load)
    head, encoder = only_head(found.path), load_encoder(found.path)
    x = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    pixels = encoder.modality.unpatchify(encoder.modality.patchify(x).values)
    torch.testing.assert_close(head.logits(head.encode(encoder, x)), model(pixel_values=pixels).logits, atol=1e-5, rtol=1e-5)
    assert head.info.kind == "linear" and head.info.classes == ("cut", "pour", "stir", "open", "close")
    assert head.info.parameters == 48 * 5 + 5 and encoder.run.objective.encoder.norm_eps == 1e-12


def test_half_a_classifier_is_refused(tmp_path):
    made("VJEPA2ForVideoClassification", "VJEPA2Config", tmp_path / "hf", **SMALL, **VIDEO, num_pooler_layers=1, pred_num_hidden_layers=1)
    state = load_file(tmp_path / "hf/model.safetensors")
    del state["pooler.cross_attention_layer.mlp.fc1.weight"]
    state["pooler.norm.weight"] = torch.ones(48)
    save_file(state, tmp_path / "hf/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(Mismatch, match=r"missing 1: pooler.cross_attention_layer.mlp.fc1.weight\n  unexpected 1: pooler.norm.weight"):
        convert(tmp_path / "hf", tmp_path / "ours", recipe=recipes.load)
    assert not (tmp_path / "ours").exists()


def probe_file(path, depth, count=1):
    """As V-JEPA 1 (depth 1: one classifier) and V-JEPA 2 (depth 4: a list) save it, filled as the spec's goldens."""
    shapes = official(depth, unused=depth == 1)
    state = {}
    for j, name in enumerate(sorted(shapes)):
        shape = (1, 1, *shapes[name]) if "query" in name else shapes[name]
        v = 0.1 * torch.sin(0.7 * torch.arange(torch.Size(shape).numel(), dtype=torch.float64) + 1.1 * j)
        state[f"module.{name}"] = (v + 1 if "norm" in name and name.endswith("weight") else v).float().reshape(shape)
    rest = {"opt": {"state": {}}, "epoch": 20, "batch_size": 4, "world_size": 1}
    other = {name: torch.zeros_like(value) for name, value in state.items()}
    torch.save(({"classifier": state} if depth == 1 else {"classifiers": [state, *[other] * (count - 1)]}) | rest, path)
    return path


def asked(family, probe, **more):
    return Asked(
        heads=3, predictor_heads=3 if family == "vjepa" else 1, size=(64, 64), frames=4, which="context", probe=probe, probe_heads=3, **more
    )


@torch.no_grad()
@pytest.mark.parametrize(("family", "depth"), [("vjepa", 1), ("vjepa2", 4)])
def test_official_probes_compute_goldens_a2_and_a3(tmp_path, family, depth):
    """Encoder file and probe file in, the official logits out."""
    probe = probe_file(tmp_path / "k400-probe.pth.tar", depth)
    found = convert(theirs.saved(tmp_path / "w.pth", family), tmp_path / "ours", asked=asked(family, probe), recipe=recipes.load)
    head, encoder = only_head(found.path), load_encoder(found.path)
    tokens = encoder.encoder(a2.GRID.patchify(a2.wave(2, 3, 4, 64, 64))).values
    said = attentive_heads.logits(head.weights, tokens, None, *head.how)[0]
    check(said, (2, 7), *GOLDEN[depth])
    assert {name: value.shape for name, value in head.weights.items()} == {
        name: value.shape for name, value in filled(depth, depth == 1)[0].items()
    }
    assert (head.info.question, head.info.classes) == ("k400-probe", tuple("0123456"))
    assert head.info.settings["eps"] == 1e-5 and len(head.info.source["sha256"]) == 64
    assert any("trained on the target encoder" in note for note in found.notes)


def test_of_several_probes_the_first_is_taken_and_that_is_said(tmp_path):
    (tmp_path / "names.txt").write_text("\n".join(NAMES.values()) + "\n")
    told = asked("vjepa2", probe_file(tmp_path / "ssv2.pt", 4, count=3), classes=tmp_path / "names.txt")
    found = convert(theirs.saved(tmp_path / "w.pth", "vjepa2"), tmp_path / "ours", asked=told, recipe=recipes.load)
    assert any("ssv2.pt: the file holds 3 probes" in note for note in found.notes)
    head = only_head(found.path)
    assert head.weights["query"].abs().sum() > 0 and head.info.classes == tuple(NAMES.values())
    card = (found.path / "README.md").read_text()
    assert f"| ssv2-attentive-0 | attentive | ssv2 | 7 | {head.info.parameters:,} | not measured here |" in card


def test_a_probe_joins_a_bundle_and_heads_stay_with_it(tmp_path, capsys):
    theirs.saved(tmp_path / "w.pth", "vjepa")
    probe_file(tmp_path / "k400.pth.tar", 1)
    convert(tmp_path / "w.pth", tmp_path / "a", asked=Asked(heads=3), recipe=recipes.load)
    a, b, c = (str(tmp_path / name) for name in "abc")
    assert main(["convert", a, "--out", b, "--probe", str(tmp_path / "k400.pth.tar")]) == 0
    assert main(["convert", b, "--out", c]) == 0
    head = load_head(tmp_path / "c" / FOLDER / "k400-attentive-0.safetensors")
    encoder = openjepa.load_encoder(c)
    assert head.info.encoder.sha256 == encoder.sha256 and head.info.settings["heads"] == 3
    assert len(head.answer(head.encode(encoder, torch.zeros(1, 3, 4, 64, 64, dtype=torch.uint8))).part("classes").names) == 7
    assert main(["convert", a, "--out", f"{c}2", "--to", "torch-export", "--probe", str(tmp_path / "k400.pth.tar")]) == 2
    assert "becomes a head of a bundle" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda told, folder: replace(told, probe=folder / "nothing.pt"), "no file .*nothing.pt"),
        (lambda told, folder: replace(told, probe=folder / "w.pth"), "holds encoder, .*classifier or classifiers"),
        (lambda told, folder: replace(told, probe_heads=7), "do not split into 7 attention heads of the probe; say --probe-heads"),
        (lambda told, folder: replace(told, classes=folder / "two.txt"), "has 2 lines, the probe 7 classes"),
        (lambda told, folder: replace(told, classes=folder / "none.txt"), "none.txt cannot be read"),
    ],
)
def test_what_is_no_probe_of_this_encoder_is_refused(tmp_path, spoil, match):
    theirs.saved(tmp_path / "w.pth", "vjepa")
    (tmp_path / "two.txt").write_text("a\nb\n")
    told = spoil(asked("vjepa", probe_file(tmp_path / "k400.pth", 1)), tmp_path)
    with pytest.raises(ValueError, match=match):
        convert(tmp_path / "w.pth", tmp_path / "ours", asked=told, recipe=recipes.load)
    assert not (tmp_path / "ours").exists()


def test_a_probe_of_a_wider_encoder_is_refused_by_name(tmp_path):
    theirs.saved(tmp_path / "w.pth", "vjepa", dim=24, inner=12)
    with pytest.raises(Mismatch, match=r"pooler.query_tokens \[1, 1, 48\], \[1, 1, 24\] is wanted"):
        told = asked("vjepa", probe_file(tmp_path / "k400.pth", 1))
        convert(tmp_path / "w.pth", tmp_path / "ours", asked=told, recipe=recipes.load)
