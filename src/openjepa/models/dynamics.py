"""The action-conditioned predictor of V-JEPA 2-AC: given frames, actions and states, what are the next frame's features?"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from openjepa.models.encoder import run
from openjepa.models.rope import Style, rotations
from openjepa.models.transformer import Block, initialise


@dataclass(frozen=True, kw_only=True)
class DynamicsConfig:
    """Defaults are the released model (arXiv:2506.09985, section 3)."""

    dim: int = 1024
    depth: int = 24
    heads: int = 16
    mlp: float = 4.0
    grid: tuple[int, int] = (16, 16)  # patches of a frame
    actions: int = 7  # numbers in an action: change of place, of rotation and of the gripper
    states: int = 7  # numbers in a state of the arm
    extrinsics: int = 6  # numbers of a camera, which the released model has a map for and does not use
    rope_style: Style = "official"
    norm_eps: float = 1e-6
    init_std: float | None = 0.02
    init_rescale: bool = True
    checkpointing: bool = False


class Dynamics(nn.Module):
    """Frame by frame [action, state, patches], each frame seeing itself and those before it; out come the next frames' patches."""

    def __init__(self, config: DynamicsConfig, features: int) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Linear(features, config.dim)
        self.action, self.state = nn.Linear(config.actions, config.dim), nn.Linear(config.states, config.dim)
        self.extrinsics = nn.Linear(config.extrinsics, config.dim)
        self.blocks = nn.ModuleList(Block(config.dim, config.heads, config.mlp, config.norm_eps) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim, eps=config.norm_eps)
        self.proj = nn.Linear(config.dim, features)
        initialise(self, config.init_std, config.init_rescale)

    def forward(
        self,
        frames: Float[Tensor, "b t n d"],
        actions: Float[Tensor, "b t a"],
        states: Float[Tensor, "b t s"],
        extrinsics: Float[Tensor, "b t e"] | None = None,
    ) -> Float[Tensor, "b t n d"]:
        """Features of frames 1..t, from frames 0..t-1, what was done in each and where the arm was.

        `frames` are patches of `grid` in raster order. ValueError for another number of them.
        """
        b, t, n, _ = frames.shape
        height, width = self.config.grid
        if n != height * width:
            raise ValueError(f"frames of {n} patches, the grid is {self.config.grid}; give {height * width}")
        told = [self.action(actions), self.state(states)] + ([] if extrinsics is None else [self.extrinsics(extrinsics)])
        x = torch.cat([torch.stack(told, 2), self.embed(frames)], 2)
        said = len(told)
        # What is told has a time and no place: angles of 0 leave the other parts of a head as they are
        lines = [torch.arange(length, dtype=torch.float32, device=frames.device) for length in (t, height, width)]
        places = torch.cartesian_prod(*lines).reshape(t, n, 3)
        times = torch.cat([places[:, :1, :1].expand(-1, said, -1), places.new_zeros(t, said, 2)], 2)
        where = torch.cat([times, places], 1).reshape(1, -1, 3).expand(b, -1, -1)
        rope = rotations(where, self.config.dim // self.config.heads, self.config.rope_style)
        seen = earlier(t, n + said, frames.device)
        x = x.flatten(1, 2)
        for block in self.blocks:
            x = run(block, x, self.config.checkpointing and self.training, None, rope, seen)
        out: Tensor = self.proj(self.norm(x.unflatten(1, (t, -1))[:, :, said:]))
        return out


def earlier(frames: int, tokens: int, device: torch.device) -> Bool[Tensor, "1 1 q k"]:
    """Which tokens a token may attend to: all of its own frame and of those before it."""
    frame = torch.arange(frames, device=device).repeat_interleave(tokens)
    return (frame[:, None] >= frame)[None, None]
