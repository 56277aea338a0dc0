"""`Access`: who may knock at which address. The list of every address the studio has.

What is not on the list does not exist, whatever a library brings along: the gate answers "not
found". Being let in here is not all: a handler that shows or changes something still asks whose it
is, and for which role.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

from fastapi.routing import iter_route_contexts
from starlette.applications import Starlette


class Access(enum.Enum):
    """Who is let through to an address."""

    PUBLIC = "everybody"
    PERSON = "who is signed in"
    REVIEWER = "who is signed in and a reviewer"
    ADMIN = "who is signed in and an admin"


KEYED = ("/api/", "/metrics", "/monitor/")
"""Below these an API key lets in as well as a session; elsewhere a key opens nothing."""

# "*" at the end stands for anything.
RULES: dict[str, Access] = {
    # Ours
    "/": Access.PERSON,
    "/account": Access.PERSON,
    "/account/*": Access.PERSON,
    "/admin": Access.ADMIN,
    "/admin/*": Access.ADMIN,
    "/api/*": Access.PERSON,
    "/drafts/*": Access.PERSON,
    "/gallery/*": Access.PERSON,
    "/healthz": Access.PUBLIC,
    "/metrics": Access.PUBLIC,  # to programs on this machine, and to admins: it asks itself
    "/monitor/*": Access.ADMIN,
    "/pictures/*": Access.PERSON,
    "/placeholders/*": Access.PERSON,
    "/previews/*": Access.PERSON,
    "/review/*": Access.REVIEWER,
    "/session": Access.PERSON,
    "/sign-in": Access.PUBLIC,
    "/sign-in/provider": Access.PUBLIC,
    "/sign-in/provider/back": Access.PUBLIC,
    "/sign-out": Access.PUBLIC,
    "/sketches": Access.PERSON,
    "/sketches/*": Access.PERSON,
    "/thumbs/*": Access.PERSON,
    # What Gradio's page needs, and no more. Uploads and files are not: whoever is signed in could
    # fetch anybody's by its address. Take a route of our own, which asks whose a thing is.
    "/assets/*": Access.PERSON,
    "/config": Access.PERSON,
    "/favicon.ico": Access.PERSON,
    "/gradio_api/cancel": Access.PERSON,
    "/gradio_api/heartbeat/*": Access.PERSON,
    "/gradio_api/info": Access.PERSON,
    "/gradio_api/queue/data": Access.PERSON,
    "/gradio_api/queue/join": Access.PERSON,
    "/gradio_api/reset": Access.PERSON,
    "/gradio_api/run/predict": Access.PERSON,
    "/manifest.json": Access.PERSON,
    "/static/*": Access.PERSON,
    "/svelte/*": Access.PERSON,
    "/theme.css": Access.PERSON,
}

_EXACT = {path: access for path, access in RULES.items() if not path.endswith("*")}
_BELOW = tuple((path[:-1], access) for path, access in RULES.items() if path.endswith("*"))


def access_of(path: str) -> Access | None:
    """Who may ask for `path`; `None` where there is no such address."""
    if path in _EXACT:
        return _EXACT[path]
    found = [rule for rule in _BELOW if path.startswith(rule[0])]
    return max(found, key=lambda rule: len(rule[0]))[1] if found else None


def check_rules(app: Starlette) -> None:
    """See that every route of ours has a rule: one forgotten is found at the first start.

    Gradio's routes need none; without one they are closed.
    """
    missing = [path for path in own_paths(app) if access_of(path) is None]
    if missing:
        raise LookupError(f"No rule says who may ask for {', '.join(missing)}: see {__name__}.")


def own_paths(app: Starlette) -> Iterator[str]:
    """The path of every route, without what is mounted: Gradio."""
    for route in iter_route_contexts(app.routes):
        if route.methods:
            yield str(route.path)
