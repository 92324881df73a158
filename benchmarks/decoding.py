"""What one image costs on its way to a view, on one core: scan, decode, crop and resize, cached crop; beside bare Pillow.

    python -m benchmarks.decoding [--rounds 5] [--data photos | photos.tar | cifar10.tar::cifar10/train]

Processor time of one thread, medians; ours and Pillow take turns, so that a busy machine slows both and their ratio
is what counts. Without --data the pictures are made: 224 x 224 and 1200 x 900 JPEGs and 32 x 32 PNGs.
One JSON line per case.
"""

import argparse
import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from PIL import Image as Picture

from benchmarks.loading import make
from openjepa.data.dataset import Files, open_dataset
from openjepa.data.manifest import scan
from openjepa.engine import memory_mb
from openjepa.modalities.image import Image

BATCH = 128


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def turns(rounds: int, *works: Callable[[], object]) -> list[float]:
    """Median processor seconds of each, the first round left out."""
    taken = [[seconds(work) for work in works] for _ in range(rounds + 1)]
    return [median(column) for column in zip(*taken[1:], strict=True)]


def pillow_view(data: bytes, size: tuple[int, int]) -> Picture.Image:
    """The least that Pillow must do for one view: decode (with draft), a central crop of 65 % of the area, resize."""
    image = Picture.open(io.BytesIO(data))
    image.draft("RGB", (2 * size[1], 2 * size[0]))
    w, h = image.size
    box = (int(0.1 * w), int(0.1 * h), int(0.9 * w), int(0.9 * h))
    return image.convert("RGB").crop(box).resize((size[1], size[0]), Picture.Resampling.BILINEAR)


def case(name: str, spec: str, size: int, rounds: int) -> dict[str, object]:
    modality = Image(size=(size, size), patch=(size // 8, size // 8))
    scanning = seconds(lambda: scan(spec))
    files, cached = Files(scan(spec), modality), open_dataset(spec, modality, "on")[0]
    rows = range(0, len(files), max(1, len(files) // BATCH))[:BATCH]
    data = [files.manifest.read(row) for row in rows]
    decoded = [modality.read(d) for d in data]
    decode, crop, whole, fast, bare = turns(
        rounds,
        lambda: files.read(rows),
        lambda: modality.augment(decoded, 0, 0, rows),
        lambda: modality.augment(files.read(rows), 0, 0, rows),
        lambda: modality.augment(cached.read(rows), 0, 0, rows),
        lambda: [pillow_view(d, modality.size) for d in data],
    )
    stages = {"read_and_decode": decode, "crop": crop, "both": whole, "cached_and_crop": fast, "pillow": bare}
    per_second = {stage: round(len(rows) / spent) for stage, spent in stages.items()}
    memory = round(memory_mb(torch.device("cpu")))
    told = {"case": name, "size": size, "files": len(files), "scan_ms_per_1000": round(1e6 * scanning / len(files), 1)}
    return told | {"images_per_s": per_second, "both_to_pillow": round(bare / whole, 2), "peak_rss_mb": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", help="a folder or tar of your own in place of made pictures")
    parser.add_argument("--size", type=int, default=224, help="of the view of --data, pixels")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["OPENJEPA_CACHE"] = str(Path(temporary, "cache"))
        if options.data:
            print(json.dumps(case(options.data, options.data, options.size, options.rounds)))
            return
        for name, size, kind, height, width in (
            ("JPEG 224 x 224", 224, "jpg", 224, 224),
            ("JPEG 1200 x 900", 224, "jpg", 900, 1200),
            ("PNG 32 x 32", 32, "png", 32, 32),
        ):
            folder = make(Path(temporary, name), BATCH, height, width, kind)
            print(json.dumps(case(name, str(folder), size, options.rounds)), flush=True)


if __name__ == "__main__":
    main()
