"""Draws the contact sheet of a model: 24 held-out briefs, fixed seeds, one labelled picture.

Everything goes through the studio itself, so the sheet shows what a person would get. The
briefs are combinations of the four fields that the draft model never saw together; as many
for each subject, chosen by rule and not by taste.

    python -m scripts.contact_sheet --out assets/models/draft/contact_sheet.png
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from scripts.draft.vocabulary import FIELDS, word, words
from scripts.draft.world import combinations
from studio.application import Studio
from studio.brief import Brief
from studio.config import Config, draft_model_dir

COLUMNS, CELL, GAP, LABEL = 6, 192, 12, 36
FIRST_SEED = 1000
NUM_BRIEFS = 24

Combination = tuple[str, str, str, str]


def held_out_briefs() -> list[Combination]:
    """The sheet's combinations: each taken for the words the sheet has shown least so far."""
    subjects = words("subject")
    pool = list(combinations(held_out=True))
    random.Random(0).shuffle(pool)
    shown: dict[str, int] = {}
    chosen: list[Combination] = []
    for _ in range(NUM_BRIEFS // len(subjects)):
        for subject in subjects:
            own = [c for c in pool if c[0] == subject.id and c not in chosen]
            best = min(own, key=lambda c: sum(shown.get(id, 0) for id in c[1:]))
            chosen.append(best)
            for id in best[1:]:
                shown[id] = shown.get(id, 0) + 1
    return chosen


def draw(model: Path, briefs: list[Combination]) -> tuple[list[Image.Image], list[float]]:
    """The pictures of the briefs in order, and the seconds each took in the engine."""
    pictures: list[Image.Image] = []
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        config = Config(data_dir=Path(folder), model=model)
        with Studio.open(config) as studio:
            studio.wait_until_ready()
            for i, combination in enumerate(tqdm(briefs, desc="draw")):
                fields = {f: word(f, id).en for f, id in zip(FIELDS, combination, strict=True)}
                job = studio.submit(Brief(**fields, seed=FIRST_SEED + i))
                view = studio.wait(job.id, 0.5)
                while view.job.status.is_active:
                    view = studio.wait(job.id, 0.5)
                record, path = studio.image(view.images[0].id)
                with Image.open(path) as image:
                    pictures.append(image.convert("RGB"))
                seconds.append(record.seconds)
    return pictures, seconds


def lay_out(pictures: list[Image.Image], briefs: list[Combination]) -> Image.Image:
    """The labelled sheet."""
    rows = -(-len(pictures) // COLUMNS)
    size = (COLUMNS * (CELL + GAP) + GAP, rows * (CELL + LABEL + GAP) + GAP)
    sheet = Image.new("RGB", size, (250, 250, 249))
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    for i, (picture, (subject, material, color, scene)) in enumerate(
        zip(pictures, briefs, strict=True)
    ):
        x = GAP + i % COLUMNS * (CELL + GAP)
        y = GAP + i // COLUMNS * (CELL + LABEL + GAP)
        sheet.paste(picture.resize((CELL, CELL), Image.Resampling.LANCZOS), (x, y))
        pen.text((x, y + CELL + 2), f"{material} {color} {subject}", (40, 40, 40), font)
        pen.text((x, y + CELL + 17), word("scene", scene).phrase, (120, 120, 120), font)
    return sheet


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=draft_model_dir())
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    briefs = held_out_briefs()
    began = time.monotonic()
    pictures, seconds = draw(args.model, briefs)
    # A palette takes a third of the bytes, which the model's folder is short of.
    lay_out(pictures, briefs).quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(
        args.out, optimize=True
    )
    median = sorted(seconds)[len(seconds) // 2]
    print(
        f"{args.out}: {len(pictures)} pictures, median {median:.2f} s each, "
        f"{time.monotonic() - began:.0f} s in all"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
