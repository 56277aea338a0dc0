"""Hand-like sketches: drawn by a seed, thin, and each kind with the flaw it is named for."""

from __future__ import annotations

import numpy as np
import pytest

from studio.evaluate.adherence import adherence
from studio.evaluate.hand_sketches import (
    KINDS,
    outlines,
    outlines_for,
    sketch,
    smooth,
    straight,
)
from studio.evaluate.renders import Labels
from studio.evaluate.sketched import hand_sketches
from studio.presets import load_presets

PRESETS = load_presets()


@pytest.mark.parametrize("outline", outlines(), ids=lambda outline: outline.subject)
@pytest.mark.parametrize("kind", KINDS)
def test_a_sketch_fits_the_picture_and_is_thin(outline: object, kind: str) -> None:
    lines = sketch(outline, kind, 128, 160, 3)  # type: ignore[arg-type]
    assert lines.shape == (128, 160)
    assert 100 < lines.sum() < 0.12 * lines.size
    rows, columns = np.nonzero(lines)
    assert rows.max() - rows.min() > 40
    assert columns.max() - columns.min() > 30


def test_a_seed_draws_the_same_strokes_and_another_others() -> None:
    mug = outlines()[0]
    one, again, other = (sketch(mug, "wobbling", 128, 128, seed) for seed in (1, 1, 2))
    assert (one == again).all()
    assert (one != other).any()


def test_kinds_differ_in_what_is_wrong_with_them() -> None:
    ink = {
        kind: np.mean([sketch(one, kind, 256, 256, 5).sum() for one in outlines()])
        for kind in KINDS
    }
    assert ink["broken"] < 0.9 * ink["wobbling"]
    assert ink["incomplete"] < 0.85 * ink["wobbling"]
    assert ink["doubled"] > 1.4 * ink["wobbling"]


def test_a_sketch_is_not_a_copy_of_another_of_the_same_outline() -> None:
    mug = outlines()[0]
    one, other = (sketch(mug, "wobbling", 256, 256, seed) for seed in (1, 2))
    assert adherence(one, other).f1 < 0.9


def test_a_curve_goes_through_its_points_and_a_line_straight() -> None:
    points = np.array([[0.0, 0.0], [0.5, 0.2], [1.0, 0.0]])
    assert all(np.abs(smooth(points) - point).sum(axis=1).min() < 1e-9 for point in points)
    drawn = straight(points[[0, 2]])
    assert np.allclose(drawn[:, 1], 0)
    assert (np.diff(drawn[:, 0]) > 0).all()


def test_outlines_are_found_by_the_vocabulary_and_only_for_what_is_shown() -> None:
    known = outlines_for(["mug", "vase", "unheard-of"], PRESETS.vocabulary)
    assert set(known) == {"mug", "vase"}


def test_hand_sketches_take_all_kinds_in_turn_and_leave_out_what_has_no_outline() -> None:
    labels = [
        Labels("mug", "wood", "red", "studio"),
        Labels("unheard-of", "wood", "red", "studio"),
        Labels("vase", "wood", "red", "garden"),
    ]
    found = hand_sketches(labels, PRESETS, 64, 64, 8, 0)
    assert {kind for kind, _, _ in found} == set(KINDS)
    assert {one.subject for _, one, _ in found} == {"mug", "vase"}
    assert hand_sketches(labels[1:2], PRESETS, 64, 64, 8, 0) == []
