"""Images per second of the loader, and the share of a step spent waiting for it.

    python benchmarks/loading.py [--workers 0] [--seconds 10] [--step-ms 100]

Two cases, on pictures made in a temporary folder: 32 x 32 PNGs from the cache of decoded pixels, and
uncached 500 x 375 JPEGs cropped to 224. "alone" asks for batches as fast as they come; "beside" sleeps
for --step-ms per step in between, as a GPU's step would leave the processor free, and reports the waiting.
One JSON line per case.
"""

import argparse
import json
import os
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image as Picture

from openjepa.data.dataset import Dataset, open_dataset
from openjepa.data.loader import Loader
from openjepa.masks.blocks import Blocks
from openjepa.modalities.image import Image
from openjepa.models.encoder import EncoderConfig
from openjepa.objectives.jepa import JEPAConfig
from openjepa.run import Run


def make(folder: Path, count: int, height: int, width: int, kind: str) -> Path:
    """Pictures with the detail of photographs: smooth colour, edges and grain."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for k in range(count):
        coarse = Picture.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((width, height), Picture.Resampling.BICUBIC)
        x = np.array(coarse).astype(float) + rng.normal(0, 6, (height, width, 3))
        x[height // 4 : height // 2, width // 4 : width // 2] += rng.uniform(-80, 80)
        Picture.fromarray(x.clip(0, 255).astype(np.uint8)).save(folder / f"{k:05d}.{kind}", **({"quality": 90} if kind == "jpg" else {}))
    return folder


def rate(dataset: Dataset, run: Run, workers: int, seconds: float, pause: float) -> dict[str, float]:
    """Images per second and share of time waited, after the workers have started."""
    loader = Loader(dataset, run.batch, seed=0, batch_size=run.batch_size, start=0, steps=1_000_000, workers=workers, pin=False)
    source = iter(loader)
    list(islice(source, 3))
    began, waited, steps = time.perf_counter(), 0.0, 0
    while (spent := time.perf_counter() - began) < seconds:
        waited += next(source)[3]
        steps += 1
        time.sleep(pause)
    return {"images_per_s": round(steps * run.batch_size / spent, 1), "data_wait": round(waited / spent, 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=-1, help="loader processes; -1 chooses, as training does")
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--step-ms", type=float, default=100, help="pause that stands for a training step")
    options = parser.parse_args()
    objective = JEPAConfig(encoder=EncoderConfig(dim=192, depth=12, heads=3), masks=Blocks())
    cases = {
        "cached 32x32": (Image(size=(32, 32), patch=(4, 4)), 128, (4096, 32, 32, "png"), "on"),
        "uncached JPEG 500x375 to 224": (Image(), 32, (256, 375, 500, "jpg"), "off"),
    }
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["OPENJEPA_CACHE"] = str(Path(temporary, "cache"))
        for at, (name, (modality, batch_size, picture, cache)) in enumerate(cases.items()):
            dataset, _ = open_dataset(str(make(Path(temporary, str(at)), *picture)), modality, cache)  # type: ignore[arg-type]
            run = Run(modality=modality, objective=objective, steps=1_000_000, batch_size=batch_size)
            alone = rate(dataset, run, options.workers, options.seconds, 0)
            beside = rate(dataset, run, options.workers, options.seconds, options.step_ms / 1000)
            told = {"case": name, "batch_size": batch_size, "workers": options.workers, "step_ms": options.step_ms}
            print(json.dumps(told | {"cores": os.cpu_count(), "alone": alone, "beside": beside}), flush=True)


if __name__ == "__main__":
    main()
