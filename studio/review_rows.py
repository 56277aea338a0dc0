"""`ReviewRows`: screened pictures and every act on the queue of reviews.

Every act is one transaction: what a case becomes and the entry that says so are written together or
not at all. The record only grows; the database itself refuses to change or remove an entry. Who may
do what is decided above; here `by` is a name.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

from sqlite_utils import Database

from studio.audit import Entry, insert_entry
from studio.errors import Conflict
from studio.image_record import ImageRecord
from studio.review import Act, Origin, Review
from studio.review_reading import EXPIRED, ReviewReading
from studio.review_statements import (
    append,
    append_entry,
    get_image,
    get_review,
    leased_review,
    open_review,
    review_of_row,
    scores_of,
    set_review,
)
from studio.rows import image_of_row
from studio.statements import count, insert_event, insert_image
from studio.verdict import Release, Verdict

STUDIO = "studio"
"""Who did what no person did."""

_FREE = "answer IS NULL AND (leased_by IS NULL OR leased_until <= :now OR leased_by = :by)"


class ReviewRows(ReviewReading):
    """Reviews and decisions, written."""

    def keep_image(self, record: ImageRecord, verdict: Verdict) -> bool:
        """Note a picture whose file is complete on disk, with its verdict; one held opens a case.

        As `ImageRows.add_image`, all in one transaction.
        """

        def work(db: Database) -> bool:
            if not insert_image(db, record):
                return False
            db.execute(
                "INSERT INTO screenings (image_id, answer, reason, scores, policy_version, at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                [
                    record.id,
                    verdict.answer,
                    verdict.reason,
                    json.dumps(dict(verdict.scores)),
                    verdict.policy_version,
                    record.created_at,
                ],
            )
            if verdict.release is Release.HELD:
                open_review(
                    db,
                    record,
                    origin=Origin.SCREENING,
                    by=STUDIO,
                    reason=verdict.reason,
                    words=verdict.words,
                    scores=verdict.scores,
                    policy_version=verdict.policy_version,
                    now=record.created_at,
                )
            return True

        return self._write(work)

    def report_image(
        self,
        image_id: str,
        *,
        by: str,
        words: str,
        version: str,
        now: float,
        made: Entry | None = None,
    ) -> str:
        """Hide a released picture and open a case for it; the case's id.

        Raises:
            Conflict: the picture is not released, so that there is nothing to hide.
        """

        def work(db: Database) -> str:
            record = get_image(db, image_id)
            if record.release is not Release.RELEASED:
                raise Conflict("This picture is hidden already: a reviewer looks at it.")
            db.execute("UPDATE images SET release = 'held' WHERE id = ?", [image_id])
            _note(db, made)
            insert_event(db, record.job_id, "held", {"index": record.index, "image_id": image_id})
            return open_review(
                db,
                record,
                origin=Origin.REPORT,
                by=by,
                reason="reported",
                words=words,
                scores=scores_of(db, image_id),
                policy_version=version,
                now=now,
            )

        return self._write(work)

    def appeal_image(
        self,
        image_id: str,
        *,
        by: str,
        words: str,
        version: str,
        now: float,
        made: Entry | None = None,
    ) -> str:
        """Open a case for a rejected picture once more; the case's id.

        Raises:
            Conflict: it is not rejected, was appealed before, or is deleted.
        """

        def work(db: Database) -> str:
            record = get_image(db, image_id)
            if record.release is not Release.REJECTED:
                raise Conflict("Only a picture that was rejected can be appealed.")
            sql = "SELECT COUNT(*) FROM reviews WHERE image_id = ? AND origin = 'appeal'"
            if count(db, sql, image_id):
                raise Conflict("This picture was appealed before: a second appeal is not heard.")
            if not record.path:
                raise Conflict("This picture is deleted: draw it again with the same seed.")
            _note(db, made)
            before = list(
                db.query(
                    "SELECT decided_by FROM reviews WHERE image_id = ? AND answer = 'reject'"
                    " ORDER BY number DESC LIMIT 1",
                    [image_id],
                )
            )
            return open_review(
                db,
                record,
                origin=Origin.APPEAL,
                by=by,
                reason="appealed",
                words=words,
                scores=scores_of(db, image_id),
                policy_version=version,
                now=now,
                not_for=before[0]["decided_by"] if before else None,
            )

        return self._write(work)

    def claim_review(
        self,
        by: str,
        *,
        lease_seconds: float,
        is_admin: bool,
        now: float,
        not_of: str | None = None,
    ) -> Review | None:
        """Lease the oldest case that is free to `by`, theirs first; `None` when there is none.

        Escalated cases go to admins alone, those of the owner `not_of` not to this one. A case
        somebody passed on, or rejected before, goes to others first.
        """
        given = {"by": by, "now": now, "not_of": not_of}
        admins = "" if is_admin else " AND needs_admin = 0"
        sql = (
            f"SELECT * FROM reviews WHERE {_FREE}{admins} AND owner IS NOT :not_of"
            " ORDER BY leased_by IS NOT :by OR leased_until <= :now, not_for IS :by, number LIMIT 1"
        )

        def work(db: Database) -> Review | None:
            for row in list(db.query(sql, given)):
                set_review(db, row["id"], leased_by=by, leased_until=now + lease_seconds)
                return get_review(db, row["id"])
            return None

        return self._write(work)

    def renew_lease(self, review_id: str, by: str, *, lease_seconds: float, now: float) -> bool:
        """Keep a case that is leased to `by`; `False` when it is theirs no more."""
        return self._write(
            lambda db: bool(
                db.execute(
                    "UPDATE reviews SET leased_until = ? WHERE id = ? AND answer IS NULL"
                    " AND leased_by = ? AND leased_until > ?",
                    [now + lease_seconds, review_id, by, now],
                ).rowcount
            )
        )

    def leave_review(self, review_id: str, by: str, *, now: float) -> None:
        """Give a case back undecided; others are offered it first."""

        def work(db: Database) -> None:
            leased_review(db, review_id, by, now)
            set_review(db, review_id, leased_by=None, leased_until=None, not_for=by)

        self._write(work)

    def decide_review(
        self,
        review_id: str,
        *,
        by: str,
        act: Act,
        reason: str,
        note: str,
        version: str,
        now: float,
        due_at: float,
        with_twins: bool = False,
        not_of: str | None = None,
        made: Entry | None = None,
    ) -> list[str]:
        """Approve or reject a leased case; on disk when this returns. The ids of what was decided.

        `with_twins` decides every free case with the same picture digest alike, but for those that
        wait for an admin, or for another reviewer than `by`. `made` is noted for each.

        Raises:
            Conflict: the case is decided, or not leased to `by` any more; it is of `not_of`.
        """

        def work(db: Database) -> list[str]:
            review = leased_review(db, review_id, by, now)
            if review.owner == not_of:
                raise Conflict("This picture is your own: another reviewer judges it.")
            chosen = [review]
            if with_twins:
                sql = (
                    f"SELECT * FROM reviews WHERE {_FREE} AND image_digest = :digest AND id <> :id"
                    " AND needs_admin = 0 AND not_for IS NOT :by AND owner IS NOT :not_of"
                )
                given = {"by": by, "now": now, "not_of": not_of}
                given |= {"digest": review.image_digest, "id": review.id}
                rows = list(db.query(sql, given))
                chosen += [review_of_row(row) for row in rows]
            for each in chosen:
                set_review(
                    db,
                    each.id,
                    answer=act,
                    decided_by=by,
                    decided_at=now,
                    due_at=due_at,
                    leased_by=None,
                    leased_until=None,
                )
                append(db, each, act=act, by=by, at=now, reason=reason, note=note, version=version)
                _note(db, made and dataclasses.replace(made, object=each.id))
            return [each.id for each in chosen]

        return self._write(work)

    def undo_decision(
        self,
        review_id: str,
        *,
        by: str,
        now: float,
        leased_until: float,
        made: Entry | None = None,
    ) -> Review:
        """Take a decision back that has not taken effect; the case is leased to `by` again.

        Cases that were decided with it are free again. `made` is noted for each.

        Raises:
            Conflict: somebody else's, or too late.
        """

        def work(db: Database) -> Review:
            review = get_review(db, review_id)
            if review.is_open or review.decided_by != by:
                raise Conflict("Only your own last decision can be undone.")
            if review.is_settled or (review.due_at or 0) <= now:
                raise Conflict("It is too late to undo this: the decision has taken effect.")
            for each in (review, *_decided_with(db, review)):
                set_review(db, each.id, answer=None, decided_by=None, decided_at=None, due_at=None)
                append(db, each, act=Act.UNDO, by=by, at=now, version=each.policy_version)
                _note(db, made and dataclasses.replace(made, object=each.id))
            set_review(db, review_id, leased_by=by, leased_until=leased_until)
            return get_review(db, review_id)

        return self._write(work)

    def escalate_review(
        self,
        review_id: str,
        *,
        by: str,
        note: str,
        version: str,
        now: float,
        made: Entry | None = None,
    ) -> None:
        """Pass a leased case on to an admin who reviews. Raises `Conflict` as `decide_review`."""

        def work(db: Database) -> None:
            review = leased_review(db, review_id, by, now)
            set_review(db, review_id, needs_admin=1, not_for=by, leased_by=None, leased_until=None)
            append(db, review, act=Act.ESCALATE, by=by, at=now, note=note, version=version)
            _note(db, made)

        self._write(work)

    def note_review(self, review_id: str, *, by: str, note: str, version: str, now: float) -> None:
        """Add a note to a leased case, for whoever sees it next."""

        def work(db: Database) -> None:
            review = leased_review(db, review_id, by, now)
            append(db, review, act=Act.NOTE, by=by, at=now, note=note, version=version)

        self._write(work)

    def settle_review(self, review_id: str, *, path: str, now: float) -> None:
        """Let a decision take effect; `path` is where the picture now lies.

        An approved picture without a path has no file any more: what is left is its row. A decision
        that was undone meanwhile, or has taken effect, is left alone.
        """

        def work(db: Database) -> None:
            review = get_review(db, review_id)
            if review.is_open or review.is_settled:
                return
            is_approved = review.answer is Act.APPROVE
            is_released = is_approved and bool(path)
            release = Release.REJECTED
            if is_approved:
                release = Release.RELEASED if path else Release.DELETED
            record = get_image(db, review.image_id)
            db.execute(
                "UPDATE images SET release = ?, path = ? WHERE id = ?",
                [release, path, review.image_id],
            )
            set_review(db, review_id, is_settled=1)
            data = {"index": record.index, "image_id": record.id}
            insert_event(db, review.job_id, str(release), data)
            if is_approved:
                act, reason = (Act.RELEASE, "") if is_released else (Act.DELETE, "missing")
                version = review.policy_version
                append(db, review, act=act, by=STUDIO, at=now, reason=reason, version=version)

        self._write(work)

    def set_image_path(self, image_id: str, path: str) -> None:
        """Note that a picture's file was moved."""
        self._write(
            lambda db: db.execute("UPDATE images SET path = ? WHERE id = ?", [path, image_id])
        )

    def delete_expired(
        self,
        image_id: str,
        *,
        before: float,
        delete: Callable[[ImageRecord], None],
        version: str,
        now: float,
    ) -> bool:
        """Have `delete` remove the file of a picture of `expired_images`, and say so in the record.

        Both in one go, so that nobody appeals in between. `False` where it is expired no more.
        """

        def work(db: Database) -> bool:
            rows = list(db.query(f"{EXPIRED} AND images.id = ?", [before, image_id]))
            if not rows:
                return False
            record = image_of_row(rows[0])
            delete(record)
            db.execute("UPDATE images SET path = '' WHERE id = ?", [image_id])
            append_entry(
                db,
                review_id="",
                image_id=image_id,
                image_digest=record.digest,
                act=Act.DELETE,
                by=STUDIO,
                at=now,
                reason="retention",
                version=version,
                scores=scores_of(db, image_id),
            )
            return True

        return self._write(work)


def _decided_with(db: Database, review: Review) -> list[Review]:
    """The cases of the very same picture that were decided in the same act."""
    sql = (
        "SELECT * FROM reviews WHERE image_digest = ? AND answer = ? AND decided_by = ?"
        " AND decided_at = ? AND is_settled = 0 AND id <> ? ORDER BY number"
    )
    given = [review.image_digest, review.answer, review.decided_by, review.decided_at, review.id]
    return [review_of_row(row) for row in db.query(sql, given)]


def _note(db: Database, made: Entry | None) -> None:
    """Write the audit's entry of what a person did."""
    if made is not None:
        insert_entry(db, made)
