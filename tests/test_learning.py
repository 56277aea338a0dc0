"""What decisions say about the threshold, against figures worked out by hand."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from studio.moderation.learning import threshold_curve
from studio.moderation.plot import curve_svg
from studio.review import Judged

DAY = 86400.0
JUDGED = [
    Judged(score=0.1, is_bad=None, at=0.0),
    Judged(score=0.2, is_bad=False, at=DAY),
    Judged(score=0.4, is_bad=True, at=DAY),
    Judged(score=0.6, is_bad=False, at=DAY),
    Judged(score=0.8, is_bad=True, at=2 * DAY),
    Judged(score=0.9, is_bad=None, at=2 * DAY),
]


@pytest.mark.parametrize(
    ("threshold", "precision", "recall", "num_held"),
    [(0.0, 0.5, 1.0, 6), (0.3, 2 / 3, 1.0, 4), (0.5, 0.5, 0.5, 3), (0.85, None, 0.0, 1)],
)
def test_precision_recall_and_queue_at_a_threshold(
    threshold: float, precision: float | None, recall: float, num_held: int
) -> None:
    (point,) = threshold_curve(JUDGED, [threshold])
    assert point.precision == (precision if precision is None else pytest.approx(precision))
    assert point.recall == pytest.approx(recall)
    assert (point.num_held, point.held_per_day) == (num_held, num_held / 2)


def test_nothing_is_said_of_nothing() -> None:
    (point,) = threshold_curve([], [0.5])
    assert (point.precision, point.recall, point.num_held) == (None, None, 0)


def test_the_plot_is_a_picture_with_a_title_and_without_script() -> None:
    svg = curve_svg(threshold_curve(JUDGED), hold_from=0.35, num_judged=4)
    root = ET.fromstring(svg)
    tags = {element.tag.split("}")[1] for element in root.iter()}
    assert tags == {"svg", "title", "text", "line", "polyline"}
    assert "4 decisions" in svg
    assert ET.fromstring(curve_svg(threshold_curve([]), hold_from=0.35, num_judged=0)) is not None
