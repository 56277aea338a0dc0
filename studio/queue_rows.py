"""`QueueRows`: the jobs that wait: what may join, whose turn it is, how much is to be drawn.

How turns are shared is the dispatcher's and the engine's to say; this file finds the rows, along an
index however long the queue is.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection
from typing import Any

from sqlite_utils import Database

from studio.audit import Entry, insert_entry
from studio.durations import try_again
from studio.errors import Conflict, QueueFull
from studio.job import MAX_CRASHES, Job, JobStatus
from studio.quota import check_quota
from studio.quota import max_queued as max_queued_of
from studio.rows import job_of_row, row_of_job
from studio.statements import (
    DISABLED,
    NEXT_POSITION,
    close_if_over,
    count,
    finish,
    get_job,
    insert_event,
    num_queued,
    put_back,
)
from studio.tables import Tables
from studio.terms import ServiceClass
from studio.workload import WorkLeft

_TURN = "priority DESC, IFNULL(deadline_at, 9e999), position"
_ALIKE = "owner, service_class, priority, work, num_steps_left"
_DEFAULT_RETRY_SECONDS = 60.0


class QueueRows(Tables):
    """The queue."""

    def add_job(
        self,
        job: Job,
        *,
        max_queued: int,
        max_queued_per_owner: int | None = None,
        max_pictures_per_day: int | None = None,
        seconds_until_free: Callable[[str | None], float | None] = lambda owner: None,
        made: Entry | None = None,
    ) -> None:
        """Put `job` at the end of the queue, with its audit entry.

        The owner's account may set other limits than `max_queued_per_owner` and
        `max_pictures_per_day`; drafts are not counted as pictures.

        `seconds_until_free` is asked when to come back: to the queue, or to an owner's part of it.

        Raises:
            QueueFull: `max_queued` jobs wait already, or `max_queued_per_owner` of this owner.
                Counted in the transaction that inserts.
            LimitReached: the owner has had, or has asked for, the pictures of today.
            Conflict: there is a job with this id.
        """

        def work(db: Database) -> tuple[str | None, int] | None:
            """Whose places are all taken, `None` for everybody's, and how many they are."""
            if num_queued(db) >= max_queued:
                return None, max_queued
            most = max_queued_of(db, job.owner, places=max_queued, most=max_queued_per_owner)
            if most is not None and num_queued(db, job.owner) >= most:
                return job.owner, most
            if not job.is_draft:
                num_pictures = job.request.num_images
                check_quota(db, job.owner, num_pictures, max_pictures_per_day=max_pictures_per_day)
            row = row_of_job(job)
            names = ", ".join(row)
            values = ", ".join(f":{name}" for name in row)
            try:
                db.execute(
                    f"INSERT INTO jobs ({names}, position) VALUES ({values}, {NEXT_POSITION})", row
                )
            except sqlite3.IntegrityError as error:
                raise Conflict(f"A job {job.id} exists already: send it under a new id.") from error
            insert_event(db, job.id, "queued")
            if made is not None:
                insert_entry(db, made)
            return None

        full = self._write(work)
        if full is not None:
            owner, most = full
            seconds = seconds_until_free(owner)
            wait = try_again(seconds)
            raise QueueFull(
                f"The queue is full ({most:,} waiting): {wait}."
                if owner is None
                else f"Your part of the queue is full ({most:,} waiting): {wait}.",
                retry_after_seconds=_DEFAULT_RETRY_SECONDS if seconds is None else seconds,
            )

    def recover(self) -> list[Job]:
        """Settle what a killed process left running; to be called once, before any job is started.

        A job that was to stop, or has nothing left to draw, is closed. Any other takes its old
        place in the queue, or is parked as failed when it was running at `MAX_CRASHES` process
        deaths. Returns the jobs as they are now, oldest first.
        """

        def work(db: Database) -> list[Job]:
            rows = db.query("SELECT id FROM jobs WHERE status = 'running' ORDER BY position")
            left = [get_job(db, row["id"]) for row in rows]
            for job in left:
                if job.attempts < MAX_CRASHES:
                    put_back(db, job)
                elif not close_if_over(db, job):
                    error = (
                        f"Parked: the studio died {job.attempts} times while it drew this; retry "
                        "it alone or with fewer pictures."
                    )
                    finish(db, job.id, (JobStatus.RUNNING,), JobStatus.FAILED, error)
            return [get_job(db, job.id) for job in left]

        return self._write(work)

    def put_back_running(self) -> None:
        """Every running job to where an orderly shutdown leaves it; see `JobRows.requeue`."""

        def work(db: Database) -> None:
            for row in list(db.query("SELECT id FROM jobs WHERE status = 'running'")):
                job = get_job(db, row["id"])
                put_back(db, job, attempts=max(0, job.attempts - 1))

        self._write(work)

    def next_queued(
        self,
        *,
        service_class: ServiceClass | None = None,
        owner: str | None = None,
        exclude: Collection[str] = (),
        exclude_owners: Collection[str] = (),
        is_suspect: bool | None = None,
    ) -> Job | None:
        """The waiting job whose turn it is: by priority, then deadline, then place in the queue.

        Of one class and one owner where they are given; `exclude` are ids. A suspect is a job that
        ran when the process died. Jobs of people who are disabled have no turn.
        """
        given = {
            "owner": owner,
            "ids": json.dumps(list(exclude)),
            "owners": json.dumps(list(exclude_owners)),
        }
        narrowed = "" if owner is None else " AND owner = :owner"
        if exclude_owners:
            narrowed += " AND owner NOT IN (SELECT value FROM json_each(:owners))"
        narrowed += f" AND owner NOT IN ({DISABLED})"
        if is_suspect is not None:
            narrowed += " AND attempts > 0" if is_suspect else " AND attempts = 0"
        sql = (
            "SELECT * FROM jobs WHERE id = (SELECT id FROM jobs WHERE status = 'queued'"
            f" AND service_class = :class{narrowed}"
            f" AND id NOT IN (SELECT value FROM json_each(:ids)) ORDER BY {_TURN} LIMIT 1)"
        )

        def work(db: Database) -> Job | None:
            # Class by class, as each is one walk along an index.
            for each in ServiceClass if service_class is None else (service_class,):
                for row in db.query(sql, given | {"class": each}):
                    return job_of_row(row)
            return None

        return self._read(work)

    def num_queued(self, owner: str | None = None) -> int:
        """How many jobs wait, of everybody or of one owner."""
        return self._read(lambda db: num_queued(db, owner))

    def num_active(self, owner: str | None = None) -> int:
        """How many jobs wait or run, of everybody whose work does not rest; of one owner, without
        drafts.
        """
        sql = "SELECT COUNT(*) FROM jobs WHERE status IN ('queued', 'running')"
        if owner is None:
            return self._read(lambda db: count(db, f"{sql} AND owner NOT IN ({DISABLED})"))
        return self._read(lambda db: count(db, f"{sql} AND owner = ? AND NOT is_draft", owner))

    def num_ahead(self, job_id: str) -> int:
        """How many active jobs came before this one, and go before it by class.

        Bulk work never stands before interactive work. 0 for a job that is finished.
        """

        def work(db: Database) -> int:
            job = get_job(db, job_id)
            if not job.status.is_active:
                return 0
            sql = (
                "SELECT COUNT(*) FROM jobs WHERE status IN ('queued', 'running')"
                " AND service_class = ? AND position < (SELECT position FROM jobs WHERE id = ?)"
            )
            num_ahead = count(db, sql, job.service_class, job_id)
            if job.service_class is ServiceClass.BULK:
                num_ahead += count(
                    db,
                    "SELECT COUNT(*) FROM jobs WHERE status IN ('queued', 'running')"
                    " AND service_class = 'interactive'",
                )
            return num_ahead

        return self._read(work)

    # How much there is to do

    def work_waiting(self) -> list[WorkLeft]:
        """The waiting jobs, those that are alike counted together."""
        rows = self._rows(
            f"SELECT {_ALIKE}, COUNT(*) AS num_jobs FROM jobs WHERE status = 'queued'"
            " GROUP BY service_class, owner, priority, work, num_steps_left"
        )
        return [_work_left(row) for row in rows]

    def work_running(self) -> list[WorkLeft]:
        """The running jobs, one by one. Steps of pictures in flight count as not done."""
        rows = self._rows(f"SELECT {_ALIKE}, id AS job_id FROM jobs WHERE status = 'running'")
        return [_work_left(row) for row in rows]

    def work_before(self, job: Job) -> list[WorkLeft]:
        """The waiting jobs of the same owner, class and priority that came before this one."""
        # "+" keeps SQLite from walking along the places, past the jobs of everybody.
        rows = self._rows(
            f"SELECT {_ALIKE}, COUNT(*) AS num_jobs FROM jobs WHERE status = 'queued'"
            " AND service_class = ? AND owner = ? AND priority = ?"
            " AND +position < (SELECT position FROM jobs WHERE id = ?)"
            " GROUP BY work, num_steps_left",
            *(job.service_class, job.owner, job.priority, job.id),
        )
        return [_work_left(row) for row in rows]


def _work_left(row: dict[str, Any]) -> WorkLeft:
    return WorkLeft(**row | {"service_class": ServiceClass(row["service_class"])})
