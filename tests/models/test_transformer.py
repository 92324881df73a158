"""Attention and the block, each against another way to the same numbers."""

import math

import pytest
import torch

from openjepa.modalities.grid import Grid
from openjepa.models import transformer
from openjepa.models.encoder import Encoder, EncoderConfig
from openjepa.models.predictor import Predictor, PredictorConfig
from openjepa.models.transformer import Block, attention, initialise
from openjepa.tokens import Tokens


def qkv(dtype, tokens=(7, 11)):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, 5).to(dtype).requires_grad_() for n in (tokens[0], tokens[1], tokens[1]))
    return q, k, v


def by_loop(q, k, v):
    """Softmax attention one query at a time, float64."""
    out = torch.empty(q.shape, dtype=torch.float64)
    for b, h, t in torch.cartesian_prod(*(torch.arange(n) for n in q.shape[:3])).tolist():
        weights = (k[b, h].double() @ q[b, h, t].double() / math.sqrt(q.shape[-1])).exp()
        out[b, h, t] = (weights / weights.sum()) @ v[b, h].double()
    return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("long", [0, 10_000], ids=["fused", "matmul"])
def test_both_paths_are_softmax_attention(dtype, long, monkeypatch):
    monkeypatch.setattr(transformer, "LONG", long)
    q, k, v = qkv(dtype)
    tolerance = 1e-6 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(attention(q, k, v).double(), by_loop(q, k, v), atol=tolerance, rtol=tolerance)


def test_both_paths_have_the_same_gradient(monkeypatch):
    grads = []
    for long in (0, 10_000):
        monkeypatch.setattr(transformer, "LONG", long)
        q, k, v = qkv(torch.bfloat16)
        attention(q, k, v).float().square().sum().backward()
        grads.append([x.grad.float() for x in (q, k, v)])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, atol=5e-2, rtol=5e-2)


def test_the_rule_takes_matmuls_only_for_short_bf16_on_a_cpu(monkeypatch):
    used = []
    monkeypatch.setattr(transformer.F, "scaled_dot_product_attention", lambda q, k, v: used.append(1) or q)
    attention(*qkv(torch.float32))
    assert len(used) == 1
    attention(*qkv(torch.bfloat16))
    with torch.no_grad():
        attention(*qkv(torch.bfloat16))
    assert len(used) == 1
    attention(*qkv(torch.bfloat16, (3, 1000)))
    assert len(used) == 2


def test_a_block_is_its_formula():
    """Float64 with the error function written out, on small values, where the eps of the norm and the exact GELU show."""
    torch.manual_seed(0)
    block = Block(15, 3, 2.0).double()
    initialise(block, 0.5)
    x = 3e-3 * torch.randn(2, 11, 15, dtype=torch.float64)

    def norm(x, eps=1e-6):
        return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + eps).sqrt()

    q, k, v = (block.qkv(norm(x))).reshape(2, 11, 3, 3, 5).permute(2, 0, 3, 1, 4)
    attended = by_loop(q, k, v).transpose(1, 2).reshape(2, 11, 15)
    y = x + attended @ block.proj.weight.T
    z = norm(y) @ block.fc1.weight.T
    wanted = y + (z * 0.5 * (1 + torch.erf(z / math.sqrt(2)))) @ block.fc2.weight.T
    torch.testing.assert_close(block(x), wanted, atol=1e-9, rtol=1e-9)


def test_the_last_tokens_alone_are_the_last_tokens_of_all():
    torch.manual_seed(0)
    block, x = Block(15, 3, 2.0), torch.randn(2, 11, 15)
    initialise(block, 0.2)
    torch.testing.assert_close(block(x, last=4), block(x)[:, -4:], atol=1e-6, rtol=0)


def test_pruning_the_last_predictor_block_changes_nothing():
    torch.manual_seed(0)
    predictor = Predictor(PredictorConfig(dim=12, depth=2, heads=2, init_std=0.2), 10, 7)
    context, where = Tokens(torch.randn(2, 5, 10), torch.rand(2, 5, 2) * 9), torch.rand(2, 3, 4, 2) * 9
    x = torch.cat(
        [
            (predictor.embed(context.values) + predictor.code(context.positions, torch.float32))[:, None].expand(-1, 3, -1, -1),
            predictor.mask_token + predictor.code(where.flatten(0, 1), torch.float32).unflatten(0, (2, 3)),
        ],
        2,
    ).flatten(0, 1)
    for block in predictor.blocks:
        x = block(x)
    wanted = predictor.proj(predictor.norm(x[:, -4:])).unflatten(0, (2, 3))
    torch.testing.assert_close(predictor(context, where), wanted, atol=1e-6, rtol=0)


def test_layers_are_those_of_the_forward_pass():
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(dim=12, depth=3, heads=2), 10)
    patches = Tokens(torch.randn(2, 5, 10), torch.rand(2, 5, 2))
    layers = encoder.layers(patches, 3)
    assert torch.equal(layers[-1], encoder(patches).values)
    assert torch.equal(layers[-1], encoder.layers(patches, 1)[0])
    with pytest.raises(ValueError, match="last 4 layers of an encoder that has 3"):
        encoder.layers(patches, 4)


def test_recomputing_activations_gives_the_same_gradient():
    grads = []
    for recompute in (False, True):
        torch.manual_seed(0)
        encoder = Encoder(EncoderConfig(dim=12, depth=3, heads=2, checkpointing=recompute), 10)
        encoder(Tokens(torch.randn(2, 5, 10), torch.rand(2, 5, 2))).values.square().sum().backward()
        grads.append([p.grad for p in encoder.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_rescaling_divides_residual_branches_by_depth():
    encoder = []
    for rescale in (False, True):
        torch.manual_seed(0)
        encoder.append(Encoder(EncoderConfig(dim=12, depth=3, heads=2, init_rescale=rescale), 10))
    for layer, (plain, scaled) in enumerate(zip(encoder[0].blocks, encoder[1].blocks, strict=True), 1):
        torch.testing.assert_close(scaled.fc2.weight * math.sqrt(2 * layer), plain.fc2.weight)
        torch.testing.assert_close(scaled.proj.weight * math.sqrt(2 * layer), plain.proj.weight)
        assert torch.equal(scaled.fc1.weight, plain.fc1.weight)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="width 10 does not split into 3 heads"):
        Block(10, 3, 4.0)


def test_without_a_std_weights_are_xavier_uniform():
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(dim=60, depth=1, heads=2, init_std=None), 300)
    bound = math.sqrt(6 / (60 + 300))
    assert 0.98 * bound < encoder.embed.weight.abs().max() <= bound
    torch.testing.assert_close(encoder.embed.weight.std(), torch.tensor(bound / math.sqrt(3)), atol=2e-3, rtol=0)


def test_a_float32_stream_loses_less_in_bfloat16():
    """Sums of block outputs in float32, everything else in bfloat16: nearer to float32 than all of it in bfloat16, for encoder and predictor."""
    grid = Grid(channels=3, size=(64, 64), patch=(8, 8))
    patches, off = grid.patchify(torch.randn(4, 3, 64, 64)), {}
    where = patches.positions[:, None, :9]
    for residual in ("compute", "float32"):
        torch.manual_seed(0)
        encoder = Encoder(EncoderConfig(dim=48, depth=16, heads=3, residual=residual, init_std=0.2), grid.patch_dim)
        predictor = Predictor(PredictorConfig(dim=48, depth=16, heads=3, residual=residual, init_std=0.2), 48, 48)
        with torch.no_grad():
            exact = encoder(patches)
            guess = predictor(exact, where)
            context = encoder.bfloat16()(patches)
            assert context.values.dtype == torch.bfloat16
            off[residual] = ((context.values - exact.values).abs().mean(), (predictor.bfloat16()(context, where) - guess).abs().mean())
    assert off["float32"][0] < 0.8 * off["compute"][0] and off["float32"][1] < off["compute"][1]
