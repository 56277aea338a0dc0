"""The queue of reviews and the record of decisions, in the database."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.errors import Conflict
from studio.image_record import ImageRecord
from studio.review import FIRST_PREVIOUS, Act, Origin, Review, first_broken
from studio.store import DATABASE_NAME, Store
from studio.verdict import Release
from tests.moderation_tools import HELD
from tests.store_tools import add_jobs, make_image

LEASE = 90.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path) as store:
        yield store


def hold(store: Store, **changes: object) -> ImageRecord:
    """Keep a picture that the check doubts."""
    (job,) = add_jobs(store)
    record = make_image(job, release=Release.HELD, **changes)
    assert store.keep_image(record, HELD)
    return record


def claim(store: Store, by: str = "rita", now: float = 0.0, *, is_admin: bool = False) -> Review:
    review = store.claim_review(by, lease_seconds=LEASE, is_admin=is_admin, now=now)
    assert review is not None
    return review


def decide(
    store: Store, review: Review, act: Act, by: str = "rita", now: float = 1.0, due: float = 2.0
) -> list[str]:
    return store.decide_review(
        review.id, by=by, act=act, reason="", note="", version="1", now=now, due_at=due
    )


def acts(store: Store) -> list[str]:
    return [str(decision.act) for decision in store.decisions()]


def test_a_held_picture_opens_a_case_with_its_scores(store: Store) -> None:
    record = hold(store)
    (review,) = store.reviews(is_open=True)
    assert (review.image_id, review.origin, review.owner) == (record.id, "screening", "ada")
    assert review.scores == {"opennsfw2": 0.5}
    assert acts(store) == ["open"]


def test_the_oldest_case_comes_first_and_nobody_gets_anothers(store: Store) -> None:
    first, second = hold(store), hold(store)
    assert claim(store, "rita").image_id == first.id
    assert claim(store, "raul").image_id == second.id
    assert claim(store, "rita", 5.0).image_id == first.id, "and goes on with one's own"
    assert store.claim_review("ruth", lease_seconds=LEASE, is_admin=True, now=1.0) is None


def test_a_lease_that_is_over_gives_the_case_to_the_next(store: Store) -> None:
    hold(store)
    review = claim(store, "rita", now=0.0)
    assert store.renew_lease(review.id, "rita", lease_seconds=LEASE, now=LEASE - 1)
    assert store.claim_review("raul", lease_seconds=LEASE, is_admin=False, now=LEASE + 1) is None
    assert claim(store, "raul", now=2 * LEASE).id == review.id
    assert not store.renew_lease(review.id, "rita", lease_seconds=LEASE, now=2 * LEASE)
    with pytest.raises(Conflict, match="not yours any more"):
        decide(store, review, Act.APPROVE, "rita", now=2 * LEASE)
    assert decide(store, review, Act.REJECT, "raul", now=2 * LEASE) == [review.id]


def test_a_case_is_decided_once(store: Store) -> None:
    hold(store)
    review = claim(store)
    decide(store, review, Act.REJECT)
    with pytest.raises(Conflict, match="decided already"):
        decide(store, review, Act.APPROVE)
    assert acts(store) == ["open", "reject"]


def test_a_decision_takes_effect_when_it_is_settled_and_not_before(store: Store) -> None:
    record = hold(store)
    review = claim(store)
    decide(store, review, Act.APPROVE, now=10, due=70)
    assert store.image(record.id).release is Release.HELD
    assert store.due_reviews(69.9) == []
    assert store.next_due_at() == 70
    assert [due.id for due in store.due_reviews(70)] == [review.id]
    store.settle_review(review.id, path="pictures/x.png", now=70)
    store.settle_review(review.id, path="elsewhere", now=71)  # twice is harmless
    after = store.image(record.id)
    assert (after.release, after.path) == (Release.RELEASED, "pictures/x.png")
    assert acts(store) == ["open", "approve", "release"]
    assert store.next_due_at() is None


def test_a_decision_is_undone_in_time_by_whoever_made_it(store: Store) -> None:
    hold(store)
    review = claim(store)
    decide(store, review, Act.APPROVE, now=10, due=70)
    with pytest.raises(Conflict, match="your own"):
        store.undo_decision(review.id, by="raul", now=20, leased_until=110)
    again = store.undo_decision(review.id, by="rita", now=20, leased_until=110)
    assert again.is_open
    assert again.leased_by == "rita"
    decide(store, again, Act.REJECT, now=30, due=90)
    with pytest.raises(Conflict, match="too late"):
        store.undo_decision(review.id, by="rita", now=90, leased_until=180)
    assert acts(store) == ["open", "approve", "undo", "reject"]


def test_an_escalated_case_goes_to_admins_alone(store: Store) -> None:
    hold(store)
    review = claim(store)
    store.escalate_review(review.id, by="rita", note="who knows", version="1", now=1)
    assert store.claim_review("raul", lease_seconds=LEASE, is_admin=False, now=2) is None
    assert claim(store, "carol", 2, is_admin=True).id == review.id


def test_a_case_that_was_passed_on_is_offered_to_others_first(store: Store) -> None:
    first, second = hold(store), hold(store)
    review = claim(store)
    store.leave_review(review.id, "rita", now=1)
    assert claim(store, "rita", 2).image_id == second.id
    assert claim(store, "raul", 2).image_id == first.id


def test_cases_with_the_same_picture_are_decided_together_and_no_others(store: Store) -> None:
    same = [hold(store, digest="s" * 64) for _ in range(3)]
    other = hold(store, digest="o" * 64)
    taken = claim(store, "raul")  # one of the same, on somebody's screen
    review = claim(store, "rita")
    assert store.num_twins(review) == 2
    decided = store.decide_review(
        review.id, by="rita", act=Act.REJECT, reason="", note="", version="1", now=1, due_at=2,
        with_twins=True,
    )  # fmt: skip
    left = {each.image_id for each in store.reviews(is_open=True)}
    assert len(decided) == 2
    assert left == {taken.image_id, other.id}
    assert taken.image_id in {record.id for record in same}


def test_a_reported_picture_is_hidden_with_the_same_stroke(store: Store) -> None:
    (job,) = add_jobs(store)
    record = make_image(job)
    store.add_image(record)
    store.report_image(record.id, by="bob", words="not nice", version="1", now=5)
    assert store.image(record.id).release is Release.HELD
    (review,) = store.reviews(is_open=True)
    assert (review.origin, review.words) == (Origin.REPORT, "not nice")
    with pytest.raises(Conflict, match="hidden already"):
        store.report_image(record.id, by="eve", words="", version="1", now=6)


def test_an_owner_appeals_once_and_another_reviewer_is_asked_first(store: Store) -> None:
    record, other = hold(store), hold(store)
    review = claim(store)
    decide(store, review, Act.REJECT)
    with pytest.raises(Conflict, match="rejected"):
        store.appeal_image(record.id, by="ada", words="", version="1", now=1)
    store.settle_review(review.id, path=record.path, now=2)
    store.appeal_image(record.id, by="ada", words="it is a vase", version="1", now=3)
    assert claim(store, "rita", 4).image_id == other.id
    appeal = claim(store, "raul", 4)
    assert (appeal.image_id, appeal.origin) == (record.id, Origin.APPEAL)
    decide(store, appeal, Act.REJECT, "raul", 5, 6)
    store.settle_review(appeal.id, path=record.path, now=6)
    with pytest.raises(Conflict, match="second appeal"):
        store.appeal_image(record.id, by="ada", words="please", version="1", now=7)


def test_two_reviewers_decide_200_cases_each_exactly_once(store: Store) -> None:
    for _ in range(200):
        hold(store)
    done: dict[str, list[str]] = {"rita": [], "raul": []}

    def review_all(by: str) -> None:
        while True:
            review = store.claim_review(by, lease_seconds=LEASE, is_admin=False, now=1.0)
            if review is None:
                return
            act = Act.APPROVE if len(done[by]) % 2 else Act.REJECT
            done[by] += decide(store, review, act, by)

    threads = [threading.Thread(target=review_all, args=(by,)) for by in done]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    decided = done["rita"] + done["raul"]
    assert len(decided) == len(set(decided)) == 200
    entries = [each for each in store.decisions() if each.act in (Act.APPROVE, Act.REJECT)]
    assert sorted(each.review_id for each in entries) == sorted(decided)
    assert first_broken(store.decisions()) is None


def test_the_record_refuses_to_be_changed(store: Store, tmp_path: Path) -> None:
    hold(store)
    with sqlite3.connect(tmp_path / DATABASE_NAME) as other:
        for sql in ("UPDATE decisions SET note = 'x'", "DELETE FROM decisions"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                other.execute(sql)
    other.close()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE decisions SET note = 'x' WHERE number = 2",
        "UPDATE decisions SET act = 'approve' WHERE number = 2",
        "UPDATE decisions SET at = at + 1 WHERE number = 2",
        "UPDATE decisions SET scores = '{}' WHERE number = 2",
        "DELETE FROM decisions WHERE number = 2",
        "DELETE FROM decisions WHERE number = 1",
        "UPDATE decisions SET number = 9 WHERE number = 3",
    ],
)
def test_an_edit_shows_even_where_the_refusal_was_removed(
    store: Store, tmp_path: Path, sql: str
) -> None:
    for _ in range(3):
        hold(store)
    decide(store, claim(store), Act.REJECT)
    assert first_broken(store.decisions()) is None
    assert store.decisions()[0].previous == FIRST_PREVIOUS
    with sqlite3.connect(tmp_path / DATABASE_NAME) as other:
        for act in ("update", "delete"):
            other.execute(f"DROP TRIGGER decisions_no_{act}")
        other.execute(sql)
    other.close()
    assert first_broken(store.decisions()) is not None


def test_counts_tell_the_queue(store: Store) -> None:
    for _ in range(3):
        hold(store)
    now = store.reviews()[0].opened_at + 1000
    review = claim(store, now=now)
    counts = store.queue_counts(target_seconds=500, now=now + 1)
    assert (counts.num_open, counts.num_leased, counts.num_overdue) == (3, 1, 3)
    assert counts.oldest_seconds is not None
    assert counts.oldest_seconds >= 1000
    decide(store, review, Act.REJECT, now=now + 2, due=now + 60)
    counts = store.queue_counts(target_seconds=10**6, now=now + 3)
    assert (counts.num_open, counts.num_overdue, counts.num_settling) == (2, 0, 1)
    assert counts.num_decided_today == 1


def test_an_owners_history_is_counted(store: Store) -> None:
    record = hold(store)
    (job,) = add_jobs(store)
    released = make_image(job)
    store.add_image(released)
    store.report_image(released.id, by="bob", words="", version="1", now=1)
    review = claim(store, now=2)
    decide(store, review, Act.REJECT, now=2, due=2)
    store.settle_review(review.id, path=record.path, now=3)
    history = store.owner_history("ada")
    assert (history.num_released, history.num_held, history.num_rejected) == (0, 1, 1)
    assert history.num_reported == 1
