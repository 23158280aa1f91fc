"""The picture of docs/howto/not_learning.md: five samples of each of the first six digits, from four runs.

Run the page's commands, ``ganaug generate --ckpt … --out NAME --per_class 10`` for each of its runs, and in the folder
of their folders ``python docs/img/signs.py``.
"""

from pathlib import Path

import numpy as np
from PIL import Image

RUNS, DIGITS, EACH, SIDE, GAP = ("good", "collapse", "divergence", "by_heart"), 6, 5, 24, 2

sheet = np.full((DIGITS * (SIDE + GAP), len(RUNS) * (EACH * (SIDE + GAP) + 12)), 255, dtype=np.uint8)
for k, run in enumerate(RUNS):
    for digit in range(DIGITS):
        for n, path in enumerate(sorted(Path(run, str(digit)).glob("*.png"))[:EACH]):
            left, top = k * (EACH * (SIDE + GAP) + 12) + n * (SIDE + GAP), digit * (SIDE + GAP)
            picture = Image.open(path).convert("L").resize((SIDE, SIDE), Image.Resampling.NEAREST)
            sheet[top : top + SIDE, left : left + SIDE] = np.asarray(picture)
Image.fromarray(sheet).save("signs.png")
