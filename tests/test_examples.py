"""Examples do what they say."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from openjepa.data.worlds import open_world

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *arguments: str) -> str:
    """What the example prints."""
    done = subprocess.run([sys.executable, EXAMPLES / name, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_tabletop_shows_the_pictures_and_prints_their_labels(tmp_path):
    out, spec = tmp_path / "sheet.png", "tabletop?count=12&seed=3&noise=0&size=40x48"
    printed = run("tabletop.py", str(out), spec)
    world, sheet = open_world(spec), np.array(Image.open(out))
    seen = sheet[6 : 6 + 80, 6 : 6 + 96][::2, ::2]  # the first picture, each pixel of it twice
    np.testing.assert_array_equal(seen, world.read([0])[0].permute(1, 2, 0).numpy())
    last = sheet[6 + 86 : 92 + 80, 6 + 102 : 108 + 96][::2, ::2]  # the twelfth: second row, second column
    np.testing.assert_array_equal(last, world.read([11])[0].permute(1, 2, 0).numpy())
    shape = world.labels["shape"]
    assert printed.startswith(f"shape: {shape.names[int(shape.values[0])]}, colour: ")
