"""The classifier's own process: it reads pictures from standard input and answers with scores.

    ready:   {"backend": "openvino", "digest": "…"}            or {"error": "…"}, and the end
    asked:   {"shapes": [[height, width], …]}, then the bytes of these pictures in turn
    answer:  {"scores": […]}                                   or {"error": "…"}

One line of JSON each. It ends when its standard input does, and so with the studio. What the
libraries print goes to standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from studio.events import Pixels

NICENESS = 10
"""Denoising goes before: screening takes what is left, and a tenth where nothing is."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m studio.engine.classifier_worker")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--sha256", required=True)
    parser.add_argument("--cache-dir", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    with contextlib.suppress(OSError, AttributeError):  # no such thing on this system
        os.nice(NICENESS)
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        return _serve(options, sys.stdin.buffer, answers)


def _serve(options: argparse.Namespace, asked: BinaryIO, answers: BinaryIO) -> int:
    def answer(**values: object) -> None:
        answers.write(json.dumps(values).encode() + b"\n")
        answers.flush()

    try:
        import torch

        from studio.engine.classifier import Classifier

        torch.set_num_threads(options.threads)
        classifier = Classifier.load(
            options.weights,
            sha256=options.sha256,
            cache_dir=options.cache_dir,
            num_threads=options.threads,
        )
    except Exception as error:
        answer(error=str(error) or type(error).__name__)
        return 1
    answer(backend=classifier.backend, digest=classifier.digest)
    while line := asked.readline():
        pictures = [_read(asked, *shape) for shape in json.loads(line)["shapes"]]
        try:
            answer(scores=classifier.scores(pictures))
        except Exception as error:
            answer(error=str(error) or type(error).__name__)
    return 0


def _read(asked: BinaryIO, height: int, width: int) -> Pixels:
    content = asked.read(height * width * 3)
    return np.frombuffer(content, np.uint8).reshape(height, width, 3)


if __name__ == "__main__":
    sys.exit(main())
