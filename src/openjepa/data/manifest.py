"""Files on disk to rows: a folder or a tar of images, indexed without decoding."""

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from openjepa.data.ledger import LedgerEntry

SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".gif",
        ".bmp",
        ".tif",
        ".tiff",
        ".webp",
        ".ppm",
        ".pgm",
        ".pnm",
        ".avif",
        ".jp2",
        ".tga",
        ".ico",
    ]
)
EDGE = 4096  # bytes of each end of a file that enter the fingerprint


@dataclass(frozen=True)
class Row:
    """One image file. `offset` is its place in a tar, None for a file of its own."""

    name: str  # relative to the root, with "/" and, for names that are not UTF-8, surrogate escapes
    size: int  # bytes
    label: str | None  # the first-level subfolder
    offset: int | None = None


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


def read_row(root: Path, row: Row, length: int | None = None, start: int = 0) -> bytes:
    """Bytes of a row, or `length` of them from `start`. A pipe or device in its place is refused, not waited for."""
    path = root if row.offset is not None else root / row.name
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with open(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{path} is not a regular file")
        file.seek((row.offset or 0) + start)
        wanted = row.size - start if length is None else min(length, row.size - start)
        return file.read(wanted if row.offset is not None or length is not None else -1)


def scan(spec: str | Path) -> Manifest:
    """Index a folder (recursively) or a tar; "photos.tar::train" takes what lies under train/ in the tar.

    ValueError for what is neither, or holds no image. Files that are empty, unreadable or of another
    kind become ledger entries, not rows.
    """
    name, _, prefix = str(spec).partition("::")
    root = Path(name)
    if not root.exists():
        raise ValueError(f"no folder or tar {name!r}; --data takes a folder of images, a .tar of images, or world:tabletop")
    entries: list[LedgerEntry] = []
    if root.is_dir():
        found = list(walk(root, entries))
    elif root.is_file() and tarfile.is_tarfile(root):
        found = list(members(root, prefix.strip("/"), entries))
    else:
        raise ValueError(
            f"{name!r} is neither a folder nor an uncompressed .tar; --data takes a folder or a .tar of images, or world:tabletop"
        )
    rows = sorted(sift(root, found, entries), key=lambda row: row.name)
    if not rows:
        where = f"{name!r}" + (f" under {prefix!r}" if prefix else "")
        seen = f"; it holds {len(found)} files, none of them an image" if found else "; it is empty"
        raise ValueError(f"no images in {where}{seen}; wanted are files such as .jpg, .png, .webp, in any subfolders")
    labels = {row.label for row in rows}
    classes = tuple(sorted(label for label in labels if label is not None)) if None not in labels else ()
    return Manifest(root, tuple(rows), classes, fingerprint(root, rows), tuple(entries))


def walk(root: Path, entries: list[LedgerEntry]) -> Iterator[Row]:
    """Files below `root`; linked folders are followed once, loops and hidden folders are not."""
    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(
        root, followlinks=True, onerror=lambda e: entries.append(LedgerEntry(str(e.filename), f"unreadable folder: {e.strerror}"))
    ):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for file in sorted(files):
            name = PurePosixPath(Path(folder, file).relative_to(root)).as_posix()
            try:
                found = os.stat(os.path.join(folder, file))
            except OSError as error:
                entries.append(LedgerEntry(name, f"unreadable: {error.strerror}"))
                continue
            if not stat.S_ISREG(found.st_mode):
                entries.append(LedgerEntry(name, "not a regular file"))
            elif not file.startswith("."):
                yield Row(name, found.st_size, label_of(name))


def members(root: Path, prefix: str, entries: list[LedgerEntry]) -> Iterator[Row]:
    """Files of a tar below `prefix`, with their offsets."""
    try:
        with tarfile.open(root, "r:", errors="surrogateescape") as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                inside = not prefix or name.startswith(prefix + "/")
                if member.isfile() and inside and not PurePosixPath(name).name.startswith("."):
                    name = name[len(prefix) + 1 :] if prefix else name
                    yield Row(name, member.size, label_of(name), member.offset_data)
    except tarfile.ReadError as error:
        entries.append(LedgerEntry(str(root), f"the tar ends early or is damaged: {error}"))


def label_of(name: str) -> str | None:
    parts = name.split("/")
    return parts[0] if len(parts) > 1 else None


def sift(root: Path, found: list[Row], entries: list[LedgerEntry]) -> Iterator[Row]:
    """Rows that can be images, by name and size; the rest goes to the ledger."""
    for row in found:
        if PurePosixPath(row.name).suffix.lower() not in SUFFIXES:
            entries.append(LedgerEntry(row.name, "not an image, by its name", kind="note"))
        elif row.size == 0:
            entries.append(LedgerEntry(row.name, "the file is empty"))
        else:
            yield row


def fingerprint(root: Path, rows: list[Row]) -> str:
    """A hash of what is there: names, sizes and both ends of every file; the same wherever the folder lies."""
    digest = hashlib.blake2b(digest_size=16)
    for row in rows:
        digest.update(f"{row.name}\0{row.size}\0".encode("utf-8", "surrogateescape"))
        try:
            digest.update(read_row(root, row, EDGE))
            digest.update(read_row(root, row, EDGE, max(0, row.size - EDGE)))
        except OSError as error:
            digest.update(str(error.errno).encode())
    return digest.hexdigest()
