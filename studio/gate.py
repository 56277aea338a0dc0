"""`Gate`: who asks, settled before anything else sees the request; nobody else comes through.

It stands right behind the `Guard`. It reads the session's cookie, or the key of a program, and
leaves the `Person` with the request for `who.person_of`. Which address is for whom is `access.py`'s
to say, which tab is whose `tabs.py`'s; a request that lasts is ended by `visit.py` when its person
may not come in any more.
"""

from __future__ import annotations

import functools
import json
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request

from studio.access import KEYED, Access, access_of
from studio.audit import ask_from
from studio.errors import Forbidden, NotFound, StudioError, Unauthenticated
from studio.guard import App, Receive, Scope, Send
from studio.people import People
from studio.person import Person, Role
from studio.tabs import Tabs
from studio.ui.speech import say_for
from studio.ui.told import told
from studio.visit import Visit
from studio.who import admit

COOKIE = "vitrine-session"
SECURE_COOKIE = "__Host-vitrine-session"
"""Its name over https: a browser then lets nobody but this very host set it."""

_ROLES = {Access.REVIEWER: Role.REVIEWER, Access.ADMIN: Role.ADMIN}


class Gate:
    """ASGI middleware; see the module."""

    def __init__(self, app: App, *, people: People) -> None:
        self._app = app
        self._people = people
        self._tabs = Tabs()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            person = await self._pass(scope)
            if person is not None:
                receive = await self._tabs.settle(scope, receive, person.name)
        except StudioError as error:
            await _refuse(scope, send, error)
            return
        if person is None:
            await self._app(scope, receive, send)
            return
        ask_from(person.address)
        stays = functools.partial(self._may_stay, scope, person)
        await Visit(receive, send, stays).attend(self._app, scope)

    async def _pass(self, scope: Scope) -> Person | None:
        """Who is let in; nobody in particular where everybody is."""
        access = access_of(scope["path"])
        if access is None:
            raise NotFound("There is nothing at this address.")
        person = await run_in_threadpool(self._visitor, scope)
        if person is not None:
            admit(scope, person)
        if access is Access.PUBLIC:
            return None
        if person is None:
            raise Unauthenticated("Nobody is signed in here, or not any more: sign in first.")
        if access in _ROLES:
            person.require(_ROLES[access])
        return person

    async def _may_stay(self, scope: Scope, person: Person) -> bool:
        """Whether who was let in would be again, as the same and in the same roles."""
        try:
            return await run_in_threadpool(self._visitor, scope) == person
        except StudioError:
            return False

    def _visitor(self, scope: Scope) -> Person | None:
        headers = Headers(scope=scope)
        kind, _, key = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and scope["path"].startswith(KEYED):
            return self._people.key_holder(key.strip(), address_of(scope))
        return self._people.visitor(session_token(scope), address_of(scope))


def session_token(scope: Scope) -> str | None:
    """What the browser shows of its session."""
    try:
        cookies = SimpleCookie(Headers(scope=scope).get("cookie", ""))
    except CookieError:
        return None
    morsel = cookies.get(SECURE_COOKIE if scope.get("scheme") == "https" else COOKIE)
    return morsel.value if morsel else None


def address_of(scope: Scope) -> str:
    """From where a request comes; the server has asked trusted proxies already."""
    client = scope.get("client")
    return str(client[0]) if client else ""


async def _refuse(scope: Scope, send: Send, error: StudioError) -> None:
    """A person is led to the sign-in page, a program is told in JSON."""
    status, headers = error.http_status, {"cache-control": "no-store"}
    sentence = told(error, say_for(Request(scope)))
    body = json.dumps({"error": sentence}, ensure_ascii=False).encode()
    headers["content-type"] = "application/json"
    if scope["path"].startswith(KEYED):
        headers["content-type"] = "application/problem+json"
        title = {Unauthenticated: "Unauthenticated", Forbidden: "Forbidden"}.get(type(error), "")
        problem = {"title": title or "Not found", "status": status, "detail": sentence}
        body = json.dumps(problem, ensure_ascii=False).encode()
        if isinstance(error, Unauthenticated):
            headers["www-authenticate"] = "Bearer"
    elif isinstance(error, Unauthenticated) and _is_navigation(scope):
        path = scope["path"] + (
            f"?{scope['query_string'].decode('latin-1')}" if scope.get("query_string") else ""
        )
        status, body = 303, b""
        headers["location"] = f"/sign-in?next={quote(path, safe='')}" if path != "/" else "/sign-in"
    headers["content-length"] = str(len(body))
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    if scope["method"] == "HEAD":
        body = b""
    await send({"type": "http.response.body", "body": body})


def _is_navigation(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return scope["method"] in ("GET", "HEAD") and "text/html" in headers.get("accept", "")
