"""Labelled samples read for a probe, a few at a time: views, the hash of what was decoded, and what could not be read."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Shaped
from torch import Tensor

from openjepa.modalities.modality import BadSample

CHUNK = 256  # samples read and encoded at a time


@runtime_checkable
class Readable(Protocol):
    """What features need of a data set."""

    @property
    def fingerprint(self) -> str: ...
    def __len__(self) -> int: ...
    def name(self, row: int, /) -> str: ...
    def read(self, rows: Sequence[int], at: Sequence[float] | None = None) -> Sequence[Tensor] | Tensor: ...


@dataclass(frozen=True)
class Chunk:
    """A few samples, decoded and as evaluation sees them."""

    rows: list[int]
    views: list[list[Shaped[Tensor, "b c *size"]]]  # of every sample: a list of views per clip
    hashes: list[int]
    bad: list[tuple[str, str]]

    @property
    def all(self) -> list[Shaped[Tensor, "b c *size"]]:
        """Every view of every clip."""
        return [view for clip in self.views for view in clip]


def chunks(dataset: Readable, modality: Any, rows: Sequence[int], clips: int = 1, views: int = 1) -> Iterator[Chunk]:
    """Every sample of `rows` once, CHUNK at a time, unreadable ones set aside with their reason.

    With one clip the middle of a sample that has time; with more, clips evenly spread over it. `views` of each as in Modality.crops.
    """
    places = [None] if clips == 1 else [(i + 0.5) / clips for i in range(clips)]
    for start in range(0, len(rows), CHUNK):
        kept, bad, hashes = [int(row) for row in rows[start : start + CHUNK]], list[tuple[str, str]](), list[int]()
        seen = list[list[Tensor]]()
        for place in places:
            good, samples, worse = read_some(dataset, kept, None if place is None else [place] * len(kept))
            bad += worse
            if len(good) < len(kept):  # bad in a later clip: the earlier ones go, too
                there = [i for i, row in enumerate(kept) if row in set(good)]
                seen = [[view[there] for view in clip] for clip in seen]
                hashes, kept = [hashes[i] for i in there] if hashes else [], good
            hashes = hashes or [content(sample) for sample in samples]
            if kept:
                seen.append(modality.crops(samples, views))
        yield Chunk(kept, seen, hashes, bad)


def read_some(
    dataset: Readable, rows: list[int], at: Sequence[float] | None = None
) -> tuple[list[int], Sequence[Tensor] | Tensor, list[tuple[str, str]]]:
    """(rows that could be read, their samples, what is wrong with the others); `at` is a place in time for each, as in Dataset.read."""
    try:
        return rows, dataset.read(rows, at) if at is not None else dataset.read(rows), []
    except BadSample:  # at least one of them: find out which
        kept, images, bad = list[int](), list[Tensor](), list[tuple[str, str]]()
        for i, row in enumerate(rows):
            try:
                images += list(dataset.read([row], at[i : i + 1]) if at is not None else dataset.read([row]))
                kept.append(row)
            except BadSample as error:
                bad.append((dataset.name(row), str(getattr(error, "reason", error))))
        return kept, images, bad


def content(image: Shaped[Tensor, "c *axes"]) -> int:
    """64 bits that are equal for equal samples and, but for one chance in 10^19, for no others."""
    shape = ",".join(map(str, image.shape))
    digest = hashlib.blake2b(image.contiguous().numpy().tobytes(), digest_size=8, key=shape.encode()).digest()
    return int.from_bytes(digest, "little", signed=True)
