"""`BatchRows`: the rows of batches and of their lines.

Once a line's job is in the queue, the database itself keeps the line's state equal to the job's
(see `m0040_batches`); what becomes of a line before and after is written here. When to do so is
`batches/`' to decide.
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlite_utils import Database

from studio.batch import IN_HAND, Batch, BatchRow, BatchStatus, Portion, RowState
from studio.brief import Brief
from studio.errors import Conflict, NotFound
from studio.image_record import ImageRecord
from studio.rows import Page, image_of_row
from studio.statements import count, number_of
from studio.tables import Tables

_INSERT_ROW = (
    "INSERT INTO batch_rows (batch_id, line, sku, stem, brief, num_images, job_id, state, error,"
    " cells) VALUES (:batch_id, :line, :sku, :stem, :brief, :num_images, :job_id, :state, :error,"
    " :cells)"
)
_IN_HAND = ", ".join(f"'{state}'" for state in IN_HAND)


class BatchRows(Tables):
    """Batches by id and by owner; their lines by number and by state."""

    def add_batch(self, batch: Batch, rows: Iterable[BatchRow] = ()) -> None:
        """Keep a batch with all its lines, or nothing of it.

        Raises:
            Conflict: there is a batch with this id.
        """

        def work(db: Database) -> None:
            values = {
                "id": batch.id,
                "owner": batch.owner,
                "name": batch.name,
                "status": batch.status,
                "headers": json.dumps(batch.headers),
                "notes": json.dumps(batch.notes),
                "work": json.dumps([portion.to_dict() for portion in batch.work]),
                "created_at": batch.created_at,
                "message": batch.message,
            }
            names = ", ".join(values)
            marks = ", ".join(f":{name}" for name in values)
            try:
                db.execute(f"INSERT INTO batches ({names}) VALUES ({marks})", values)
            except sqlite3.IntegrityError as error:
                raise Conflict(f"A batch {batch.id} exists already.") from error
            db.conn.executemany(_INSERT_ROW, (_values_of_row(batch.id, row) for row in rows))

        self._write(work)

    # A table that is still being checked

    def begin_check(self, batch: Batch) -> None:
        """Keep a batch whose lines follow, by `add_checked`. Raises as `add_batch`."""
        self.add_batch(dataclasses.replace(batch, status=BatchStatus.CHECKING))

    def add_checked(self, batch_id: str, rows: Iterable[BatchRow]) -> None:
        """Lines more. Raises `Conflict` where the batch is not being checked any more."""

        def work(db: Database) -> None:
            _require_checking(db, batch_id)
            db.conn.executemany(_INSERT_ROW, (_values_of_row(batch_id, row) for row in rows))

        self._write(work)

    def end_check(self, batch_id: str, notes: Collection[str], work: Collection[Portion]) -> None:
        """checking → ready. Raises as `add_checked`."""
        given = [json.dumps(list(notes)), json.dumps([portion.to_dict() for portion in work])]

        def write(db: Database) -> None:
            _require_checking(db, batch_id)
            sql = "UPDATE batches SET status = ?, notes = ?, work = ? WHERE id = ?"
            db.execute(sql, [BatchStatus.READY, *given, batch_id])

        self._write(write)

    def give_up_check(self, batch_id: str, message: str) -> bool:
        """checking → cancelled, without lines, and why; whether it was being checked."""
        return self._write(lambda db: bool(_give_up_checks(db, message, batch_id)))

    def end_every_check(self, message: str) -> None:
        """As `give_up_check`, for every batch; to be called before any is begun."""
        self._write(lambda db: _give_up_checks(db, message))

    def delete_batch(self, batch_id: str, *, owner: str | None = None) -> None:
        """Forget a batch and its lines; jobs and pictures stay.

        Raises:
            Conflict: it is at work.
        """

        def work(db: Database) -> None:
            batch = _get_batch(db, batch_id, owner)
            if batch.status.is_active:
                raise Conflict("The batch is at work: cancel it before you delete it.")
            db.execute("DELETE FROM batch_rows WHERE batch_id = ?", [batch_id])
            db.execute("DELETE FROM batches WHERE id = ?", [batch_id])

        self._write(work)

    def batch(self, batch_id: str, *, owner: str | None = None) -> Batch:
        """The batch; `NotFound` when there is none, or it is not `owner`'s."""
        return self._read(lambda db: _get_batch(db, batch_id, owner))

    def batches(
        self,
        *,
        owner: str | None = None,
        statuses: Collection[BatchStatus] | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> list[Batch]:
        """Batches, the newest first; `before` is the last id of the page that came before."""

        def work(db: Database) -> list[Batch]:
            number = None if before is None else number_of(db, "batches", before, owner)
            page = Page("batches").keep("owner = ?", owner).keep("number < ?", number)
            if statuses is not None:
                wanted = json.dumps(sorted(statuses))
                page.keep("status IN (SELECT value FROM json_each(?))", wanted)
            return [_batch_of_row(row) for row in db.query(page.sql, [*page.parameters, limit])]

        return self._read(work)

    def batch_lines(
        self,
        batch_id: str,
        *,
        states: Collection[RowState] | None = None,
        after_line: int = 0,
        limit: int = 100,
    ) -> list[BatchRow]:
        """Lines in the order of the file, after `after_line`."""
        wanted = [None] if states is None else sorted(set(states))

        def work(db: Database) -> list[BatchRow]:
            rows: list[dict[str, Any]] = []
            for state in wanted:  # each follows an index
                page = Page("batch_rows", order="line").keep("batch_id = ?", batch_id)
                page.keep("state = ?", state).keep("line > ?", after_line)
                rows += db.query(page.sql, [*page.parameters, limit])
            rows.sort(key=lambda row: row["line"])
            return [_line_of_row(row) for row in rows[:limit]]

        return self._read(work)

    def batch_of_job(self, job_id: str) -> tuple[str, BatchRow] | None:
        """The batch a job belongs to, and its line there."""
        for row in self._rows("SELECT * FROM batch_rows WHERE job_id = ?", job_id):
            return row["batch_id"], _line_of_row(row)
        return None

    def line_images(self, job_ids: Collection[str]) -> dict[str, list[ImageRecord]]:
        """The pictures of some lines' jobs, in whatever release state, by job."""
        rows = self._rows(
            "SELECT * FROM images WHERE job_id IN (SELECT value FROM json_each(?))"
            ' ORDER BY job_id, "index"',
            json.dumps(list(job_ids)),
        )
        found: dict[str, list[ImageRecord]] = {}
        for row in rows:
            found.setdefault(row["job_id"], []).append(image_of_row(row))
        return found

    def batch_counts(self, batch_id: str) -> tuple[dict[RowState, int], dict[RowState, int], int]:
        """Lines and pictures by the state of the line; and how many finished pictures are held."""

        def work(db: Database) -> tuple[dict[RowState, int], dict[RowState, int], int]:
            sql = (
                "SELECT state, COUNT(*) AS num_rows, SUM(num_images) AS num_images FROM batch_rows"
                " WHERE batch_id = ? GROUP BY state"
            )
            rows = list(db.query(sql, [batch_id]))
            held = db.execute(
                "SELECT COUNT(*) FROM images JOIN batch_rows ON batch_rows.job_id = images.job_id"
                " WHERE images.release = 'held' AND batch_rows.batch_id = ?",
                [batch_id],
            ).fetchone()[0]
            return (
                {RowState(row["state"]): row["num_rows"] for row in rows},
                {RowState(row["state"]): row["num_images"] for row in rows},
                int(held),
            )

        return self._read(work)

    def num_in_hand(self, owner: str) -> int:
        """How many lines of the owner's batches have a job that waits or runs."""
        sql = (
            "SELECT COUNT(*) AS number FROM batches JOIN batch_rows ON batch_id = id"
            f" WHERE owner = ? AND status IN ('running', 'paused') AND state IN ({_IN_HAND})"
        )
        return int(self._rows(sql, owner)[0]["number"])

    def move_batch(
        self,
        batch_id: str,
        sources: Collection[BatchStatus],
        target: BatchStatus,
        *,
        owner: str | None = None,
    ) -> Batch:
        """Change a batch's status from one of `sources`, or raise `Conflict`."""

        def work(db: Database) -> Batch:
            batch = _get_batch(db, batch_id, owner)
            if batch.status not in sources:
                raise Conflict(
                    f"A batch marked “{batch.status}” cannot become “{target}”: look at it again."
                )
            is_over = target in (BatchStatus.FINISHED, BatchStatus.CANCELLED)
            changes: dict[str, Any] = {
                "status": target,
                "message": "",
                "finished_at": time.time() if is_over else None,
                "started_at": batch.started_at
                or (time.time() if target is BatchStatus.RUNNING else None),
            }
            assignments = ", ".join(f"{name} = :{name}" for name in changes)
            db.execute(
                f"UPDATE batches SET {assignments} WHERE id = :id", changes | {"id": batch_id}
            )
            return _get_batch(db, batch_id, owner)

        return self._write(work)

    def finish_batch_if_over(self, batch_id: str) -> bool:
        """running or paused → finished when no line waits, is queued or runs; whether it was."""
        condition = (
            "id = ? AND status IN ('running', 'paused') AND NOT EXISTS (SELECT 1 FROM batch_rows"
            f" WHERE batch_id = batches.id AND state IN ('waiting', {_IN_HAND}))"
        )
        if not self._rows(f"SELECT 1 FROM batches WHERE {condition}", batch_id):
            return False  # seldom otherwise, and it is asked often
        sql = (
            "UPDATE batches SET status = 'finished', finished_at = ?, message = ''"
            f" WHERE {condition}"
        )
        return self._write(lambda db: bool(db.execute(sql, [time.time(), batch_id]).rowcount))

    def set_batch_message(self, batch_id: str, message: str) -> None:
        """Say why nothing goes on; an empty text where it does again."""
        sql = "UPDATE batches SET message = ? WHERE id = ? AND message != ?"
        self._write(lambda db: db.execute(sql, [message, batch_id, message]))

    def pause_batches(self, owner: str, message: str) -> None:
        """Pause what is at work of the owner's, and say why."""
        sql = "UPDATE batches SET status = 'paused', message = ? WHERE owner = ? AND status = ?"
        self._write(lambda db: db.execute(sql, [message, owner, BatchStatus.RUNNING]))

    def cancel_waiting_lines(self, batch_id: str) -> None:
        sql = "UPDATE batch_rows SET state = 'cancelled' WHERE batch_id = ? AND state = 'waiting'"
        self._write(lambda db: db.execute(sql, [batch_id]))

    def let_lines_wait_again(self, batch_id: str) -> int:
        """Lines that failed or were cancelled wait once more; how many there were."""
        sql = (
            "UPDATE batch_rows SET state = 'waiting', error = NULL"
            " WHERE batch_id = ? AND state IN ('failed', 'cancelled')"
        )
        return self._write(lambda db: int(db.execute(sql, [batch_id]).rowcount))

    def fail_line(self, job_id: str, error: str) -> None:
        """A line that was good when it was checked and is refused now."""
        sql = "UPDATE batch_rows SET state = 'failed', error = ? WHERE job_id = ?"
        self._write(lambda db: db.execute(sql, [error, job_id]))

    def follow_job(self, job_id: str) -> None:
        """Take over the state of the line's job, where one that waits has such a job already."""
        sql = (
            "UPDATE batch_rows SET state = (SELECT status FROM jobs WHERE id = job_id)"
            " WHERE job_id = ? AND EXISTS (SELECT 1 FROM jobs WHERE id = job_id)"
        )
        self._write(lambda db: db.execute(sql, [job_id]))


def _require_checking(db: Database, batch_id: str) -> None:
    sql = "SELECT COUNT(*) FROM batches WHERE id = ? AND status = ?"
    if not count(db, sql, batch_id, BatchStatus.CHECKING):
        raise Conflict("This table is not being checked any more.")


def _give_up_checks(db: Database, message: str, batch_id: str | None = None) -> int:
    chosen = "status = 'checking' AND (:id IS NULL OR id = :id)"
    given = {"id": batch_id, "message": message, "at": time.time()}
    sql = f"DELETE FROM batch_rows WHERE batch_id IN (SELECT id FROM batches WHERE {chosen})"
    db.execute(sql, given)
    sql = "UPDATE batches SET status = 'cancelled', message = :message, finished_at = :at"
    return int(db.execute(f"{sql} WHERE {chosen}", given).rowcount)


def _get_batch(db: Database, batch_id: str, owner: str | None) -> Batch:
    rows = list(db.query("SELECT * FROM batches WHERE id = ?", [batch_id]))
    if not rows or owner not in (None, rows[0]["owner"]):
        raise NotFound("There is no such batch: it may have been deleted.")
    return _batch_of_row(rows[0])


def _batch_of_row(row: Mapping[str, Any]) -> Batch:
    return Batch(
        id=row["id"],
        owner=row["owner"],
        name=row["name"],
        headers=tuple(json.loads(row["headers"])),
        notes=tuple(json.loads(row["notes"])),
        work=tuple(Portion.from_dict(values) for values in json.loads(row["work"])),
        created_at=row["created_at"],
        status=BatchStatus(row["status"]),
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        message=row["message"],
    )


def _values_of_row(batch_id: str, row: BatchRow) -> dict[str, Any]:
    return {
        "batch_id": batch_id,
        "line": row.line,
        "sku": row.sku,
        "stem": row.stem,
        "brief": json.dumps(row.brief.to_dict()),
        "num_images": row.num_images,
        "job_id": row.job_id,
        "state": row.state,
        "error": row.error,
        "cells": json.dumps(row.cells) if row.cells else None,
    }


def _line_of_row(row: Mapping[str, Any]) -> BatchRow:
    return BatchRow(
        line=row["line"],
        sku=row["sku"],
        stem=row["stem"],
        brief=Brief.from_dict(json.loads(row["brief"])),
        num_images=row["num_images"],
        job_id=row["job_id"],
        state=RowState(row["state"]),
        error=row["error"],
        cells=tuple(json.loads(row["cells"])) if row["cells"] else (),
    )
