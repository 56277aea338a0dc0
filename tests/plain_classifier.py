"""A classifier of ten lines, for the tests: the redder a picture, the higher its score.

Spoken to as `studio.engine.classifier_worker` is. Its weights are a text file that says how it is
to behave: "well", or how it fails, "throw", "nan", "hang", "die", "stray", "refuse"; "poison"
throws when one of several pictures is red.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", type=Path)
    options, _ = parser.parse_known_args()
    asked = sys.stdin.buffer
    if options.weights.read_text().strip() == "refuse":
        answer(error="These are no weights.")
        return
    if options.weights.read_text().strip() == "stillborn":
        with options.weights.with_suffix(".starts").open("a") as starts:
            starts.write("+")
        return
    cards = os.environ.get("CUDA_VISIBLE_DEVICES")
    answer(backend=f"plain, cards {cards!r}", digest="0" * 64)
    while line := asked.readline():
        shapes = json.loads(line)["shapes"]
        pictures = [
            np.frombuffer(asked.read(height * width * 3), np.uint8).reshape(height, width, 3)
            for height, width in shapes
        ]
        respond([redness(picture) for picture in pictures], options.weights.read_text().strip())


def redness(picture: Any) -> float:
    """The share of red in the light of a picture."""
    red, green, blue = (float(picture[..., channel].mean()) for channel in range(3))
    return red / max(red + green + blue, 1.0)


def respond(scores: list[float], behaviour: str) -> None:
    if behaviour == "throw" or (behaviour == "poison" and max(scores) > 0.5):
        answer(error="thrown on purpose")
    elif behaviour == "nan":
        answer(scores=[float("nan") for _ in scores])
    elif behaviour == "stray":
        answer(scores=[*scores, 0.0])
    elif behaviour == "hang":
        time.sleep(600)
    elif behaviour == "die":
        os._exit(1)
    else:
        answer(scores=scores)


def answer(**values: Any) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
