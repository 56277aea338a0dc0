"""Telling names for picture files that leave the studio."""

from __future__ import annotations

import re
import unicodedata

from studio.brief import Brief

MAX_CHARS = 60


def slug(brief: Brief) -> str:
    """ "red-ceramic-mug"; letters and digits of any script, "picture" where there are none."""
    text = " ".join((brief.color, brief.material, brief.subject)).casefold()
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text))
    return "-".join(words)[:MAX_CHARS].strip("-") or "picture"
