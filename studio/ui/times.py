"""Times to wait, in the words of a language, coarse enough not to flicker."""

from __future__ import annotations

import math

from studio.ui.speech import Say
from studio.ui.texts import common


def about(seconds: float | None, say: Say) -> str:
    """ "about 40 s"; empty for `None`."""
    words = rounded(seconds, say)
    return say(common.ABOUT, span=words) if words else ""


def rounded(seconds: float | None, say: Say) -> str:
    """The same without "about": "40 s", "3 min"; empty for `None`."""
    if seconds is None:
        return ""
    if seconds < 10:
        return say(common.SECONDS, number=max(1, math.ceil(seconds)))
    if seconds < 90:
        return say(common.SECONDS, number=math.ceil(seconds / 5) * 5)
    if seconds < 5400:
        return say(common.MINUTES, number=math.ceil(seconds / 60))
    return say(common.HOURS, number=seconds / 3600)
