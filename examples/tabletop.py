"""A contact sheet of the tabletop world.

python examples/tabletop.py tabletop.png
python examples/tabletop.py tabletop.png "tabletop?noise=0&size=96&objects=6"
"""

import sys

import numpy as np
from PIL import Image

from openjepa.data.worlds import open_world

ROWS, COLUMNS, GAP, WANTED = 5, 10, 6, 96  # the sheet, and about how many pixels high a picture is shown

out = sys.argv[1] if len(sys.argv) > 1 else "tabletop.png"
world = open_world(sys.argv[2] if len(sys.argv) > 2 else "tabletop?count=50")

rows = range(min(len(world), ROWS * COLUMNS))
pictures = world.read(rows).permute(0, 2, 3, 1).numpy()  # [b h w 3]
scale = max(1, WANTED // world.size[0])
pictures = pictures.repeat(scale, axis=1).repeat(scale, axis=2)  # whole pixels: what the encoder sees

height, width = pictures.shape[1] + GAP, pictures.shape[2] + GAP
sheet = np.full((ROWS * height + GAP, COLUMNS * width + GAP, 3), 255, np.uint8)
for row in rows:
    y, x = row // COLUMNS * height + GAP, row % COLUMNS * width + GAP
    sheet[y : y + height - GAP, x : x + width - GAP] = pictures[row]
Image.fromarray(sheet).save(out)

for row in rows[:COLUMNS]:
    print(", ".join(f"{question}: {answers.names[int(answers.values[row])]}" for question, answers in world.labels.items()))
print(f"{len(rows)} pictures in {out}")
