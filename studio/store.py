"""`Store`: the rows of jobs, images and events, and every transition of a job. It is the queue.

This file knows that a picture has a row, not where its file lies or what is in it, and it decides
nothing about who may see what: `owner` only filters.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from sqlite_utils import Database

from studio.data_folder import FolderLock
from studio.database import DatabaseFile
from studio.errors import Conflict, NotFound, QueueFull
from studio.image_record import ImageRecord
from studio.job import MAX_CRASHES, Job, JobStatus
from studio.migrations import migrate
from studio.rows import Page, image_of_row, job_of_row, row_of_image, row_of_job
from studio.statements import (
    count,
    get_job,
    insert_event,
    move,
    num_queued,
    number_of,
    set_status,
)
from studio.verdict import Release

DATABASE_NAME = "studio.db"

_T = TypeVar("_T")
_ACTIVE = (JobStatus.QUEUED, JobStatus.RUNNING)
_NEXT_POSITION = "(SELECT COALESCE(MAX(position), 0) + 1 FROM jobs)"


class Store:
    """The database of one data folder. Safe to share between threads; made by `open`."""

    def __init__(self, lock: FolderLock, file: DatabaseFile) -> None:
        self._lock = lock
        self._file = file

    @classmethod
    def open(cls, data_dir: Path) -> Store:
        """Create or open the store in `data_dir`, hold the folder, and bring its schema up to date.

        Raises:
            BadDataFolder: the folder cannot be written, another studio holds it, or its database is
                damaged or newer than this studio.
            StorageFull: the disk has no room for the database.
        """
        lock = FolderLock.take(data_dir)
        try:
            file = DatabaseFile(
                lock.data_dir / DATABASE_NAME,
                prepare=lambda connection: migrate(_wrap(connection), lock.data_dir),
            )
        except BaseException:
            lock.release()
            raise
        return cls(lock, file)

    def close(self) -> None:
        """Finish the writes already handed in, close the database, let the folder go."""
        self._file.close()
        self._lock.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The queue.

    def add_job(self, job: Job, *, max_queued: int) -> None:
        """Put `job` at the end of the queue.

        Raises:
            QueueFull: `max_queued` jobs wait already. Counted in the transaction that inserts.
            Conflict: there is a job with this id.
        """

        def work(db: Database) -> None:
            if num_queued(db) >= max_queued:
                raise QueueFull(
                    f"The queue is full ({max_queued} waiting): try again when some are done."
                )
            row = row_of_job(job)
            names = ", ".join(row)
            values = ", ".join(f":{name}" for name in row)
            try:
                db.execute(
                    f"INSERT INTO jobs ({names}, position) VALUES ({values}, {_NEXT_POSITION})", row
                )
            except sqlite3.IntegrityError as error:
                raise Conflict(f"A job {job.id} exists already: send it under a new id.") from error
            insert_event(db, job.id, "queued")

        self._write(work)

    def recover(self) -> list[Job]:
        """Settle what a killed process left running; to be called once, before any job is started.

        Such a job takes its old place in the queue, or is parked as failed when it was running at
        `MAX_CRASHES` process deaths. Returns the jobs as they are now, oldest first.
        """

        def work(db: Database) -> list[Job]:
            left = list(
                db.query("SELECT id, attempts FROM jobs WHERE status = 'running' ORDER BY position")
            )
            for row in left:
                if row["attempts"] < MAX_CRASHES:
                    set_status(db, row["id"], JobStatus.QUEUED)
                    insert_event(db, row["id"], "queued")
                    continue
                error = (
                    f"Parked: the studio died {row['attempts']} times while it drew this; retry it "
                    "alone or with fewer pictures."
                )
                set_status(db, row["id"], JobStatus.FAILED, error=error, finished_at=time.time())
                insert_event(db, row["id"], "failed", {"message": error})
            return [get_job(db, row["id"]) for row in left]

        return self._write(work)

    def next_queued(self, *, exclude: Collection[str] = ()) -> Job | None:
        """The job that has waited longest, leaving out the ids in `exclude`."""
        rows = self._rows(
            "SELECT * FROM jobs WHERE status = 'queued'"
            " AND id NOT IN (SELECT value FROM json_each(?)) ORDER BY position LIMIT 1",
            [json.dumps(list(exclude))],
        )
        return job_of_row(rows[0]) if rows else None

    def num_queued(self) -> int:
        """How many jobs wait."""
        return self._read(num_queued)

    def num_active(self) -> int:
        """How many jobs wait or run."""
        return self._read(
            lambda db: count(db, "SELECT COUNT(*) FROM jobs WHERE status IN ('queued', 'running')")
        )

    def num_ahead(self, job_id: str) -> int:
        """How many active jobs stand before this one; 0 for a job that is finished."""

        def work(db: Database) -> int:
            if not get_job(db, job_id).status.is_active:
                return 0
            sql = (
                "SELECT COUNT(*) FROM jobs WHERE status IN ('queued', 'running')"
                " AND position < (SELECT position FROM jobs WHERE id = ?)"
            )
            return count(db, sql, job_id)

        return self._read(work)

    def num_steps_ahead(self, job_id: str) -> int:
        """Denoising steps of the pictures still to be drawn for this job and those before it.

        0 for a job that is finished.
        """

        def work(db: Database) -> int:
            if not get_job(db, job_id).status.is_active:
                return 0
            sql = (
                "SELECT SUM(num_steps_left) FROM jobs WHERE status IN ('queued', 'running')"
                " AND position <= (SELECT position FROM jobs WHERE id = ?)"
            )
            return count(db, sql, job_id)

        return self._read(work)

    # One job.

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
    ) -> list[Job]:
        """Jobs, the newest first; `before` is the last id of the page that came before this one."""
        # A query for each status, since each then follows an index: few active jobs among many
        # finished ones, which is what a page asks for every second, are found without a search.
        wanted = [None] if statuses is None else sorted(set(statuses))

        def work(db: Database) -> list[Job]:
            number = None if before is None else number_of(db, "jobs", before, owner)
            rows: list[dict[str, Any]] = []
            for status in wanted:
                page = Page("jobs").keep("owner = ?", owner).keep("status = ?", status)
                page.keep("number < ?", number)
                rows += db.query(page.sql, [*page.parameters, limit])
            rows.sort(key=lambda row: -row["number"])
            return [job_of_row(row) for row in rows[:limit]]

        return self._read(work)

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
        """running → queued in its old place, the attempt not counted: for an orderly shutdown."""

        def work(db: Database) -> None:
            attempts = max(0, get_job(db, job_id).attempts - 1)
            move(db, job_id, (JobStatus.RUNNING,), JobStatus.QUEUED, attempts=attempts)
            insert_event(db, job_id, "queued")

        self._write(work)

    def mark_succeeded(self, job_id: str) -> None:
        """running → succeeded; `Conflict` otherwise."""
        self._finish(job_id, (JobStatus.RUNNING,), JobStatus.SUCCEEDED, "finished")

    def mark_failed(self, job_id: str, error: str) -> None:
        """queued or running → failed, with the sentence to show; `Conflict` otherwise."""
        self._finish(job_id, _ACTIVE, JobStatus.FAILED, "failed", error)

    def mark_cancelled(self, job_id: str) -> None:
        """queued or running → cancelled; `Conflict` otherwise."""
        self._finish(job_id, _ACTIVE, JobStatus.CANCELLED, "cancelled")

    def retry(self, job_id: str, *, owner: str | None = None) -> Job:
        """failed or cancelled → queued at the end of the queue, attempts and error forgotten.

        Pictures it has already finished are kept. Raises `Conflict` for a job in another state.
        """

        def work(db: Database) -> Job:
            get_job(db, job_id, owner)
            move(
                db,
                job_id,
                (JobStatus.FAILED, JobStatus.CANCELLED),
                JobStatus.QUEUED,
                attempts=0,
                error=None,
                started_at=None,
                finished_at=None,
            )
            db.execute(f"UPDATE jobs SET position = {_NEXT_POSITION} WHERE id = ?", [job_id])
            insert_event(db, job_id, "queued")
            return get_job(db, job_id)

        return self._write(work)

    # Pictures and events.

    def add_image(self, record: ImageRecord) -> bool:
        """Note a picture whose file is complete on disk, with its event.

        Returns `False`, and changes nothing, when the job has a picture of this index already (it
        was drawn again after a crash): the new file is then nobody's.
        """

        def work(db: Database) -> bool:
            num_steps = get_job(db, record.job_id).request.num_steps
            row = row_of_image(record)
            names = ", ".join(f'"{name}"' for name in row)
            values = ", ".join(f":{name}" for name in row)
            sql = f'INSERT INTO images ({names}) VALUES ({values}) ON CONFLICT (job_id, "index")'
            if db.execute(f"{sql} DO NOTHING", row).rowcount == 0:
                return False
            left = "UPDATE jobs SET num_steps_left = num_steps_left - ? WHERE id = ?"
            db.execute(left, [num_steps, record.job_id])
            kind = "picturefinished" if record.release is Release.RELEASED else "held"
            insert_event(db, record.job_id, kind, {"index": record.index, "image_id": record.id})
            return True

        return self._write(work)

    def image(self, image_id: str, *, owner: str | None = None) -> ImageRecord:
        """The picture's row, held or not; `NotFound` when there is none, or it is not `owner`'s."""
        rows = self._rows("SELECT * FROM images WHERE id = ?", [image_id])
        if not rows or owner not in (None, rows[0]["owner"]):
            raise NotFound("There is no such picture: it may have been deleted.")
        return image_of_row(rows[0])

    def images(
        self,
        *,
        job_id: str | None = None,
        owner: str | None = None,
        release: Release | None = Release.RELEASED,
        limit: int = 50,
        before: str | None = None,
    ) -> list[ImageRecord]:
        """Pictures, the newest first; those of one job in the order of their index.

        `before` is the last id of the page that came before this one; `release=None` means all.
        """
        page = Page("images", order="number DESC" if job_id is None else '"index"')
        page.keep("job_id = ?", job_id).keep("owner = ?", owner).keep("release = ?", release)
        following = "number < ?"
        if job_id is not None:
            following = '"index" > (SELECT "index" FROM images WHERE number = ?)'

        def work(db: Database) -> list[ImageRecord]:
            page.keep(following, before and number_of(db, "images", before, owner))
            return [image_of_row(row) for row in db.query(page.sql, [*page.parameters, limit])]

        return self._read(work)

    def image_indices(self, job_id: str) -> set[int]:
        """Which pictures of the job exist already, in whatever release state."""
        rows = self._rows('SELECT "index" FROM images WHERE job_id = ?', [job_id])
        return {row["index"] for row in rows}

    def count_images(self) -> int:
        """How many pictures there are, in whatever release state."""
        return self._read(lambda db: count(db, "SELECT COUNT(*) FROM images"))

    def add_event(self, job_id: str, kind: str, data: Mapping[str, Any] | None = None) -> None:
        """Note that something happened to the job; `data` must be fit for JSON."""

        def work(db: Database) -> None:
            get_job(db, job_id)
            insert_event(db, job_id, kind, data)

        self._write(work)

    def events(self, job_id: str) -> list[dict[str, Any]]:
        """What happened to the job, in order: `{"kind": …, "at": Unix seconds, …data}`."""
        rows = self._rows(
            "SELECT kind, at, data FROM events WHERE job_id = ? ORDER BY number", [job_id]
        )
        return [{"kind": row["kind"], "at": row["at"], **json.loads(row["data"])} for row in rows]

    def _finish(
        self,
        job_id: str,
        sources: Collection[JobStatus],
        target: JobStatus,
        kind: str,
        error: str | None = None,
    ) -> None:
        def work(db: Database) -> None:
            move(db, job_id, sources, target, error=error, finished_at=time.time())
            insert_event(db, job_id, kind, None if error is None else {"message": error})

        self._write(work)

    def _write(self, work: Callable[[Database], _T]) -> _T:
        return self._file.write(lambda connection: work(_wrap(connection)))

    def _read(self, work: Callable[[Database], _T]) -> _T:
        return self._file.read(lambda connection: work(_wrap(connection)))

    def _rows(self, sql: str, parameters: list[Any]) -> list[dict[str, Any]]:
        return self._read(lambda db: list(db.query(sql, parameters)))


def _wrap(connection: sqlite3.Connection) -> Database:
    # Plug-ins of sqlite-utils are foreign code that happens to be installed: not run here.
    return Database(connection, recursive_triggers=False, execute_plugins=False)
