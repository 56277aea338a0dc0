"""The way in and out: `/sign-in`, `/sign-out`, and `/session`, which tells a page it still holds.

Who may be let in is `People`'s to say; this file knows cookies and where to go afterwards.
"""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import FastAPI, Form, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from studio.application import Studio
from studio.errors import Forbidden, LimitReached, NotFound, StudioError, Unauthenticated
from studio.gate import COOKIE, SECURE_COOKIE, address_of, session_token
from studio.pages import refusal_of, render
from studio.pages.texts import LANGUAGE_COOKIE, LANGUAGES, language_of, texts_of, time_text
from studio.provider import PENDING_SECONDS
from studio.who import is_signed_in, person_of

STATE_COOKIE = "vitrine-sign-in"


def add_sign_in(app: FastAPI, studio: Studio) -> None:
    """Add the routes to the app."""

    @app.get("/sign-in")
    def show(request: Request, next: str = "/") -> Response:
        if not studio.people.has_accounts or is_signed_in(request):
            return RedirectResponse(local_path(next), 303)
        is_out = "out" in request.query_params
        texts = texts_of(language_of(request))
        answer = _page(request, studio, next, message=texts["signed_out"] if is_out else "")
        if request.query_params.get("lang") in LANGUAGES:
            answer.set_cookie(LANGUAGE_COOKIE, language_of(request), max_age=31_536_000)
        return answer

    @app.post("/sign-in")
    def sign_in(
        request: Request,
        name: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
        next: Annotated[str, Form()] = "/",
    ) -> Response:
        if not studio.people.has_accounts:
            return RedirectResponse("/", 303)
        try:
            token = studio.people.sign_in(
                name,
                password,
                address=address_of(request.scope),
                agent=request.headers.get("user-agent", ""),
            )
        except (Unauthenticated, Forbidden, LimitReached) as error:
            return refused(request, studio, error, next=next, name=name)
        return signed_in(request, studio, token, next)

    @app.get("/sign-in/provider")
    def to_provider(request: Request, next: str = "/") -> Response:
        provider = studio.people.provider
        if not provider.name:
            raise NotFound("The studio has no provider of single sign-on.")
        back = str(request.url_for("from_provider"))
        try:
            url, state = provider.begin(back, local_path(next))
        except StudioError as error:
            return refused(request, studio, error, next=next)
        answer = RedirectResponse(url, 303)
        answer.set_cookie(
            STATE_COOKIE,
            state,
            max_age=int(PENDING_SECONDS),
            path="/sign-in",
            httponly=True,
            secure=_is_secure(request),
            samesite="lax",
        )
        answer.headers["Cache-Control"] = "no-store"
        return answer

    @app.get("/sign-in/provider/back")
    def from_provider(
        request: Request, state: str = "", code: str = "", error: str = ""
    ) -> Response:
        """The provider sends the browser here; it must be the one that was sent there."""
        people = studio.people
        try:
            own = request.cookies.get(STATE_COOKIE, "")
            if not state or not secrets.compare_digest(own.encode(), state.encode()):
                raise Unauthenticated("The sign-in was begun in another browser: begin again here.")
            if error:
                raise Unauthenticated(f"{people.provider.name} refused the sign-in: begin again.")
            identity, next = people.provider.finish(state, code)
            token = people.sign_in_by_provider(
                identity,
                address=address_of(request.scope),
                agent=request.headers.get("user-agent", ""),
            )
        except StudioError as refusal:
            answer = refused(request, studio, refusal)
        else:
            answer = signed_in(request, studio, token, next)
        answer.delete_cookie(STATE_COOKIE, path="/sign-in", secure=_is_secure(request))
        return answer

    @app.post("/sign-out")
    def sign_out(request: Request) -> Response:
        token = session_token(request.scope)
        if token and is_signed_in(request):
            studio.people.sign_out(token, person_of(request))
        answer = RedirectResponse("/sign-in?out", 303)
        answer.delete_cookie(_cookie_name(request), path="/", secure=_is_secure(request))
        # What the last person saw and typed is not for the next one at this browser.
        answer.headers["Clear-Site-Data"] = '"cache", "storage"'
        return answer

    @app.get("/session")
    def session(request: Request) -> JSONResponse:
        """Who is signed in here; the page asks now and then, and leaves when it is nobody."""
        person = person_of(request)
        facts = {"name": person.name, "roles": sorted(person.roles)}
        return JSONResponse(facts, headers={"Cache-Control": "no-store"})

    @app.post("/session")
    def keep_alive(request: Request) -> Response:
        """Somebody sits at this browser: a page that only watches does not count."""
        if token := session_token(request.scope):
            studio.people.keep_alive(token)
        return Response(status_code=204)


def signed_in(request: Request, studio: Studio, token: str, next: str) -> Response:
    """On to where somebody wanted to go, with the cookie of their new session."""
    before = session_token(request.scope)
    if before and is_signed_in(request):
        studio.people.sign_out(before, person_of(request))
    answer = RedirectResponse(local_path(next), 303)
    answer.set_cookie(
        _cookie_name(request),
        token,
        max_age=studio.config.session_seconds,
        path="/",
        httponly=True,
        secure=_is_secure(request),
        samesite="lax",
    )
    answer.headers["Cache-Control"] = "no-store"
    return answer


def refused(
    request: Request, studio: Studio, error: StudioError, *, next: str = "/", name: str = ""
) -> Response:
    """The form once more, with why."""
    texts = texts_of(language_of(request))
    headers = {}
    if isinstance(error, LimitReached):
        headers["Retry-After"] = str(max(1, round(error.retry_after_seconds)))
        text = texts["busy"]
        if str(error).startswith("Too many"):
            text = texts["locked"].format(time=time_text(texts, error.retry_after_seconds))
    elif isinstance(error, Unauthenticated) and str(error).startswith("This account is disabled"):
        text = texts["disabled"]
    elif isinstance(error, Unauthenticated) and str(error).startswith("The name or"):
        text = texts["wrong"]
    else:
        text = refusal_of(request, error)
    answer = _page(
        request, studio, next, status=error.http_status, message=text, tone="refused", name=name
    )
    answer.headers.update(headers)
    return answer


def local_path(next: str) -> str:
    """`next` where it is a path of this studio, else its first page."""
    is_path = next.startswith("/") and not next.startswith(("//", "/\\"))
    is_plain = all(" " < sign < "\x7f" for sign in next) and "\\" not in next
    return next if is_path and is_plain and not next.startswith("/sign-") else "/"


def _page(
    request: Request,
    studio: Studio,
    next: str,
    *,
    status: int = 200,
    message: str = "",
    tone: str = "",
    name: str = "",
) -> Response:
    return render(
        request,
        "sign_in",
        status,
        next=local_path(next),
        message=message,
        tone=tone,
        name=name[:64],
        provider=studio.people.provider.name,
    )


def _is_secure(request: Request) -> bool:
    return request.scope.get("scheme") == "https"


def _cookie_name(request: Request) -> str:
    return SECURE_COOKIE if _is_secure(request) else COOKIE
