"""Briefs and jobs: say what is wanted, follow it, stop it, draw it again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, Query, Request, Response, UploadFile

from studio.api.door import Door
from studio.api.idempotency import is_repeatable, resource_id
from studio.api.schemas.base import Page
from studio.api.schemas.brief import BriefIn, CheckOut, PromptOut, RequestOut, SketchOut
from studio.api.schemas.job import CancelIn, JobIn, JobOut, JobSummary
from studio.api_key import Scope
from studio.application import Studio
from studio.errors import Conflict
from studio.job import JobStatus
from studio.person import Person, Role
from studio.sketch import read_picture
from studio.terms import ServiceClass

Limit = Annotated[int, Query(ge=1, le=100, description="how many at once")]
Cursor = Annotated[str | None, Query(max_length=64, description="`next_cursor` of the last page")]


def jobs_router(studio: Studio, door: Door) -> APIRouter:
    router = APIRouter(tags=["jobs"])
    reads = door.may(Scope.JOBS_READ)
    writes = door.may(Scope.JOBS_WRITE, Role.MERCHANDISER)

    def shown(job_id: str, person: Person) -> JobOut:
        return JobOut.of_view(studio.view(job_id, person.name))

    @router.post("/briefs/compose", tags=["briefs"], summary="The prompt a brief becomes")
    def compose_brief(brief: BriefIn, person: Person = reads) -> PromptOut:
        """As the page shows it while the form is filled in; nothing is refused."""
        prompt = studio.compose_prompt(brief.brief())
        counted = studio.num_tokens(prompt)
        if counted is None:
            return PromptOut(prompt=prompt)
        return PromptOut(prompt=prompt, num_tokens=counted[0], max_tokens=counted[1])

    @router.post("/briefs/check", tags=["briefs"], summary="Whether a brief can be drawn")
    def check_brief(brief: BriefIn, person: Person = reads) -> CheckOut:
        """Refused exactly where a job would be; nothing is queued."""
        request = studio.check(brief.brief(), person.name)
        seconds = studio.picture_seconds(request)
        return CheckOut(
            request=RequestOut.of(request),
            device_seconds=None if seconds is None else seconds * request.num_images,
        )

    @router.post("/sketches", status_code=201, tags=["briefs"], summary="Keep a sketch")
    def keep_sketch(
        file: Annotated[UploadFile, File(description="a PNG, JPEG or WebP picture")],
        person: Person = writes,
    ) -> SketchOut:
        """Its digest is what a brief names it by."""
        pixels = read_picture(file.file.read())
        digest = studio.sketches.keep(person.name, pixels, is_durable=True)
        return SketchOut(sketch=digest, height=pixels.shape[0], width=pixels.shape[1])

    @router.post("/jobs", status_code=201, summary="Draw pictures")
    def create_job(
        request: Request, sent: JobIn, response: Response, person: Person = writes
    ) -> JobOut:
        """Queue a brief. Answers at once; follow the job by its address or its events."""
        job_id = resource_id(request)
        try:
            studio.submit(
                sent.brief.brief(),
                person.name,
                service_class=ServiceClass(sent.service_class),
                priority=sent.priority,
                deadline_at=sent.deadline_at.timestamp() if sent.deadline_at else None,
                job_id=job_id,
            )
        except Conflict:
            if not is_repeatable(request):
                raise
            # Carried out before, and the answer was lost.
        response.headers["Location"] = f"/api/v1/jobs/{job_id}"
        return shown(job_id, person)

    @router.get("/jobs", summary="Your jobs, newest first")
    def list_jobs(
        status: Annotated[list[JobStatus] | None, Query(max_length=5)] = None,
        limit: Limit = 20,
        cursor: Cursor = None,
        person: Person = reads,
    ) -> Page[JobSummary]:
        jobs = studio.jobs(person.name, statuses=status or None, limit=limit + 1, before=cursor)
        following = jobs[limit - 1].id if len(jobs) > limit else None
        return Page(items=[JobSummary.of(job) for job in jobs[:limit]], next_cursor=following)

    @router.get("/jobs/{job_id}", summary="One job")
    def get_job(job_id: str, person: Person = reads) -> JobOut:
        return shown(job_id, person)

    @router.post("/jobs/{job_id}/cancel", summary="Stop a job, in one of three ways")
    def cancel_job(job_id: str, sent: CancelIn, person: Person = writes) -> JobOut:
        """Pictures finished already stay. A job that is over is left as it is."""
        if sent.mode == "skip":
            studio.skip(job_id, sent.index, person.name)
        else:
            studio.cancel(job_id, person.name, after_picture=sent.mode == "after_picture")
        return shown(job_id, person)

    @router.post("/jobs/{job_id}/retry", summary="Draw what a job lacks")
    def retry_job(job_id: str, person: Person = writes) -> JobOut:
        """Queue a failed or cancelled job again."""
        studio.retry(job_id, person.name)
        return shown(job_id, person)

    return router
