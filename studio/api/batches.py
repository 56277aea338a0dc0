"""Batches: hand a table over, see what is wrong in it, draw it, take the pictures away by SKU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, File, Query, Request, Response, UploadFile
from fastapi.responses import StreamingResponse

from studio.api.door import Door
from studio.api.idempotency import is_repeatable, resource_id
from studio.api.jobs import Cursor, Limit
from studio.api.schemas.base import Page
from studio.api.schemas.batch import BatchOut, BatchSummary, RowOut
from studio.api_key import Scope
from studio.application import Studio
from studio.batch import RowState
from studio.errors import BadInput, Conflict
from studio.person import Person, Role

MAX_SKETCHES = 300

_CSV = "text/csv; charset=utf-8"


def batches_router(studio: Studio, door: Door) -> APIRouter:
    router = APIRouter(tags=["batches"])
    reads = door.may(Scope.BATCHES_READ)
    writes = door.may(Scope.BATCHES_WRITE, Role.MERCHANDISER)
    batches = studio.batches

    @router.post("/batches", status_code=201, summary="Hand over a table")
    def create_batch(
        request: Request,
        response: Response,
        file: Annotated[UploadFile, File(description="CSV or XLSX with SKU and subject")],
        sketches: Annotated[list[UploadFile] | None, File(description="files rows name")] = None,
        person: Person = writes,
    ) -> BatchOut:
        """Every row is checked, and bad ones are named. Nothing is drawn before `start`.

        A table of more than 2,000 rows is answered as `checking`: it is `ready` a little later.
        """
        batch_id = resource_id(request)
        given = sketches or []
        if len(given) > MAX_SKETCHES:
            raise BadInput(f"At most {MAX_SKETCHES} sketches go with one table: split it.")
        try:
            batches.hand_over(
                file.filename or "",
                file.file.read(),
                person.name,
                sketches={each.filename or "": each.file.read() for each in given},
                batch_id=batch_id,
            )
        except Conflict:
            if not is_repeatable(request):
                raise
            # Carried out before, and the answer was lost.
        studio.audit.note(person, "batch.create", batch_id)
        response.headers["Location"] = f"/api/v1/batches/{batch_id}"
        return BatchOut.of_view(batches.view(batch_id, person.name))

    @router.get("/batches", summary="Your batches, newest first")
    def list_batches(
        limit: Limit = 20, cursor: Cursor = None, person: Person = reads
    ) -> Page[BatchSummary]:
        found = batches.page(person.name, limit=limit + 1, before=cursor)
        following = found[limit - 1].id if len(found) > limit else None
        return Page(items=[BatchSummary.of(each) for each in found[:limit]], next_cursor=following)

    @router.get("/batches/{batch_id}", summary="One batch, with how far it is")
    def get_batch(batch_id: str, person: Person = reads) -> BatchOut:
        return BatchOut.of_view(batches.view(batch_id, person.name))

    @router.delete("/batches/{batch_id}", status_code=204, summary="Forget a batch")
    def delete_batch(batch_id: str, person: Person = writes) -> None:
        """Its jobs and pictures stay. One that is at work must be cancelled first."""
        batches.delete(batch_id, person.name)
        studio.audit.note(person, "batch.delete", batch_id)

    @router.post("/batches/{batch_id}/start", summary="Begin to draw the good rows")
    def start_batch(batch_id: str, person: Person = writes) -> BatchOut:
        view = batches.start(batch_id, person.name)
        studio.audit.note(person, "batch.start", batch_id)
        return BatchOut.of_view(view)

    @router.post("/batches/{batch_id}/pause", summary="Give out no more rows for now")
    def pause_batch(batch_id: str, person: Person = writes) -> BatchOut:
        """The few rows in the queue already are still drawn."""
        view = batches.pause(batch_id, person.name)
        studio.audit.note(person, "batch.pause", batch_id)
        return BatchOut.of_view(view)

    @router.post("/batches/{batch_id}/resume", summary="Go on where it was paused")
    def resume_batch(batch_id: str, person: Person = writes) -> BatchOut:
        view = batches.resume(batch_id, person.name)
        studio.audit.note(person, "batch.resume", batch_id)
        return BatchOut.of_view(view)

    @router.post("/batches/{batch_id}/cancel", summary="Draw no more of it")
    def cancel_batch(batch_id: str, person: Person = writes) -> BatchOut:
        """Pictures finished already stay."""
        view = batches.cancel(batch_id, person.name)
        studio.audit.note(person, "batch.cancel", batch_id)
        return BatchOut.of_view(view)

    @router.post("/batches/{batch_id}/retry", summary="Draw failed rows again")
    def retry_batch(batch_id: str, person: Person = writes) -> BatchOut:
        view = batches.retry(batch_id, person.name)
        studio.audit.note(person, "batch.retry", batch_id)
        return BatchOut.of_view(view)

    @router.get("/batches/{batch_id}/rows", summary="Rows in the order of the file")
    def list_rows(
        batch_id: str,
        state: Annotated[list[RowState] | None, Query(max_length=7)] = None,
        limit: Limit = 50,
        cursor: Annotated[str | None, Query(pattern="^[0-9]{1,9}$")] = None,
        person: Person = reads,
    ) -> Page[RowOut]:
        rows = batches.lines(
            batch_id,
            person.name,
            states=state or None,
            after_line=int(cursor or 0),
            limit=limit + 1,
        )
        images = batches.images_of(rows[:limit])
        following = str(rows[limit - 1].line) if len(rows) > limit else None
        items = [RowOut.of(row, images.get(row.job_id, [])) for row in rows[:limit]]
        return Page(items=items, next_cursor=following)

    def handed_out(
        content: Iterator[bytes], person: Person, batch_id: str, name: str, media_type: str
    ) -> StreamingResponse:
        stem = batches.batch(batch_id, person.name).name.rpartition(".")[0] or "batch"
        disposition = f"attachment; filename*=UTF-8''{quote(f'{stem}-{name}', safe='')}"
        headers = {"Content-Disposition": disposition, "Cache-Control": "no-store"}
        return StreamingResponse(content, media_type=media_type, headers=headers)

    @router.get(
        "/batches/{batch_id}/results.zip",
        summary="The pictures, named by SKU, and what was made",
        response_class=StreamingResponse,
        responses=_file("application/zip"),
    )
    def get_results(batch_id: str, person: Person = reads) -> StreamingResponse:
        content = batches.zipped(batch_id, person.name)
        studio.audit.note(person, "batch.download", batch_id)
        return handed_out(content, person, batch_id, "pictures.zip", "application/zip")

    @router.get(
        "/batches/{batch_id}/made.csv",
        summary="What was made of each row",
        response_class=StreamingResponse,
        responses=_file("text/csv"),
    )
    def get_made(batch_id: str, person: Person = reads) -> StreamingResponse:
        content = batches.made(batch_id, person.name)
        return handed_out(content, person, batch_id, "made.csv", _CSV)

    @router.get(
        "/batches/{batch_id}/bad-rows.csv",
        summary="The bad rows, with the reason, to be mended",
        response_class=StreamingResponse,
        responses=_file("text/csv"),
    )
    def get_bad_rows(batch_id: str, person: Person = reads) -> StreamingResponse:
        content = batches.bad_rows(batch_id, person.name)
        return handed_out(content, person, batch_id, "to-mend.csv", _CSV)

    return router


def _file(media_type: str) -> dict[int | str, dict[str, Any]]:
    schema = {"type": "string", "format": "binary"}
    return {200: {"description": "The file", "content": {media_type: {"schema": schema}}}}
