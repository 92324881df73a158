"""The authors' layouts come in strictly, compute the official numbers, and go out again to the bit."""

import argparse
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import openjepa
from openjepa import recipes
from openjepa.checkpoint import load_encoder, load_objective, load_run
from openjepa.cli.main import main
from openjepa.interop.convert import convert
from openjepa.interop.families import Asked
from openjepa.interop.key_report import Mismatch
from openjepa.interop.load import load_dynamics
from openjepa.objectives.objective import take_blocks
from tests.interop import theirs
from tests.models import test_dynamics as a4
from tests.models import test_golden_ijepa as a1
from tests.models import test_golden_vjepa as a2

HEADS = {"ijepa": Asked(heads=3, which="context"), "vjepa": Asked(heads=3, which="context"), "mae": Asked(heads=3, predictor_heads=3)}
HEADS["vjepa2"] = Asked(heads=3, predictor_heads=1, which="context", size=(64, 64), frames=4)
FAMILIES = ("ijepa", "vjepa", "vjepa2", "mae")


def taken(tmp_path, family, asked=None, **changes):
    path = theirs.saved(tmp_path / "w.pth.tar", family, **changes)
    return convert(path, tmp_path / "bundle", asked=asked or HEADS[family], recipe=recipes.load)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_becomes_an_encoder_of_its_own_kind(tmp_path, family):
    found = taken(tmp_path, family)
    assert found.family == family and not found.report["missing"] and not found.report["unexpected"]
    run = load_run(found.path).run
    assert run.modality.size == ((64, 64) if family in ("ijepa", "mae") else (4, 64, 64))
    encoder = load_encoder(found.path)
    x = torch.randint(0, 256, (2, 3, *run.modality.size), dtype=torch.uint8)
    assert encoder.encode(x).tokens.shape == (2, 16 if len(run.modality.size) == 2 else 32, 48)
    other = load_encoder(found.path, untrained=True)
    assert not torch.equal(other.encode(x).tokens, encoder.encode(x).tokens)
    assert "CC-BY-NC" in (found.path / "README.md").read_text() or family == "vjepa2"


@torch.no_grad()
def test_ijepa_through_the_converter_computes_golden_a1(tmp_path):
    objective = load_objective(taken(tmp_path, "ijepa").path)
    encoder, predictor = objective.encoder, objective.predictor
    patches = a1.GRID.patchify(a1.wave(2, 3, 64, 64))
    a1.check(encoder(patches).values, (2, 16, 48), *a1.ENCODER)
    goals = F.layer_norm(encoder(patches).values, (48,))
    answers, wanted = [], []
    for p in (a1.P0, a1.P1):
        for e in (a1.E0, a1.E1):
            where = torch.tensor(p)[:, None]
            answers.append(predictor(encoder(patches.take(torch.tensor(e))), take_blocks(patches.positions, where))[:, 0])
            wanted.append(take_blocks(goals, where)[:, 0])
    found = torch.cat(answers)
    a1.check(found, (8, 3, 48), *a1.PREDICTOR)
    assert abs(F.smooth_l1_loss(found, torch.cat(wanted)).item() - a1.LOSS) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize(("family", "position"), [("vjepa", "sincos"), ("vjepa2", "rope")])
def test_vjepa_through_the_converter_computes_goldens_a2_and_a3(tmp_path, family, position):
    objective = load_objective(taken(tmp_path, family).path)
    patches = a2.GRID.patchify(a2.wave(2, 3, 4, 64, 64))
    whole, part = a2.ENCODER[position]
    a2.check(objective.encoder(patches).values, (2, 32, 48), *whole)
    context, where = objective.encoder(patches.take(a2.E)), patches.take(a2.P).positions[:, None]
    a2.check(context.values, (2, 5, 48), *part)
    for token, wanted in enumerate(a2.PREDICTOR[position]):
        a2.check(objective.predictor(context, where, token=token)[:, 0], (2, 3, 48), *wanted)


@pytest.mark.parametrize("family", FAMILIES)
def test_official_to_ours_to_official_is_the_same_to_the_bit(tmp_path, family):
    first = theirs.checkpoint(family)
    taken(tmp_path, family)
    back = convert(tmp_path / "bundle", tmp_path / "back.pth.tar", "official", recipe=recipes.load)
    assert back.difference == 0
    again = torch.load(tmp_path / "back.pth.tar", weights_only=True)
    for part in ("model",) if family == "mae" else ("encoder", "target_encoder", "predictor"):
        assert first[part].keys() == again[part].keys()
        for name, value in first[part].items():
            if "pos_embed" in name:
                torch.testing.assert_close(again[part][name], value, atol=1e-6, rtol=0)
            else:
                assert torch.equal(again[part][name], value), name


def test_target_or_context_encoder_is_a_choice(tmp_path):
    path, saved = theirs.saved(tmp_path / "w.pth.tar", "ijepa"), theirs.checkpoint("ijepa")
    for which, part in (("target", "target_encoder"), ("context", "encoder")):
        found = convert(path, tmp_path / which, asked=Asked(heads=3, which=which), recipe=recipes.load)
        kept = load_encoder(found.path).encoder.blocks[1].qkv.weight
        assert torch.equal(kept, saved[part]["module.blocks.1.attn.qkv.weight"])
        assert load_run(found.path).info["source"]["exported"] == which


def test_a_file_of_the_target_encoder_alone_has_no_context_encoder(tmp_path):
    saved = theirs.checkpoint("ijepa")
    del saved["encoder"]
    torch.save(saved, tmp_path / "w.pth")
    refused(
        tmp_path / "w.pth", tmp_path / "out", Asked(heads=3, which="context"), match="holds the target encoder alone; leave --which out"
    )
    found = convert(tmp_path / "w.pth", tmp_path / "out", asked=Asked(heads=3), recipe=recipes.load)
    kept = load_encoder(found.path).encoder.blocks[1].qkv.weight
    assert torch.equal(kept, saved["target_encoder"]["module.blocks.1.attn.qkv.weight"])


def test_a_position_table_of_another_size_is_computed_when_asked(tmp_path):
    found = taken(tmp_path, "ijepa", Asked(heads=3, size=(96, 32)))
    assert load_run(found.path).run.modality.size == (96, 32)
    assert load_encoder(found.path).encode(torch.zeros(1, 3, 96, 32, dtype=torch.uint8)).tokens.shape == (1, 12, 48)


def refused(path, out, asked=None, **kind):
    with pytest.raises(ValueError, match=kind["match"]) as error:
        convert(path, out, asked=asked or Asked(heads=3), recipe=recipes.load)
    assert not out.exists()
    return error.value


def test_half_a_checkpoint_is_refused_by_name(tmp_path):
    saved = theirs.checkpoint("ijepa")
    for name in [name for name in saved["predictor"] if "blocks.0" in name]:
        del saved["predictor"][name]
    torch.save(saved, tmp_path / "w.pth")
    error = refused(tmp_path / "w.pth", tmp_path / "out", match="missing 12: predictor.predictor_blocks.0.norm1.weight")
    assert isinstance(error, Mismatch) and len(error.report.missing) == 12


def test_what_is_unknown_or_of_another_shape_is_refused(tmp_path):
    saved = theirs.checkpoint("ijepa")
    saved["target_encoder"]["module.blocks.0.ls1.gamma"] = torch.ones(48)
    saved["encoder"]["module.norm.weight"] = torch.ones(47)
    torch.save(saved, tmp_path / "w.pth")
    error = refused(tmp_path / "w.pth", tmp_path / "out", match="unexpected 1: target_encoder.blocks.0.ls1.gamma")
    assert error.report.misfits == {"encoder.norm.weight": "[47], [48] is wanted"}


class Trap:
    def __reduce__(self):
        return os.system, ("touch trapped",)


def test_a_pickle_with_code_is_refused_and_nothing_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"encoder": Trap()}, "w.pth")
    refused(Path("w.pth"), Path("out"), match="such a file can run code")
    assert not Path("trapped").exists()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"state_dict": {"conv1.weight": torch.ones(2)}}, "holds state_dict"),
        ({"encoder": {"conv1.weight": torch.ones(2)}}, "no tensor patch_embed.proj.weight"),
        ([torch.ones(2)], "holds a list"),
    ],
)
def test_a_checkpoint_of_another_architecture_is_refused(tmp_path, content, match):
    torch.save(content, tmp_path / "w.pth")
    refused(tmp_path / "w.pth", tmp_path / "out", match=match)


@torch.no_grad()
def test_an_action_conditioned_checkpoint_computes_golden_a4(tmp_path):
    saved = theirs.checkpoint("vjepa2")
    saved["predictor"] = {f"module.{name}": value for name, value in a4.official().items()}
    torch.save(saved, tmp_path / "ac.pt")
    asked = Asked(heads=3, predictor_heads=3, size=(64, 64), frames=4)
    found = convert(tmp_path / "ac.pt", tmp_path / "b", asked=asked, recipe=recipes.load)
    assert found.family == "vjepa2-ac" and "action-conditioned" in " ".join(found.notes)
    given = a4.wave(2, 48, 48).unflatten(1, (3, 16)), a4.wave(2, 3, 7), a4.wave(2, 3, 7)
    answer = load_dynamics(found.path)(*given).flatten(1, 2)
    a4.check(answer, (2, 48, 48), 43.81433, 0.733298, [1.07455, -0.55518, -0.69659, 1.11823], [-0.07051, -0.86511, 0.88826, -0.42265])
    assert load_encoder(found.path).encode(torch.zeros(1, 3, 4, 64, 64, dtype=torch.uint8)).tokens.shape == (1, 32, 48)
    with pytest.raises(ValueError, match="no action-conditioned predictor"):
        load_dynamics(taken(tmp_path, "ijepa").path)


def of_2_1(dim=48):
    """V-JEPA 2.1's names (recipes 3.11): a norm per level, what is added to all tokens of a video, patches of single images."""
    shapes = {name: shape for name, shape in theirs.encoder_shapes(dim, 2, (2, 16, 16)).items() if not name.startswith("norm.")}
    shapes |= {f"norms_block.{level}.{kind}": (dim,) for level in range(4) for kind in ("weight", "bias")}
    shapes |= {"patch_embed_img.proj.weight": (dim, 3, 1, 16, 16), "patch_embed_img.proj.bias": (dim,)}
    return theirs.filled(shapes | {"video_mod_embed": (1, 1, dim), "img_mod_embed": (1, 1, dim)})


def slow_2_1(state, video, heads=3):
    """Its encoder by loops and plain rotations of pairs; rows and columns of a 4 x 4 grid are stretched to those of 16 x 16."""
    x = F.conv3d(video, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=(2, 16, 16))
    grid, dim = x.shape[2:], x.shape[1]
    x = x.flatten(2).transpose(1, 2) + state["video_mod_embed"]
    places = torch.cartesian_prod(*(torch.arange(g).double() for g in grid)) * torch.tensor([1.0, 15 / 3, 15 / 3]).double()
    width = dim // heads
    each = 2 * (width // 3 // 2)

    def turned(v):
        v = v.clone().double()
        for n in range(v.shape[2]):
            for axis in range(3):
                for k in range(each // 2):
                    angle = places[n, axis] * 10_000.0 ** (-k / (each // 2))
                    at = axis * each + 2 * k
                    a, b = v[:, :, n, at].clone(), v[:, :, n, at + 1].clone()
                    v[:, :, n, at], v[:, :, n, at + 1] = a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()
        return v.float()

    for i in range(2):
        part = {name.removeprefix(f"blocks.{i}."): value for name, value in state.items() if name.startswith(f"blocks.{i}.")}
        y = F.layer_norm(x, (dim,), part["norm1.weight"], part["norm1.bias"], 1e-6)
        q, k, v = F.linear(y, part["attn.qkv.weight"], part["attn.qkv.bias"]).unflatten(-1, (3, heads, width)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(turned(q), turned(k), v).transpose(1, 2).flatten(2)
        x = x + F.linear(y, part["attn.proj.weight"], part["attn.proj.bias"])
        y = F.layer_norm(x, (dim,), part["norm2.weight"], part["norm2.bias"], 1e-6)
        y = F.gelu(F.linear(y, part["mlp.fc1.weight"], part["mlp.fc1.bias"]))
        x = x + F.linear(y, part["mlp.fc2.weight"], part["mlp.fc2.bias"])
    return F.layer_norm(x, (dim,), state["norms_block.3.weight"], state["norms_block.3.bias"], 1e-6)


@torch.no_grad()
@pytest.mark.parametrize("key", ["target_encoder", "ema_encoder"])
def test_the_encoder_of_2_1_computes_what_its_paper_says(tmp_path, key):
    state = of_2_1()
    torch.save(
        {key: {f"module.backbone.{name}": value for name, value in state.items()}, "predictor": {"module.x": torch.ones(1)}},
        tmp_path / "21.pt",
    )
    found = convert(tmp_path / "21.pt", tmp_path / "b", asked=Asked(heads=3, size=(64, 64), frames=4), recipe=recipes.load)
    assert found.family == "vjepa2.1" and "predictor are not" in " ".join(found.notes)
    unused = found.report["unused"]
    assert len(unused) == 9 and all("inner level" in why or "single images" in why for why in unused.values())
    frozen = load_encoder(found.path)
    clip = torch.randint(0, 256, (2, 3, 4, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    wanted = slow_2_1(state, frozen.modality.prepare(clip))
    assert torch.allclose(frozen.encode(clip).tokens, wanted, atol=1e-5)
    with pytest.raises(ValueError, match="interleaved"):
        convert(found.path, tmp_path / "hf", to="hf", recipe=recipes.load)


def test_2_1_keeps_the_distances_of_its_training_at_384(tmp_path):
    """The published size, without being told: 24 places a side, on which 23 steps are as long as 15."""
    torch.save({"target_encoder": of_2_1()}, tmp_path / "21.pt")
    found = convert(tmp_path / "21.pt", tmp_path / "b", asked=Asked(heads=3), recipe=recipes.load)
    frozen = load_encoder(found.path)
    assert frozen.modality.size[1:] == (384, 384)
    assert frozen.encoder.config.rope_stretch == pytest.approx(15 / 23)
    refused(tmp_path / "21.pt", tmp_path / "c", Asked(heads=3, size=(64, 128)), match="square")


def test_a_file_cut_short_or_of_no_kind_is_refused(tmp_path):
    whole = theirs.saved(tmp_path / "w.pth", "ijepa").read_bytes()
    for name, data in {"cut": whole[: len(whole) // 2], "empty": b"", "text": b"hello"}.items():
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, tmp_path / "out", match="cut short")
    refused(tmp_path / "nothing.pth", tmp_path / "out", match="no file or folder")


def test_a_width_nobody_released_needs_its_heads(tmp_path):
    path = theirs.saved(tmp_path / "w.pth", "ijepa")
    refused(path, tmp_path / "out", Asked(), match="no released model has width 48.*--heads")
    refused(path, tmp_path / "out", Asked(heads=5), match="does not split into 5 attention heads")


@pytest.mark.parametrize(
    ("part", "name"), [("encoder", "pos_embed"), ("target_encoder", "pos_embed"), ("predictor", "predictor_pos_embed")]
)
def test_a_learnt_position_table_is_refused(tmp_path, part, name):
    saved = theirs.checkpoint("ijepa")
    saved[part][f"module.{name}"][0, 3] += 0.01
    torch.save(saved, tmp_path / "w.pth")
    refused(tmp_path / "w.pth", tmp_path / "out", match="is not the sine-cosine code")


@pytest.mark.parametrize("prefix", ["", "module.", "_fsdp_wrapped_module.", "_orig_mod.module."])
def test_names_that_wrappers_add_are_taken_off(tmp_path, prefix):
    saved = theirs.checkpoint("ijepa")
    for part in ("encoder", "target_encoder", "predictor"):
        saved[part] = {prefix + name.removeprefix("module."): value for name, value in saved[part].items()}
    torch.save(saved, tmp_path / "w.pth")
    found = convert(tmp_path / "w.pth", tmp_path / "out", asked=Asked(heads=3), recipe=recipes.load)
    assert len(found.report["matched"]) == 28 + 28 + 31


def test_bfloat16_weights_become_float32_and_are_said_to_have_been(tmp_path):
    saved = theirs.checkpoint("ijepa")
    for part in ("encoder", "target_encoder", "predictor"):
        saved[part] = {name: value if "pos_embed" in name else value.bfloat16() for name, value in saved[part].items()}
    torch.save(saved, tmp_path / "w.pth")
    found = convert(tmp_path / "w.pth", tmp_path / "out", asked=Asked(heads=3), recipe=recipes.load)
    weight = load_encoder(found.path).encoder.norm.weight
    assert weight.dtype == torch.float32 and torch.equal(weight, saved["target_encoder"]["module.norm.weight"].float())
    assert "bfloat16" in load_run(found.path).info["source"]["stored_as"]


def test_a_mae_file_with_its_command_line_and_one_without_decoder(tmp_path):
    saved = theirs.checkpoint("mae")
    torch.save(saved | {"args": argparse.Namespace(lr=1e-3, name="x")}, tmp_path / "full.pth")
    assert convert(tmp_path / "full.pth", tmp_path / "a", asked=HEADS["mae"], recipe=recipes.load).family == "mae"
    alone = {name: value for name, value in saved["model"].items() if not name.startswith("decoder_") and name != "mask_token"}
    torch.save({"model": alone}, tmp_path / "encoder.pth")
    found = convert(tmp_path / "encoder.pth", tmp_path / "b", asked=HEADS["mae"], recipe=recipes.load)
    assert any("no predictor" in note for note in found.notes)
    with pytest.raises(ValueError, match="holds an encoder alone"):
        load_objective(found.path)
    a, b = (load_encoder(tmp_path / name).encoder.state_dict() for name in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_the_command_and_its_errors(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    theirs.saved(Path("w.pth.tar"), "ijepa")
    assert main(["convert", "w.pth.tar", "--out", "b", "--heads", "3"]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == "b" and "87 tensors matched" in said.err and "CC-BY-NC" in said.err
    assert main(["convert", "w.pth.tar", "--out", "b", "--heads", "3"]) == 2 and "not empty" in capsys.readouterr().err
    assert main(["convert", "facebook/none-of-that", "--out", "c"]) == 2
    assert "--local-dir" in capsys.readouterr().err
    assert main(["convert", "w.pth.tar", "--ouy", "c"]) == 2 and "did you mean --out" in capsys.readouterr().err
    assert main(["runs"]) in (0, 2)


@pytest.mark.slow
def test_a_large_file_is_never_in_memory_twice(tmp_path):
    """Peak memory of a conversion stays under 1.3 x the file, counted in a process of its own."""
    path = theirs.saved(tmp_path / "w.pth.tar", "ijepa", dim=768, depth=12, inner=384)
    code = (
        "import resource, sys; from openjepa.cli.main import main; import openjepa.interop.convert\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert main(sys.argv[1:]) == 0\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    env = os.environ | {"PYTHONPATH": str(Path(openjepa.__file__).parents[1])}
    command = [sys.executable, "-c", code, "convert", str(path), "--out", str(tmp_path / "b"), "-q"]
    told = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.split()
    assert int(told[-1]) * 1024 < 1.3 * path.stat().st_size
    assert resource  # the unit is kilobytes on Linux
