"""`ReviewReading`: what can be asked of the queue of reviews and of the record; nothing changes.

A command asks the same of a folder that a running studio holds.
"""

from __future__ import annotations

import json

from sqlite_utils import Database

from studio.image_record import ImageRecord
from studio.review import Act, Decision, Judged, OwnerHistory, QueueCounts, Review
from studio.review_statements import decision_of_row, get_review, review_of_row
from studio.rows import image_of_row
from studio.statements import count
from studio.tables import Tables
from studio.verdict import Release

EXPIRED = (
    "SELECT images.* FROM images WHERE release = 'rejected' AND path <> ''"
    " AND COALESCE((SELECT MAX(decided_at) FROM reviews WHERE image_id = images.id),"
    " images.created_at) < ?"
    " AND NOT EXISTS (SELECT 1 FROM reviews WHERE image_id = images.id"
    " AND (answer IS NULL OR is_settled = 0))"
)


class ReviewReading(Tables):
    """Reviews and decisions, read."""

    def review(self, review_id: str) -> Review:
        """The case; `NotFound` when there is none."""
        return self._read(lambda db: get_review(db, review_id))

    def reviews(self, *, is_open: bool | None = None, limit: int = 100) -> list[Review]:
        """Cases, oldest first."""
        where = {None: "", True: "WHERE answer IS NULL", False: "WHERE answer IS NOT NULL"}[is_open]
        rows = self._rows(f"SELECT * FROM reviews {where} ORDER BY number LIMIT ?", limit)
        return [review_of_row(row) for row in rows]

    def reviews_of_image(self, image_id: str) -> list[Review]:
        rows = self._rows("SELECT * FROM reviews WHERE image_id = ? ORDER BY number", image_id)
        return [review_of_row(row) for row in rows]

    def has_hidden_image(self, job_id: str) -> bool:
        """Whether a picture of the job is held or rejected."""
        sql = "SELECT COUNT(*) FROM images WHERE job_id = ? AND release IN ('held', 'rejected')"
        return self._read(lambda db: count(db, sql, job_id)) > 0

    def num_twins(self, review: Review, *, not_of: str | None = None) -> int:
        """How many other open cases, none for an admin, have the very same picture.

        Those of the owner `not_of` are not counted.
        """
        sql = (
            "SELECT COUNT(*) FROM reviews WHERE answer IS NULL AND image_digest = ? AND id <> ?"
            " AND needs_admin = 0 AND owner IS NOT ?"
        )
        return self._read(lambda db: count(db, sql, review.image_digest, review.id, not_of))

    def decisions(
        self, *, review_id: str | None = None, after: int = 0, limit: int = 2**62
    ) -> list[Decision]:
        """Entries of the record in order, of one case or of all."""
        where, given = "number > ?", [after]
        if review_id is not None:
            where, given = "number > ? AND review_id = ?", [after, review_id]  # type: ignore[list-item]
        rows = self._rows(
            f"SELECT * FROM decisions WHERE {where} ORDER BY number LIMIT ?", *given, limit
        )
        return [decision_of_row(row) for row in rows]

    def queue_counts(
        self, *, target_seconds: float, now: float, not_of: str | None = None
    ) -> QueueCounts:
        """The queue as it stands; of what is open, without the cases of the owner `not_of`."""

        def work(db: Database) -> QueueCounts:
            def number(condition: str, given: float | None = None) -> int:
                sql = f"SELECT COUNT(*) FROM reviews WHERE {condition}"
                return int(db.execute(sql, {"given": given, "not_of": not_of}).fetchone()[0])

            is_open = "answer IS NULL AND owner IS NOT :not_of"
            oldest = db.execute(
                f"SELECT MIN(opened_at) FROM reviews WHERE {is_open}", {"not_of": not_of}
            ).fetchone()[0]
            return QueueCounts(
                num_open=number(is_open),
                num_leased=number(f"{is_open} AND leased_until > :given", now),
                num_escalated=number(f"{is_open} AND needs_admin = 1"),
                num_overdue=number(f"{is_open} AND opened_at < :given", now - target_seconds),
                num_undecided_appeals=number(f"{is_open} AND origin = 'appeal'"),
                num_settling=number("answer IS NOT NULL AND is_settled = 0"),
                num_decided_today=number("decided_at >= :given", now - 86400),
                oldest_seconds=None if oldest is None else max(0.0, now - oldest),
            )

        return self._read(work)

    def owner_history(self, owner: str) -> OwnerHistory:
        def work(db: Database) -> OwnerHistory:
            def number(release: Release) -> int:
                sql = (
                    "SELECT COUNT(*) FROM shelf WHERE owner = ? AND release = ? AND NOT is_example"
                )
                return count(db, sql, owner, release)

            reported = "SELECT COUNT(*) FROM reviews WHERE owner = ? AND origin = 'report'"
            return OwnerHistory(
                num_released=number(Release.RELEASED),
                num_held=number(Release.HELD),
                num_rejected=number(Release.REJECTED),
                num_reported=count(db, reported, owner),
            )

        return self._read(work)

    def judged(self, source: str) -> list[Judged]:
        """Every picture `source` has scored, with the last decision on it where there is one."""
        rows = self._rows(
            "SELECT screenings.scores, screenings.at, (SELECT answer FROM reviews WHERE"
            " reviews.image_id = screenings.image_id AND answer IS NOT NULL"
            " ORDER BY number DESC LIMIT 1) AS answer FROM screenings"
        )
        found = []
        for row in rows:
            score = json.loads(row["scores"]).get(source)
            if score is not None:
                is_bad = None if row["answer"] is None else row["answer"] == Act.REJECT
                found.append(Judged(score=score, is_bad=is_bad, at=row["at"]))
        return found

    def due_reviews(self, now: float) -> list[Review]:
        """Decided cases whose time to undo is over and that have not taken effect."""
        rows = self._rows(
            "SELECT * FROM reviews WHERE answer IS NOT NULL AND is_settled = 0 AND due_at <= ?"
            " ORDER BY number",
            now,
        )
        return [review_of_row(row) for row in rows]

    def next_due_at(self) -> float | None:
        """When the next decision takes effect."""
        (row,) = self._rows(
            "SELECT MIN(due_at) AS at FROM reviews WHERE answer IS NOT NULL AND is_settled = 0"
        )
        return None if row["at"] is None else float(row["at"])

    def misplaced_images(self, released_folder: str) -> list[ImageRecord]:
        """Pictures nobody may see whose file still lies among the released ones."""
        rows = self._rows(
            "SELECT * FROM images WHERE release IN ('held', 'rejected') AND path LIKE ?",
            f"{released_folder}/%",
        )
        return [image_of_row(row) for row in rows]

    def expired_images(self, before: float) -> list[ImageRecord]:
        """Rejected pictures with a file, rejected before that time, and not under appeal."""
        return [image_of_row(row) for row in self._rows(EXPIRED, before)]
