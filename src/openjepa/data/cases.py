"""Files that hold many samples each: rows of a table, cases of a .ts file. All are read when the data is opened."""

from dataclasses import dataclass

import torch
from torch import Tensor

from openjepa.data.labels import LabelSet
from openjepa.data.ledger import LedgerEntry
from openjepa.data.manifest import Manifest, read_row
from openjepa.draws import Rows
from openjepa.modalities.modality import BadSample, Modality

MOST_BYTES = 8 * 2**30  # of samples held in memory


@dataclass(frozen=True)
class Cases:
    """Samples held in memory, with what their files or folders say of them."""

    modality: Modality
    fingerprint: str
    samples: list[Tensor]
    names: list[str]
    labels: dict[str, LabelSet]

    def __len__(self) -> int:
        return len(self.samples)

    def name(self, row: int) -> str:
        return self.names[row]

    def read(self, rows: Rows, at: object = None) -> list[Tensor]:
        """As every dataset: cut in time at `at`, or in the middle."""
        places = [0.5] * len(rows) if at is None else at
        return [self.modality.cut(self.samples[int(row)], float(place)) for row, place in zip(rows, places, strict=True)]  # type: ignore[call-overload]


def open_cases(manifest: Manifest, modality: Modality) -> tuple[Cases, list[LedgerEntry]]:
    """Every sample of every file. What cannot be used becomes a ledger entry. ValueError where nothing is left."""
    if not modality.settled:
        modality = modality.fit_like(read_row(manifest.root, manifest.rows[0]))
    samples, names, said, entries = list[Tensor](), list[str](), list[str | None](), list[LedgerEntry]()
    total = 0
    for row in manifest.rows:
        try:
            found = list(modality.read_each(read_row(manifest.root, row), row.name))
        except BadSample as bad:
            entries.append(LedgerEntry(row.name, str(bad)))
            continue
        except OSError as error:
            entries.append(LedgerEntry(row.name, f"unreadable: {error.strerror or error}"))
            continue
        for number, (decoded, label) in enumerate(found):
            name = row.name if len(found) == 1 else f"{row.name}[{number}]"
            if isinstance(decoded, BadSample):
                entries.append(LedgerEntry(name, str(decoded)))
                continue
            if decoded.note:
                entries.append(LedgerEntry(name, decoded.note, kind="note"))
            samples.append(decoded.pixels)
            names.append(name)
            said.append(row.label if label is None else label)
            total += decoded.pixels.nbytes
            if total > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES / 2**30:.0f} GiB of {modality.kind} in files of many; write one sample to a file")
    if not samples:
        first = f"; the first: {entries[0].path}: {entries[0].reason}" if entries else ""
        raise ValueError(f"none of the {len(manifest.rows)} files holds {modality.kind} that can be used{first}")
    return Cases(modality, manifest.fingerprint, samples, names, labels(said)), entries


def labels(said: list[str | None]) -> dict[str, LabelSet]:
    """What was said of the samples as the question "class"; none where nothing was said of any."""
    classes = tuple(sorted({label for label in said if label is not None}))
    if not classes:
        return {}
    number = {label: i for i, label in enumerate(classes)}
    return {"class": LabelSet(classes, torch.tensor([-1 if label is None else number[label] for label in said]))}
