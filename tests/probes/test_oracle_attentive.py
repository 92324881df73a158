"""V-JEPA 2's attentive classifier in transformers, its weights in ours: the same logits."""

import pytest
import torch

from openjepa.probes import attentive_heads as ours

transformers = pytest.importorskip("transformers")


@torch.no_grad()
@pytest.mark.parametrize("layers", [0, 3])
def test_the_classifier_of_transformers_says_the_same(layers):
    torch.manual_seed(0)
    config = transformers.VJEPA2Config(
        hidden_size=48, num_attention_heads=3, num_hidden_layers=1, pred_hidden_size=24, pred_num_attention_heads=1, crop_size=32,
        pred_num_hidden_layers=1, frames_per_clip=4, num_pooler_layers=layers, num_labels=7, layer_norm_eps=ours.EPS,
    )  # fmt: skip
    model = transformers.VJEPA2ForVideoClassification(config).eval()
    for p in model.parameters():
        p.copy_(0.2 * torch.randn_like(p))
    state = {**model.pooler.state_dict(), **{f"classifier.{name}": value for name, value in model.classifier.state_dict().items()}}
    used: set[str] = set()

    def take(name):
        used.add(name)
        value = state[name]
        return value.T if value.ndim == 2 else value

    weights = {}
    for name in ours.shapes(48, 7, layers + 1):
        words, kind = name.split("."), name.rpartition(".")[2]
        if words[0] == "query":
            weights[name] = take("query_tokens").reshape(-1)
        elif words[0] == "linear":
            weights[name] = take(f"classifier.{kind}")
        else:
            stem = "cross_attention_layer" if words[0] == "cross" else f"self_attention_layers.{words[1]}"
            part = words[-2]
            if part == "qkv":
                weights[name] = torch.cat([take(f"{stem}.self_attn.{x}_proj.{kind}") for x in "qkv"], -1)
            else:
                inside = {"norm1": "layer_norm1", "norm2": "layer_norm2", "fc1": "mlp.fc1", "fc2": "mlp.fc2", "proj": "self_attn.out_proj"}
                inside |= {x: f"cross_attn.{x}_proj" for x in "qkv"}
                weights[name] = take(f"{stem}.{inside[part]}.{kind}")
    assert used == set(state)
    x = torch.randn(5, 11, 48)
    want = model.classifier(model.pooler(x))
    got = ours.logits({name: value[None].contiguous() for name, value in weights.items()}, x, None, 3, layers + 1)[0]
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)
