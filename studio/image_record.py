"""`ImageRecord`: the row of one finished picture. Its file was complete before the row was."""

from __future__ import annotations

import dataclasses

from studio.verdict import Release


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageRecord:
    """A finished picture.

    `path` is relative to the data folder; `digest` is the file's SHA-256. `seconds` run from its
    first denoising step to its pixels, pauses included. `screening` says what the verdict rested on
    ("unscreened" while no classifier is installed).
    """

    id: str
    job_id: str
    owner: str
    index: int
    seed: int
    digest: str
    path: str
    height: int
    width: int
    release: Release
    screening: str
    model_name: str
    model_digest: str
    backend: str
    precision: str
    seconds: float
    created_at: float
