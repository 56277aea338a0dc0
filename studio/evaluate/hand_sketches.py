"""Sketches as hands draw them: wobbling, broken, doubled, incomplete.

The outlines are of `outlines.toml`, shapes that the rendered world does not hold. Every sketch is a
map of lines one pixel thick, as a ControlNet is shown them; the same seed draws the same strokes.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from studio.evaluate.adherence import Edges
from studio.presets import Vocabulary

KINDS = ("wobbling", "broken", "doubled", "incomplete")
"""Every kind wobbles a little; a hand cannot do otherwise."""

NUM_PER_CURVE = 24
"""Points between two points of a stroke."""

WOBBLE, STEADY = 0.014, 0.005
DOUBLE_SHIFT = 0.014
GAP_SHARE, GAP_LENGTH = 0.22, 10
MISSING_SHARE = 0.35

Points = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Outline:
    """Strokes of a product in the unit square, each densely `[N, 2]` as (x, y)."""

    subject: str
    strokes: tuple[Points, ...]


@functools.cache
def outlines() -> tuple[Outline, ...]:
    """The outlines of the package's file, in its order."""
    path = Path(__file__).with_name("outlines.toml")
    return tuple(
        Outline(
            entry["subject"],
            (
                *(smooth(np.array(points, float)) for points in entry["curves"]),
                *(straight(np.array(points, float)) for points in entry["lines"]),
            ),
        )
        for entry in tomllib.loads(path.read_text(encoding="utf-8"))["outline"]
    )


def outlines_for(subjects: Sequence[str], vocabulary: Vocabulary) -> Mapping[str, Outline]:
    """The outline of each of `subjects` (ids) that has one, as the vocabulary understands it."""
    known = {}
    for outline in outlines():
        term = vocabulary.match("subject", outline.subject)
        if term is not None and term.id in subjects:
            known[term.id] = outline
    return known


def sketch(outline: Outline, kind: str, height: int, width: int, seed: int) -> Edges:
    """`outline` drawn by hand, `[height, width]`; `kind` is one of KINDS."""
    generator = np.random.default_rng([seed, KINDS.index(kind)])
    placed = _placed(outline.strokes, generator)
    if kind == "incomplete":
        placed = _incomplete(placed, generator)
    drawn = [_wobbled(one, WOBBLE if kind == "wobbling" else STEADY, generator) for one in placed]
    if kind == "doubled":
        drawn += [
            _wobbled(one, STEADY, generator) + generator.uniform(-DOUBLE_SHIFT, DOUBLE_SHIFT, 2)
            for one in placed
        ]
    if kind == "broken":
        drawn = [piece for one in drawn for piece in _broken(one, generator)]
    return _rasterised(drawn, height, width)


def smooth(points: Points) -> Points:
    """A curve through `points` `[N, 2]` (Catmull and Rom 1974), its ends doubled."""
    p = np.concatenate([points[:1], points, points[-1:]])
    t = np.linspace(0, 1, NUM_PER_CURVE, endpoint=False)[:, None]
    pieces = [
        0.5
        * (
            2 * b
            + (c - a) * t
            + (2 * a - 5 * b + 4 * c - d) * t**2
            + (3 * b - a - 3 * c + d) * t**3
        )
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False)
    ]
    return np.concatenate([*pieces, points[-1:]])


def straight(points: Points) -> Points:
    """The polyline through `points`, with points in between."""
    t = np.linspace(0, 1, NUM_PER_CURVE, endpoint=False)[:, None]
    pieces = [a + (b - a) * t for a, b in itertools.pairwise(points)]
    return np.concatenate([*pieces, points[-1:]])


def _placed(strokes: Sequence[Points], generator: np.random.Generator) -> list[Points]:
    """Somewhat wider or narrower, turned about, and not quite in the middle."""
    scale = generator.uniform(0.88, 1.06, 2)
    if generator.random() < 0.5:
        scale[0] = -scale[0]
    shift = generator.uniform(-0.03, 0.03, 2)
    return [(stroke - 0.5) * scale + 0.5 + shift for stroke in strokes]


def _wobbled(stroke: Points, size: float, generator: np.random.Generator) -> Points:
    """Pushed aside by slow noise: a random value every so often, smooth in between."""
    num_knots = max(3, len(stroke) // 14)
    knots = generator.normal(0, size, (num_knots, 2))
    at, every = np.linspace(0, num_knots - 1, len(stroke)), np.arange(num_knots)
    pushed = np.stack([np.interp(at, every, knots[:, axis]) for axis in (0, 1)], axis=1)
    return stroke + pushed


def _broken(stroke: Points, generator: np.random.Generator) -> list[Points]:
    """Without some stretches, as a pencil skips."""
    keep = np.ones(len(stroke), bool)
    num_gaps = max(1, round(GAP_SHARE * len(stroke) / GAP_LENGTH))
    for start in generator.integers(0, max(1, len(stroke) - GAP_LENGTH), num_gaps):
        keep[start : start + GAP_LENGTH] = False
    cuts = np.flatnonzero(np.diff(keep.astype(int))) + 1
    return [
        piece
        for piece, is_kept in zip(np.split(stroke, cuts), np.split(keep, cuts), strict=True)
        if is_kept[0] and len(piece) > 1
    ]


def _incomplete(strokes: Sequence[Points], generator: np.random.Generator) -> list[Points]:
    """Some strokes left off, some not drawn to their end; at least half of them stay."""
    order = generator.permutation(len(strokes))
    missing = set(order[: int(MISSING_SHARE * len(strokes))].tolist())
    kept = []
    for index, stroke in enumerate(strokes):
        if index in missing:
            continue
        end = generator.uniform(0.65, 1.0)
        kept.append(stroke[: max(2, int(end * len(stroke)))])
    return kept


def _rasterised(strokes: Sequence[Points], height: int, width: int) -> Edges:
    picture = Image.new("1", (width, height))
    pen = ImageDraw.Draw(picture)
    side = min(height, width)
    offset = np.array([(width - side) / 2, (height - side) / 2])
    for stroke in strokes:
        pen.line([(float(x), float(y)) for x, y in stroke * side + offset], fill=1)
    edges: Edges = np.asarray(picture, bool)
    return edges
