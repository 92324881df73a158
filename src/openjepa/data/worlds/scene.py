"""What lies on the table: plain numbers, drawn by `drawing.render`, moved or asked about by whoever comes next."""

from dataclasses import dataclass, fields, replace
from typing import TypeVar

from jaxtyping import Bool, Float32, Int64
from torch import Tensor

SHAPES = ("disc", "square", "triangle", "cross", "ring")
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "ivory")
IVORY = COLOURS.index("ivory")  # the pebbles' colour; a main object never has it


_Record = TypeVar("_Record", "Table", "Scene")


def _take(record: _Record, index: Tensor | slice) -> _Record:
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    for name, value in values.items():
        if isinstance(value, Tensor):
            values[name] = value[index]
    return replace(record, **values)


@dataclass(frozen=True)
class Table:
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

    def take(self, index: Tensor | slice) -> "Table":
        """The tables `index` picks, in its order."""
        return _take(self, index)


@dataclass(frozen=True)
class Scene:
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

    def take(self, index: Tensor | slice) -> "Scene":
        """The scenes `index` picks, in its order."""
        return replace(_take(self, index), table=self.table.take(index))
