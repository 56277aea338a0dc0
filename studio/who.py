"""Who asks: the one place in which a request becomes a `Person`.

Every route and every handler of the page asks here, and hands on what it is told.
"""

from __future__ import annotations

from typing import Protocol

from studio.person import LOCAL_PERSON, Person


class Asked(Protocol):
    """A request of FastAPI or of Gradio, as far as it matters here."""

    @property
    def headers(self) -> object: ...


def person_of(request: Asked | None) -> Person:
    """Who sent `request`. Without accounts that is the one local user."""
    return LOCAL_PERSON
