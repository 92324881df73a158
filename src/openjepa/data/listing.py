"""What lies in a folder or a tar: names, sizes and offsets, without reading the files."""

import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from openjepa.data.ledger import LedgerEntry, printable


@dataclass(frozen=True)
class Found:
    """One file. `offset` is where its bytes begin in the tar, None for a file of its own."""

    name: str  # relative to the root, with "/" and, for names that are not UTF-8, surrogate escapes
    size: int  # bytes
    offset: int | None = None


def walk(root: Path, entries: list[LedgerEntry]) -> Iterator[Found]:
    """Files below `root` in any depth. Links to folders are followed, each folder is visited once, so loops end.

    Hidden files and folders are passed over; what cannot be looked at becomes a ledger entry.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [""]  # folders relative to the root, each ending in "/"; a stack, in order of names
    while waiting:
        folder = waiting.pop()
        try:
            status = os.stat(root / folder)
            inside = sorted(os.scandir(root / folder), key=lambda entry: (entry.is_symlink(), entry.name))
        except OSError as error:
            entries.append(LedgerEntry(printable(folder or str(root)), f"unreadable folder: {error.strerror}"))
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        deeper = []
        for entry in inside:
            name = folder + entry.name
            if entry.name.startswith("."):
                continue
            try:
                status = entry.stat()
            except OSError as error:  # a link to nothing or in a circle, or the file has just gone
                entries.append(LedgerEntry(printable(name), f"unreadable: {error.strerror}"))
                continue
            if stat.S_ISDIR(status.st_mode):
                deeper.append(name + "/")
            elif stat.S_ISREG(status.st_mode):
                yield Found(name, status.st_size)
            else:
                entries.append(LedgerEntry(printable(name), "not a regular file but a pipe, socket or device", kind="note"))
        waiting += reversed(deeper)


def members(path: Path, prefix: str, entries: list[LedgerEntry]) -> Iterator[Found]:
    """Files of a tar below the folder `prefix` of it. Of several members with one name the last counts, as in unpacking."""
    found: dict[str, Found] = {}
    try:
        with tarfile.open(path, "r:", errors="surrogateescape") as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                if member.issparse():
                    entries.append(LedgerEntry(printable(name), "a sparse member of a tar cannot be read in place"))
                elif member.isreg():
                    found[name] = Found(name, member.size, member.offset_data)
                elif member.islnk() and (there := found.get(member.linkname.removeprefix("./"))):
                    found[name] = Found(name, there.size, there.offset)
            # tarfile takes a cut or damaged header for the end of the tar
            if read_file(path, tar.offset, tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                entries.append(LedgerEntry(printable(path.name), "the tar ends early or is damaged: its end mark is missing"))
    except tarfile.ReadError as error:
        entries.append(LedgerEntry(printable(path.name), f"the tar ends early or is damaged: {error}"))
    for name, file in found.items():
        if (not prefix or name.startswith(prefix + "/")) and not any(part.startswith(".") for part in name.split("/")):
            yield Found(name[len(prefix) + 1 :] if prefix else name, file.size, file.offset)


def read_file(path: Path, offset: int, length: int) -> bytes:
    """At most `length` bytes from `offset`. A pipe or device in the place of a file is refused, not waited for."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(f"{path} is not a regular file")
        parts = []
        while length > 0 and (part := os.pread(handle, length, offset)):
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return b"".join(parts)
    finally:
        os.close(handle)
