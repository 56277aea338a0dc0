"""What the decisions of people say about the classifier's thresholds. Pure arithmetic.

A picture that was allowed is seldom judged by a person, only when somebody reports it. So recall
is over the bad pictures that became known, an upper bound of the true one; precision is over those
people have judged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from studio.review import Judged

THRESHOLDS = tuple(step / 20 for step in range(21))
DAY_SECONDS = 86400.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """What holding from `threshold` on would have meant. `None` where nothing can be said.

    `precision`: of the judged pictures it holds, the share that was rejected. `recall`: of the
    rejected pictures, the share it holds. `num_held`: of all screened pictures; `held_per_day` over
    the days they span, one at least.
    """

    threshold: float
    precision: float | None
    recall: float | None
    num_held: int
    held_per_day: float


def threshold_curve(
    judged: Sequence[Judged], thresholds: Sequence[float] = THRESHOLDS
) -> list[Point]:
    """One point for each threshold."""
    times = [each.at for each in judged]
    num_days = max(1.0, (max(times) - min(times)) / DAY_SECONDS) if times else 1.0
    num_bad = sum(each.is_bad is True for each in judged)
    points = []
    for threshold in thresholds:
        held = [each for each in judged if each.score >= threshold]
        num_judged = sum(each.is_bad is not None for each in held)
        num_caught = sum(each.is_bad is True for each in held)
        points.append(
            Point(
                threshold=threshold,
                precision=num_caught / num_judged if num_judged else None,
                recall=num_caught / num_bad if num_bad else None,
                num_held=len(held),
                held_per_day=len(held) / num_days,
            )
        )
    return points
