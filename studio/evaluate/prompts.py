"""The structured-prompt experiment: free descriptions against the four-field form.

The same combinations, the same seeds, the same model, twice: once with the prompt that `compose`
makes of the form, once with a description as people write it. Which is read better is not assumed:
both match rates stand with their intervals, and so does their difference, pair by pair.
"""

from __future__ import annotations

import dataclasses
import functools
import random
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from studio.errors import BadInput
from studio.evaluate.briefs import Task, choose, tasks_of
from studio.evaluate.ground import Bars, Ground, no_bars
from studio.evaluate.match import match
from studio.evaluate.measure import Drawn, Extent, compare, describe, draw_tasks
from studio.evaluate.painter import Painter
from studio.evaluate.renders import Labels
from studio.presets import FIELDS, Presets

WRITTEN, PATTERN = "written", "pattern"
SEED_OFFSET = 2_000


@dataclasses.dataclass(frozen=True)
class FreeText:
    """A description and what it asks for; `source` is WRITTEN by hand or from a PATTERN."""

    text: str
    labels: Labels
    source: str


@dataclasses.dataclass(frozen=True)
class Experiment:
    """`figures` for JSON; the two ways as they were drawn, pair by pair, and the texts."""

    figures: dict[str, Any]
    texts: tuple[FreeText, ...]
    fields: Drawn
    free: Drawn


@functools.cache
def _data() -> Mapping[str, Any]:
    path = Path(__file__).with_name("free_texts.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def written_texts() -> list[FreeText]:
    """Those written by hand, in the file's order."""
    return [FreeText(one["text"], Labels(*one["labels"]), WRITTEN) for one in _data()["text"]]


def pattern_texts(combinations: Sequence[Labels], presets: Presets, seed: int) -> list[FreeText]:
    """One text for each of `combinations`, patterns in turn, words drawn with `seed`."""
    generator = random.Random(seed)
    patterns: list[str] = list(_data()["patterns"])
    generator.shuffle(patterns)
    texts = []
    for index, labels in enumerate(combinations):
        said = {
            field: generator.choice(_spoken(field, id, presets))
            for field, id in zip(FIELDS, labels, strict=True)
        }
        pattern = patterns[index % len(patterns)]
        texts.append(FreeText(pattern.format(**said), labels, PATTERN))
    return texts


def choose_texts(ground: Ground, num: int, seed: int) -> list[FreeText]:
    """`num` texts: half written by hand as far as they go, the rest from patterns.

    Only of words that the reference's combinations hold, so that a ceiling is known.
    """
    known = [{one[index] for one in ground.reference.combinations} for index in range(len(FIELDS))]
    written = [
        one
        for one in written_texts()
        if all(id in ids for id, ids in zip(one.labels, known, strict=True))
    ]
    random.Random(seed).shuffle(written)
    written = written[: (num + 1) // 2]
    labels = choose(ground.reference.combinations, num - len(written), seed)
    return written + pattern_texts(labels, ground.presets, seed)


def experiment(
    painter: Painter, ground: Ground, extent: Extent, bars: Bars = no_bars
) -> Experiment:
    """Run it on the painter's model, over `extent.num_briefs` pairs.

    Descriptions longer than the model reads are left out of both ways, and counted.

    Raises:
        BadInput: none is left.
    """
    chosen = choose_texts(ground, extent.num_briefs, extent.seed)
    texts = [one for one in chosen if painter.reads(one.text)]
    if not texts:
        raise BadInput("The model cannot read a single one of the descriptions: all are too long.")
    tasks = tasks_of(
        [one.labels for one in texts],
        ground.presets,
        painter.card,
        seed=extent.seed + SEED_OFFSET,
        settings=extent.settings,
    )
    free_tasks = [
        Task(task.labels, dataclasses.replace(task.request, prompt=one.text))
        for task, one in zip(tasks, texts, strict=True)
    ]
    fields = draw_tasks(painter, ground, tasks, bars, "four fields")
    free = draw_tasks(painter, ground, free_tasks, bars, "free texts")
    figures: dict[str, Any] = {
        "model": describe(painter, fields),
        "seed": extent.seed,
        "num_briefs": len(texts),
        "num_too_long": len(chosen) - len(texts),
        "fields": _match(fields, ground),
        "free": _match(free, ground),
        "difference": compare(fields, free),
        "by_source": {},
    }
    for source in (WRITTEN, PATTERN):
        indices = [index for index, one in enumerate(texts) if one.source == source]
        if indices:
            one, other = part(fields, indices), part(free, indices)
            figures["by_source"][source] = {
                "fields": _match(one, ground)["all"],
                "free": _match(other, ground)["all"],
                "difference": compare(one, other)["all"],
            }
    return Experiment(figures, tuple(texts), fields, free)


def part(drawn: Drawn, indices: Sequence[int]) -> Drawn:
    """Some of what was drawn."""
    return Drawn(
        tuple(drawn.tasks[index] for index in indices),
        tuple(drawn.pictures[index] for index in indices),
        drawn.readings.part(indices),
    )


def _match(drawn: Drawn, ground: Ground) -> dict[str, Any]:
    return match(drawn.readings, drawn.wanted, ground.reference.ceiling).to_dict()


def _spoken(field: str, id: str, presets: Presets) -> Sequence[str]:
    words: Sequence[str] | None = _data()["spoken"][field].get(id)
    if words:
        return words
    term = presets.vocabulary.match(field, id)
    assert term is not None  # `choose_texts` gives known words only
    return (term.phrase or term.en,)
