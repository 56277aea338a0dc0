"""Steps for moderation: screenings, the queue of reviews, the record of decisions."""

from __future__ import annotations

from sqlite_utils import Database


def m0020_reviews(db: Database) -> None:
    """What screened each picture, the queue of cases, and the record of decisions.

    The queue's rows change, the record's never do: triggers refuse it, and each entry carries the
    digest of the one before.
    """
    db.table("screenings").create(
        {
            "image_id": str,
            "answer": str,
            "reason": str,
            "scores": str,
            "policy_version": str,
            "at": float,
        },
        pk="image_id",
        not_null={"answer", "reason", "scores", "policy_version", "at"},
    )
    db.table("reviews").create(
        {
            "number": int,
            "id": str,
            "image_id": str,
            "image_digest": str,
            "job_id": str,
            "owner": str,
            "origin": str,
            "reason": str,
            "words": str,
            "scores": str,
            "policy_version": str,
            "opened_at": float,
            "needs_admin": int,
            "not_for": str,
            "leased_by": str,
            "leased_until": float,
            "answer": str,
            "decided_by": str,
            "decided_at": float,
            "due_at": float,
            "is_settled": int,
        },
        pk="number",
        not_null={
            "id", "image_id", "image_digest", "job_id", "owner", "origin", "reason", "words",
            "scores", "policy_version", "opened_at", "needs_admin", "is_settled",
        },
        foreign_keys=[("image_id", "images", "id")],
    )  # fmt: skip
    db.table("reviews").create_index(["id"], unique=True)
    db.table("reviews").create_index(["answer", "number"])
    db.table("reviews").create_index(["is_settled", "due_at"])
    db.table("reviews").create_index(["image_id"])
    db.table("reviews").create_index(["image_digest"])
    db.table("reviews").create_index(["owner", "origin"])
    db.execute(
        "CREATE UNIQUE INDEX idx_reviews_one_open ON reviews (image_id) WHERE answer IS NULL"
    )
    db.table("decisions").create(
        {
            "number": int,
            "review_id": str,
            "image_id": str,
            "image_digest": str,
            "act": str,
            "by": str,
            "at": float,
            "reason": str,
            "note": str,
            "policy_version": str,
            "scores": str,
            "previous": str,
            "digest": str,
        },
        pk="number",
        not_null={
            "review_id", "image_id", "image_digest", "act", "by", "at", "reason", "note",
            "policy_version", "scores", "previous", "digest",
        },
    )  # fmt: skip
    db.table("decisions").create_index(["review_id", "number"])
    for act in ("UPDATE", "DELETE"):
        db.execute(
            f"CREATE TRIGGER decisions_no_{act.lower()} BEFORE {act} ON decisions"
            " BEGIN SELECT RAISE(ABORT, 'the record of decisions is append-only'); END"
        )
