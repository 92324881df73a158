"""Point clouds: clouds of any size to views of a fixed number of points, views to groups of neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from numpy.typing import NDArray
from torch import Tensor

from openjepa.draws import Rows, uniform
from openjepa.modalities.drawn import Drawn
from openjepa.modalities.modality import BadSample, Decoded, Modality
from openjepa.modalities.point_files import read_points
from openjepa.tokens import Tokens

SIDE = 256  # pixels of a picture


@dataclass(frozen=True, kw_only=True)
class Points(Modality):
    """Clouds of x, y, z in the unit sphere. A token is a group: a centre and its nearest neighbours relative to it.

    Centres by farthest-point sampling, as Point-JEPA (arXiv:2404.16432), which embeds a group with a small
    PointNet; here the neighbours, nearest first, are the token's numbers, and what embeds them is the
    encoder's linear map. Groups overlap, so a context token may hold points that a hidden one holds too.
    """

    kind: ClassVar[str] = "point clouds"
    suffixes: ClassVar[frozenset[str]] = frozenset({".npy", ".ply", ".xyz", ".txt", ".pts", ".off"})
    decoded_by: ClassVar[tuple[str, ...]] = ("size",)
    lossy: ClassVar[str] = "a point may be in several groups or in none"
    overlapping: ClassVar[str] = "groups share points, and where a group lies depends on all of them"
    placed_by_content: ClassVar[bool] = True

    channels: int = 3  # x, y, z
    size: tuple[int, ...] = (1024,)  # points in a view
    groups: int = 64  # tokens
    neighbours: int = 32  # points in a token, the centre among them
    unit: float = 0.1  # of the sphere's radius: the length that is 1 in positions and tokens, where sines tell neighbours apart
    order: Literal["greedy", "none"] = "greedy"  # greedy: each token's next is the nearest one left, so that a span of tokens is a region

    def __post_init__(self) -> None:
        if self.channels != 3 or len(self.size) != 1:
            raise ValueError(f"channels {self.channels} and size {self.size}; a cloud has 3 channels, and its size is one number of points")
        if min(self.groups, self.neighbours) < 1:
            raise ValueError(f"{self.groups} groups of {self.neighbours} neighbours; there must be 1 or more of each")
        self.places(self.size)
        if self.unit <= 0:
            raise ValueError(f"unit is {self.unit}; it is a length, above 0")

    @property
    def grid(self) -> tuple[int, ...]:
        """(groups,): one axis, along which tokens are near each other if order="greedy"."""
        return (self.groups,)

    @property
    def patch_dim(self) -> int:
        return 3 * self.neighbours

    def places(self, size: tuple[int, ...]) -> tuple[int, ...]:
        if len(size) != 1 or size[0] < max(self.groups, self.neighbours):
            raise ValueError(f"a view of {size} points is too small for {self.groups} groups of {self.neighbours}")
        return self.grid

    def decode(self, data: bytes | Sequence[bytes], at: float | None = None) -> Decoded:
        """The cloud in a file, float32 [3 n], centred and scaled into the unit sphere (see `unit_sphere`)."""
        if not isinstance(data, bytes):
            raise BadSample(f"{len(data)} files for one cloud")
        found = read_points(data)
        whole = np.isfinite(found).all(1)
        cloud = found[whole]
        if len(cloud) < self.size[0]:
            raise BadSample(f"{len(cloud)} points, fewer than the {self.size[0]} of a view; lower size")
        xyz, _, _ = unit_sphere(cloud)
        lost = len(found) - len(cloud)
        return Decoded(torch.from_numpy(xyz), f"{lost} of {len(found)} points are not finite and left out" if lost else None)

    def augment(self, samples: Sequence[Tensor] | Tensor, seed: int, step: int, rows: Rows) -> Float32[Tensor, "b 3 n"]:
        """A random subset of each cloud's points, pure in (seed, step, row)."""
        counts = [sample.shape[1] for sample in samples]
        return self.subset(samples, uniform(seed, step, rows, max(counts), "points"))

    def center(self, samples: Sequence[Tensor] | Tensor, size: tuple[int, ...] | None = None) -> Float32[Tensor, "b 3 n"]:
        """The same kind of subset, drawn once and for all: it depends on how many points there are alone."""
        counts = [sample.shape[1] for sample in samples]
        u = np.broadcast_to(uniform(0, 0, [0], max(counts), "points of the centre"), (len(samples), max(counts)))
        return self.subset(samples, u, size)

    def subset(
        self, samples: Sequence[Tensor] | Tensor, u: NDArray[np.float64], size: tuple[int, ...] | None = None
    ) -> Float32[Tensor, "b 3 n"]:
        n = (size or self.size)[0]
        counts = [sample.shape[1] for sample in samples]
        if min(counts) < n:
            raise ValueError(f"a cloud of {min(counts)} points, fewer than the {n} of a view")
        rank = np.where(np.arange(u.shape[1]) < np.array(counts)[:, None], u, 2.0)
        index = torch.from_numpy(np.argsort(rank, 1, kind="stable")[:, :n])
        if isinstance(samples, Tensor):
            return samples.gather(2, index[:, None].expand(-1, 3, -1))
        return torch.stack([sample[:, i] for sample, i in zip(samples, index, strict=True)])

    def patchify(self, x: Float[Tensor, "b 3 n"]) -> Tokens:
        """Values [b groups 3*neighbours] (x, y, z of the nearest, then of the next, ...), positions the centres; both in `unit`."""
        self.places(tuple(x.shape[2:]))
        x = x.float()
        index, distance = farthest(x, self.groups)
        centres = x.gather(2, index[:, None].expand(-1, 3, -1)).mT
        if self.order == "greedy":
            line = greedy(centres)[..., None]
            centres, distance = centres.gather(1, line.expand_as(centres)), distance.gather(1, line.expand_as(distance))
        near = distance.topk(self.neighbours, largest=False).indices
        around = x.mT.gather(1, near.flatten(1)[..., None].expand(-1, -1, 3)).unflatten(1, near.shape[1:])
        values = (around - centres[:, :, None]) / self.unit
        return Tokens(values.flatten(2), centres / self.unit)

    def draw(self, x: Float[Tensor, "3 n"]) -> Drawn:
        """One view from the front, above and to the right; near points are dark and lie over far ones.

        A point shows the token of the centre nearest to it: it may be in others, too.
        """
        a, b = np.radians(30), np.radians(20)
        turn = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
        tilt = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
        across, up, depth = tilt @ turn @ x.float().cpu().numpy().astype(np.float64)
        nearest_last = np.argsort(depth)
        shade = np.interp(depth[nearest_last], (-1, 1), (0, 1))[:, None]
        colour = (shade * np.array([20, 60, 130]) + (1 - shade) * np.array([190, 205, 225])).astype(np.uint8)
        column, row = (
            np.clip((1 + s * v[nearest_last]) / 2 * (SIDE - 12) + 6, 2, SIDE - 3).astype(int) for s, v in ((1, across), (-1, up))
        )
        centres = self.patchify(x[None].cpu()).positions[0] * self.unit
        group = torch.cdist(x.float().cpu().T, centres).argmin(1).numpy()[nearest_last]
        picture, tokens = np.full((SIDE, SIDE, 3), 255, np.uint8), np.full((SIDE, SIDE), -1)
        for i in (-1, 0, 1):
            for j in (-1, 0, 1):
                picture[row + i, column + j] = colour
                tokens[row + i, column + j] = group
        return Drawn(torch.from_numpy(picture)[None], torch.from_numpy(tokens)[None])


def unit_sphere(cloud: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float64], float]:
    """[n 3] to [3 n] with its mean at 0 and its farthest point at 1, and the mean and radius it had in the file's unit."""
    centre = cloud.mean(0)
    moved = cloud - centre
    with np.errstate(over="ignore"):  # too large is told below
        radius = float(np.sqrt((moved**2).sum(1).max()))
    if not 0 < radius < np.inf or radius <= 1e-12 * np.abs(cloud).max():
        raise BadSample("all points are in one place" if np.isfinite(radius) else "coordinates too large to measure distances")
    return np.ascontiguousarray((moved / radius).T, np.float32), centre, radius


@torch.no_grad()
def farthest(x: Float[Tensor, "b 3 n"], groups: int) -> tuple[Int[Tensor, "b groups"], Float[Tensor, "b groups n"]]:
    """Points each as far as can be from those before it, beginning with the first, and squared distances of all points to them."""
    index, rows = [torch.zeros(len(x), dtype=torch.long, device=x.device)], []
    nearest = torch.full_like(x[:, 0], torch.inf)
    for step in range(groups):
        centre = x.gather(2, index[-1][:, None, None].expand(-1, 3, 1))
        rows.append((x - centre).square().sum(1))
        if step + 1 < groups:
            nearest = torch.minimum(nearest, rows[-1])
            index.append(nearest.argmax(1))
    return torch.stack(index, 1), torch.stack(rows, 1)


@torch.no_grad()
def greedy(centres: Float[Tensor, "b g 3"]) -> Int[Tensor, "b g"]:
    """An order in which each centre's next is the nearest one left, from the one with the least x + y + z (Point-JEPA, section 3.2)."""
    gap = (centres[:, :, None] - centres[:, None]).square().sum(-1)
    line = [centres.sum(-1).argmin(1)]
    for _ in range(centres.shape[1] - 1):
        gap.scatter_(2, line[-1][:, None, None].expand(-1, gap.shape[1], 1), torch.inf)  # it is taken
        line.append(gap.gather(1, line[-1][:, None, None].expand(-1, 1, gap.shape[2]))[:, 0].argmin(1))
    return torch.stack(line, 1)
