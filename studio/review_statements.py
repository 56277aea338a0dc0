"""Statements on reviews and on the record of decisions that several acts share.

Each runs inside the transaction of its caller; nothing here opens or commits one.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from sqlite_utils import Database

from studio.errors import Conflict, NotFound
from studio.image_record import ImageRecord
from studio.job import new_id
from studio.review import FIRST_PREVIOUS, Act, Decision, Origin, Review, seal
from studio.rows import image_of_row

_REVIEW_COLUMNS = tuple(field.name for field in dataclasses.fields(Review))
_DECISION_COLUMNS = tuple(field.name for field in dataclasses.fields(Decision))


def open_review(
    db: Database,
    record: ImageRecord,
    *,
    origin: Origin,
    by: str,
    reason: str,
    words: str,
    scores: Mapping[str, float],
    policy_version: str,
    now: float,
    not_for: str | None = None,
) -> str:
    review = Review(
        id=new_id(),
        image_id=record.id,
        image_digest=record.digest,
        job_id=record.job_id,
        owner=record.owner,
        origin=origin,
        reason=reason,
        words=words,
        scores=scores,
        policy_version=policy_version,
        opened_at=now,
        not_for=not_for,
    )
    row = {name: getattr(review, name) for name in _REVIEW_COLUMNS}
    row["scores"] = json.dumps(dict(scores))
    names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
    db.execute(f"INSERT INTO reviews ({names}) VALUES ({values})", row)
    append(
        db,
        review,
        act=Act.OPEN,
        by=by,
        at=now,
        reason=reason,
        note=words,
        version=policy_version,
    )
    return review.id


def append(
    db: Database,
    review: Review,
    *,
    act: Act,
    by: str,
    at: float,
    version: str,
    reason: str = "",
    note: str = "",
) -> None:
    append_entry(
        db,
        review_id=review.id,
        image_id=review.image_id,
        image_digest=review.image_digest,
        act=act,
        by=by,
        at=at,
        reason=reason,
        note=note,
        version=version,
        scores=review.scores,
    )


def append_entry(
    db: Database,
    *,
    review_id: str,
    image_id: str,
    image_digest: str,
    act: Act,
    by: str,
    at: float,
    version: str,
    scores: Mapping[str, float],
    reason: str = "",
    note: str = "",
) -> None:
    last = list(db.query("SELECT number, digest FROM decisions ORDER BY number DESC LIMIT 1"))
    values: dict[str, Any] = {
        "number": last[0]["number"] + 1 if last else 1,
        "review_id": review_id,
        "image_id": image_id,
        "image_digest": image_digest,
        "act": str(act),
        "by": by,
        "at": at,
        "reason": reason,
        "note": note,
        "policy_version": version,
        "scores": dict(scores),
        "previous": last[0]["digest"] if last else FIRST_PREVIOUS,
    }
    values["digest"] = seal(values)
    row = values | {"scores": json.dumps(values["scores"])}
    names = ", ".join(f'"{name}"' for name in row)
    marks = ", ".join(f":{name}" for name in row)
    db.execute(f"INSERT INTO decisions ({names}) VALUES ({marks})", row)


def set_review(db: Database, review_id: str, **changes: Any) -> None:
    assignments = ", ".join(f"{name} = :{name}" for name in changes)
    db.execute(f"UPDATE reviews SET {assignments} WHERE id = :id", {**changes, "id": review_id})


def leased_review(db: Database, review_id: str, by: str, now: float) -> Review:
    review = get_review(db, review_id)
    if not review.is_open:
        raise Conflict("This case is decided already: take the next one.")
    if review.leased_by != by or (review.leased_until or 0) <= now:
        raise Conflict("This case is not yours any more: take the next one.")
    return review


def get_review(db: Database, review_id: str) -> Review:
    rows = list(db.query("SELECT * FROM reviews WHERE id = ?", [review_id]))
    if not rows:
        raise NotFound("There is no such case.")
    return review_of_row(rows[0])


def review_of_row(row: Mapping[str, Any]) -> Review:
    values = {name: row[name] for name in _REVIEW_COLUMNS}
    values["origin"] = Origin(row["origin"])
    values["scores"] = json.loads(row["scores"])
    values["answer"] = None if row["answer"] is None else Act(row["answer"])
    values["needs_admin"], values["is_settled"] = bool(row["needs_admin"]), bool(row["is_settled"])
    return Review(**values)


def decision_of_row(row: Mapping[str, Any]) -> Decision:
    values = {name: row[name] for name in _DECISION_COLUMNS}
    return Decision(**values | {"act": Act(row["act"]), "scores": json.loads(row["scores"])})


def get_image(db: Database, image_id: str) -> ImageRecord:
    rows = list(db.query("SELECT * FROM images WHERE id = ?", [image_id]))
    if not rows:
        raise NotFound("There is no such picture: it may have been deleted.")
    return image_of_row(rows[0])


def scores_of(db: Database, image_id: str) -> dict[str, float]:
    rows = list(db.query("SELECT scores FROM screenings WHERE image_id = ?", [image_id]))
    return dict(json.loads(rows[0]["scores"])) if rows else {}
