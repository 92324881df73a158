"""Samples by number: decoded from a folder, a tar, a cache or a made world."""

import contextlib
import os
from collections.abc import Sequence
from functools import cached_property
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Shaped
from numpy.typing import NDArray
from torch import Tensor

from openjepa.data import cache as cached
from openjepa.data.cases import Cases, open_cases
from openjepa.data.labels import LabelSet
from openjepa.data.ledger import LedgerEntry, printable
from openjepa.data.manifest import Manifest, scan
from openjepa.draws import Rows
from openjepa.modalities.modality import BadSample, Modality, TooLong

Samples = list[Tensor] | Tensor
At = Sequence[float] | NDArray[np.float64]  # of each sample, where in time its view lies, 0 to 1
MIDDLE = 0.5
SETTLED_BY = 256  # samples from which statistics of the data are taken


@runtime_checkable
class Dataset(Protocol):
    """What the loader, the probes and the report read. Labels are for probes; a Batch has no place for them.

    `read` gives samples already cut in time: at `at`, or in the middle.
    """

    @property
    def fingerprint(self) -> str: ...
    @property
    def labels(self) -> dict[str, LabelSet]: ...
    def __len__(self) -> int: ...
    def name(self, row: int) -> str: ...
    def read(self, rows: Rows, at: At | None = None) -> Samples: ...


class BadRow(BadSample):
    """Row `row` cannot be read."""

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(row, reason)  # both, so that it can be pickled
        self.row, self.reason = row, reason

    def __str__(self) -> str:
        return self.reason


class Files:
    """Samples of a manifest, decoded at each read."""

    def __init__(self, manifest: Manifest, modality: Modality) -> None:
        self.manifest, self.modality = manifest, modality
        self.notes: list[LedgerEntry] = []  # remarks on files read since they were last collected

    @property
    def fingerprint(self) -> str:
        return self.manifest.fingerprint

    @cached_property
    def labels(self) -> dict[str, LabelSet]:
        """The first-level subfolders as "class", if every sample lies in one."""
        classes = self.manifest.classes
        if not classes:
            return {}
        number = {name: i for i, name in enumerate(classes)}
        values = torch.tensor([number[str(row.label)] for row in self.manifest.rows])
        return {"class": LabelSet(tuple(printable(name) for name in classes), values)}

    def __len__(self) -> int:
        return len(self.manifest.rows)

    def name(self, row: int) -> str:
        """Path below the root, printable; `manifest.rows[row].name` is the one that opens."""
        return printable(self.manifest.rows[row].name)

    def read(self, rows: Rows, at: At | None = None) -> Samples:
        """The sample of each row, [c *axes]. BadRow names the first that cannot be read."""
        return [self.decode(int(row), float(place)) for row, place in zip(rows, middle(rows) if at is None else at, strict=True)]

    def decode(self, row: int, at: float | None = None) -> Shaped[Tensor, "c *axes"]:
        """One sample, cut in time at `at`; None: all of it."""
        try:
            decoded = self.modality.decode(self.manifest.read(row), at)
        except TooLong:
            raise
        except BadSample as error:
            raise BadRow(row, str(error)) from None
        except OSError as error:
            raise BadRow(row, f"unreadable: {error.strerror or error}") from None
        if decoded.note:
            self.notes.append(LedgerEntry(self.name(row), decoded.note, kind="note"))
        return decoded.pixels


class Cached(Files):
    """The same samples from a cache of decoded ones."""

    def __init__(self, manifest: Manifest, modality: Modality, store: "cached.Store") -> None:
        super().__init__(manifest, modality)
        self.store = store

    def read(self, rows: Rows, at: At | None = None) -> Samples:
        """As Files.read; one tensor [b c *size] where all samples of the data share a shape and have no time."""
        index = np.asarray(rows, np.int64)
        if self.store.bad:
            for row in index.tolist():
                if (reason := self.store.bad.get(row)) is not None:
                    raise BadRow(row, reason)
        if not self.modality.timed:
            return self.store.read(index)
        places = middle(rows) if at is None else at
        return [self.modality.cut(self.store.sample(int(row)), float(place)).clone() for row, place in zip(index, places, strict=True)]


class Cut:
    """A made world whose samples are longer than a view."""

    def __init__(self, world: Dataset, modality: Modality) -> None:
        self.world, self.modality = world, modality

    @property
    def fingerprint(self) -> str:
        return self.world.fingerprint

    @property
    def labels(self) -> dict[str, LabelSet]:
        return self.world.labels

    def __len__(self) -> int:
        return len(self.world)

    def name(self, row: int) -> str:
        return self.world.name(row)

    def read(self, rows: Rows, at: At | None = None) -> Samples:
        places = middle(rows) if at is None else at
        return [self.modality.cut(sample, float(place)) for sample, place in zip(self.world.read(rows), places, strict=True)]


def middle(rows: Rows) -> NDArray[np.float64]:
    """The place in time that evaluation looks at."""
    return np.full(len(rows), MIDDLE)


def absolute(spec: str) -> str:
    """The same data, named so that it is found from any folder."""
    return spec if not spec or spec.startswith("world:") else os.path.abspath(spec)


def open_dataset(
    spec: str, modality: Modality, cache: Literal["auto", "on", "off"] = "auto", exclude: str = ""
) -> tuple[Dataset, list[LedgerEntry]]:
    """The data named by `spec`: a folder, a .tar, part of one ("a.tar::train"), or "world:tabletop?noise=.5".

    `cache` keeps decoded samples on disk, so that each file is decoded once: "auto" does where they are
    under 2 GiB and the disk has room. Files in whose name the regular expression `exclude` is found are left
    out. Returns the data and what indexing has to report. ValueError says what came and what is wanted; OSError
    that a cache was asked for and cannot be written.
    """
    if not spec:
        raise ValueError(f"no data; name a folder of {modality.kind}, a .tar of {modality.kind}, or a made world (world:NAME) with --data")
    if spec.startswith("world:"):
        from openjepa.data.worlds import open_world

        if exclude:
            raise ValueError(f"{spec} has no files, so none can be left out by name; drop --exclude {exclude!r}")
        world = open_world(spec.removeprefix("world:"))
        if world.kind != modality.kind:
            raise ValueError(f"{spec} makes {world.kind}, and this recipe learns from {modality.kind}; choose another world or recipe")
        return Cut(world, modality) if modality.timed else world, []
    manifest = scan(spec, modality.kind, modality.suffixes, modality.folded, alone=modality.many)
    if exclude:
        manifest = manifest.without(exclude)
    if modality.many:
        cases, entries = open_cases(manifest, modality)
        return cases, [*manifest.entries, *entries]
    files, entries = Files(manifest, modality), list(manifest.entries)
    try:
        store = None if cache == "off" else cached.open_store(files, always=cache == "on")
    except OSError as error:
        if cache == "on":
            raise
        reason = f"decoded samples are not kept, every epoch decodes again: {error.strerror or error}"
        return Files(manifest, modality), [*entries, LedgerEntry(str(cached.home()), reason, kind="note")]
    if store is None:
        return Files(manifest, modality), entries
    entries += [LedgerEntry(files.name(row), reason) for row, reason in store.bad.items()]
    return Cached(manifest, modality, store), entries + store.notes


def settled(modality: Modality, dataset: Dataset) -> Modality:
    """The modality with what it leaves to the data (mean, std, columns) taken from it."""
    if isinstance(dataset, Cases):  # the columns of a table are known once it is read
        modality = dataset.modality
    return modality if modality.settled else modality.settle(some(dataset))


def some(dataset: Dataset) -> list[Tensor]:
    """Samples spread evenly over the data, from which a modality takes its statistics. ValueError when none can be read."""
    found: list[Tensor] = []
    for row in np.unique(np.linspace(0, len(dataset) - 1, min(SETTLED_BY, len(dataset))).astype(int)).tolist():
        with contextlib.suppress(BadSample):  # the loader finds it again and the ledger has it then
            found += list(dataset.read([row]))
    if not found:
        raise ValueError("no sample of the data can be read; the first files are broken, or of another kind than the recipe's")
    return found
