"""`JobRows`: the rows of jobs, one or a page of them, and every transition of a job.

It decides nothing about who may see what: `owner` only filters.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from typing import Any

from sqlite_utils import Database

from studio.audit import Entry, insert_entry
from studio.errors import BadInput, Conflict
from studio.job import Job, JobStatus
from studio.quota import check_quota
from studio.rows import Page, job_of_row
from studio.statements import (
    NEXT_POSITION,
    close_if_over,
    count,
    count_work_left,
    finish,
    get_job,
    insert_event,
    missing_indices,
    move,
    number_of,
    put_back,
    set_status,
)
from studio.tables import Tables
from studio.terms import ServiceClass

_ACTIVE = (JobStatus.QUEUED, JobStatus.RUNNING)


class JobRows(Tables):
    """Jobs by id."""

    def job(self, job_id: str, *, owner: str | None = None) -> Job:
        """The job; `NotFound` when there is none, or it is not `owner`'s."""
        return self._read(lambda db: get_job(db, job_id, owner))

    def jobs(
        self,
        *,
        owner: str | None = None,
        statuses: Collection[JobStatus] | None = None,
        limit: int = 50,
        before: str | None = None,
        service_class: ServiceClass | None = None,
    ) -> list[Job]:
        """Jobs, the newest first, without drafts and examples; of one class where it is given.

        `before` is the last id of the page that came before this one.
        """
        # A query for each status, since each then follows an index: few active jobs among many
        # finished ones, which is what a page asks for every second, are found without a search.
        wanted = [None] if statuses is None else sorted(set(statuses))

        def work(db: Database) -> list[Job]:
            number = None if before is None else number_of(db, "jobs", before, owner)
            rows: list[dict[str, Any]] = []
            for status in wanted:
                page = Page("jobs").keep("owner = ?", owner).keep("status = ?", status)
                page.keep("number < ?", number).keep("is_draft = ?", 0)
                page.keep("is_example = ?", 0)
                page.keep("service_class = ?", service_class)
                rows += db.query(page.sql, [*page.parameters, limit])
            rows.sort(key=lambda row: -row["number"])
            return [job_of_row(row) for row in rows[:limit]]

        return self._read(work)

    def group(self, group_id: str, *, owner: str | None = None) -> list[Job]:
        """The jobs that were asked for together, in that order; none where there is no such group.

        `owner` filters as in `job`.
        """
        condition = "" if owner is None else " AND owner = ?"
        parameters = [group_id] if owner is None else [group_id, owner]
        sql = f"SELECT * FROM jobs WHERE group_id = ?{condition} ORDER BY number"
        return [job_of_row(row) for row in self._rows(sql, *parameters)]

    def active_drafts(self, owner: str) -> list[str]:
        """The ids of the drafts of `owner` that wait or run."""
        rows = self._rows(
            "SELECT id FROM jobs WHERE owner = ? AND is_draft AND status IN ('queued', 'running')",
            owner,
        )
        return [row["id"] for row in rows]

    def num_active_drafts(self) -> int:
        """How many drafts of everybody wait or run."""
        sql = "SELECT COUNT(*) FROM jobs WHERE is_draft AND status IN ('queued', 'running')"
        return self._read(lambda db: count(db, sql))

    def forget_drafts(self, owner: str | None = None, *, older_than: float = 9e999) -> int:
        """Delete the rows of drafts, of everybody or of one owner, that were over by then.

        `older_than` is in Unix seconds; left out, drafts that are not over go too. Returns how many
        there were.
        """
        conditions = "is_draft"
        parameters: list[str | float] = []
        if owner is not None:
            conditions, parameters = f"{conditions} AND owner = ?", [owner]
        if older_than < 9e999:
            conditions, parameters = f"{conditions} AND finished_at < ?", [*parameters, older_than]

        def work(db: Database) -> int:
            ids = f"SELECT id FROM jobs WHERE {conditions}"
            db.execute(f"DELETE FROM events WHERE job_id IN ({ids})", parameters)
            return int(db.execute(f"DELETE FROM jobs WHERE {conditions}", parameters).rowcount)

        return self._write(work)

    def control_digests(self) -> set[str]:
        """The control images that jobs name."""
        sql = "SELECT DISTINCT json_extract(request, '$.control.image_digest') AS digest FROM jobs"
        return {row["digest"] for row in self._rows(sql) if row["digest"]}

    def missing_indices(self, job_id: str) -> list[int]:
        """Which pictures of the job are still to be drawn: neither kept nor skipped."""
        return self._read(lambda db: missing_indices(db, get_job(db, job_id)))

    def mark_running(self, job_id: str) -> None:
        """queued → running, one attempt more. On disk when this returns.

        So a job that kills the process is found out at the next start. Raises `Conflict` when the
        job is not queued.
        """

        def work(db: Database) -> None:
            attempts = get_job(db, job_id).attempts + 1
            move(
                db,
                job_id,
                (JobStatus.QUEUED,),
                JobStatus.RUNNING,
                attempts=attempts,
                started_at=time.time(),
            )
            insert_event(db, job_id, "started", {"attempt": attempts})

        self._write(work)

    def requeue(self, job_id: str) -> None:
        """running → queued in its old place, the attempt not counted: it was taken from the engine.

        A job that was to stop is closed as cancelled instead.
        """

        def work(db: Database) -> None:
            job = get_job(db, job_id)
            if job.status is not JobStatus.RUNNING:
                raise Conflict(f"A job marked “{job.status}” is not running: look at it again.")
            put_back(db, job, attempts=max(0, job.attempts - 1))

        self._write(work)

    def mark_succeeded(self, job_id: str) -> None:
        """running → succeeded, or cancelled where every picture was skipped; else `Conflict`."""

        def work(db: Database) -> None:
            job = get_job(db, job_id)
            has_images = len(job.skipped) < job.request.num_images
            target = JobStatus.SUCCEEDED if has_images else JobStatus.CANCELLED
            finish(db, job_id, (JobStatus.RUNNING,), target)

        self._write(work)

    def mark_failed(self, job_id: str, error: str) -> None:
        """queued or running → failed, with the sentence to show; `Conflict` otherwise."""
        self._finish(job_id, _ACTIVE, JobStatus.FAILED, error)

    def mark_cancelled(self, job_id: str, made: Entry | None = None) -> None:
        """queued or running → cancelled, with its audit entry; `Conflict` otherwise."""
        self._finish(job_id, _ACTIVE, JobStatus.CANCELLED, made=made)

    def mark_stopping(self, job_id: str, made: Entry | None = None) -> bool:
        """Note that a running job ends when the pictures begun so far are done.

        A job that waits is cancelled at once. Returns whether the job goes on for now. Raises
        `Conflict` for a job that is over.
        """

        def work(db: Database) -> bool:
            job = get_job(db, job_id)
            if job.status is not JobStatus.RUNNING:
                finish(db, job_id, _ACTIVE, JobStatus.CANCELLED)
                _insert(db, made)
                return False
            if not job.is_stopping:
                _insert(db, made)
                set_status(db, job_id, JobStatus.RUNNING, is_stopping=True)
                insert_event(db, job_id, "stopping")
            return True

        return self._write(work)

    def mark_left(self, job_id: str) -> None:
        """running → over, when it was to stop or every picture left was skipped.

        For what the engine says of a job it has left early: the job may have been closed, and even
        queued again, before that was heard, and is then not touched.
        """

        def work(db: Database) -> None:
            job = get_job(db, job_id)
            if job.status is JobStatus.RUNNING:
                close_if_over(db, job)

        self._write(work)

    def skip(self, job_id: str, index: int, made: Entry | None = None) -> bool:
        """Leave picture `index` out of an active job; `False` when it is drawn or left out already.

        A waiting job with nothing left to draw is closed. A retry draws the picture after all.

        Raises:
            BadInput: the job has no picture `index`.
            Conflict: the job is over.
        """

        def work(db: Database) -> bool:
            job = get_job(db, job_id)
            if not 0 <= index < job.request.num_images:
                num_images = job.request.num_images
                raise BadInput(f"The job has {num_images} pictures: choose one of them.")
            missing = missing_indices(db, job)
            if index not in missing:
                return False
            if not job.status.is_active:
                raise Conflict(f"A job marked “{job.status}” draws nothing: retry it first.")
            skipped = json.dumps(sorted({*job.skipped, index}))
            set_status(db, job_id, job.status, skipped=skipped)
            count_work_left(db, job_id)
            insert_event(db, job_id, "skipped", {"index": index})
            _insert(db, made)
            if job.status is JobStatus.QUEUED:
                close_if_over(db, get_job(db, job_id))
            return True

        return self._write(work)

    def retry(
        self,
        job_id: str,
        *,
        owner: str | None = None,
        max_pictures_per_day: int | None = None,
        made: Entry | None = None,
    ) -> Job:
        """failed or cancelled → queued at the end of the queue, attempts and error forgotten.

        Pictures it has already finished are kept, those that were skipped are drawn. Raises
        `Conflict` for a job in another state, `LimitReached` as `QueueRows.add_job` does.
        """

        def work(db: Database) -> Job:
            job = get_job(db, job_id, owner)
            move(
                db,
                job_id,
                (JobStatus.FAILED, JobStatus.CANCELLED),
                JobStatus.QUEUED,
                attempts=0,
                error=None,
                started_at=None,
                finished_at=None,
                is_stopping=False,
                skipped="[]",
            )
            db.execute(f"UPDATE jobs SET position = {NEXT_POSITION} WHERE id = ?", [job_id])
            count_work_left(db, job_id)
            check_quota(db, job.owner, 0, max_pictures_per_day=max_pictures_per_day)  # it is in it
            insert_event(db, job_id, "queued")
            _insert(db, made)
            return get_job(db, job_id)

        return self._write(work)

    def _finish(
        self,
        job_id: str,
        sources: Collection[JobStatus],
        target: JobStatus,
        error: str | None = None,
        made: Entry | None = None,
    ) -> None:
        def work(db: Database) -> None:
            finish(db, job_id, sources, target, error)
            _insert(db, made)

        self._write(work)


def _insert(db: Database, made: Entry | None) -> None:
    """Write the audit entry of a person's deed; what the engine does has none."""
    if made is not None:
        insert_entry(db, made)
