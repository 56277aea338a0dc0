"""Everything `studio evaluate` measures of one model: drawn once, read once, and figured out.

This file says in which order; each measure has a file of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from studio.evaluate.briefs import Settings, Task, choose, tasks_of
from studio.evaluate.color_error import errors, masked_color
from studio.evaluate.distribution import distance
from studio.evaluate.ground import Bars, Ground, no_bars
from studio.evaluate.intervals import Estimate, median, paired_difference
from studio.evaluate.match import MATCHED, confusion, match
from studio.evaluate.memorizing import nearest, nearest_test, thumbnails
from studio.evaluate.painter import Painter
from studio.evaluate.readings import Readings
from studio.evaluate.renders import Labels
from studio.evaluate.sketched import (
    KIND,
    Sketched,
    by_sort,
    draw_sketched,
    hand_sketches,
    render_sketches,
)
from studio.events import Pixels

NUM_PAIRS = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extent:
    """How much is drawn: `num_briefs` pictures, and `num_sketches` of each sort twice."""

    num_briefs: int = 100
    num_sketches: int = 32
    seed: int = 0
    settings: Settings = dataclasses.field(default_factory=Settings)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Tasks, the pictures drawn for them, and what the classifier saw."""

    tasks: tuple[Task, ...]
    pictures: tuple[Pixels, ...]
    readings: Readings

    @property
    def wanted(self) -> list[Labels]:
        return [task.labels for task in self.tasks]


@dataclasses.dataclass(frozen=True)
class Pair:
    """A drawn picture and the training picture nearest to it, by "features" or "pixels"."""

    by: str
    index: int
    training: Path
    distance: float


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """`figures` are plain values for JSON; the rest is for looking at."""

    figures: dict[str, Any]
    drawn: Drawn
    sketched: tuple[Sketched, ...] = ()
    pairs: tuple[Pair, ...] = ()


def draw_briefs(
    painter: Painter, ground: Ground, extent: Extent, bars: Bars = no_bars, label: str = "briefs"
) -> Drawn:
    """Draw and read the briefs of `extent`, which follow from its seed alone."""
    labels = choose(ground.reference.combinations, extent.num_briefs, extent.seed)
    tasks = tasks_of(
        labels, ground.presets, painter.card, seed=extent.seed, settings=extent.settings
    )
    return draw_tasks(painter, ground, tasks, bars, label)


def draw_tasks(
    painter: Painter, ground: Ground, tasks: Sequence[Task], bars: Bars, label: str
) -> Drawn:
    with bars(label, len(tasks)) as tell:
        pictures = painter.draw([task.request for task in tasks], tell)
    return Drawn(tuple(tasks), tuple(pictures), ground.classifier.read(pictures))


def evaluate(painter: Painter, ground: Ground, extent: Extent, bars: Bars = no_bars) -> Evaluation:
    """Measure the painter's model.

    Raises:
        GenerationFailed: a picture could not be drawn.
    """
    drawn = draw_briefs(painter, ground, extent, bars)
    memorizing, pairs = _memorizing(drawn, ground)
    sketches, sketched = _sketches(painter, ground, extent, bars)
    held_out = None if ground.readings is None else ground.readings.features
    figures = {
        "model": describe(painter, drawn),
        "seed": extent.seed,
        "num_briefs": extent.num_briefs,
        "num_combinations": len(ground.reference.combinations),
        "classifier": _instrument(ground),
        "match": match(drawn.readings, drawn.wanted, ground.reference.ceiling).to_dict(),
        "confusion": confusion(drawn.readings, drawn.wanted),
        "color_error": color_figures(drawn, ground),
        "distance": distance(
            drawn.readings.features, ground.reference.features, held_out, extent.seed
        ).to_dict(),
        "memorizing": memorizing,
        "sketches": sketches,
    }
    return Evaluation(figures, drawn, tuple(sketched), tuple(pairs))


def compare(ours: Drawn, theirs: Drawn) -> dict[str, Any]:
    """Match of `ours` minus match of `theirs`, pair by pair, with paired bootstrap intervals."""
    one, other = ours.readings.hits(ours.wanted), theirs.readings.hits(theirs.wanted)
    return {name: paired_difference(one[name], other[name]).to_dict() for name in MATCHED}


def describe(painter: Painter, drawn: Drawn) -> dict[str, Any]:
    """Which model drew, how, and in what size."""
    request = drawn.tasks[0].request
    maker = painter.maker
    return {
        "name": painter.card.name,
        "version": painter.card.version,
        "digest": maker.digest if maker else None,
        "backend": maker.backend if maker else None,
        "precision": maker.precision if maker else None,
        "height": request.height,
        "width": request.width,
        "num_steps": request.num_steps,
        "guidance_scale": request.guidance_scale,
        "sampler": request.sampler,
    }


def color_figures(drawn: Drawn, ground: Ground) -> dict[str, Any]:
    """Median ΔE2000 of the masked products, beside what the renders' own is."""
    colors = [
        masked_color(picture, mask)
        for picture, mask in zip(drawn.pictures, drawn.readings.masks, strict=True)
    ]
    found = errors([one.color for one in drawn.wanted], colors, ground.reference.colors)
    figures: dict[str, Any] = {
        name: {
            **median(values).to_dict(),
            "renders": _of(ground.reference.color_errors.get(name)),
        }
        for name, values in found.items()
        if values
    }
    return figures | {"num_not_found": sum(color is None for color in colors)}


def _memorizing(drawn: Drawn, ground: Ground) -> tuple[dict[str, Any], list[Pair]]:
    learned, readings = ground.learned, ground.readings
    if learned is None or readings is None:
        return {"note": "not measured: give --training and --renders"}, []
    clouds = {
        "features": (drawn.readings.features, readings.features, learned.features),
        "pixels": (
            thumbnails(drawn.pictures),
            thumbnails([one.pixels() for one in ground.held_out]),
            learned.thumbnails,
        ),
    }
    figures: dict[str, Any] = {"num_training": len(learned.paths)}
    pairs: list[Pair] = []
    for by, (ours, strangers, training) in clouds.items():
        near = nearest(ours, training)
        figures[by] = nearest_test(near, nearest(strangers, training)).to_dict()
        pairs += [
            Pair(by, int(i), learned.paths[int(near.indices[i])], float(near.distances[i]))
            for i in np.argsort(near.distances)[:NUM_PAIRS]
        ]
    return figures, pairs


def _sketches(
    painter: Painter, ground: Ground, extent: Extent, bars: Bars
) -> tuple[dict[str, Any], list[Sketched]]:
    if KIND not in painter.control_kinds:
        return {"note": "no ControlNet"}, []
    height, width = painter.card.default_size
    num, seed = extent.num_sketches, extent.seed
    labels = choose(ground.reference.combinations, num, seed + 1)
    sketches = hand_sketches(labels, ground.presets, height, width, num, seed)
    if ground.held_out:
        sketches = render_sketches(ground.held_out, height, width, num) + sketches
    if not sketches:
        return {"note": "no outline fits the words of the renders"}, []
    with bars("sketches", 2 * len(sketches)) as tell:
        sketched = draw_sketched(
            painter, sketches, ground.presets, seed=seed, settings=extent.settings, tell=tell
        )
    return {sort: one.to_dict() for sort, one in by_sort(sketched).items()}, sketched


def _instrument(ground: Ground) -> dict[str, Any]:
    return {
        "num_classes": {field: len(ids) for field, ids in ground.classifier.classes.items()},
        "num_held_out": ground.reference.num,
        "mask_overlap": _of(ground.reference.mask_overlap),
        "made": dict(ground.classifier.made),
    }


def _of(estimate: Estimate | None) -> float | None:
    return None if estimate is None else round(estimate.value, 3)
