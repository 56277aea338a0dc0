"""Times to wait, in words coarse enough not to flicker. Knows numbers only."""

from __future__ import annotations

import math


def about(seconds: float | None) -> str:
    """For a narrow place: "about 40 s"; empty for `None`."""
    words = rounded(seconds)
    return f"about {words}" if words else ""


def rounded(seconds: float | None) -> str:
    """The same without "about": "40 s", "3 min"; empty for `None`."""
    if seconds is None:
        return ""
    if seconds < 1:
        return "1 s"
    if seconds < 10:
        return f"{math.ceil(seconds)} s"
    if seconds < 90:
        return f"{math.ceil(seconds / 5) * 5} s"
    if seconds < 5400:
        return f"{math.ceil(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def try_again(seconds: float | None) -> str:
    """The end of a refusal: "try again in about 3 minutes"."""
    if seconds is None:
        return "try again in a few minutes"
    for unit, length in (("second", 1), ("minute", 60), ("hour", 3600)):
        number = math.ceil(seconds / length)
        if number < 90 or unit == "hour":
            break
    number = max(1, number)
    return f"try again in about {number} {unit}{'' if number == 1 else 's'}"
