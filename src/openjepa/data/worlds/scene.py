"""What lies on the table: plain numbers, drawn by `drawing.render`, moved or asked about by whoever comes next."""

from dataclasses import dataclass, fields
from typing import Self

from jaxtyping import Bool, Float32, Int64
from torch import Tensor

SHAPES = ("disc", "square", "triangle", "cross", "ring")
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "ivory")
IVORY = COLOURS.index("ivory")  # the pebbles' colour; a main object never has it


@dataclass(frozen=True)
class _Rows:
    """Tensors whose first axis is the scene."""

    def take(self, index: Tensor | slice) -> Self:
        """The scenes `index` picks, in its order; a frozen copy, never a change in place."""
        picked = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in picked.items():
            if isinstance(value, Tensor):
                picked[name] = value[index]
            elif isinstance(value, _Rows):
                picked[name] = value.take(index)
        return type(self)(**picked)


@dataclass(frozen=True)
class Table(_Rows):
    """The ground of b scenes: stripes between two tones, a light from one side, and noise.

    The stripes can be continued from any part of them; the noise cannot: it is hashed from `grain`,
    cell by cell, so that no context says anything about it.
    """

    dark: Float32[Tensor, "b 3"]  # RGB in 0..1
    light: Float32[Tensor, "b 3"]
    angle: Float32[Tensor, " b"]  # radians, of the direction across the stripes
    frequency: Float32[Tensor, " b"]  # stripes per table height
    phase: Float32[Tensor, " b"]  # in stripes
    sharpness: Float32[Tensor, " b"]  # 1: soft grain; 4: planks with hard edges
    bend: Float32[Tensor, " b"]  # how far the grain wanders, in stripes
    lamp: Float32[Tensor, "b 2"]  # change of brightness per table height, down and to the right
    noise: Float32[Tensor, " b"]  # 0: none; 1: +-.3 of full scale per cell and channel
    grain: Int64[Tensor, " b"]  # which noise


@dataclass(frozen=True)
class Scene(_Rows):
    """b tables seen from above with up to k objects each; object 0 is the main one, the rest are pebbles.

    Lengths are in table heights: the table is 1 high and `width` wide. Positions are (row, column),
    as everywhere, of the object's centroid. To move things: `dataclasses.replace(scene, positions=...)`.
    """

    positions: Float32[Tensor, "b k 2"]
    radii: Float32[Tensor, "b k"]  # of the disc with the same area, so that area tells nothing about shape
    angles: Float32[Tensor, "b k"]  # radians, clockwise on the picture
    shapes: Int64[Tensor, "b k"]  # index into SHAPES
    hues: Int64[Tensor, "b k"]  # index into COLOURS: the name of the colour
    colours: Float32[Tensor, "b k 3"]  # RGB in 0..1: the shade of it
    order: Int64[Tensor, "b k"]  # 0 is painted first and lies lowest; a permutation per scene
    present: Bool[Tensor, "b k"]
    table: Table
    width: float = 1.0

    def __len__(self) -> int:
        return len(self.positions)
