"""The prompts' experiment as a table and as a sheet: both ways side by side, the failures first."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import numpy as np
from PIL import Image

from studio.evaluate.match import MATCHED
from studio.evaluate.prompts import PATTERN, WRITTEN, Experiment
from studio.evaluate.report import Figures, Row, head, percent
from studio.evaluate.sheet import grid, stack, table

NUM_SHOWN = 12
CHARS_A_LINE = 27
SOURCES = {WRITTEN: "texts written by hand", PATTERN: "texts from patterns"}


def rows(figures: Figures) -> Iterator[Row]:
    """Measure, four fields, and free text with the difference."""
    for name in MATCHED:
        label = "all four right" if name == "all" else f"{name} right"
        yield (
            label,
            f"four fields {percent(figures['fields'][name])}",
            f"free text {percent(figures['free'][name])}, "
            f"difference {percent(figures['difference'][name])}",
        )
    for source, one in figures["by_source"].items():
        yield (
            f"all four right, {SOURCES[source]}",
            f"four fields {percent(one['fields'])}",
            f"free text {percent(one['free'])}, difference {percent(one['difference'])}",
        )
    if figures["num_too_long"]:
        yield "texts longer than the model reads, left out", str(figures["num_too_long"]), ""


def build_sheet(result: Experiment) -> Image.Image:
    """The report of one model."""
    hits = result.free.readings.hits(result.free.wanted)["all"]
    order = np.argsort(hits, kind="stable")[:NUM_SHOWN]
    pictures, captions = [], []
    for index in order.tolist():
        for drawn, way in ((result.fields, "four fields"), (result.free, "free text")):
            pictures.append(drawn.pictures[index])
            pairs = zip(drawn.tasks[index].labels, drawn.readings.labels[index], strict=True)
            lines = [(way, False)]
            lines += [(a if a == b else f"{a}, seen {b}", a != b) for a, b in pairs]
            if drawn is result.free:
                told = textwrap.wrap(result.texts[index].text, CHARS_A_LINE)
                lines += [(line, False) for line in told]
            captions.append(lines)
    note = "Pairs of the same combination and seed; where the free text failed comes first."
    return stack(
        [
            table(
                "Free text against four fields", head(result.figures), list(rows(result.figures))
            ),
            grid("Side by side", note, pictures, captions),
        ]
    )
