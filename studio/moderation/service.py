"""`Moderation`: the service behind the queue of reviews; every face asks it and nobody else.

It checks who may do what (`Person`), keeps to the policy, and says what is shown of a picture that
is not to be seen. Rows are the store's, files `Pictures`', scores `Screening`'s, the clock
`Upkeep`'s.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable

from studio.audit import entry
from studio.brief import Brief
from studio.errors import BadBrief, BadInput, NotFound
from studio.image_record import ImageRecord
from studio.moderation.learning import Point, threshold_curve
from studio.moderation.looks import look_at
from studio.moderation.screening import CLASSIFIER
from studio.moderation.upkeep import Upkeep
from studio.moderation_policy import ModerationPolicy
from studio.person import Person, Role
from studio.pictures import Pictures
from studio.prompt_terms import PromptTerms
from studio.request import Request
from studio.review import Act, Decision, Hidden, OwnerHistory, QueueCounts, Review
from studio.store import Store
from studio.verdict import WORDED, Answer, Opinion, Release

MAX_NOTE_CHARS = 500
_FIELDS = ("subject", "material", "color", "scene", "notes")

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A review with what a reviewer needs beside it; `num_twins` other cases show the same."""

    review: Review
    image: ImageRecord
    brief: Brief
    request: Request
    history: OwnerHistory
    record: tuple[Decision, ...]
    num_twins: int


class Moderation:
    """See the module. Methods may be called from any thread."""

    def __init__(
        self,
        store: Store,
        pictures: Pictures,
        *,
        policy: ModerationPolicy,
        terms: PromptTerms,
        on_changed: Callable[[], None],
    ) -> None:
        """`on_changed` is called when something that people see has changed."""
        self.policy = policy
        self._terms = terms
        self._store = store
        self._pictures = pictures
        self._on_changed = on_changed
        self._upkeep = Upkeep(store, pictures, policy, on_changed=on_changed)

    def start(self) -> None:
        """Let what is due take effect, now and from now on."""
        self._upkeep.settle(time.time())
        self._upkeep.start()

    def close(self) -> None:
        self._upkeep.close()

    # Words

    def check_words(self, brief: Brief, request: Request) -> None:
        """Refuse a brief for its words, before anything is spent on it.

        Raises:
            BadBrief: a term is on a list that blocks, with the reason.
        """
        for field in _FIELDS:
            self._check_text(field, str(getattr(brief, field)))
        self._check_text("notes", request.prompt)

    def _check_text(self, field: str, text: str) -> None:
        match = self._terms.match(text)
        if match is not None and match.list.answer is Answer.BLOCK:
            raise BadBrief(
                field, f"“{match.term}” cannot be used: {match.list.reason_en}; choose other words."
            )

    def opinion_of_words(self, job_id: str) -> Opinion | None:
        """What the words of a job ask for: a person's eye, or nothing."""
        job = self._store.job(job_id)
        texts = [str(getattr(job.brief, field)) for field in _FIELDS] + [job.request.prompt]
        matches = [match for match in map(self._terms.match, texts) if match is not None]
        if not matches:
            return None
        found = max(matches, key=lambda match: match.list.answer.severity)
        return Opinion(
            source="words",
            answer=found.list.answer,
            reason=WORDED,
            words=f"The brief says “{found.term}”: {found.list.reason_en}.",
        )

    def is_doubted(self, job_id: str) -> bool:
        """Whether no preview of a job is to be seen from its first step on, never raising.

        Its words ask for a person's eye, or a picture of it is hidden already: it is drawn on after
        a restart, or drawn again. Where that cannot be told, it is.
        """
        try:
            words = self.opinion_of_words(job_id)
            is_worded = words is not None and words.answer is not Answer.ALLOW
            return is_worded or self._store.has_hidden_image(job_id)
        except Exception:
            log.exception("whether job %s is doubted could not be told", job_id)
            return True

    # The queue, for reviewers

    def take(self, person: Person) -> Case | None:
        """The case to look at now, leased to `person`; `None` when nothing waits for them."""
        person.require(Role.REVIEWER)
        review = self._store.claim_review(
            person.name,
            lease_seconds=self.policy.lease_seconds,
            is_admin=person.has(Role.ADMIN),
            not_of=self._own(person),
            now=time.time(),
        )
        return None if review is None else self._case(review)

    def keep(self, person: Person, review_id: str) -> bool:
        """Renew the lease, while the case is on somebody's screen; whether it still is theirs."""
        person.require(Role.REVIEWER)
        return self._store.renew_lease(
            review_id, person.name, lease_seconds=self.policy.lease_seconds, now=time.time()
        )

    def leave(self, person: Person, review_id: str) -> None:
        """Give the case back; others are offered it first."""
        person.require(Role.REVIEWER)
        self._store.leave_review(review_id, person.name, now=time.time())

    def approve(
        self, person: Person, review_id: str, *, note: str = "", with_twins: bool = False
    ) -> list[str]:
        """Release the picture when the time to undo is over. The ids of what was decided.

        Raises:
            Conflict: the case is decided, or the lease is over.
        """
        return self._decide(person, review_id, Act.APPROVE, "", note, with_twins)

    def reject(
        self,
        person: Person,
        review_id: str,
        reason: str,
        *,
        note: str = "",
        with_twins: bool = False,
    ) -> list[str]:
        """Never show the picture, for one of the policy's reasons. As `approve`."""
        if self.policy.reason(reason) is None:
            ids = ", ".join(each.id for each in self.policy.reasons)
            raise BadInput(f"There is no reason {reason!r}: choose one of {ids}.")
        return self._decide(person, review_id, Act.REJECT, reason, note, with_twins)

    def _decide(
        self, person: Person, review_id: str, act: Act, reason: str, note: str, with_twins: bool
    ) -> list[str]:
        person.require(Role.REVIEWER)
        now = time.time()
        decided = self._store.decide_review(
            review_id,
            by=person.name,
            act=act,
            reason=reason,
            note=_note(note),
            version=self.policy.version,
            now=now,
            due_at=now + self.policy.undo_seconds,
            with_twins=with_twins,
            not_of=self._own(person),
            made=entry(person, f"review.{act}", reason=reason),
        )
        self._changed()
        return decided

    def undo(self, person: Person, review_id: str) -> Case:
        """Take the decision back; the case is `person`'s again. `Conflict` when it is too late.

        What was decided together with it, as the same picture, is open again too.
        """
        person.require(Role.REVIEWER)
        now = time.time()
        review = self._store.undo_decision(
            review_id,
            by=person.name,
            now=now,
            leased_until=now + self.policy.lease_seconds,
            made=entry(person, "review.undo", review_id),
        )
        self._changed()
        return self._case(review)

    def escalate(self, person: Person, review_id: str, *, note: str = "") -> None:
        """Pass the case on to an admin who reviews."""
        person.require(Role.REVIEWER)
        self._store.escalate_review(
            review_id,
            by=person.name,
            note=_note(note),
            version=self.policy.version,
            now=time.time(),
            made=entry(person, "review.escalate", review_id),
        )
        self._changed()

    def note(self, person: Person, review_id: str, note: str) -> Case:
        """Write a note to the case, for whoever sees it next."""
        person.require(Role.REVIEWER)
        text = _note(note)
        if not text:
            raise BadInput("The note is empty: write one first.")
        self._store.note_review(
            review_id, by=person.name, note=text, version=self.policy.version, now=time.time()
        )
        return self._case(self._store.review(review_id))

    def case(self, person: Person, review_id: str) -> Case:
        """A case that is leased to `person`, drawn again. `NotFound` when it is not."""
        return self._case(self._mine(person, review_id))

    def picture(
        self, person: Person, review_id: str, *, is_blurred: bool = True, is_grey: bool = False
    ) -> bytes:
        """The picture of a case leased to `person`, as PNG. `NotFound` for every other."""
        review = self._mine(person, review_id)
        record = self._store.image(review.image_id)
        path = self._pictures.absolute(record)
        return look_at(path, is_blurred=is_blurred, is_grey=is_grey)

    def counts(self, person: Person) -> QueueCounts:
        """The queue as `person` has it before them."""
        person.require(Role.REVIEWER)
        return self._store.queue_counts(
            target_seconds=self.policy.target_seconds, not_of=self._own(person), now=time.time()
        )

    def decisions(self, person: Person) -> list[Decision]:
        """The whole record, for an export."""
        person.require(Role.REVIEWER)
        return self._store.decisions()

    def curve(self, person: Person) -> tuple[list[Point], int]:
        """The threshold curve, and over how many decisions."""
        person.require(Role.REVIEWER)
        judged = self._store.judged(CLASSIFIER)
        return threshold_curve(judged), sum(each.is_bad is not None for each in judged)

    # For everybody

    def report(self, person: Person, image_id: str, words: str = "", *, sees: bool = False) -> str:
        """Hide a released picture at once and have it reviewed; the case's id.

        Anybody may who sees the picture: its owner, and whoever the caller says so of.

        Raises:
            NotFound: there is no such picture, or none that `person` sees.
            Conflict: it is hidden already.
        """
        self._store.image(image_id, owner=None if sees else person.name)
        review_id = self._store.report_image(
            image_id,
            by=person.name,
            words=_note(words),
            version=self.policy.version,
            now=time.time(),
            made=entry(person, "picture.report", image_id),
        )
        self._changed()
        return review_id

    def appeal(self, person: Person, image_id: str, words: str = "") -> str:
        """Have a rejected picture of one's own looked at once more; the case's id.

        Raises:
            NotFound: it is somebody else's.
            Conflict: it is not rejected, was appealed before, or is deleted.
        """
        self._store.image(image_id, owner=person.name)
        review_id = self._store.appeal_image(
            image_id,
            by=person.name,
            words=_note(words),
            version=self.policy.version,
            now=time.time(),
            made=entry(person, "picture.appeal", image_id),
        )
        self._changed()
        return review_id

    def why_hidden(self, record: ImageRecord) -> Hidden:
        """What the owner is told of a picture that is not released."""
        reviews = self._store.reviews_of_image(record.id)
        decided = [each for each in reviews if each.answer is Act.REJECT and each.is_settled]
        reason = None
        if decided and record.release is Release.REJECTED:
            entries = self._store.decisions(review_id=decided[-1].id)
            codes = [entry.reason for entry in entries if entry.act is Act.REJECT]
            reason = self.policy.reason(codes[-1]) if codes else None
        origins = [each.origin for each in reviews]
        return Hidden(
            release=record.release,
            screening=record.screening,
            origin=origins[-1] if origins else None,
            reason_en=reason.en if reason else "",
            reason_zh=reason.zh if reason else "",
            is_waiting=any(each.is_open or not each.is_settled for each in reviews),
            can_appeal=record.release is Release.REJECTED
            and bool(record.path)
            and "appeal" not in origins,
        )

    def _own(self, person: Person) -> str | None:
        """Whose pictures `person` may not judge: their own, where the studio has anybody else."""
        return person.name if self._store.has_several_people() else None

    def _mine(self, person: Person, review_id: str) -> Review:
        person.require(Role.REVIEWER)
        review = self._store.review(review_id)
        is_leased = (review.leased_until or 0) > time.time()
        if not review.is_open or review.leased_by != person.name or not is_leased:
            raise NotFound("This case is not yours: take the next one.")
        return review

    def _case(self, review: Review) -> Case:
        job = self._store.job(review.job_id)
        return Case(
            review=review,
            image=self._store.image(review.image_id),
            brief=job.brief,
            request=job.request,
            history=self._store.owner_history(review.owner),
            record=tuple(self._store.decisions(review_id=review.id)),
            num_twins=self._store.num_twins(review, not_of=review.leased_by),
        )

    def _changed(self) -> None:
        self._upkeep.wake()
        self._on_changed()


def _note(text: str) -> str:
    note = " ".join(text.split())
    if len(note) > MAX_NOTE_CHARS:
        raise BadInput(f"A note may have {MAX_NOTE_CHARS} characters: shorten it.")
    return note
