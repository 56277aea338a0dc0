"""`/account`: everybody's own place: their password, where they are signed in, what they used."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Form, Request
from fastapi.responses import Response

from studio.application import Studio
from studio.errors import NotFound, StudioError, Unauthenticated
from studio.gate import session_token
from studio.pages.frame import done, framed, role_names, usage_text
from studio.pages.sign_in import local_path
from studio.pages.texts import language_of, texts_of
from studio.who import person_of


def add_account(app: FastAPI, studio: Studio) -> None:
    """Add the routes to the app."""

    @app.get("/account")
    def show(request: Request) -> Response:
        return _page(request, studio)

    @app.post("/account/password")
    def change_password(
        request: Request,
        old: Annotated[str, Form()] = "",
        new: Annotated[str, Form()] = "",
        again: Annotated[str, Form()] = "",
    ) -> Response:
        texts = texts_of(language_of(request))
        if new != again:
            return _page(request, studio, status=422, refusal=texts["differ"])
        token = session_token(request.scope)
        try:
            studio.people.change_password(person_of(request), old, new, keep_token=token)
        except Unauthenticated:
            # Not 401: the session is good, and a page is not to be left for the sign-in.
            return _page(request, studio, status=422, refusal=texts["old_wrong"])
        except StudioError as error:
            return _page(request, studio, status=error.http_status, refusal=str(error))
        return done("/account", "password")

    @app.post("/account/sessions/{session_id}/end")
    def end_session(
        request: Request, session_id: str, back: Annotated[str, Form()] = "/account"
    ) -> Response:
        studio.people.end_session(session_id, person_of(request))
        return done(local_path(back), "session")


def _page(request: Request, studio: Studio, *, status: int = 200, refusal: str = "") -> Response:
    texts = texts_of(language_of(request))
    person = person_of(request)
    token = session_token(request.scope)
    try:
        has_password = studio.people.account(person.name).has_password
    except NotFound:
        has_password = False
    return framed(
        request,
        studio,
        "account",
        "/account",
        status=status,
        refusal=refusal,
        roles=role_names(person.roles, texts),
        usage=usage_text(studio, person.name, texts),
        has_password=has_password,
        sessions=studio.people.sessions(person.name),
        own_id=studio.people.session_id(token) if token else None,
    )
