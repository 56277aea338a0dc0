"""Who asks: the one place in which a request becomes a `Person`.

The gate (`gate.py`) settles who it is before anything else sees the request, and leaves the answer
with it. Every route and every handler of the page asks here, and hands on what it is told.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from studio.audit import ask_from
from studio.errors import Unauthenticated
from studio.person import Person

_KEY = "vitrine.person"


def person_of(request: object | None) -> Person:
    """Who sent `request`, one of FastAPI's or of Gradio's.

    Without accounts that is the one local user.

    Raises:
        Unauthenticated: nobody is signed in, or the request did not come through the gate.
    """
    person = _scope_of(request).get(_KEY)
    if not isinstance(person, Person):
        raise Unauthenticated("Nobody is signed in: sign in and try again.")
    ask_from(person.address)
    return person


def is_signed_in(request: object | None) -> bool:
    """Whether `person_of` has an answer."""
    return isinstance(_scope_of(request).get(_KEY), Person)


def admit(scope: MutableMapping[str, Any], person: Person) -> None:
    """Leave with a request's ASGI scope who sent it; for the gate alone."""
    scope[_KEY] = person


def _scope_of(request: object | None) -> MutableMapping[str, Any]:
    # Gradio wraps the real request, and turns what is read through it into other types.
    inner = getattr(request, "request", None) or request
    scope = getattr(inner, "scope", None)
    return scope if isinstance(scope, MutableMapping) else {}
