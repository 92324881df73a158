"""Toys to learn from where no set of real files is at hand: point clouds of solids, and a table whose columns belong together.

    python -m benchmarks.toys points toys/points     toys/points/{train,test}/<solid>/NNN.npy
    python -m benchmarks.toys table  toys/table      toys/table/{train,test}.csv, the class in the column "class"

Then, for example, `openjepa train series.points --data toys/points/train --out runs/points` and
`openjepa probe runs/points --data toys/points/train --test toys/points/test`.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SOLIDS = ("ball", "box", "cone", "cylinder", "ring")
Floats = NDArray[np.float64]


def cloud(solid: str, rng: np.random.Generator, points: int = 1200) -> Floats:
    """[points 3] on the surface of a solid: stretched by up to a quarter, turned any way, with noise of 2 % of its size."""
    u, v, angle = rng.random(points), rng.random(points), 2 * np.pi * rng.random(points)
    if solid == "ball":
        z = 2 * u - 1
        xyz = np.stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z], 1)
    elif solid == "box":
        xyz = 2 * rng.random((points, 3)) - 1
        face = rng.integers(0, 3, points)
        xyz[np.arange(points), face] = np.where(u < 0.5, -1.0, 1.0)
    elif solid == "cone":
        radius = np.sqrt(v)
        xyz = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.where(u < 0.62, 1 - 2 * radius, -1.0)], 1)
    elif solid == "cylinder":
        radius = np.where(u < 2 / 3, 1.0, np.sqrt(v))
        height = np.where(u < 2 / 3, 2 * v - 1, np.where(u < 5 / 6, -1.0, 1.0))
        xyz = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], 1)
    else:
        around = 2 * np.pi * u
        radius = 1 + 0.4 * np.cos(around)
        xyz = np.stack([radius * np.cos(angle), radius * np.sin(angle), 0.4 * np.sin(around)], 1)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    found: Floats = (xyz * (1 + 0.25 * (2 * rng.random(3) - 1))) @ turn + 0.02 * rng.normal(size=(points, 3))
    return found


def points(out: Path, train: int = 200, test: int = 60) -> None:
    """`train` and `test` clouds of each solid."""
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("test", test)):
        for solid in SOLIDS:
            folder = out / part / solid
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(count):
                np.save(folder / f"{i:03}.npy", cloud(solid, rng).astype(np.float32))


def rows(rng: np.random.Generator, count: int) -> list[list[str]]:
    """Two hidden causes; eight numbers and two categories that depend on them; every tenth cell is missing. The class: do the causes agree?"""
    a, b = rng.normal(size=(2, count))
    columns = [
        a + 0.3 * rng.normal(size=count),
        b + 0.3 * rng.normal(size=count),
        a + b,
        a - b,
        np.abs(a),
        np.abs(b),
        np.sin(2 * a),
        np.sin(2 * b),
    ]
    words = [np.where(a > 0.5, "high", np.where(a < -0.5, "low", "middle")), np.where(b > 0, "east", "west")]
    cells = [[f"{value + 0.2 * rng.normal():.3f}" for value in column] for column in columns]
    cells += [[str(word) for word in column] for column in words]
    lines = [["" if rng.random() < 0.1 else cell for cell in line] for line in zip(*cells, strict=True)]
    return [[*line, "same" if x * y > 0 else "other"] for line, x, y in zip(lines, a, b, strict=True)]


def table(out: Path, train: int = 2000, test: int = 1000) -> None:
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("test", test)):
        with open(out / f"{part}.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*(f"x{i}" for i in range(8)), "level", "side", "class"])
            writer.writerows(rows(rng, count))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["points", "table"])
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    {"points": points, "table": table}[options.what](options.out)


if __name__ == "__main__":
    main()
