"""The routes of moderation: pictures of cases for reviewers, and reporting, appealing, exporting.

A held picture leaves through one route, to the reviewer who has its case, and is kept by no cache.
Everybody else is shown the placeholder, which is the same for every picture.
"""

from __future__ import annotations

from importlib.resources import files

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from studio.application import Studio
from studio.errors import BadInput, NotFound
from studio.moderation.export import FORMATS, export_decisions
from studio.person import Role
from studio.who import person_of

NO_STORE = {"Cache-Control": "no-store"}
MAX_BODY_BYTES = 8192


def add_moderation_routes(app: FastAPI, studio: Studio) -> None:
    """Add them to `app`."""
    moderation = studio.moderation
    placeholder = files("studio.presets").joinpath("held.svg").read_bytes()

    @app.get("/placeholders/held.svg")
    def held() -> Response:
        headers = {"Cache-Control": "public, max-age=86400"}
        return Response(placeholder, media_type="image/svg+xml", headers=headers)

    @app.get("/review/pictures/{review_id}.png")
    def picture(
        request: Request, review_id: str, plain: bool = False, grey: bool = False
    ) -> Response:
        content = moderation.picture(
            person_of(request), review_id, is_blurred=not plain, is_grey=grey
        )
        return Response(content, media_type="image/png", headers=NO_STORE)

    @app.get("/review/decisions.{extension}")
    def decisions(request: Request, extension: str) -> Response:
        person = person_of(request)
        person.require(Role.REVIEWER)
        if extension not in FORMATS:
            raise NotFound("The record is exported as csv or json.")
        return Response(
            export_decisions(moderation.decisions(person), extension),
            media_type=FORMATS[extension],
            headers={
                **NO_STORE,
                "Content-Disposition": f'attachment; filename="decisions.{extension}"',
            },
        )

    @app.post("/pictures/{image_id}/report")
    async def report(request: Request, image_id: str) -> JSONResponse:
        words = await _words(request)
        person = person_of(request)
        review_id = await run_in_threadpool(moderation.report, person, image_id, words)
        return JSONResponse({"review": review_id}, 201, headers=NO_STORE)

    @app.post("/pictures/{image_id}/appeal")
    async def appeal(request: Request, image_id: str) -> JSONResponse:
        words = await _words(request)
        person = person_of(request)
        review_id = await run_in_threadpool(moderation.appeal, person, image_id, words)
        return JSONResponse({"review": review_id}, 201, headers=NO_STORE)

    # Whatever else is asked for below these names must not reach Gradio's file routes.
    @app.get("/review/{rest:path}")
    @app.get("/placeholders/{rest:path}")
    def nothing(rest: str) -> Response:
        raise NotFound("There is no such picture.")


async def _words(request: Request) -> str:
    """`{"words": …}` or nothing at all."""
    body = await request.body()
    if not body:
        return ""
    try:
        values = await request.json()
        words = values.get("words", "")
    except (ValueError, AttributeError) as error:
        raise BadInput('The body must be JSON: {"words": "why"}, or empty.') from error
    if len(body) > MAX_BODY_BYTES or not isinstance(words, str):
        raise BadInput('The body must be JSON: {"words": "why"}, or empty.')
    return words
