"""Events as they happen, as a server-sent stream (WHATWG HTML, "Server-sent events").

What happened to a job is kept and has a number; a reader that was cut off sends the last one it saw
as `Last-Event-ID` and misses nothing. Steps in between are told too, without a number: they are
worth nothing later.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from studio.api.door import Door
from studio.api_key import Scope
from studio.application import Studio
from studio.errors import LimitReached
from studio.event_rows import Happening
from studio.person import Person

LOOK_SECONDS = 0.2
HEARTBEAT_SECONDS = 15.0
MAX_STREAMS = 8
"""Open at once, of one person."""

_NAMES = {"picturefinished": "picture"}
_OVER = ("finished", "failed", "cancelled")
_EVENT = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
    "required": ["event", "data"],
}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events: `queued`, `started`, `step`, `picture`, `held`, `skipped`, "
        "`stopping`, `finished`, `failed`, `cancelled`; `data` is JSON with `job_id` and `at`.",
        "content": {"text/event-stream": {"schema": _EVENT}},
    }
}

LastId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=32)]


def streams_router(studio: Studio, door: Door) -> APIRouter:
    router = APIRouter(tags=["events"])
    reads = door.may(Scope.JOBS_READ)
    open_streams: collections.Counter[str] = collections.Counter()

    def streamed(person: Person, after: int, job_id: str | None) -> StreamingResponse:
        if open_streams[person.name] >= MAX_STREAMS:
            raise LimitReached(f"You follow {MAX_STREAMS} streams already: close one.")
        events = _events(studio, person.name, after, job_id)
        return StreamingResponse(
            _counted(events, open_streams, person.name),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    @router.get("/events", summary="What happens to your jobs", responses=_STREAM)
    def follow_all(
        request: Request, last_event_id: LastId = None, person: Person = reads
    ) -> StreamingResponse:
        """From now on, or from `Last-Event-ID` on, until you hang up."""
        after = _number(last_event_id)
        return streamed(person, studio.last_event_number() if after is None else after, None)

    @router.get("/jobs/{job_id}/events", summary="What happens to a job", responses=_STREAM)
    def follow_job(
        job_id: str, last_event_id: LastId = None, person: Person = reads
    ) -> StreamingResponse:
        """From its beginning, or from `Last-Event-ID` on, until the job is over."""
        studio.job(job_id, person.name)
        return streamed(person, _number(last_event_id) or 0, job_id)

    return router


async def _events(
    studio: Studio, owner: str, after: int, job_id: str | None
) -> AsyncIterator[bytes]:
    """The text of the stream, in pieces. Waits without holding a thread."""
    version, spoken_at = -1, time.monotonic()
    steps: dict[int, int] = {}
    yield b"retry: 1000\n\n"
    while not studio.is_stopping:
        found: list[Happening] = []
        if version != studio.version:
            version = studio.version
            found = await run_in_threadpool(studio.happenings, owner, after=after, job_id=job_id)
        for each in found:
            after = each.number
            yield _text(_NAMES.get(each.kind, each.kind), _data(each), number=each.number)
        if found:
            version, spoken_at = -1, time.monotonic()  # there may be more
            if job_id is not None and found[-1].kind in _OVER:
                return
            continue
        if job_id is not None:
            if not (await run_in_threadpool(studio.job, job_id, owner)).status.is_active:
                if version == studio.version:
                    return
                continue
            for piece in _steps(studio, job_id, owner, steps):
                spoken_at = time.monotonic()
                yield piece
        if time.monotonic() - spoken_at > HEARTBEAT_SECONDS:
            spoken_at = time.monotonic()
            yield b": still here\n\n"
        await asyncio.sleep(LOOK_SECONDS)


def _steps(studio: Studio, job_id: str, owner: str, told: dict[int, int]) -> Iterator[bytes]:
    for index, live in sorted(studio.live(job_id).items()):
        if told.get(index) != live.step:
            told[index] = live.step
            data = {"index": index, "step": live.step, "num_steps": live.num_steps}
            yield _text("step", {"job_id": job_id, "at": time.time(), **data})


async def _counted(
    events: AsyncIterator[bytes], open_streams: collections.Counter[str], name: str
) -> AsyncIterator[bytes]:
    open_streams[name] += 1
    try:
        async for piece in events:
            yield piece
    finally:
        open_streams[name] -= 1


def _data(each: Happening) -> dict[str, Any]:
    return {"job_id": each.job_id, "at": each.at, **each.data}


def _text(name: str, data: dict[str, Any], *, number: int | None = None) -> bytes:
    head = "" if number is None else f"id: {number}\n"
    return f"{head}event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def _number(text: str | None) -> int | None:
    """What a reader saw last; anything else than a number of ours counts as nothing."""
    number = None
    with contextlib.suppress(ValueError):
        number = int(text) if text and text.isascii() else None
    return number if number is not None and 0 <= number < 2**62 else None
