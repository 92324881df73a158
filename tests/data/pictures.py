"""Made pictures on disk, for the tests of the data layer."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image as Picture

from openjepa.modalities.image import Image

MODALITY = Image(size=(16, 24), patch=(8, 8))


def picture(seed: int = 0, h: int = 32, w: int = 40) -> Picture.Image:
    return Picture.fromarray(np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8))


def png(seed: int = 0, h: int = 32, w: int = 40) -> bytes:
    buffer = io.BytesIO()
    picture(seed, h, w).save(buffer, "PNG")
    return buffer.getvalue()


def write(folder: Path, names: list[str]) -> Path:
    """One different picture per name."""
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(seed))
    return folder


def packed(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path
