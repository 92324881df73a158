"""Samples by number: decoded pixels of a folder, a tar, a cache or a made world."""

import os
from functools import cached_property
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from openjepa.data import cache as cached
from openjepa.data.labels import LabelSet
from openjepa.data.ledger import LedgerEntry, printable
from openjepa.data.manifest import Manifest, scan
from openjepa.draws import Rows
from openjepa.modalities.image import BadSample, Image

Images = list[Tensor] | Tensor


@runtime_checkable
class Dataset(Protocol):
    """What the loader, the probes and the report read. Labels are for probes; a Batch has no place for them."""

    @property
    def fingerprint(self) -> str: ...
    @property
    def labels(self) -> dict[str, LabelSet]: ...
    def __len__(self) -> int: ...
    def name(self, row: int) -> str: ...
    def read(self, rows: Rows) -> Images: ...


class BadRow(BadSample):
    """Row `row` cannot be read."""

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(row, reason)  # both, so that it can be pickled
        self.row, self.reason = row, reason

    def __str__(self) -> str:
        return self.reason


class Files:
    """Images of a manifest, decoded at each read."""

    def __init__(self, manifest: Manifest, modality: Image) -> None:
        self.manifest, self.modality = manifest, modality
        self.notes: list[LedgerEntry] = []  # remarks on files read since they were last collected

    @property
    def fingerprint(self) -> str:
        return self.manifest.fingerprint

    @cached_property
    def labels(self) -> dict[str, LabelSet]:
        """The first-level subfolders as "class", if every image lies in one."""
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

    def read(self, rows: Rows) -> Images:
        """uint8 [3 h w] of each row. BadRow names the first that cannot be read."""
        return [self.decode(int(row)) for row in rows]

    def decode(self, row: int) -> UInt8[Tensor, "3 h w"]:
        try:
            decoded = self.modality.decode(self.manifest.read(row))
        except BadSample as error:
            raise BadRow(row, str(error)) from None
        except OSError as error:
            raise BadRow(row, f"unreadable: {error.strerror or error}") from None
        if decoded.note:
            self.notes.append(LedgerEntry(self.name(row), decoded.note, kind="note"))
        return decoded.pixels


class Cached(Files):
    """The same images from a cache of decoded pixels."""

    def __init__(self, manifest: Manifest, modality: Image, store: "cached.Store") -> None:
        super().__init__(manifest, modality)
        self.store = store

    def read(self, rows: Rows) -> Images:
        """As Files.read; one uint8 tensor [b 3 h w] where all images of the data share a size."""
        index = np.asarray(rows, np.int64)
        if self.store.bad:
            for row in index.tolist():
                if (reason := self.store.bad.get(row)) is not None:
                    raise BadRow(row, reason)
        return self.store.read(index)


def absolute(spec: str) -> str:
    """The same data, named so that it is found from any folder."""
    return spec if not spec or spec.startswith("world:") else os.path.abspath(spec)


def open_dataset(spec: str, modality: Image, cache: Literal["auto", "on", "off"] = "auto") -> tuple[Dataset, list[LedgerEntry]]:
    """The data named by `spec`: a folder, a .tar, part of one ("a.tar::train"), or "world:tabletop?noise=.5".

    `cache` keeps decoded pixels on disk, so that each file is decoded once: "auto" does where they are
    under 2 GiB and the disk has room. Returns the data and what indexing has to report. ValueError
    says what came and what is wanted; OSError that a cache was asked for and cannot be written.
    """
    if not spec:
        raise ValueError("no data; name a folder of images, a .tar of images, or world:tabletop with --data")
    if spec.startswith("world:"):
        from openjepa.data.worlds import open_world

        return open_world(spec.removeprefix("world:")), []
    manifest = scan(spec)
    files, entries = Files(manifest, modality), list(manifest.entries)
    try:
        store = None if cache == "off" else cached.open_store(files, always=cache == "on")
    except OSError as error:
        if cache == "on":
            raise
        reason = f"decoded pixels are not kept, every epoch decodes again: {error.strerror or error}"
        return Files(manifest, modality), [*entries, LedgerEntry(str(cached.home()), reason, kind="note")]
    if store is None:
        return Files(manifest, modality), entries
    entries += [LedgerEntry(files.name(row), reason) for row, reason in store.bad.items()]
    return Cached(manifest, modality, store), entries + store.notes
