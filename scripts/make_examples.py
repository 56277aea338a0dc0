"""Draws the examples that a new gallery begins with, with the model that ships, and their records.

    python -m scripts.make_examples [--tries 8] [--seeds 3 1 7] [--sheet candidates.png]

Of several seeds for each brief the first is taken that the attribute classifier reads exactly as it
was asked for, else the one it reads nearest; `--seeds` takes the word of somebody who has looked at
`--sheet`. The picture that is kept is then drawn alone, by torch in single precision, so that its
record draws it again. To be run whenever the model that ships is another: a test asks for it.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from studio.application import Studio
from studio.brief import Brief
from studio.config import Config, draft_model_dir
from studio.evaluate.classifier import load_classifier
from studio.evaluate.command import shipped_classifier
from studio.evaluate.renders import Labels
from studio.events import Pixels
from studio.examples import Example, examples_dir, write_examples
from studio.presets import FIELDS
from studio.reproduction import request_of

BRIEFS = {
    "handbag": Brief(subject="handbag", material="leather", color="red", scene="white studio"),
    "armchair": Brief(subject="armchair", material="fabric", color="green", scene="living room"),
    "lamp": Brief(subject="lamp", material="ceramic", color="blue", scene="wooden table"),
}
"""By the name of the file; the first is the newest in the gallery."""

WAIT_SECONDS = 3600.0
CELL = 192


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=draft_model_dir())
    parser.add_argument("--out", type=Path, default=examples_dir())
    parser.add_argument("--tries", type=int, default=8, help="how many seeds to choose from")
    parser.add_argument("--seeds", type=int, nargs=len(BRIEFS), help="those to take")
    parser.add_argument("--sheet", type=Path, help="where to show all that could be taken")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="vitrine-") as folder:
        config = Config(
            data_dir=Path(folder),
            model=options.model,
            backend="torch",
            precision="float32",
            max_num_images=options.tries,
        )
        with Studio.open(config) as studio:
            studio.wait_until_ready()
            seeds = options.seeds or choose(studio, options.tries, options.sheet)
            options.out.mkdir(parents=True, exist_ok=True)
            examples = [
                keep(studio, dataclasses.replace(brief, seed=seed), f"{name}.png", options.out)
                for (name, brief), seed in zip(BRIEFS.items(), seeds, strict=True)
            ]
    write_examples(options.out, examples)


def choose(studio: Studio, tries: int, sheet: Path | None) -> list[int]:
    """The seed of each brief."""
    classifier = load_classifier(shipped_classifier())
    rows, seeds = [], []
    for name, brief in BRIEFS.items():
        pictures = draw(studio, dataclasses.replace(brief, seed=0, num_images=tries))
        wanted = labels_of(studio, brief)
        hits = classifier.read(pictures).hits([wanted] * tries)
        num_right = sum(hits[field].astype(int) for field in FIELDS)
        seeds.append(int(np.argmax(num_right)))
        rows.append(pictures)
        print(f"{name}: seed {seeds[-1]} shows {num_right[seeds[-1]]} of {len(FIELDS)} fields")
    if sheet is not None:
        lay_out(rows).save(sheet)
    return seeds


def draw(studio: Studio, brief: Brief) -> list[Pixels]:
    view = studio.wait(studio.submit(brief).id, WAIT_SECONDS)
    paths = [studio.image(view.images[index].id)[1] for index in sorted(view.images)]
    return [np.asarray(Image.open(path).convert("RGB")) for path in paths]


def labels_of(studio: Studio, brief: Brief) -> Labels:
    """What the picture should show, as the classifier names it."""
    terms = [studio.presets.vocabulary.match(field, getattr(brief, field)) for field in FIELDS]
    return Labels(*(term.id for term in terms if term is not None))


def keep(studio: Studio, brief: Brief, file: str, folder: Path) -> Example:
    """Draw one picture alone and write its file; what is to be known of it."""
    view = studio.wait(studio.submit(brief).id, WAIT_SECONDS)
    image, path = studio.image(view.images[0].id)
    content = path.read_bytes()
    (folder / file).write_bytes(content)
    assert hashlib.sha256(content).hexdigest() == image.digest
    return Example(
        file=file,
        digest=image.digest,
        brief=brief,
        request=request_of(image, view.job),
        model_name=image.model_name,
        model_digest=image.model_digest,
        backend=image.backend,
        precision=image.precision,
        screening=image.screening,
        seconds=round(image.seconds, 2),
        created_at=round(image.created_at),
    )


def lay_out(rows: list[list[Pixels]]) -> Image.Image:
    """A row for each brief, its seeds from 0 on."""
    sheet = Image.new("RGB", (CELL * max(map(len, rows)), CELL * len(rows)), "white")
    for y, row in enumerate(rows):
        for x, pixels in enumerate(row):
            picture = Image.fromarray(pixels).resize((CELL, CELL), Image.Resampling.LANCZOS)
            sheet.paste(picture, (x * CELL, y * CELL))
    return sheet


if __name__ == "__main__":
    main()
