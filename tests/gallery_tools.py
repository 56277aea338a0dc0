"""Many finished pictures at once, put into a studio's folder as the recorder would."""

from __future__ import annotations

from studio.application import Studio
from studio.bench.gallery import shelve_pictures


def shelve_many(studio: Studio, number: int) -> None:
    """`number` small pictures of the local user, each with a row and a file."""
    shelve_pictures(studio, number)
