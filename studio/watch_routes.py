"""The watch over HTTP: `/metrics`, and the acts of the Monitor that a command line asks for.

Who may read: whoever sits at the machine itself, with no proxy in between, and admins. A proxy
makes every request come from this machine, so one that was forwarded is judged by its person.
"""

from __future__ import annotations

import ipaddress

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from studio.api_key import Scope, require_scope
from studio.application import Studio
from studio.counting import Counting
from studio.errors import NotFound
from studio.person import Role
from studio.who import person_of

FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")

GIVE_BACK_SECONDS = 30.0


def add_watch_routes(app: FastAPI, studio: Studio) -> None:
    """Add the routes, and count every request that `app` answers."""
    app.add_middleware(Counting, studio=studio, routes=app)

    @app.get("/metrics")
    def metrics(request: Request) -> Response:
        check_reader(request)
        if not studio.watch.is_on:
            raise NotFound(
                "Nothing is watched: start the studio with VITRINE_WATCH_SECONDS above 0."
            )
        content, content_type = studio.watch.metrics.expose()
        headers = {"Content-Type": content_type, "Cache-Control": "no-store"}
        return Response(content, headers=headers)

    @app.post("/monitor/give-back-memory")
    def give_back_memory(request: Request) -> JSONResponse:
        check_admin(request)
        answer = studio.manager.give_back_memory(GIVE_BACK_SECONDS)
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})


def check_reader(request: Request) -> None:
    """See that whoever asks may read what the studio counts.

    Raises:
        Unauthenticated, Forbidden: they are neither at this machine nor an admin.
    """
    if not is_at_this_machine(request):
        check_admin(request)


def check_admin(request: Request) -> None:
    """See that an admin asks, or a program with an admin's key that was made for this.

    Raises:
        Unauthenticated, Forbidden: it is somebody else.
    """
    person = person_of(request)
    require_scope(person, Scope.WATCH)
    person.require(Role.ADMIN)


def is_at_this_machine(request: Request) -> bool:
    """Whether the request comes straight from a program on this machine."""
    if request.client is None or any(name in request.headers for name in FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
