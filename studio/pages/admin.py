"""`/admin`: the accounts, for admins: who may come in, as what, how much, and where they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated
from urllib.parse import quote

from fastapi import FastAPI, Form, Request
from fastapi.responses import Response

from studio.application import Studio
from studio.errors import BadInput, NotFound, StudioError
from studio.gate import session_token
from studio.pages.frame import done, framed, role_names, usage_text
from studio.pages.texts import language_of, texts_of
from studio.person import Person, Role
from studio.who import person_of

Roles = Annotated[list[str], Form(default_factory=list)]


def add_admin(app: FastAPI, studio: Studio) -> None:
    """Add the routes to the app. Each asks for the role itself, though the gate has."""
    people = studio.people

    @app.get("/admin")
    def show(request: Request) -> Response:
        _admin(request)
        return _list(request, studio)

    @app.post("/admin/people")
    def add(
        request: Request,
        role: Roles,
        name: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
    ) -> Response:
        by = _admin(request)
        try:
            if name and not password and not people.provider.name:
                raise BadInput("The password is missing: type one.")
            people.add(name, password or None, role, by=by)
        except StudioError as error:
            return _list(request, studio, error=error, name=name, roles=role)
        return done("/admin", "add")

    @app.get("/admin/people/{name}")
    def person(request: Request, name: str) -> Response:
        _admin(request)
        return _person(request, studio, name)

    @app.post("/admin/people/{name}/roles")
    def set_roles(request: Request, name: str, role: Roles) -> Response:
        by = _admin(request)
        return _changed(request, studio, name, lambda: people.set_roles(name, role, by=by))

    @app.post("/admin/people/{name}/quota")
    def set_quota(
        request: Request,
        name: str,
        max_pictures_per_day: Annotated[str, Form()] = "",
        queue_share: Annotated[str, Form()] = "",
    ) -> Response:
        by = _admin(request)
        return _changed(
            request,
            studio,
            name,
            lambda: people.set_quota(
                name, max_pictures_per_day=max_pictures_per_day, queue_share=queue_share, by=by
            ),
        )

    @app.post("/admin/people/{name}/password")
    def set_password(
        request: Request, name: str, password: Annotated[str, Form()] = ""
    ) -> Response:
        by = _admin(request)
        return _changed(request, studio, name, lambda: people.set_password(name, password, by=by))

    @app.post("/admin/people/{name}/disable")
    def disable(request: Request, name: str) -> Response:
        by = _admin(request)
        return _changed(request, studio, name, lambda: people.set_enabled(name, False, by=by))

    @app.post("/admin/people/{name}/enable")
    def enable(request: Request, name: str) -> Response:
        by = _admin(request)
        return _changed(request, studio, name, lambda: people.set_enabled(name, True, by=by))


def _admin(request: Request) -> Person:
    person = person_of(request)
    person.require(Role.ADMIN)
    return person


def _changed(request: Request, studio: Studio, name: str, change: Callable[[], object]) -> Response:
    """Make the change, and show the person again with how it went."""
    try:
        change()
    except NotFound:
        raise
    except StudioError as error:
        return _person(request, studio, name, error=error)
    return done(f"/admin/people/{quote(name, safe='')}", "save")


def _list(
    request: Request,
    studio: Studio,
    *,
    error: StudioError | None = None,
    name: str = "",
    roles: Sequence[str] = (Role.MERCHANDISER,),
) -> Response:
    texts = texts_of(language_of(request))
    sessions = studio.people.sessions()
    rows = [
        {
            "account": account,
            "roles": role_names(account.roles, texts),
            "usage": usage_text(studio, account.name, texts),
            "num_sessions": sum(session.name == account.name for session in sessions),
        }
        for account in studio.people.accounts()
    ]
    return framed(
        request,
        studio,
        "people",
        "/admin",
        status=error.http_status if error else 200,
        refusal=str(error or ""),
        rows=rows,
        typed={"name": name, "roles": roles},
        all_roles=[(str(role), texts[role]) for role in Role],
        has_provider=bool(studio.people.provider.name),
    )


def _person(
    request: Request, studio: Studio, name: str, *, error: StudioError | None = None
) -> Response:
    texts = texts_of(language_of(request))
    account = studio.people.account(name)
    token = session_token(request.scope)
    return framed(
        request,
        studio,
        "person",
        "/admin",
        status=error.http_status if error else 200,
        refusal=str(error or ""),
        account=account,
        usage=usage_text(studio, account.name, texts),
        all_roles=[(str(role), texts[role]) for role in Role],
        sessions=studio.people.sessions(account.name),
        own_id=studio.people.session_id(token) if token else None,
    )
