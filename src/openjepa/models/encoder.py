"""The encoder: patches in, features out, positions untouched. Masking happened before it."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32
from torch import Tensor, nn

from openjepa.models.positions import Code, Order, sincos
from openjepa.models.rope import Style, rotations
from openjepa.models.transformer import Block, Residual, attended, initialise
from openjepa.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """A vision transformer (ViT, arXiv:2010.11929), by default without class token, as I-JEPA uses it."""

    dim: int = 384
    depth: int = 12
    heads: int = 6
    mlp: float = 4.0  # hidden over outer width of the MLP
    position: Code = "sincos"  # sincos: a code added to the patch embedding; rope: queries and keys turned in every block
    position_scale: float = 1.0  # multiplies the position code before it is added to the patch embedding
    position_order: Order = "column-first"  # of the axes in the added code
    rope_style: Style = "interleaved"  # official: the angles of V-JEPA 2's released weights, see models/rope.py
    rope_stretch: float = 1.0  # rows and columns count so much before they turn; under 1 in V-JEPA 2.1 on more places than 16 x 16
    init_std: float | None = 0.02  # of linear weights; None: Xavier-uniform, as MAE
    init_rescale: bool = False  # divide residual branches by sqrt(2 layer); I-JEPA's training undoes it
    norm_eps: float = 1e-6  # of every layer norm
    residual: Residual = "compute"  # float32: sums of block outputs in float32 under bfloat16, as I-JEPA and MAE; V-JEPA keeps bfloat16
    class_token: bool = False  # one more token that the others may attend to, learnt and without a place, as MAE's; no feature by itself
    checkpointing: bool = False  # recompute activations in backward: less memory, about a third more time

    def __post_init__(self) -> None:
        if self.class_token and self.position != "sincos":
            raise ValueError(f"class_token goes with position='sincos' alone, not {self.position!r}: rope has no place for it; drop one")


SIZES: dict[str, EncoderConfig] = {
    "tiny": EncoderConfig(dim=192, depth=12, heads=3),
    "small": EncoderConfig(dim=384, depth=12, heads=6),
    "base": EncoderConfig(dim=768, depth=12, heads=12),
    "large": EncoderConfig(dim=1024, depth=24, heads=16),
    "huge": EncoderConfig(dim=1280, depth=32, heads=16),
    "giant": EncoderConfig(dim=1408, depth=40, heads=16, mlp=48 / 11),
}


def vit(size: str, **changes: object) -> EncoderConfig:
    """A published size, with settings changed by name."""
    if size not in SIZES:
        raise ValueError(f"no ViT size {size!r}; there are {', '.join(SIZES)}")
    return replace(SIZES[size], **changes)  # type: ignore[arg-type]


class Encoder(nn.Module):
    """Tokens to tokens: linear patch embedding, position code, transformer blocks, layer norm.

    Padding is never attended to; what comes out at its places means nothing.
    """

    def __init__(self, config: EncoderConfig, patch_dim: int) -> None:
        super().__init__()
        self.config, self.dim = config, config.dim
        self.embed = nn.Linear(patch_dim, config.dim)
        self.blocks = nn.ModuleList(Block(config.dim, config.heads, config.mlp, config.norm_eps) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim, eps=config.norm_eps)
        initialise(self, config.init_std, config.init_rescale)
        if config.class_token:
            self.class_token = nn.Parameter(torch.empty(1, 1, config.dim).normal_(std=0.02))

    def forward(self, patches: Tokens) -> Tokens:
        """Features of the last layer, after the final norm."""
        return Tokens(self.layers(patches, 1)[-1], patches.positions, patches.valid)

    def classed(self, patches: Tokens) -> tuple[Tokens, Float[Tensor, "b c d"]]:
        """As forward, and the class token (c = 1) where there is one (else c = 0)."""
        x, first = self.outputs(patches, 1)[-1], int(self.config.class_token)
        return Tokens(x[:, first:], patches.positions, patches.valid), x[:, :first]

    def layers(self, patches: Tokens, last: int) -> list[Float[Tensor, "b n d"]]:
        """Outputs of the last `last` blocks, each through the final norm; [-1] is what forward returns."""
        return [x[:, int(self.config.class_token) :] for x in self.outputs(patches, last)]

    def outputs(self, patches: Tokens, last: int) -> list[Float[Tensor, "b m d"]]:
        """As `layers`, behind the class token where there is one."""
        if not 1 <= last <= len(self.blocks):
            raise ValueError(f"asked for the last {last} layers of an encoder that has {len(self.blocks)}")
        patches = patches.blank()
        x = self.embed(patches.values.to(self.embed.weight.dtype))
        if self.config.residual == "float32":
            x = x.float()
        rope, keys = None, attended(patches.valid)
        if self.config.position == "rope":
            rope = rotations(patches.positions, self.dim // self.config.heads, self.config.rope_style, self.config.rope_stretch)
        else:
            code = sincos(patches.positions, self.dim, self.config.position_order)
            x = x + (self.config.position_scale * code).to(x.dtype)
        if self.config.class_token:
            x = torch.cat([self.class_token.to(x.dtype).expand(x.shape[0], -1, -1), x], 1)
            keys = None if keys is None else F.pad(keys, (1, 0), value=True)
        outputs = []
        for i, block in enumerate(self.blocks):
            x = run(block, x, self.config.checkpointing and self.training, None, rope, keys)
            if i >= len(self.blocks) - last:
                outputs.append(self.norm(x.to(self.norm.weight.dtype)))
        return outputs


def run(
    block: nn.Module,
    x: Float[Tensor, "b n d"],
    recompute: bool,
    last: int | None = None,
    rope: Float32[Tensor, "2 b 1 n r"] | None = None,
    keys: Bool[Tensor, "#b 1 #q n"] | None = None,
) -> Float[Tensor, "b t d"]:
    """One block, keeping its activations or recomputing them in backward."""
    if recompute:
        from torch.utils.checkpoint import checkpoint

        return checkpoint(block, x, last, rope, keys, use_reentrant=False)  # type: ignore[no-any-return]
    return block(x, last, rope, keys)  # type: ignore[no-any-return]
