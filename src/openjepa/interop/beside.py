"""Files and folders that are whole or not there."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def beside(out: Path) -> Iterator[Path]:
    """A path near `out` that does not exist yet: what is written there is renamed to `out` at the end, or gone after an error.

    ValueError when `out` is there already and is no empty folder.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is there already and not empty; give another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))  # one of its own: calls may be nested
    try:
        yield place / (out.name or "out")
        if out.exists():
            out.rmdir()
        os.replace(place / (out.name or "out"), out)
    finally:
        shutil.rmtree(place, ignore_errors=True)
