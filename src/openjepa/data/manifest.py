"""Files on disk to rows: a folder or a tar of images, indexed without decoding."""

import hashlib
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from openjepa.data.ledger import LedgerEntry, printable
from openjepa.data.listing import Found, members, read_file, walk

SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .gif .bmp .tif .tiff .webp .ppm .pgm .pbm .pnm .avif .jp2 .tga .ico".split()  # noqa: SIM905  one line to read
)
EDGE = 4096  # bytes of each end of a file that enter the fingerprint
LARGEST = 2**30  # bytes; a larger file is not read into memory
WANTED = "--data takes a folder of images, a .tar of images or part of one (photos.tar::train), or world:tabletop"


@dataclass(frozen=True)
class Row:
    """One image file."""

    name: str  # relative to the root, with "/" and, for names that are not UTF-8, surrogate escapes
    size: int  # bytes
    label: str | None = None  # the first-level subfolder
    offset: int | None = None  # of its bytes in the tar, None for a file of its own


@dataclass(frozen=True)
class Manifest:
    """What there is to read, in the order of names."""

    root: Path
    rows: tuple[Row, ...]
    classes: tuple[str, ...]  # names of the first-level subfolders, if every image is in one
    fingerprint: str  # of names, sizes and both ends of every file
    entries: tuple[LedgerEntry, ...]  # files that are no images

    def read(self, row: int) -> bytes:
        """The bytes of one file. OSError when it is gone."""
        return read_row(self.root, self.rows[row])


def read_row(root: Path, row: Row | Found, start: int = 0, length: int | None = None) -> bytes:
    """Bytes of a row, or `length` of them from `start`. A file that has grown since is read no further than before."""
    wanted = row.size - start if length is None else min(length, row.size - start)
    return read_file(root / row.name, start, wanted) if row.offset is None else read_file(root, row.offset + start, wanted)


def scan(spec: str | Path) -> Manifest:
    """Index a folder (recursively) or a tar; "photos.tar::train" takes what lies under train/ in the tar.

    The class of an image is the first-level subfolder it lies in; single folders that wrap all the
    others are looked through, so that photos/cat/1.jpg and cat/1.jpg in a tar mean the same.
    ValueError for what is neither, or holds no image. Files that are empty, unreadable or of another
    kind become ledger entries, not rows.
    """
    name, _, prefix = (str(spec), "", "") if Path(spec).exists() else str(spec).partition("::")
    root, prefix = Path(name).expanduser(), prefix.strip("/")
    entries: list[LedgerEntry] = []
    found = listed(root, prefix, entries)
    rows = labelled(sorted(sift(root, found, entries), key=lambda row: row.name))
    if not rows:
        raise ValueError(f"no images in {str(spec)!r}: {nothing(root, prefix, found, entries)}. {WANTED}")
    labels = {row.label for row in rows}
    classes = tuple(sorted(label for label in labels if label is not None)) if None not in labels else ()
    return Manifest(root, tuple(rows), classes, fingerprint(root, rows), tuple(entries))


def listed(root: Path, prefix: str, entries: list[LedgerEntry]) -> list[Found]:
    """All files of a folder or a tar. ValueError names what came instead."""
    if root.is_dir():
        if not prefix:
            return list(walk(root, entries))
        raise ValueError(f"'::' selects a part of a tar, but {str(root)!r} is a folder; write {str(root / prefix)!r}")
    if not root.exists():
        raise ValueError(f"no folder or tar {str(root)!r}. {WANTED}")
    kind = foreign(root)
    if kind:
        raise ValueError(f"{str(root)!r} is {kind}. {WANTED}")
    return list(members(root, prefix, entries))


def foreign(path: Path) -> str | None:
    """What a file is, and what to do, if it is no plain tar."""
    if not path.is_file():
        return "not a regular file"
    if path.stat().st_size == 0:
        return "an empty file"
    if zipfile.is_zipfile(path):
        return "a zip; unpack it and give the folder"
    if path.suffix.lower() in SUFFIXES:
        return f"one image; give the folder it lies in, {str(path.parent)!r}"
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


def sift(root: Path, found: list[Found], entries: list[LedgerEntry]) -> Iterator[Row]:
    """Rows that can be images, by name and size; the rest goes to the ledger."""
    end = root.stat().st_size
    for file in found:
        name = printable(file.name)
        if PurePosixPath(file.name).suffix.lower() not in SUFFIXES:
            entries.append(LedgerEntry(name, "not an image, by its name", kind="note"))
        elif file.size == 0:
            entries.append(LedgerEntry(name, "the file is empty"))
        elif file.size > LARGEST:
            entries.append(LedgerEntry(name, f"too large: {file.size:,} bytes, more than {LARGEST:,}"))
        elif file.offset is not None and file.offset + file.size > end:
            entries.append(LedgerEntry(name, "truncated: the tar ends before it does"))
        else:
            yield Row(file.name, file.size, None, file.offset)


def labelled(rows: list[Row]) -> list[Row]:
    """The rows with their classes."""
    paths = [row.name.split("/") for row in rows]
    depth = 0
    while rows and all(len(path) > depth + 2 and path[depth] == paths[0][depth] for path in paths):
        depth += 1
    return [
        Row(row.name, row.size, path[depth] if len(path) > depth + 1 else None, row.offset) for row, path in zip(rows, paths, strict=True)
    ]


def fingerprint(root: Path, rows: list[Row]) -> str:
    """A hash of what is there: names, sizes and both ends of every file; the same wherever the folder lies."""
    digest = hashlib.blake2b(digest_size=16)
    for row in rows:
        digest.update(f"{row.name}\0{row.size}\0".encode("utf-8", "surrogateescape"))
        try:
            digest.update(read_row(root, row, 0, EDGE))
            digest.update(read_row(root, row, max(0, row.size - EDGE), EDGE))
        except OSError as error:
            digest.update(str(error.errno).encode())
    return digest.hexdigest()
