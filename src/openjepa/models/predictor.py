"""The predictor: what is at these places, given the context? MAE's decoder asks the same in pixels."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from openjepa.models.encoder import run
from openjepa.models.positions import Order, sincos
from openjepa.models.transformer import Block, initialise
from openjepa.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class PredictorConfig:
    """A narrow transformer between two linear maps (I-JEPA, arXiv:2301.08243, section 3)."""

    dim: int = 384
    depth: int = 6
    heads: int = 6  # I-JEPA: as many as the encoder has
    mlp: float = 4.0
    position_scale: float = 1.0
    position_order: Order = "column-first"
    init_std: float | None = 0.02  # of linear weights; None: Xavier-uniform, as MAE
    init_rescale: bool = False
    checkpointing: bool = False


class Predictor(nn.Module):
    """Context tokens and places to asked-for vectors. It is told where, never what."""

    def __init__(self, config: PredictorConfig, context_dim: int, out_dim: int) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Linear(context_dim, config.dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.dim))
        self.blocks = nn.ModuleList(Block(config.dim, config.heads, config.mlp) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim, eps=1e-6)
        self.proj = nn.Linear(config.dim, out_dim)
        initialise(self, config.init_std, config.init_rescale)
        nn.init.normal_(self.mask_token, std=config.init_std or 0.02)

    def forward(self, context: Tokens, where: Float32[Tensor, "b blocks t axes"]) -> Float[Tensor, "b blocks t out"]:
        """Each block of places is answered on its own from the same context, all in one batched call."""
        b, blocks, t, _ = where.shape
        known = self.embed(context.values)
        known = known + self.code(context.positions, known.dtype)
        asked = self.mask_token + self.code(where.flatten(0, 1), known.dtype)
        known = known[:, None].expand(-1, blocks, -1, -1).flatten(0, 1)
        x = torch.cat([known, asked], 1)
        recompute = self.config.checkpointing and self.training
        for block in self.blocks[:-1]:
            x = run(block, x, recompute)
        # Only the answers leave the last block, so only they are computed in it
        x = run(self.blocks[-1], x, recompute, last=t)
        out: Tensor = self.proj(self.norm(x)).unflatten(0, (b, blocks))
        return out

    def code(self, positions: Float32[Tensor, "b n axes"], dtype: torch.dtype) -> Float[Tensor, "b n d"]:
        return (self.config.position_scale * sincos(positions, self.config.dim, self.config.position_order)).to(dtype)
