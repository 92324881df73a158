"""The oldest floor of time series: the class of the nearest training series, by Euclidean distance on raw values.

    python -m benchmarks.nearest TRAIN.ts TEST.ts [--add]     --add writes the row to results.jsonl

Series of several lengths are compared over the longer one, a shorter one followed by zeros. Nothing is learnt.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.results import RESULTS, put
from openjepa.modalities.series import Series
from openjepa.probes.confidence import wilson


def read(path: Path, channels: int) -> tuple[list[Tensor], list[str | None]]:
    found = Series(channels=channels, size=(8,), patch=(4,)).read_many(path.read_bytes(), path.name)
    return [values for values, _ in found], [label for _, label in found]


def padded(series: list[Tensor], length: int) -> Tensor:
    """[n, channels * length]."""
    out = torch.zeros(len(series), series[0].shape[0], length)
    for row, values in zip(out, series, strict=True):
        row[:, : values.shape[1]] = values
    return out.flatten(1)


def nearest(train: list[Tensor], labels: list[str | None], test: list[Tensor]) -> list[str | None]:
    """The label of the nearest training series of each test series."""
    length = max(values.shape[1] for values in [*train, *test])
    distance = torch.cdist(padded(test, length).double(), padded(train, length).double())
    return [labels[int(i)] for i in distance.argmin(1)]


def row(train: Path, test: Path, channels: int) -> dict[str, Any]:
    """A row of results.jsonl, in the form of a probe's."""
    x, y = read(train, channels)
    other, truth = read(test, channels)
    right = sum(a == b for a, b in zip(nearest(x, y, other), truth, strict=True))
    low, high = wilson(right, len(truth))
    shared = {"kind": "probe", "recipe": "raw series", "seed": 0, "step": 0, "minutes": 0.0, "train": train.name, "data": train.name}
    shared |= {"test": test.name, "tested": len(truth), "held_out": [], "label": "class", "probe": "1-nn", "verdict": "nothing learnt"}
    shared |= {"command": f"python -m benchmarks.nearest {train.name} {test.name} --channels {channels}", "probe_command": ""}
    scores = {"accuracy": right / len(truth), "low": low, "high": high, "floors": {"chance": 1 / len(set(y))}}
    return shared | {key: value if isinstance(value, dict) else round(value, 4) for key, value in scores.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--add", action="store_true")
    options = parser.parse_args()
    found = row(options.train, options.test, options.channels)
    print(f"{found['accuracy']:.3f} of {found['tested']} right")
    if options.add:
        put([found])
        print(f"added to {RESULTS}")


if __name__ == "__main__":
    main()
