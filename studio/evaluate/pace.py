"""How long one picture takes, drawn alone: two ways of asking one model, held against each other.

They are drawn by turns, so that whatever else the machine does meanwhile falls on both. What counts
is what a person waits for, from the request to the pixels; only the prompts were read before.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Sequence
from typing import Any

from studio.evaluate.ground import Bars, no_bars
from studio.evaluate.intervals import Estimate, median
from studio.evaluate.painter import Painter
from studio.request import Request

NUM_TIMED = 9
"""Pairs of pictures, after one pair that does not count."""


@dataclasses.dataclass(frozen=True)
class Pace:
    """Median seconds of one picture of `ours` and of `theirs`; `ratio` is ours over theirs."""

    ours_seconds: float
    theirs_seconds: float
    ratio: Estimate

    def to_dict(self) -> dict[str, Any]:
        return {
            "ours_seconds": round(self.ours_seconds, 4),
            "theirs_seconds": round(self.theirs_seconds, 4),
            "ratio": self.ratio.to_dict(),
        }


def pace(
    painter: Painter, ours: Sequence[Request], theirs: Sequence[Request], bars: Bars = no_bars
) -> Pace:
    """Draw at most `NUM_TIMED` of each once more, one at a time.

    Raises:
        GenerationFailed: one could not be drawn.
    """
    pairs = list(zip(ours, theirs, strict=True))[:NUM_TIMED]
    with bars("time", 2 * len(pairs) + 2) as tell:

        def seconds(request: Request) -> float:
            begun = time.perf_counter()
            painter.draw([request], tell)
            return time.perf_counter() - begun

        for request in pairs[0]:
            seconds(request)
        taken = [(seconds(one), seconds(other)) for one, other in pairs]
    return Pace(
        statistics.median(one for one, _ in taken),
        statistics.median(other for _, other in taken),
        median([one / other for one, other in taken]),
    )
