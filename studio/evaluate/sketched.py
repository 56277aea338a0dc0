"""Sketch adherence: the same briefs and seeds drawn with a sketch and without, against that sketch.

Two sorts of sketches: Canny edges of held-out renders, and hand-like ones of shapes that no render
has. Edges are measured at the size the model draws, within 3 pixels. What a picture would have in
common with the sketch anyway is what it has without: only the difference is the control's doing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from studio.evaluate.adherence import Adherence, Edges, adherence
from studio.evaluate.briefs import Settings, Task, tasks_of
from studio.evaluate.hand_sketches import KINDS, outlines_for, sketch
from studio.evaluate.intervals import Estimate, mean, paired_difference
from studio.evaluate.painter import Painter, Tell
from studio.evaluate.renders import Labels, Render
from studio.events import Pixels
from studio.presets import Presets
from studio.request import Control
from studio.sketch import canny_edges

KIND = "canny"
RENDERS = "renders"
SEED_OFFSET = 1_000
"""Sketched pictures have seeds apart from those of the briefs."""


@dataclasses.dataclass(frozen=True)
class Sketched:
    """One sketch of a `sort` (RENDERS or one of KINDS), and what came of it."""

    sort: str
    labels: Labels
    edges: Edges
    with_control: Pixels
    without: Pixels

    def adherence(self, *, is_controlled: bool) -> Adherence:
        picture = self.with_control if is_controlled else self.without
        return adherence(edges_of(picture), self.edges)


@dataclasses.dataclass(frozen=True)
class SketchFigures:
    """Mean F1, precision and recall over some sketches; `gain` is F1 with minus F1 without."""

    f1: Estimate
    f1_without: Estimate
    gain: Estimate
    precision: Estimate
    recall: Estimate

    def to_dict(self) -> dict[str, Any]:
        return {
            field.name: getattr(self, field.name).to_dict() for field in dataclasses.fields(self)
        }


def edges_of(pixels: Pixels) -> Edges:
    """Where a picture has Canny edges."""
    edges: Edges = np.asarray(canny_edges(pixels)) > 0
    return edges


def render_sketches(
    renders: Sequence[Render], height: int, width: int, num: int
) -> list[tuple[str, Labels, Edges]]:
    """Sort, labels and edges of `num` renders, those of the wanted shape first."""
    chosen = [one for one in renders if _has_shape(one, height, width)] or list(renders)
    found = []
    for render in chosen[:: max(1, len(chosen) // num)][:num]:
        picture = Image.fromarray(render.pixels()).resize((width, height), Image.Resampling.BICUBIC)
        found.append((RENDERS, render.labels, edges_of(np.asarray(picture))))
    return found


def hand_sketches(
    combinations: Sequence[Labels], presets: Presets, height: int, width: int, num: int, seed: int
) -> list[tuple[str, Labels, Edges]]:
    """Sort, labels and lines of `num` hand-like sketches, of all kinds in turn."""
    known = outlines_for([one.subject for one in combinations], presets.vocabulary)
    drawable = [one for one in combinations if one.subject in known]
    if not drawable:
        return []
    found = []
    for index in range(num):
        labels = drawable[index % len(drawable)]
        kind = KINDS[(index + index // len(drawable)) % len(KINDS)]
        lines = sketch(known[labels.subject], kind, height, width, seed * 1_000 + index)
        found.append((kind, labels, lines))
    return found


def draw_sketched(
    painter: Painter,
    sketches: Sequence[tuple[str, Labels, Edges]],
    presets: Presets,
    *,
    seed: int,
    settings: Settings,
    tell: Tell,
) -> list[Sketched]:
    """Every sketch drawn with control at scale 1, and the same without."""
    tasks = tasks_of(
        [labels for _, labels, _ in sketches],
        presets,
        painter.card,
        seed=seed + SEED_OFFSET,
        settings=settings,
    )
    controlled = [
        _controlled(painter, task, edges)
        for task, (_, _, edges) in zip(tasks, sketches, strict=True)
    ]
    pictures = painter.draw([task.request for task in [*controlled, *tasks]], tell)
    return [
        Sketched(*one, pictures[index], pictures[index + len(sketches)])
        for index, one in enumerate(sketches)
    ]


def figures(sketched: Sequence[Sketched]) -> SketchFigures:
    """The figures over all of `sketched`."""
    one = [each.adherence(is_controlled=True) for each in sketched]
    other = [each.adherence(is_controlled=False).f1 for each in sketched]
    f1 = [each.f1 for each in one]
    return SketchFigures(
        f1=mean(f1),
        f1_without=mean(other),
        gain=paired_difference(f1, other),
        precision=mean([each.precision for each in one]),
        recall=mean([each.recall for each in one]),
    )


def by_sort(sketched: Sequence[Sketched]) -> Mapping[str, SketchFigures]:
    """The figures of RENDERS, of every hand-like kind, and of "hand" for all of those together."""
    groups = {
        sort: [one for one in sketched if one.sort == sort]
        for sort in dict.fromkeys(one.sort for one in sketched)
    }
    if hand := [one for one in sketched if one.sort != RENDERS]:
        groups["hand"] = hand
    return {sort: figures(group) for sort, group in groups.items()}


def _controlled(painter: Painter, task: Task, edges: Edges) -> Task:
    lines = np.repeat(edges[:, :, None], 3, axis=2).astype(np.uint8) * 255
    control = Control(image_digest=painter.keep_control(lines), kind=KIND)
    return Task(task.labels, dataclasses.replace(task.request, control=control))


def _has_shape(render: Render, height: int, width: int) -> bool:
    with Image.open(render.path) as picture:
        return abs(picture.height * width - picture.width * height) < picture.height * width / 50
