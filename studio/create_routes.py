"""The routes of the Create area: sketches handed in and back, their outlines, quick drafts.

A sketch and a draft are their owner's alone. What was sent is judged by `sketch` before it is
decoded; how long a body may be is `guard`'s.
"""

from __future__ import annotations

import asyncio
import io
import time

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, Response
from PIL import Image

from studio.application import Studio
from studio.brief import Brief
from studio.control import control_settings
from studio.errors import BadInput, Conflict, NotFound
from studio.job import JobStatus
from studio.person import Role
from studio.sketch import is_blank, is_line_drawing, outlines, read_picture
from studio.who import person_of

MAX_OUTLINES_SIDE = 2048

DRAFT_WAIT_SECONDS = 20.0
DRAFT_POLL_SECONDS, DRAFT_LOOK_SECONDS = 0.01, 0.25
"""How often memory is looked into for the picture of a draft, and the store for how its job is."""


def add_create_routes(app: FastAPI, studio: Studio) -> None:
    """Add them to `app`."""

    @app.post("/sketches")
    async def keep(request: Request) -> JSONResponse:
        person = person_of(request)
        person.require(Role.MERCHANDISER)
        data = await request.body()
        return JSONResponse(await run_in_threadpool(_keep, studio, person.name, data), 201)

    @app.get("/sketches/{digest}.png")
    def sketch(digest: str, request: Request) -> FileResponse:
        path = studio.sketches.path(person_of(request).name, digest)
        if not path.is_file():
            raise NotFound("This sketch is not kept any more: draw it again.")
        headers = {"Cache-Control": "private, max-age=3600"}
        return FileResponse(path, media_type="image/png", headers=headers)

    @app.get("/sketches/{digest}/outlines.png")
    def found(
        digest: str, request: Request, height: str, width: str, low: str = "", high: str = ""
    ) -> Response:
        settings = control_settings(Brief(canny_low=low, canny_high=high))
        size = (_side(height), _side(width))
        picture = studio.sketches.load(person_of(request).name, digest)
        image = outlines(picture, *size, low=settings.low, high=settings.high)
        buffer = io.BytesIO()
        Image.fromarray(image, "RGB").save(buffer, "PNG", compress_level=1)
        headers = {"Cache-Control": "private, max-age=3600"}
        return Response(buffer.getvalue(), media_type="image/png", headers=headers)

    @app.get("/drafts/{job_id}.png")
    async def draft(job_id: str, request: Request) -> Response:
        """Answers when the draft is drawn: 202 when that takes long, 204 when it never will be.

        Raises:
            Conflict: it was drawn and may not be seen, or it could not be drawn.
        """
        owner = person_of(request).name
        deadline = time.monotonic() + DRAFT_WAIT_SECONDS
        headers = {"Cache-Control": "no-store"}
        while not await request.is_disconnected():
            job, content = await run_in_threadpool(studio.drafts.look, job_id, owner)
            if content is not None:
                return Response(content, media_type="image/png", headers=headers)
            if job.status is JobStatus.FAILED:
                raise Conflict(job.error or "The draft failed: change the brief, and try again.")
            if not job.status.is_active:
                break
            if time.monotonic() >= deadline:
                return Response(status_code=202, headers=headers)
            await _until_drawn(studio, job_id)
        return Response(status_code=204, headers=headers)


async def _until_drawn(studio: Studio, job_id: str) -> None:
    """Until the picture of a draft is there, or its job is worth a look again."""
    deadline = time.monotonic() + DRAFT_LOOK_SECONDS
    while not studio.drafts.is_kept(job_id) and time.monotonic() < deadline:
        await asyncio.sleep(DRAFT_POLL_SECONDS)


def _keep(studio: Studio, owner: str, data: bytes) -> dict[str, object]:
    pixels = read_picture(data)
    height, width = pixels.shape[:2]
    return {
        "sketch": studio.sketches.keep(owner, pixels),
        "height": height,
        "width": width,
        "is_blank": is_blank(pixels),
        "is_line_drawing": is_line_drawing(pixels),
    }


def _side(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:5]) <= MAX_OUTLINES_SIDE):
        raise BadInput(f"A side of the outlines must be 1 to {MAX_OUTLINES_SIDE:,} pixels.")
    return int(text)
