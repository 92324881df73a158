"""The published MAE training step (arXiv:2111.06377), transcribed in our own words: the baseline of mae.py.

Plain on purpose: every patch is embedded before three quarters are dropped, the decoder runs all its
blocks on all places, every patch is scored and the visible ones are weighted with zero. Without the
class token, which ours has not either, so that both compute the same loss.
"""

import torch
from torch import Tensor, nn

from benchmarks.official_step import Layer, position_code
from openjepa.objectives.mae import MAE


class OfficialMAE(nn.Module):
    """Encoder, decoder and one training step, from the same weights as `ours`."""

    def __init__(self, ours: MAE, places: Tensor, lr: float, autocast: bool) -> None:
        super().__init__()
        e, d, self.patch = ours.config.encoder, ours.config.decoder, ours.modality.patch[0]
        self.stem = nn.Conv2d(3, e.dim, self.patch, self.patch)
        self.layers = nn.ModuleList(Layer(e.dim, e.heads, round(e.dim * e.mlp)) for _ in range(e.depth))
        self.norm, self.embed = nn.LayerNorm(e.dim, eps=1e-6), nn.Linear(e.dim, d.dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, d.dim))
        self.decoder = nn.ModuleList(Layer(d.dim, d.heads, round(d.dim * d.mlp)) for _ in range(d.depth))
        self.decoder_norm, self.head = nn.LayerNorm(d.dim, eps=1e-6), nn.Linear(d.dim, 3 * self.patch**2)
        self.register_buffer("code", position_code(places, e.dim))
        self.register_buffer("decoder_code", position_code(places, d.dim))
        self.copy(ours)
        groups = [
            {"params": [p for p in self.parameters() if p.ndim > 1]},
            {"params": [p for p in self.parameters() if p.ndim == 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=lr, weight_decay=0.05, betas=(0.9, 0.95))
        self.autocast = autocast

    @torch.no_grad()
    def copy(self, ours: MAE) -> None:
        for mine, theirs in ((self.layers, ours.encoder.blocks), (self.decoder, ours.decoder.blocks)):
            for layer, block in zip(mine, theirs, strict=True):
                for name in ("norm1", "norm2", "fc1", "fc2"):
                    getattr(layer, name).load_state_dict(getattr(block, name).state_dict())
                layer.attn.qkv.load_state_dict(block.qkv.state_dict())
                layer.attn.proj.load_state_dict(block.proj.state_dict())
        self.stem.weight.copy_(ours.encoder.embed.weight.reshape(-1, self.patch, self.patch, 3).permute(0, 3, 1, 2))
        self.stem.bias.copy_(ours.encoder.embed.bias)
        self.mask_token.copy_(ours.decoder.mask_token)
        pairs = (self.norm, ours.encoder.norm), (self.embed, ours.decoder.embed), (self.decoder_norm, ours.decoder.norm)
        for mine, theirs in (*pairs, (self.head, ours.decoder.proj)):
            mine.load_state_dict(theirs.state_dict())

    def loss(self, images: Tensor, context: Tensor) -> Tensor:
        """images float [b 3 h w], context [b k]: the visible patches."""
        x = self.stem(images).flatten(2).transpose(1, 2) + self.code
        b, n, _ = x.shape
        x = x.gather(1, context[..., None].expand(-1, -1, x.shape[-1]))
        for layer in self.layers:
            x = layer(x)
        x = self.embed(self.norm(x))
        full = self.mask_token.to(x.dtype).repeat(b, n, 1).scatter(1, context[..., None].expand(-1, -1, x.shape[-1]), x)
        full = full + self.decoder_code
        for layer in self.decoder:
            full = layer(full)
        guesses = self.head(self.decoder_norm(full))
        hidden = torch.ones(b, n, device=x.device).scatter(1, context, 0.0)
        error = (guesses - self.goals(images)).square().mean(-1)
        return (error * hidden).sum() / hidden.sum()

    def goals(self, images: Tensor) -> Tensor:
        """Each patch, (row, column, channel) inside it, normalised by its own mean and variance."""
        b, _, h, w = images.shape
        p = self.patch
        cut = images.reshape(b, 3, h // p, p, w // p, p).permute(0, 2, 4, 3, 5, 1).reshape(b, -1, 3 * p * p)
        return (cut - cut.mean(-1, keepdim=True)) / (cut.var(-1, keepdim=True) + 1e-6) ** 0.5

    def step(self, images: Tensor, context: Tensor) -> float:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.autocast):
            loss = self.loss(images, context)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()
