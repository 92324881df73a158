"""The predictor: what is at these places, given the context? MAE's decoder asks the same in pixels."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Shaped
from torch import Tensor, nn

from openjepa.models.encoder import run
from openjepa.models.positions import Code, Order, sincos
from openjepa.models.rope import Style, rotations
from openjepa.models.transformer import Block, Residual, attended, initialise
from openjepa.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class PredictorConfig:
    """A narrow transformer between two linear maps (I-JEPA, arXiv:2301.08243, section 3)."""

    dim: int = 384
    depth: int = 6
    heads: int = 6  # I-JEPA: as many as the encoder has
    mlp: float = 4.0
    position: Code = "sincos"  # as the encoder's
    position_scale: float = 1.0
    position_order: Order = "column-first"
    rope_style: Style = "interleaved"
    init_std: float | None = 0.02  # of linear weights; None: Xavier-uniform, as MAE
    init_rescale: bool = False
    zero_mask_token: bool = False  # mask tokens start at 0, as V-JEPA's; else N(0, init_std)
    norm_eps: float = 1e-6  # of every layer norm
    residual: Residual = "compute"  # as the encoder's
    checkpointing: bool = False


class Predictor(nn.Module):
    """Context tokens and places to asked-for vectors. It is told where, never what."""

    def __init__(self, config: PredictorConfig, context_dim: int, out_dim: int, mask_tokens: int = 1) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Linear(context_dim, config.dim)
        self.mask_token = nn.Parameter(torch.zeros(mask_tokens, 1, config.dim))  # one per mask configuration
        self.blocks = nn.ModuleList(Block(config.dim, config.heads, config.mlp, config.norm_eps) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim, eps=config.norm_eps)
        self.proj = nn.Linear(config.dim, out_dim)
        initialise(self, config.init_std, config.init_rescale)
        if not config.zero_mask_token:
            nn.init.normal_(self.mask_token, std=config.init_std or 0.02)

    def forward(
        self,
        context: Tokens,
        where: Float32[Tensor, "b blocks t axes"],
        valid: Bool[Tensor, "b blocks t"] | None = None,
        token: int = 0,
        placeless: Float[Tensor, "b c d"] | None = None,
    ) -> Float[Tensor, "b blocks t out"]:
        """Each block of places is answered on its own from the same context, all in one batched call.

        `placeless` is more context without a place: the encoder's class token.

        `valid` is False where a block of places is padded: no answer depends on such a place. `token`
        says which mask token asks.
        """
        context, (b, blocks, t, _) = context.blank(), where.shape
        if valid is not None:
            where = where.masked_fill(~valid[..., None], 0)
        places = where.flatten(0, 1)
        known, asked, rope = self.stream(self.embed(context.values)), self.mask_token[token : token + 1], None
        if self.config.position == "rope":
            asked = asked.expand(len(places), t, -1)
            everywhere = torch.cat([for_each(context.positions, blocks), places], 1)
            rope = rotations(everywhere, self.config.dim // self.config.heads, self.config.rope_style)
        else:
            known = known + self.code(context.positions, known.dtype)
            asked = asked + self.code(places, known.dtype)
        keys = attended(real(context, valid, blocks, t))
        if placeless is not None and placeless.shape[1]:
            known = torch.cat([self.stream(self.embed(placeless)), known], 1)
            keys = None if keys is None else F.pad(keys, (placeless.shape[1], 0), value=True)
        x = torch.cat([for_each(known, blocks), asked.to(known.dtype)], 1)
        recompute = self.config.checkpointing and self.training
        for block in self.blocks[:-1]:
            x = run(block, x, recompute, None, rope, keys)
        # Only the answers leave the last block, so only they are computed in it
        x = run(self.blocks[-1], x, recompute, t, rope, keys)
        out: Tensor = self.proj(self.norm(x.to(self.norm.weight.dtype))).unflatten(0, (b, blocks))
        return out

    def stream(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        return x.float() if self.config.residual == "float32" else x

    def code(self, positions: Float32[Tensor, "b n axes"], dtype: torch.dtype) -> Float[Tensor, "b n d"]:
        return (self.config.position_scale * sincos(positions, self.config.dim, self.config.position_order)).to(dtype)


def for_each(x: Shaped[Tensor, "b ..."], blocks: int) -> Shaped[Tensor, "samples ..."]:
    """What belongs to a sample, once for each of its blocks."""
    return x[:, None].expand(-1, blocks, *x.shape[1:]).flatten(0, 1)


def real(context: Tokens, valid: Bool[Tensor, "b blocks t"] | None, blocks: int, t: int) -> Bool[Tensor, "samples n"] | None:
    """Which tokens of context and block are no padding, for every block; None: all of them."""
    if context.valid is None and valid is None:
        return None
    here = context.values.new_ones(1, dtype=torch.bool)
    known = here.expand(context.values.shape[:2]) if context.valid is None else context.valid
    asked = here.expand(len(known) * blocks, t) if valid is None else valid.flatten(0, 1)
    return torch.cat([for_each(known, blocks), asked], 1)
