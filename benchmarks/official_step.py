"""The published I-JEPA training step, transcribed from its formulas in our own words: the baseline of step.py.

Plain on purpose: convolution stem, explicit softmax attention, one gather per mask, context rows
repeated per target block, AdamW as torch ships it, a Python loop for the moving average, bf16
through autocast. Written from the paper (arXiv:2301.08243) and a description of its code.
"""

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from openjepa.objectives.jepa import JEPA


def position_code(places: Tensor, dim: int) -> Tensor:
    """(row, column) to [sin | cos] of the column, then of the row, in float64 as numpy would."""
    half = dim // 2
    rates = 1.0 / 10_000.0 ** (torch.arange(half // 2, dtype=torch.float64) / (half / 2))
    parts = []
    for axis in (1, 0):
        angles = torch.outer(places[:, axis].double(), rates)
        parts += [torch.sin(angles), torch.cos(angles)]
    return torch.cat(parts, 1).float()


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        b, n, d = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) / math.sqrt(d // self.heads)).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(b, n, d))


class Layer(nn.Module):
    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


def apply_masks(x: Tensor, masks: list[Tensor]) -> Tensor:
    """Tokens of each mask, stacked along the batch."""
    return torch.cat([x.gather(1, m[..., None].expand(-1, -1, x.shape[-1])) for m in masks])


class Encoder(nn.Module):
    def __init__(self, dim: int, depth: int, heads: int, hidden: int, patch: int, places: Tensor) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, dim, patch, patch)
        self.register_buffer("code", position_code(places, dim))
        self.layers = nn.ModuleList(Layer(dim, heads, hidden) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, x: Tensor, masks: list[Tensor] | None = None) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2) + self.code
        if masks is not None:
            x = apply_masks(x, masks)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class Predictor(nn.Module):
    def __init__(self, outer: int, dim: int, depth: int, heads: int, hidden: int, places: Tensor) -> None:
        super().__init__()
        self.embed, self.proj = nn.Linear(outer, dim), nn.Linear(dim, outer)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.register_buffer("code", position_code(places, dim))
        self.layers = nn.ModuleList(Layer(dim, heads, hidden) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, z: Tensor, context: Tensor, targets: list[Tensor]) -> Tensor:
        code = self.code.expand(len(z), -1, -1)
        x = self.embed(z) + apply_masks(code, [context])
        asked = self.mask_token + apply_masks(code, targets)
        x = torch.cat([x.repeat(len(targets), 1, 1), asked], 1)
        for layer in self.layers:
            x = layer(x)
        return self.proj(self.norm(x)[:, z.shape[1] :])


class OfficialStep:
    """A whole training step from the same weights as `ours`."""

    def __init__(self, ours: JEPA, places: Tensor, lr: float, autocast: bool) -> None:
        e, p, patch = ours.config.encoder, ours.config.predictor, ours.modality.patch[0]
        self.encoder = Encoder(e.dim, e.depth, e.heads, round(e.dim * e.mlp), patch, places)
        self.predictor = Predictor(e.dim, p.dim, p.depth, p.heads, round(p.dim * p.mlp), places)
        self.copy(ours, patch)
        self.target = copy.deepcopy(self.encoder).requires_grad_(False)
        trained = [*self.encoder.parameters(), *self.predictor.parameters()]
        groups = [
            {"params": [p for p in trained if p.ndim > 1]},
            {"params": [p for p in trained if p.ndim == 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=lr, weight_decay=0.04)
        self.autocast = autocast

    @torch.no_grad()
    def copy(self, ours: JEPA, patch: int) -> None:
        for mine, theirs in ((self.encoder, ours.encoder), (self.predictor, ours.predictor)):
            for layer, block in zip(mine.layers, theirs.blocks, strict=True):
                for name in ("norm1", "norm2", "fc1", "fc2"):
                    getattr(layer, name).load_state_dict(getattr(block, name).state_dict())
                layer.attn.qkv.load_state_dict(block.qkv.state_dict())
                layer.attn.proj.load_state_dict(block.proj.state_dict())
            mine.norm.load_state_dict(theirs.norm.state_dict())
        kernel = ours.encoder.embed.weight.reshape(-1, patch, patch, 3).permute(0, 3, 1, 2)
        self.encoder.stem.weight.copy_(kernel)
        self.encoder.stem.bias.copy_(ours.encoder.embed.bias)
        self.predictor.embed.load_state_dict(ours.predictor.embed.state_dict())
        self.predictor.proj.load_state_dict(ours.predictor.proj.state_dict())
        self.predictor.mask_token.copy_(ours.predictor.mask_token)

    def __call__(self, images: Tensor, context: Tensor, targets: Tensor, momentum: float) -> float:
        """images float [b 3 h w], context [b k], targets [b blocks t]. Returns the loss, as the code does each step."""
        blocks = list(targets.unbind(1))
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.autocast):
            with torch.no_grad():
                h = self.target(images)
                h = apply_masks(F.layer_norm(h, (h.shape[-1],)), blocks)
            z = self.predictor(self.encoder(images, [context]), context, blocks)
            loss = F.smooth_l1_loss(z, h)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            for slow, fast in zip(self.target.parameters(), self.encoder.parameters(), strict=True):
                slow.data.mul_(momentum).add_((1.0 - momentum) * fast.detach().data)
        return float(loss.detach())
