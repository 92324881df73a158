"""transformers as the oracle: its models' weights into ours and ours into its, the same numbers out of both."""

import json
import shutil

import pytest
import torch

from openjepa import recipes
from openjepa.checkpoint import load_encoder, load_objective
from openjepa.cli.main import main
from openjepa.interop.convert import convert
from openjepa.interop.families import Asked
from openjepa.tokens import Batch, Masks
from tests.interop import theirs

transformers = pytest.importorskip("transformers")
SMALL = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3}
VIT = {**SMALL, "intermediate_size": 192, "image_size": 64, "patch_size": 16}


def made(kind, config, folder, **more):
    """A random model of theirs, saved; every tensor random, biases and norms too, so that no mix-up goes unseen."""
    torch.manual_seed(0)
    model = getattr(transformers, kind)(getattr(transformers, config)(**more)).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "position_embeddings" not in name and "pos_embed" not in name:
                p.copy_(0.1 * torch.randn_like(p) + (1.0 if "norm" in name and name.endswith("weight") else 0.0))
    model.save_pretrained(folder)
    return model


def ijepa(folder):
    model = made("IJepaModel", "IJepaConfig", folder, **VIT, layer_norm_eps=1e-6)
    with torch.no_grad():  # theirs is a learnt table; the released weights hold the code
        model.embeddings.position_embeddings.copy_(theirs.table(48, (4, 4), "ijepa"))
    model.save_pretrained(folder)
    return model


def vjepa2(folder, **more):
    settings = {"patch_size": 16, "crop_size": 64, "frames_per_clip": 4, "pred_hidden_size": 24, "pred_num_attention_heads": 1}
    return made("VJEPA2Model", "VJEPA2Config", folder, **SMALL, **settings, pred_num_hidden_layers=2, pred_num_mask_tokens=3, **more)


def mae(folder, **more):
    decoder = {"decoder_hidden_size": 24, "decoder_num_hidden_layers": 2, "decoder_num_attention_heads": 3, "decoder_intermediate_size": 96}
    model = made("ViTMAEForPreTraining", "ViTMAEConfig", folder, **VIT, **decoder, norm_pix_loss=True, **more)
    with torch.no_grad():
        model.vit.embeddings.position_embeddings.copy_(theirs.table(48, (4, 4), "mae"))
        model.decoder.decoder_pos_embed.copy_(theirs.table(24, (4, 4), "mae"))
    model.save_pretrained(folder)
    return model


def taken(folder, out):
    return convert(folder, out, recipe=recipes.load).path


@torch.no_grad()
def test_ijepa_gives_transformers_features(tmp_path):
    model = ijepa(tmp_path / "hf")
    encoder = load_encoder(taken(tmp_path / "hf", tmp_path / "ours"))
    x = torch.randn(2, 3, 64, 64)
    got = encoder.encoder(encoder.modality.patchify(x)).values
    torch.testing.assert_close(got, model(pixel_values=x).last_hidden_state, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_vjepa2_gives_transformers_features_and_predictions(tmp_path):
    model = vjepa2(tmp_path / "hf")
    objective = load_objective(taken(tmp_path / "hf", tmp_path / "ours"))
    x = torch.randn(2, 3, 4, 64, 64)
    context, target = torch.tensor([[0, 5, 9, 30]] * 2), torch.tensor([[1, 2, 17]] * 2)
    theirs_out = model(pixel_values_videos=x.transpose(1, 2), context_mask=[context], target_mask=[target])
    patches = objective.modality.patchify(x)
    features = objective.encoder(patches)
    torch.testing.assert_close(features.values, theirs_out.last_hidden_state, atol=1e-5, rtol=1e-5)
    # theirs encodes everything, and gives the predictor the context's part of that; it asks with mask token 1
    where = patches.take(target).positions[:, None]
    got = objective.predictor(features.take(context), where, token=1)[:, 0]
    torch.testing.assert_close(got, theirs_out.predictor_output.last_hidden_state, atol=1e-5, rtol=1e-5)


def test_mae_gives_transformers_loss_and_gradients(tmp_path):
    model = mae(tmp_path / "hf")
    objective = load_objective(taken(tmp_path / "hf", tmp_path / "ours")).train()
    x, noise = torch.randn(2, 3, 64, 64), torch.rand(2, 16)
    loss = model(pixel_values=x, noise=noise).loss
    order = noise.argsort(1)
    masks = Masks(order[:, :4].sort(1).values, order[:, 4:].sort(1).values[:, None])
    ours = objective.loss(Batch((x,), (masks,)), 0.0).loss
    torch.testing.assert_close(ours, loss, atol=1e-5, rtol=1e-5)
    loss.backward()
    ours.backward()
    pairs = {
        "encoder.blocks.0.fc1.weight": model.vit.layers[0].mlp.fc1.weight,
        "encoder.class_token": model.vit.embeddings.cls_token,
        "decoder.mask_token": model.decoder.mask_token,
        "decoder.proj.weight": model.decoder.decoder_pred.weight,
        "decoder.blocks.1.proj.bias": model.decoder.decoder_layers[1].attention.o_proj.bias,
    }
    own = dict(objective.named_parameters())
    for name, other in pairs.items():
        torch.testing.assert_close(own[name].grad, other.grad, atol=1e-5, rtol=1e-4)
    kernel = model.vit.embeddings.patch_embeddings.projection.weight.grad
    torch.testing.assert_close(own["encoder.embed.weight"].grad, kernel.permute(0, 2, 3, 1).reshape(48, -1), atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(("family", "kind"), [("ijepa", "IJepaModel"), ("vjepa2", "VJEPA2Model"), ("mae", "ViTMAEForPreTraining")])
def test_official_to_ours_to_hugging_face_to_ours_to_the_bit(tmp_path, family, kind):
    theirs.saved(tmp_path / "w.pth", family)
    asked = Asked(heads=3, predictor_heads=1 if family == "vjepa2" else 3, size=(64, 64), frames=4)
    convert(tmp_path / "w.pth", tmp_path / "ours", asked=asked, recipe=recipes.load)
    assert convert(tmp_path / "ours", tmp_path / "hf", "hf", recipe=recipes.load).difference == 0
    model, info = getattr(transformers, kind).from_pretrained(tmp_path / "hf", output_loading_info=True)
    assert not any(info[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    again = load_encoder(taken(tmp_path / "hf", tmp_path / "again")).encoder.state_dict()
    first = load_encoder(tmp_path / "ours")
    for name, value in first.encoder.state_dict().items():
        assert torch.equal(again[name], value), name
    x = torch.randn(2, 3, *first.modality.size)
    ours = first.encoder(first.modality.patchify(x)).values
    if family == "ijepa":
        got = model(pixel_values=x).last_hidden_state
    elif family == "vjepa2":
        got = model(pixel_values_videos=x.transpose(1, 2), skip_predictor=True).last_hidden_state
    else:
        model.vit.config.mask_ratio = 0.0
        got = model.vit(pixel_values=x, noise=torch.arange(16.0).expand(2, -1)).last_hidden_state[:, 1:]
    torch.testing.assert_close(ours, got, atol=1e-5, rtol=1e-5)


def test_the_bare_encoder_of_mae_and_shards(tmp_path):
    model = mae(tmp_path / "whole")
    model.vit.save_pretrained(tmp_path / "bare", max_shard_size="100KB")
    assert len(list((tmp_path / "bare").glob("model-*.safetensors"))) > 1
    a, b = (load_encoder(taken(tmp_path / name, tmp_path / f"{name}-ours")).encoder.state_dict() for name in ("whole", "bare"))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "not valid JSON"),
        (lambda folder: (folder / "model.safetensors").unlink(), "download the weights"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"short"), "damaged or missing"),
        (lambda folder: change(folder, model_type="bert"), "a model of type 'bert'; ijepa, vjepa2, vit_mae"),
        (lambda folder: change(folder, patch_size=8), "of another shape"),
        (lambda folder: change(folder, num_hidden_layers=3), "missing 16"),
        (lambda folder: change(folder, num_hidden_layers=1), "unexpected 16"),
        (lambda folder: change(folder, hidden_act="gelu_new"), "only 'gelu'"),
        (lambda folder: change(folder, hidden_size=None), "config.json has no 'hidden_size'"),
    ],
)
def test_folders_that_do_not_fit_are_refused(tmp_path, spoil, match):
    ijepa(tmp_path / "hf")
    spoil(tmp_path / "hf")
    with pytest.raises(ValueError, match=match):
        convert(tmp_path / "hf", tmp_path / "ours", recipe=recipes.load)
    assert not (tmp_path / "ours").exists()


def change(folder, **entries):
    config = json.loads((folder / "config.json").read_text()) | entries
    config = {name: value for name, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config))


def test_v_jepa_1_has_no_model_there(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    theirs.saved(tmp_path / "w.pth", "vjepa")
    convert(tmp_path / "w.pth", tmp_path / "ours", asked=Asked(heads=3), recipe=recipes.load)
    assert main(["convert", "ours", "--to", "hf", "--out", "hf"]) == 2
    assert "transformers has no model of V-JEPA 1" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ours", "w.pth"]
    shutil.rmtree(tmp_path / "ours")
