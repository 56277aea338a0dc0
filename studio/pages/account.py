"""`/account`: everybody's own place: password, where they are signed in, keys of their programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import FastAPI, Form, Request
from fastapi.responses import Response

from studio.api_key import Scope
from studio.application import Studio
from studio.errors import BadInput, NotFound, StudioError, Unauthenticated
from studio.gate import session_token
from studio.pages.frame import done, framed, role_names, usage_text
from studio.pages.sign_in import local_path
from studio.pages.texts import language_of, texts_of
from studio.who import person_of

SPANS = (7, 30, 90, 365)
"""Days for which a key may be good, on offer; beside without end."""


@dataclasses.dataclass(frozen=True)
class TypedKey:
    """What stands in the form for a new key."""

    name: str = ""
    scopes: Sequence[str] = (Scope.JOBS_READ, Scope.JOBS_WRITE, Scope.PICTURES_READ)
    days: str = "90"


@dataclasses.dataclass(frozen=True)
class MadeKey:
    """A key just made, to be shown this once."""

    name: str
    secret: str


NOTHING_TYPED = TypedKey()


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

    @app.post("/account/keys")
    def make_key(
        request: Request,
        scope: Annotated[list[str], Form(default_factory=list)],
        name: Annotated[str, Form()] = "",
        days: Annotated[str, Form()] = "",
    ) -> Response:
        person = person_of(request)
        try:
            key, secret = studio.keys.create(person.name, name, scope, days=_days(days))
        except StudioError as error:
            typed = TypedKey(name, scope, days)
            status = error.http_status
            return _page(request, studio, status=status, refusal=str(error), typed=typed)
        studio.audit.note(person, "key.create", key.id, scopes=sorted(key.scopes))
        # Not by way of another address: the secret is kept nowhere it could be read from again.
        return _page(request, studio, made=MadeKey(key.name, secret))

    @app.post("/account/keys/{key_id}/revoke")
    def revoke_key(request: Request, key_id: str) -> Response:
        person = person_of(request)
        studio.keys.revoke(key_id, person.name)
        studio.audit.note(person, "key.revoke", key_id)
        return done("/account", "key")


def _days(text: str) -> int | None:
    """Nothing is without end."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise BadInput("Say for how many days the key is good: a whole number.")
    return int(text[:9])


def _page(
    request: Request,
    studio: Studio,
    *,
    status: int = 200,
    refusal: str = "",
    made: MadeKey | None = None,
    typed: TypedKey = NOTHING_TYPED,
) -> Response:
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
        keys=[key for key in studio.keys.list(person.name) if key.revoked_at is None],
        made=made,
        typed=typed,
        **_offered(texts),
    )


def _offered(texts: Mapping[str, str]) -> dict[str, Any]:
    """What a key may be made for, and for how long."""
    spans = [(str(days), texts["days"].format(n=days)) for days in SPANS]
    return {
        "scopes": [(str(scope), texts[scope]) for scope in Scope],
        "spans": [*spans, ("", texts["key_for_ever"])],
    }
