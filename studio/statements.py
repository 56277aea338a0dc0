"""Statements on jobs and events that several of the store's acts share.

Each runs inside the transaction of its caller; nothing here opens or commits one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from typing import Any

from sqlite_utils import Database

from studio.errors import Conflict, NotFound
from studio.job import Job, JobStatus
from studio.rows import job_of_row


def num_queued(db: Database) -> int:
    """How many jobs wait."""
    return count(db, "SELECT COUNT(*) FROM jobs WHERE status = 'queued'")


def count(db: Database, sql: str, *parameters: Any) -> int:
    """The one number that `sql` selects."""
    return int(db.execute(sql, parameters).fetchone()[0])


def get_job(db: Database, job_id: str, owner: str | None = None) -> Job:
    """The job; `NotFound` when there is none, or it is not `owner`'s."""
    rows = list(db.query("SELECT * FROM jobs WHERE id = ?", [job_id]))
    if not rows or owner not in (None, rows[0]["owner"]):
        raise NotFound("There is no such job: it may have been deleted.")
    return job_of_row(rows[0])


def move(
    db: Database,
    job_id: str,
    sources: Collection[JobStatus],
    target: JobStatus,
    **changes: Any,
) -> None:
    """Change the status from one of `sources` to `target`, or raise `Conflict`."""
    status = get_job(db, job_id).status
    if status not in sources:
        raise Conflict(f"A job marked “{status}” cannot become “{target}”: look at it again.")
    set_status(db, job_id, target, **changes)


def set_status(db: Database, job_id: str, status: JobStatus, **changes: Any) -> None:
    """Change the status and other columns, whatever they were."""
    changes = {"status": status, **changes}
    assignments = ", ".join(f"{name} = :{name}" for name in changes)
    db.execute(f"UPDATE jobs SET {assignments} WHERE id = :id", {**changes, "id": job_id})


def insert_event(
    db: Database, job_id: str, kind: str, data: Mapping[str, Any] | None = None
) -> None:
    """Note that something happened to a job."""
    db.execute(
        "INSERT INTO events (job_id, kind, at, data) VALUES (?, ?, ?, ?)",
        [job_id, kind, time.time(), json.dumps(dict(data or {}))],
    )


def number_of(db: Database, table: str, row_id: str, owner: str | None) -> int:
    """The order of arrival of a row a page ended at; `NotFound` as in `get_job`."""
    rows = list(db.query(f"SELECT number, owner FROM {table} WHERE id = ?", [row_id]))
    if not rows or owner not in (None, rows[0]["owner"]):
        raise NotFound("The list has changed: go back to its beginning.")
    return int(rows[0]["number"])
