"""Tables: rows of numeric, categorical and missing cells to one token per column."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import cos, isnan, log, pi, sqrt
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Shaped
from torch import Tensor

from openjepa.draws import Rows, uniform
from openjepa.modalities.delimited import MISSING, number
from openjepa.modalities.drawn import Drawn
from openjepa.modalities.modality import BadSample, Decoded, Modality
from openjepa.modalities.table_files import Column, describe, table
from openjepa.tokens import Tokens, unless_all

Cells = list[str]
CELL = 32  # pixels per column of a picture


@dataclass(frozen=True, kw_only=True)
class Table(Modality):
    """Rows [1 columns]: a number as it is, a category as its index, NaN where missing. `Table.fit` finds the columns.

    Tokens are parameter-free vectors, of which a linear map makes w_j x + b_j for the number in column j and
    b_j + E[j, c] for category c, the tokenizer of T-JEPA (arXiv:2410.05016) and FT-Transformer. They begin with one
    register token, position -1, which says nothing and is never masked: without it T-JEPA collapses. The grid
    that masks divide has the columns only; token `registers` + j is column j.
    """

    kind: ClassVar[str] = "tables"
    many: ClassVar[bool] = True
    suffixes: ClassVar[frozenset[str]] = frozenset({".csv", ".tsv", ".parquet"})
    registers: ClassVar[int] = 1

    channels: int = 1
    size: tuple[int, ...] = ()  # (columns,), filled in
    columns: tuple[Column, ...] = ()  # none: still to be fitted
    target: str | None = None  # the column that is a label and no part of a sample
    missing: Literal["token", "invalid"] = "token"  # a missing cell is a token that says so, or one that is not valid

    def __post_init__(self) -> None:
        if not self.size:
            object.__setattr__(self, "size", (len(self.columns),))
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names) or self.target in names or self.size != (len(names),):
            raise ValueError(
                f"size {self.size}, target {self.target!r}, columns {names}: names must differ, size is how many, the target is none of them"
            )

    @property
    def settled(self) -> bool:
        """Whether the columns are known; `fit` finds them in a file, samples do not tell."""
        return bool(self.columns)

    @classmethod
    def fit(cls, data: bytes, target: str | None = None, categorical: Sequence[str] = (), most: int = 256, **settings: Any) -> "Table":
        """Kinds and statistics of the columns of a csv (with a header) or parquet file.

        A column is numeric if all its cells are numbers or missing and it is not in `categorical`. Of a
        categorical one the `most` frequent values, in alphabetical order, are categories. ValueError for
        a name that is no column; BadSample for a file that cannot be read.
        """
        header, rows = table(data)
        unknown = [name for name in (target, *categorical) if name is not None and name not in header]
        if unknown:
            raise ValueError(f"no column {unknown[0]!r}; there are {', '.join(header)}")
        cells: list[Cells] = [[] for _ in header]
        for _, row in rows:
            if isinstance(row, BadSample):
                continue  # read_each says so
            for column, cell in zip(cells, row, strict=True):
                column.append(cell)
        kept = [(name, column) for name, column in zip(header, cells, strict=True) if name != target]
        return cls(columns=tuple(describe(name, column, name in categorical, most) for name, column in kept), target=target, **settings)

    def fit_like(self, data: bytes) -> "Table":
        """These settings with the columns of a file."""
        return self.fit(data, target=self.target, missing=self.missing)

    # -- files

    def read_each(self, data: bytes, name: str = "") -> Iterator[tuple[Decoded | BadSample, str | None]]:
        """Every row of a file with its label, or why that one cannot be used. Columns are found by name, in any order."""
        if not self.columns:
            raise ValueError("this table has no columns yet; Table.fit(data) finds them in a file")
        header, rows = table(data)
        lost = [column.name for column in self.columns if column.name not in header]
        if lost:
            raise BadSample(f"no column {lost[0]!r}; there are {', '.join(header)[:300]}")
        places = [header.index(column.name) for column in self.columns]
        label = header.index(self.target) if self.target in header else None
        for line, row in rows:
            if isinstance(row, BadSample):
                yield row, None
                continue
            said = row[label] if label is not None and row[label].lower() not in MISSING else None
            try:
                yield self.encode([row[i] for i in places]), said
            except BadSample as bad:
                yield BadSample(f"{line}: {bad}"), said

    def decode(self, data: bytes | Sequence[bytes], at: float | None = None) -> Decoded:
        """The only row of a file with a header."""
        found = list(self.read_each(data)) if isinstance(data, bytes) else []
        if len(found) != 1:
            raise BadSample(f"{len(found)} rows; one is a sample, and read_each gives them one by one")
        if isinstance(found[0][0], BadSample):
            raise found[0][0]
        return found[0][0]

    def encode(self, cells: Sequence[str]) -> Decoded:
        """One row, its cells in the order of `columns`."""
        values, strange = [], []
        for column, cell in zip(self.columns, cells, strict=True):
            if cell.lower() in MISSING:
                values.append(float("nan"))
            elif column.categories is None:
                value = number(cell)
                if value is None or abs(value) > 3e38:
                    raise BadSample(f"{cell[:40]!r} in column {column.name!r} is not a finite number")
                values.append(value)
            else:
                known = cell in column.categories
                values.append(float(column.categories.index(cell) if known else len(column.categories)))
                strange += [] if known else [f"{cell[:40]!r} in column {column.name!r} is no known category"]
        told = sum(not isnan(value) for value in values)
        if self.missing == "invalid" and told < 2:
            raise BadSample(f"{told} of {len(values)} cells hold a value: one to see and one to predict are needed")
        return Decoded(torch.tensor([values]), "; ".join(strange) or None)

    # -- views and tokens

    def augment(self, samples: Sequence[Tensor] | Tensor, seed: int, step: int, rows: Rows) -> Float32[Tensor, "b 1 columns"]:
        """The rows themselves: what changes from step to step is the mask."""
        return self.center(samples)

    def center(self, samples: Sequence[Tensor] | Tensor, size: tuple[int, ...] | None = None) -> Float32[Tensor, "b 1 columns"]:
        return samples if isinstance(samples, Tensor) else torch.stack(list(samples))

    @property
    def grid(self) -> tuple[int, ...]:
        """(columns,): what masks divide. The register comes before it."""
        return self.size

    def places(self, size: tuple[int, ...]) -> tuple[int, ...]:
        if size != self.size:
            raise ValueError(f"a row of {size} cells, wanted {self.size}")
        return self.size

    @property
    def patch_dim(self) -> int:
        """Number, column, missing: one each per column; categories and "unknown" of each categorical column; the register."""
        return 3 * len(self.columns) + sum(self.widths) + 1

    @property
    def widths(self) -> list[int]:
        """Categories of each column, "unknown" among them; 0 for numbers."""
        return [0 if column.categories is None else len(column.categories) + 1 for column in self.columns]

    def prepare(self, x: Shaped[Tensor, "..."], channel: int = 1) -> Float[Tensor, "..."]:
        """Numbers standardised with the data's statistics, categories as they are; columns on the last axis."""
        mean, std = (torch.tensor([getattr(c, name) for c in self.columns], device=x.device) for name in ("mean", "std"))
        return (x.float() - mean) / std

    def patchify(self, x: Float[Tensor, "b 1 columns"]) -> Tokens:
        """Values [b 1+columns patch_dim]: (number | column | missing | category | register), positions -1, 0, 1, ..."""
        self.places(tuple(x.shape[2:]))
        count, z = len(self.columns), self.prepare(x)[:, 0]
        widths = torch.tensor(self.widths, device=x.device)
        gone = z.isnan()
        numeric = (widths == 0) & ~gone
        j = torch.arange(count, device=x.device)
        values = torch.zeros(len(x), 1 + count, self.patch_dim, device=x.device)
        tokens = values[:, 1:]
        tokens[:, j, j] = torch.where(numeric, z, 0)
        tokens[:, j, count + j] = 1
        tokens[:, j, 2 * count + j] = gone.float()
        # an index beyond the last category is the unknown one
        code = torch.minimum(torch.where(gone, 0, z).long().clamp(min=0), (widths - 1).clamp(min=0))
        slot = 3 * count + widths.cumsum(0) - widths + code
        tokens.scatter_add_(2, slot[..., None], ((widths > 0) & ~gone)[..., None].float())
        values[:, 0, -1] = 1
        where = torch.arange(-1, count, dtype=torch.float32, device=x.device)[None, :, None].expand(len(x), -1, -1)
        valid = self.valid(x)
        return Tokens(values if valid is None else values.masked_fill(~valid[..., None], 0), where, valid)

    def valid(self, x: Float[Tensor, "b 1 columns"]) -> Bool[Tensor, "b n"] | None:
        """Which tokens are real (the register always is); None: all of them."""
        if self.missing == "token":
            return None
        gone = x[:, 0].isnan()
        return unless_all(torch.cat([torch.ones_like(gone[:, :1]), ~gone], 1))

    def unpatchify(self, values: Float[Tensor, "b n d"], size: tuple[int, ...] | None = None) -> Float[Tensor, "b 1 columns"]:
        """Inverse of patchify (after `prepare`)."""
        cells, count = values[:, self.registers :], len(self.columns)
        out, first = [], 3 * count
        for j, width in enumerate(self.widths):
            value = cells[:, j, first : first + width].argmax(1).float() if width else cells[:, j, j]
            blank = (cells[:, j, 2 * count + j] > 0) | (cells[:, j, count + j] == 0)
            out.append(value.masked_fill(blank, torch.nan))
            first += width
        return torch.stack(out, 1)[:, None]

    def example(self, seed: int, row: int) -> Float32[Tensor, "1 columns"]:
        """A row of normal numbers and of categories that are alike often."""
        u = uniform(seed, 0, [row], 2 * len(self.columns), "example")[0].tolist()
        normal = [sqrt(-2 * log(1 - a)) * cos(2 * pi * b) for a, b in zip(u[::2], u[1::2], strict=True)]
        cells = [
            c.mean + c.std * z if c.categories is None else float(int(a * (len(c.categories) + 1)))
            for c, z, a in zip(self.columns, normal, u[::2], strict=True)
        ]
        return torch.tensor([cells])

    def pad(self, view: Float[Tensor, "b 1 columns"]) -> tuple[Tensor, Tensor] | None:
        """The first column missing, where that is no token."""
        if self.missing == "token":
            return None
        gone = view.clone()
        gone[:, :, 0] = torch.nan
        return gone, gone.clone()

    def draw(self, x: Float[Tensor, "1 columns"]) -> Drawn:
        """One row: bars up and down from the mean (3 std fill a half), a colour per category, grey where missing."""
        picture = np.full((4 * CELL, CELL * len(self.columns), 3), 255, np.uint8)
        z, middle = self.prepare(x)[0].tolist(), 2 * CELL
        for j, (column, value) in enumerate(zip(self.columns, z, strict=True)):
            cell = picture[:, j * CELL + 2 : (j + 1) * CELL - 2]
            if isnan(value):
                cell[:] = 225
            elif column.categories is None:
                end = middle - round(max(-1.0, min(1.0, value / 3)) * middle)
                cell[min(middle, end) : max(middle, end) + 1] = (31, 119, 180) if value >= 0 else (214, 94, 18)
            else:
                turn = value / (len(column.categories) + 1)
                cell[:] = [int(150 + 90 * np.cos(2 * np.pi * (turn - k / 3))) for k in range(3)]
            picture[middle] = 200
        tokens = self.registers + torch.arange(len(self.columns)).repeat_interleave(CELL).expand(len(picture), -1)
        return Drawn(torch.from_numpy(picture)[None], tokens[None])
