"""`Review` and `Decision`: a case for people to judge, and what was done about it, for ever.

A review is a row that changes: it is opened, leased to one reviewer at a time, decided, and settled
when the time to undo is over. A decision is an entry in a record that only grows; each carries the
digest of the one before, so that an edit shows. This file names them; `review_rows` keeps them.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from collections.abc import Iterable, Mapping

from studio.verdict import Release

FIRST_PREVIOUS = "0" * 64
"""What the first entry of the record follows."""


class Origin(enum.StrEnum):
    """Who asked for the review: the check, somebody who saw the picture, or its owner."""

    SCREENING = "screening"
    REPORT = "report"
    APPEAL = "appeal"


class Act(enum.StrEnum):
    """What an entry of the record says was done."""

    OPEN = "open"
    APPROVE = "approve"
    REJECT = "reject"
    ESCALATE = "escalate"
    NOTE = "note"
    UNDO = "undo"
    RELEASE = "release"
    DELETE = "delete"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Review:
    """A case. Times are Unix seconds.

    `answer` is what it was decided to, `None` while it is open; it takes effect at `due_at`, and
    `is_settled` from then on. `not_for` has passed it on or judged it before; one that
    `needs_admin` was escalated.
    """

    id: str
    image_id: str
    image_digest: str
    job_id: str
    owner: str
    origin: Origin
    reason: str
    words: str
    scores: Mapping[str, float]
    policy_version: str
    opened_at: float
    needs_admin: bool = False
    not_for: str | None = None
    leased_by: str | None = None
    leased_until: float | None = None
    answer: Act | None = None
    decided_by: str | None = None
    decided_at: float | None = None
    due_at: float | None = None
    is_settled: bool = False

    @property
    def is_open(self) -> bool:
        return self.answer is None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decision:
    """One entry of the record. `reason` is a code of the policy, or how a case was opened."""

    number: int
    review_id: str
    image_id: str
    image_digest: str
    act: Act
    by: str
    at: float
    reason: str
    note: str
    policy_version: str
    scores: Mapping[str, float]
    previous: str
    digest: str

    def to_dict(self) -> dict[str, object]:
        """Every field, fit for JSON."""
        return {**dataclasses.asdict(self), "act": str(self.act), "scores": dict(self.scores)}

    def is_sealed(self, previous: str) -> bool:
        """Whether its digest is that of its contents, and it follows `previous`."""
        return self.previous == previous and self.digest == seal(self.to_dict())


def seal(values: Mapping[str, object]) -> str:
    """SHA-256 over every field but the digest itself, as JSON with sorted keys."""
    sealed = {name: value for name, value in values.items() if name != "digest"}
    text = json.dumps(sealed, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def first_broken(decisions: Iterable[Decision]) -> int | None:
    """The number of the first entry that was changed, or follows one that is gone; or `None`.

    What was cut off the end leaves no trace in the rest: keep the newest digest elsewhere.
    """
    previous, number = FIRST_PREVIOUS, 0
    for decision in decisions:
        if decision.number != number + 1 or not decision.is_sealed(previous):
            return decision.number
        previous, number = decision.digest, decision.number
    return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class QueueCounts:
    """The queue at one moment. `oldest_seconds` is how long the oldest open case has waited."""

    num_open: int
    num_leased: int
    num_escalated: int
    num_overdue: int
    num_undecided_appeals: int
    num_settling: int
    num_decided_today: int
    oldest_seconds: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnerHistory:
    """What became of an owner's pictures so far, this one included."""

    num_released: int
    num_held: int
    num_rejected: int
    num_reported: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judged:
    """A screened picture as the learning plot sees it. `is_bad` is `None` until a person says."""

    score: float
    is_bad: bool | None
    at: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hidden:
    """Why somebody does not see their picture, for the faces to put into words.

    `screening` says what the verdict rested on, `origin` who asked for the last review. The reasons
    are the policy's words where a person rejected it.
    """

    release: Release
    screening: str
    origin: Origin | None
    reason_en: str
    reason_zh: str
    is_waiting: bool
    can_appeal: bool
