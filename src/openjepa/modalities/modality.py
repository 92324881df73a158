"""What every kind of data offers to the data set, the loop, the probes and the pages."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from openjepa.draws import Rows, key
from openjepa.modalities.drawn import Drawn
from openjepa.tokens import Tokens


class BadSample(ValueError):
    """A file that cannot be a sample, and why."""


class TooLong(BadSample):
    """A sample that cannot be decoded as a whole, but a part of it can: it is used, and not kept decoded on disk."""


@dataclass(frozen=True)
class Decoded:
    """One stored sample, e.g. pixels uint8 [3 h w] RGB, and what a person should know about it."""

    pixels: Shaped[Tensor, "c *axes"]
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Modality:
    """Files to stored samples `[c *axes]`, samples to views `[c *size]`, views to tokens. It has no parameters.

    A subclass is a frozen dataclass of plain values, which go into run.json. It implements `decode`, `augment`,
    `center`, `patchify` and `places`; the rest has defaults. `openjepa doctor --modality module:object`
    says whether it keeps the laws that training relies on.
    """

    kind: ClassVar[str] = "samples"  # what its samples are called, in the plural
    suffixes: ClassVar[frozenset[str]] = frozenset()  # of its files, lower case: {".jpg", ...}
    many: ClassVar[bool] = False  # a file may hold many samples, which `read_each(data, name)` gives one by one
    timed: ClassVar[bool] = False  # a view shows a part in time of a stored sample
    decoded_by: ClassVar[tuple[str, ...] | None] = None  # settings that `decode` depends on; None: all of them
    lossy: ClassVar[str] = ""  # why unpatchify cannot give the view back; empty: it can
    overlapping: ClassVar[str] = ""  # why tokens share numbers of the view; empty: they do not
    placed_by_content: ClassVar[bool] = False  # positions are made from the content, as the centres of point groups

    registers: ClassVar[int] = 0  # tokens before those of the places: always seen, never asked for

    channels: int
    size: tuple[int, ...]  # numbers per axis of a training view

    @property
    def folded(self) -> frozenset[str]:
        """Suffixes of files of which a folder is one sample."""
        return frozenset()

    def decode(self, data: bytes | Sequence[bytes], at: float | None = None) -> Decoded:
        """The sample in a file, or in several that make one; with `at` in [0, 1) only the part a view there needs.

        Equal to `cut(decode(data), at)` to the bit. BadSample says why a file cannot be used.
        """
        raise NotImplementedError

    def read_each(self, data: bytes, name: str = "") -> Iterator[tuple[Decoded | BadSample, str | None]]:
        """Every sample of a file with its label, or why that one cannot be used; for kinds where `many` is True."""
        raise NotImplementedError

    def read_many(self, data: bytes, name: str = "") -> list[tuple[Tensor, str | None]]:
        """The samples and labels of `read_each`. BadSample for the first that cannot be used."""
        found = []
        for decoded, label in self.read_each(data, name):
            if isinstance(decoded, BadSample):
                raise decoded
            found.append((decoded.pixels, label))
        return found

    def fit_like(self, data: bytes) -> "Modality":
        """The same modality with what it takes from a whole file (the columns of a table)."""
        return self

    def cut(self, sample: Shaped[Tensor, "c *axes"], at: float) -> Shaped[Tensor, "c *part"]:
        """The part in time of a whole sample that a view at `at` in [0, 1) needs; all of it where there is no time."""
        return sample

    @property
    def settled(self) -> bool:
        """Whether nothing is left to take from the data."""
        return True

    def settle(self, samples: Sequence[Tensor]) -> "Modality":
        """The same modality with what it leaves to the data (mean, std) taken from some whole samples."""
        return self

    def augment(self, samples: Sequence[Tensor] | Tensor, seed: int, step: int, rows: Rows) -> Shaped[Tensor, "b c *size"]:
        """One training view of each sample, already cut in time; pure in (seed, step, row)."""
        raise NotImplementedError

    def center(self, samples: Sequence[Tensor] | Tensor, size: tuple[int, ...] | None = None) -> Shaped[Tensor, "b c *size"]:
        """One evaluation view of each sample, already cut in time."""
        raise NotImplementedError

    def crops(self, samples: Sequence[Tensor] | Tensor, count: int) -> list[Shaped[Tensor, "b c *size"]]:
        """`count` evaluation views of each sample that differ in place, not in time; of one, the `center`. ValueError where there are none."""
        if count != 1:
            raise ValueError(f"{count} views of one part in time are asked for; {self.kind} have one: take several clips, or no views")
        return [self.center(samples)]

    def prepare(self, x: Shaped[Tensor, "..."], channel: int = 1) -> Float[Tensor, "..."]:
        """Stored numbers to what the encoder reads, e.g. bytes to standardised floats; axis `channel` holds the channels."""
        return x.float()

    def places(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Tokens per axis of a view of `size`. ValueError where that is no whole number."""
        raise NotImplementedError

    @property
    def grid(self) -> tuple[int, ...]:
        """Tokens per axis of a training view."""
        raise NotImplementedError

    @property
    def patch_dim(self) -> int:
        """Numbers in one token."""
        raise NotImplementedError

    def valid(self, x: Shaped[Tensor, "b c *size"]) -> Bool[Tensor, "b n"] | None:
        """Which tokens of a padded batch are real, as in `patchify(x).valid`; None where nothing is padded."""
        return None

    def patchify(self, x: Shaped[Tensor, "b c *size"]) -> Tokens:
        """Views to tokens that know where they are."""
        raise NotImplementedError

    def unpatchify(self, values: Float[Tensor, "b n d"], size: tuple[int, ...] | None = None) -> Float[Tensor, "b c ..."]:
        """Inverse of patchify (after `prepare`) for views of `size`, by default the training size."""
        raise NotImplementedError

    def example(self, seed: int, row: int) -> Shaped[Tensor, "c *axes"]:
        """A made sample, cut in time, for the conformance suite; pure in (seed, row)."""
        generator = torch.Generator().manual_seed(key(seed, row, "example") % 2**63)
        return torch.randn(self.channels, *self.size, generator=generator)

    def pad(self, view: Shaped[Tensor, "b c *size"]) -> tuple[Tensor, Tensor] | None:
        """The view with padding, twice with other numbers in it, for the conformance suite; None: nothing is ever padded."""
        return None

    def pool(
        self, values: Float[Tensor, "b n d"], valid: Bool[Tensor, "b n"] | None = None, size: tuple[int, ...] | None = None
    ) -> Float[Tensor, "b e"]:
        """One row of features per view of `size` (the training size) from those of its tokens: their mean, of the real ones."""
        if valid is None:
            return values.mean(1)
        return values.masked_fill(~valid[..., None], 0).sum(1) / valid.sum(1, keepdim=True)

    def summary(self, x: Shaped[Tensor, "b c *size"]) -> Float[Tensor, "b d"] | None:
        """What people of the field would try before any learning, a few numbers per view: a floor of every probe. None: nothing."""
        return None

    def draw(self, x: Shaped[Tensor, "c *size"]) -> Drawn:
        """One view as a picture or a film, and which token each pixel shows; for pages. ValueError where that cannot be drawn."""
        raise ValueError(f"{type(self).__name__} does not say how a view is drawn; give it a method draw(x) -> Drawn")
