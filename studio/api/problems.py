"""Errors of the API, every one, as problem details (RFC 9457)."""

from __future__ import annotations

import json
import logging
import re
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from studio.errors import BadBrief, StudioError, Unauthenticated, Unavailable
from studio.ui.speech import say_for
from studio.ui.told import told

MEDIA_TYPE = "application/problem+json"

log = logging.getLogger(__name__)


class FieldProblem(BaseModel):
    """What is wrong with one part of what was sent."""

    field: str
    message: str


class Problem(BaseModel):
    """Why something was refused (RFC 9457). `detail` is one sentence that says how to mend it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    field: str | None = None
    errors: list[FieldProblem] | None = None


_CONTENT = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "Refused, and how to mend it", "content": _CONTENT},
    "5XX": {"description": "Not now, and when to come back", "content": _CONTENT},
}


def add_problem_handlers(api: FastAPI) -> None:
    """Let no error leave the API in another shape."""

    async def of_studio(request: Request, error: Exception) -> Response:
        assert isinstance(error, StudioError)
        return problem_of(error, request)

    async def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        details = {
            404: "There is nothing at this address: see the API's description.",
            405: "This address does not take this method: see the Allow header.",
        }
        detail = details.get(error.status_code, str(error.detail))
        return problem(error.status_code, detail, headers=dict(error.headers or {}))

    async def of_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        errors = [
            FieldProblem(field=".".join(str(part) for part in each["loc"]), message=each["msg"])
            for each in error.errors()
        ]
        first = errors[0]
        detail = f"What was sent cannot be used: {first.field}: {first.message}."
        return problem(422, detail, errors=errors[:50])

    async def of_anything(request: Request, error: Exception) -> Response:
        log.error("a request of the API failed", exc_info=error)
        return problem(500, "The studio failed at this: its log says why.")

    api.add_exception_handler(StudioError, of_studio)
    api.add_exception_handler(HTTPException, of_http)
    api.add_exception_handler(RequestValidationError, of_validation)
    api.add_exception_handler(Exception, of_anything)


def problem_of(error: StudioError, request: Request) -> Response:
    """An error of the studio's as an answer, in the language that is asked for; else English."""
    headers = {}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(max(1, round(error.retry_after_seconds)))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__).capitalize()
    detail = told(error, say_for(request))
    field = error.field if isinstance(error, BadBrief) else None
    return problem(error.http_status, detail, title=words, field=field, headers=headers)


def problem(
    status: int,
    detail: str,
    *,
    title: str | None = None,
    field: str | None = None,
    errors: list[FieldProblem] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """An answer that says what is wrong."""
    made = Problem(
        title=title or HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        field=field,
        errors=errors,
    )
    # Escaped, as what was sent may hold half a character, which has no bytes.
    content = json.dumps(made.model_dump(exclude_none=True))
    headers = {"Cache-Control": "no-store"} | (headers or {})
    return Response(content, status, media_type=MEDIA_TYPE, headers=headers)
