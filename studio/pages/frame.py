"""What the pages behind the sign-in share: the bar over them, times, messages after a change."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from studio.application import Studio
from studio.pages import refusal_of, render
from studio.pages.texts import LANGUAGE_COOKIE, LANGUAGES, language_of, texts_of
from studio.person import Role
from studio.who import person_of


def framed(
    request: Request,
    studio: Studio,
    template: str,
    place: str,
    *,
    status: int = 200,
    refusal: str = "",
    **values: Any,
) -> HTMLResponse:
    """The page under the bar. `refusal` says why nothing was changed."""
    texts = texts_of(language_of(request))
    person = person_of(request)
    places = [("/", texts["workbench"]), ("/account", texts["account"])]
    if person.has(Role.ADMIN):
        places += [("/admin", texts["people"]), ("/admin/audit", texts["audit"])]
    done = request.query_params.get("done", "")
    answer = render(
        request,
        template,
        status,
        person=person,
        has_accounts=studio.people.has_accounts,
        places=places,
        place=place,
        message=refusal_of(request, refusal) or texts.get(f"done_{done}", ""),
        tone="refused" if refusal else "",
        when=when,
        **values,
    )
    if request.query_params.get("lang") in LANGUAGES:
        answer.set_cookie(LANGUAGE_COOKIE, language_of(request), max_age=31_536_000)
    return answer


def done(path: str, what: str) -> RedirectResponse:
    """To `path`, which then says that `what` is done; a reload does not do it again."""
    return RedirectResponse(f"{path}?{urlencode({'done': what})}", 303)


def when(at: float) -> str:
    """A time on the studio's clock."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def role_names(roles: frozenset[Role], texts: Mapping[str, str]) -> str:
    return ", ".join(texts[role] for role in Role if role in roles)


def usage_text(studio: Studio, name: str, texts: Mapping[str, str]) -> str:
    """ "12 of 200 pictures today"."""
    used, most = studio.people.usage(name)
    if most is None:
        return texts["used"].format(used=f"{used:,}")
    return texts["used_of"].format(used=f"{used:,}", most=f"{most:,}")
