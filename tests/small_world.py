"""A world of sixteen combinations, painted with rectangles: renders for the tests of `evaluate`.

Subjects are a wide box and a tall one, materials plain and striped, colours red and blue, scenes
white and green: a small classifier learns them in seconds, and every answer is known.
"""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import numpy as np
from PIL import Image

from studio.evaluate.renders import Labels
from studio.events import Pixels

SIDE = 96
WORDS = {
    "subject": ("mug", "sofa"),
    "material": ("leather", "wood"),
    "color": ("blue", "red"),
    "scene": ("garden", "studio"),
}
RGB = {"blue": (0.16, 0.27, 0.75), "red": (0.78, 0.12, 0.12)}
GROUND = {"garden": (90, 150, 80), "studio": (245, 245, 245)}
HELD_OUT = (Labels("mug", "wood", "red", "studio"), Labels("sofa", "leather", "blue", "garden"))


def combinations() -> list[Labels]:
    return [Labels(*one) for one in itertools.product(*WORDS.values())]


def paint(labels: Labels, seed: int) -> tuple[Pixels, np.ndarray]:
    """The picture `[SIDE, SIDE, 3]` and where its product is."""
    generator = random.Random(seed)
    pixels = np.full((SIDE, SIDE, 3), GROUND[labels.scene], np.uint8)
    height, width = (52, 26) if labels.subject == "mug" else (26, 60)
    top = (SIDE - height) // 2 + generator.randint(-5, 5)
    left = (SIDE - width) // 2 + generator.randint(-5, 5)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top : top + height, left : left + width] = True
    pixels[mask] = (np.array(RGB[labels.color]) * 255).astype(np.uint8)
    if labels.material == "wood":
        stripes = mask.copy()
        stripes[:, ::2] = False
        stripes[:, 1::4] = False
        pixels[stripes] //= 3
    return pixels, mask


def write_renders(folder: Path, num: int, *, held_out: bool, with_masks: bool = True) -> Path:
    """`num` renders of the combinations that are, or are not, held out; `folder` itself."""
    chosen = [one for one in combinations() if (one in HELD_OUT) is held_out]
    (folder / "masks").mkdir(parents=True, exist_ok=True)
    for index in range(num):
        seed = index + (900_000 if held_out else 0)
        labels = chosen[index % len(chosen)]
        pixels, mask = paint(labels, seed)
        path = folder / f"{seed:06d}.png"
        Image.fromarray(pixels).save(path)
        if with_masks:
            Image.fromarray(mask).save(folder / "masks" / path.name)
        about = {**labels._asdict(), "rgb": RGB[labels.color], "held_out": held_out}
        path.with_suffix(".json").write_text(json.dumps(about))
    return folder
