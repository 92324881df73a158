"""Files on disk to rows: a folder or a tar of samples, indexed without decoding."""

import hashlib
import re
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from openjepa.data.ledger import LedgerEntry, printable
from openjepa.data.listing import Found, members, read_file, walk
from openjepa.modalities.image import Image

EDGE = 4096  # bytes of each end of a file that enter the fingerprint
LARGEST = 2**30  # bytes; a larger file is not read into memory


@dataclass(frozen=True)
class Row:
    """One file that is a sample."""

    name: str  # relative to the root, with "/" and, for names that are not UTF-8, surrogate escapes
    size: int  # bytes
    label: str | None = None  # the first-level subfolder
    offset: int | None = None  # of its bytes in the tar, None for a file of its own
    parts: tuple["Row", ...] = ()  # the files of a sample that is a folder, in the order of names


@dataclass(frozen=True)
class Manifest:
    """What there is to read, in the order of names."""

    root: Path
    rows: tuple[Row, ...]
    classes: tuple[str, ...]  # names of the first-level subfolders, if every sample is in one
    fingerprint: str  # of names, sizes and both ends of every file
    entries: tuple[LedgerEntry, ...]  # files that are no samples

    def read(self, row: int) -> bytes | list[bytes]:
        """The bytes of one file, or of each file of a sample that is a folder. OSError when it is gone."""
        found = self.rows[row]
        return [read_row(self.root, part) for part in found.parts] if found.parts else read_row(self.root, found)

    def without(self, pattern: str) -> "Manifest":
        """Without the samples in whose name the regular expression `pattern` is found. ValueError if that is none, or all."""
        try:
            found = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"--exclude {pattern!r} is not a regular expression: {error}") from None
        rows = tuple(row for row in self.rows if not found.search(row.name))
        if len(rows) in (0, len(self.rows)):
            which = "all" if not rows else "none"
            raise ValueError(f"--exclude {pattern!r} is found in {which} of {len(self.rows)} names, such as {printable(self.rows[0].name)}")
        classes = tuple(name for name in self.classes if any(row.label == name for row in rows))
        return replace(self, rows=rows, classes=classes, fingerprint=fingerprint(self.root, rows))


def read_row(root: Path, row: Row | Found, start: int = 0, length: int | None = None) -> bytes:
    """Bytes of a row, or `length` of them from `start`. A file that has grown since is read no further than before."""
    wanted = row.size - start if length is None else min(length, row.size - start)
    return read_file(root / row.name, start, wanted) if row.offset is None else read_file(root, row.offset + start, wanted)


@dataclass(frozen=True)
class Wanted:
    """What is looked for: files with these suffixes, called by this name in the plural."""

    kind: str
    suffixes: frozenset[str]

    def __str__(self) -> str:
        return f"--data takes a folder of {self.kind}, a .tar of {self.kind} or part of one (some.tar::train), or a made world (world:NAME)"


def scan(
    spec: str | Path,
    kind: str = Image.kind,
    suffixes: frozenset[str] = Image.suffixes,
    folded: frozenset[str] = frozenset(),
    alone: bool = False,
) -> Manifest:
    """Index a folder (recursively) or a tar; "photos.tar::train" takes what lies under train/ in the tar.

    The class of a sample is the first-level subfolder it lies in; single folders that wrap all the
    others are looked through, so that photos/cat/1.jpg and cat/1.jpg in a tar mean the same.
    With `alone` one file with a suffix of `suffixes` is data, too: it may hold many samples.
    Files with a suffix of `folded` that lie in one folder are one sample, named after the folder.
    ValueError for what is neither, or holds none of `kind`. Files that are empty, unreadable or of another
    kind become ledger entries, not rows.
    """
    name, _, prefix = (str(spec), "", "") if Path(spec).exists() else str(spec).partition("::")
    root, prefix = Path(name).expanduser(), prefix.strip("/")
    entries: list[LedgerEntry] = []
    wanted = Wanted(kind, suffixes)
    if alone and root.is_file() and root.suffix.lower() in suffixes:
        found, root = [Found(root.name, root.stat().st_size)], root.parent
    else:
        found = listed(root, prefix, entries, wanted)
    rows = labelled(fold(sorted(sift(root, found, entries, wanted), key=lambda row: row.name), folded))
    if not rows:
        raise ValueError(f"no {kind} in {str(spec)!r}: {nothing(root, prefix, found, entries)}. {wanted}")
    labels = {row.label for row in rows}
    classes = tuple(sorted(label for label in labels if label is not None)) if None not in labels else ()
    return Manifest(root, tuple(rows), classes, fingerprint(root, rows), tuple(entries))


def listed(root: Path, prefix: str, entries: list[LedgerEntry], wanted: Wanted) -> list[Found]:
    """All files of a folder or a tar. ValueError names what came instead."""
    if root.is_dir():
        if not prefix:
            return list(walk(root, entries))
        raise ValueError(f"'::' selects a part of a tar, but {str(root)!r} is a folder; write {str(root / prefix)!r}")
    if not root.exists():
        raise ValueError(f"no folder or tar {str(root)!r}. {wanted}")
    came = foreign(root, wanted)
    if came:
        raise ValueError(f"{str(root)!r} is {came}. {wanted}")
    return list(members(root, prefix, entries))


def foreign(path: Path, wanted: Wanted) -> str | None:
    """What a file is, and what to do, if it is no plain tar."""
    if not path.is_file():
        return "not a regular file"
    if path.stat().st_size == 0:
        return "an empty file"
    if zipfile.is_zipfile(path):
        return "a zip; unpack it and give the folder"
    if path.suffix.lower() in wanted.suffixes:
        return f"one of the {wanted.kind}; give the folder it lies in, {str(path.parent)!r}"
    try:
        with tarfile.open(path, "r:"):
            return None
    except tarfile.ReadError:
        pass
    if tarfile.is_tarfile(path):
        return "a compressed tar, which cannot be read in place; decompress it (gunzip, unxz or zstd -d) or unpack it"
    return "neither a folder nor a tar"


def nothing(root: Path, prefix: str, found: list[Found], entries: list[LedgerEntry]) -> str:
    """Why there are no rows."""
    if entries:
        first = f"{entries[0].path!r} {entries[0].reason}"
        return f"it holds {len(entries)} files, none of them usable ({first}{' ...' if len(entries) > 1 else ''})"
    if prefix and root.is_file():
        there = sorted({PurePosixPath(file.name).parent.as_posix() for file in members(root, "", [])})
        return f"there is nothing under {prefix!r} in it; its folders are {', '.join(map(printable, there[:10]))}{' ...' if there[10:] else ''}"
    return "it is empty"


def sift(root: Path, found: list[Found], entries: list[LedgerEntry], wanted: Wanted) -> Iterator[Row]:
    """Rows that can be samples, by name and size; the rest goes to the ledger."""
    end = root.stat().st_size
    for file in found:
        name = printable(file.name)
        if PurePosixPath(file.name).suffix.lower() not in wanted.suffixes:
            entries.append(LedgerEntry(name, f"not one of the {wanted.kind}, by its name", kind="note"))
        elif file.size == 0:
            entries.append(LedgerEntry(name, "the file is empty"))
        elif file.size > LARGEST:
            entries.append(LedgerEntry(name, f"too large: {file.size:,} bytes, more than {LARGEST:,}"))
        elif file.offset is not None and file.offset + file.size > end:
            entries.append(LedgerEntry(name, "truncated: the tar ends before it does"))
        else:
            yield Row(file.name, file.size, None, file.offset)


def fold(rows: list[Row], folded: frozenset[str]) -> list[Row]:
    """The rows with the folded files of each folder made one."""
    whole = [row for row in rows if PurePosixPath(row.name).suffix.lower() not in folded]
    parts: dict[str, list[Row]] = {}
    for row in rows:
        if PurePosixPath(row.name).suffix.lower() in folded:
            parts.setdefault(PurePosixPath(row.name).parent.as_posix(), []).append(row)
    whole += [Row(folder, sum(row.size for row in inside), parts=tuple(inside)) for folder, inside in parts.items()]
    return sorted(whole, key=lambda row: row.name)


def labelled(rows: list[Row]) -> list[Row]:
    """The rows with their classes."""
    paths = [row.name.split("/") for row in rows]
    depth = 0
    while rows and all(len(path) > depth + 2 and path[depth] == paths[0][depth] for path in paths):
        depth += 1
    return [replace(row, label=path[depth] if len(path) > depth + 1 else None) for row, path in zip(rows, paths, strict=True)]


def fingerprint(root: Path, rows: Sequence[Row]) -> str:
    """A hash of what is there: names, sizes and both ends of every file; the same wherever the folder lies."""
    digest = hashlib.blake2b(digest_size=16)
    for row in rows:
        digest.update(f"{row.name}\0{row.size}\0".encode("utf-8", "surrogateescape"))
        for file in row.parts or (row,):
            try:
                digest.update(read_row(root, file, 0, EDGE))
                digest.update(read_row(root, file, max(0, file.size - EDGE), EDGE))
            except OSError as error:
                digest.update(str(error.errno).encode())
    return digest.hexdigest()
