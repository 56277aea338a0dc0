"""The service of moderation over a real studio: who may do what, and what follows from it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from studio.application import Studio
from studio.brief import Brief
from studio.engine.classifier_process import ClassifierProcess
from studio.errors import BadBrief, BadInput, Conflict, Forbidden, NotFound
from studio.job import JobStatus
from studio.person import Person, Role
from studio.review import Act, first_broken
from studio.verdict import Release
from tests.conftest import WAIT_SECONDS, OpenStudio
from tests.moderation_tools import (
    ADMIN,
    CHIEF,
    OTHER_REVIEWER,
    OWNER,
    REVIEWER,
    STRANGER,
    draw,
    take,
    write_policy,
)
from tests.people_tools import people_of
from tests.test_watch import sample


@pytest.fixture
def studio(open_studio: OpenStudio, tmp_path: Path) -> Studio:
    """A studio that holds everything, and in which decisions take effect at once."""
    policy = write_policy(tmp_path, undo_seconds=0)
    return open_studio(is_closed_world=False, moderation_policy=policy)


def image_of(studio: Studio, job_id: str, index: int = 0):  # type: ignore[no-untyped-def]
    return studio.view(job_id, OWNER.name).images[index]


def wait_for_release(studio: Studio, job_id: str, release: Release) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while image_of(studio, job_id).release is not release:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def files(studio: Studio, folder: str) -> set[str]:
    return {path.name for path in (studio.config.data_dir / folder).glob("*")}


def test_a_held_picture_is_unseen_and_a_reviewer_releases_it(studio: Studio) -> None:
    job_id = draw(studio)
    image = image_of(studio, job_id)
    assert (image.release, image.screening) == (Release.HELD, "unscreened")
    assert files(studio, "pictures") == set()
    assert studio.config.data_dir.joinpath("held").stat().st_mode & 0o077 == 0
    with pytest.raises(NotFound):
        studio.image(image.id, OWNER.name)
    case = take(studio)
    assert "studio doctor" in case.review.words
    assert (case.brief.subject, case.review.owner) == ("mug", OWNER.name)
    studio.moderation.approve(REVIEWER, case.review.id)
    wait_for_release(studio, job_id, Release.RELEASED)
    _, path = studio.image(image.id, OWNER.name)
    assert path.is_file()
    assert files(studio, "held") == set()
    assert [event["kind"] for event in studio._store.events(job_id)][-1] == "released"


def test_the_rest_of_the_batch_goes_on(open_studio: OpenStudio, tmp_path: Path) -> None:
    weights = tmp_path / "weights.txt"
    weights.write_text("nan")
    policy = write_policy(tmp_path, hold_from=0.34)
    studio = open_studio(
        classifier=ClassifierProcess(
            weights, sha256="", cache_dir=None, worker="tests.plain_classifier"
        ),
        moderation_policy=policy,
    )
    job_id = draw(studio, num_images=3)
    assert studio.job(job_id, OWNER.name).status is JobStatus.SUCCEEDED
    assert all(
        image.release is Release.HELD for image in studio.view(job_id, OWNER.name).images.values()
    )


def test_a_classifier_that_hangs_holds_up_no_denoising_step(
    open_studio: OpenStudio, tmp_path: Path
) -> None:
    weights = tmp_path / "weights.txt"
    weights.write_text("hang")
    classifier = ClassifierProcess(
        weights, sha256="", cache_dir=None, worker="tests.plain_classifier"
    )
    studio = open_studio(
        classifier=classifier, moderation_policy=write_policy(tmp_path, timeout_seconds=3600)
    )
    job = studio.submit(Brief(subject="mug", num_images=3, seed=1), OWNER.name)
    deadline = time.monotonic() + WAIT_SECONDS
    while sample(studio, "vitrine_stage_duration_seconds_count", stage="decoding") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert studio.view(job.id, OWNER.name).images == {}, "drawn, and not yet judged"
    classifier.close()
    view = studio.wait(job.id, WAIT_SECONDS)
    assert {image.release for image in view.images.values()} == {Release.HELD}


@pytest.mark.parametrize("person", [OWNER, STRANGER, ADMIN])
def test_only_reviewers_review(studio: Studio, person) -> None:  # type: ignore[no-untyped-def]
    draw(studio)
    review_id = take(studio).review.id
    moderation = studio.moderation
    for act in (
        lambda: moderation.take(person),
        lambda: moderation.keep(person, review_id),
        lambda: moderation.leave(person, review_id),
        lambda: moderation.approve(person, review_id),
        lambda: moderation.reject(person, review_id, "nudity"),
        lambda: moderation.undo(person, review_id),
        lambda: moderation.escalate(person, review_id),
        lambda: moderation.note(person, review_id, "x"),
        lambda: moderation.case(person, review_id),
        lambda: moderation.picture(person, review_id),
        lambda: moderation.counts(person),
        lambda: moderation.curve(person),
        lambda: moderation.decisions(person),
    ):
        with pytest.raises(Forbidden):
            act()


def test_a_picture_is_shown_to_whoever_has_its_case_and_to_no_other_reviewer(
    studio: Studio,
) -> None:
    draw(studio)
    review_id = take(studio).review.id
    assert studio.moderation.picture(REVIEWER, review_id, is_blurred=False)
    with pytest.raises(NotFound):
        studio.moderation.picture(OTHER_REVIEWER, review_id)
    studio.moderation.approve(REVIEWER, review_id)
    with pytest.raises(NotFound):
        studio.moderation.picture(REVIEWER, review_id)


def test_a_rejected_picture_stays_hidden_with_its_reason_and_is_appealed_once(
    studio: Studio,
) -> None:
    job_id = draw(studio)
    image = image_of(studio, job_id)
    with pytest.raises(BadInput, match="nudity"):
        studio.moderation.reject(REVIEWER, take(studio).review.id, "dislike")
    studio.moderation.reject(REVIEWER, take(studio).review.id, "nudity", note="a bit much")
    wait_for_release(studio, job_id, Release.REJECTED)
    hidden = studio.moderation.why_hidden(image_of(studio, job_id))
    assert hidden.can_appeal
    assert hidden.reason_en.startswith("Nudity")
    with pytest.raises(NotFound):
        studio.moderation.appeal(STRANGER, image.id)
    studio.moderation.appeal(OWNER, image.id, "it is a vase")
    hidden = studio.moderation.why_hidden(image_of(studio, job_id))
    assert hidden.is_waiting
    assert not hidden.can_appeal
    case = take(studio, OTHER_REVIEWER)
    assert case.review.words == "it is a vase"
    studio.moderation.approve(OTHER_REVIEWER, case.review.id)
    wait_for_release(studio, job_id, Release.RELEASED)
    with pytest.raises(Conflict):
        studio.moderation.appeal(OWNER, image.id)


def test_a_decision_can_be_undone_until_it_takes_effect(
    open_studio: OpenStudio, tmp_path: Path
) -> None:
    studio = open_studio(
        is_closed_world=False, moderation_policy=write_policy(tmp_path, undo_seconds=60)
    )
    job_id = draw(studio)
    review_id = take(studio).review.id
    studio.moderation.approve(REVIEWER, review_id)
    assert image_of(studio, job_id).release is Release.HELD
    case = studio.moderation.undo(REVIEWER, review_id)
    assert case.review.is_open
    studio.moderation.reject(REVIEWER, review_id, "other")
    acts = [entry.act for entry in studio.moderation.decisions(REVIEWER)]
    assert acts == [Act.OPEN, Act.APPROVE, Act.UNDO, Act.REJECT]


def test_nobody_judges_their_own_picture_where_there_is_anybody_else(studio: Studio) -> None:
    everything = Person(name="rita", roles=frozenset(Role))
    job_id = draw(studio, owner="rita")
    case = studio.moderation.take(everything)
    assert case is not None, "a studio of one person"
    people_of(studio, rita="reviewer,merchandiser")
    with pytest.raises(Conflict, match="your own"):  # taken before anybody else was here
        studio.moderation.approve(everything, case.review.id)
    studio.moderation.leave(everything, case.review.id)
    assert studio.moderation.take(everything) is None
    assert studio.moderation.counts(everything).num_open == 0
    twin_id = draw(studio, owner="ada")
    assert take(studio, everything).num_twins == 0
    studio.moderation.approve(everything, take(studio, everything).review.id, with_twins=True)
    wait_for_release(studio, twin_id, Release.RELEASED)
    (own,) = studio.view(job_id, "rita").images.values()
    assert own.release is Release.HELD
    assert take(studio, OTHER_REVIEWER).image.job_id == job_id


def test_what_is_decided_is_in_the_audit_too(studio: Studio) -> None:
    job_id = draw(studio)
    review_id = take(studio).review.id
    studio.moderation.escalate(REVIEWER, review_id)
    take(studio, CHIEF)
    studio.moderation.reject(CHIEF, review_id, "nudity")
    wait_for_release(studio, job_id, Release.REJECTED)
    studio.moderation.appeal(OWNER, image_of(studio, job_id).id)
    entries = studio.audit.entries(act="review", object=review_id)
    assert [(entry.act, entry.actor) for entry in entries] == [
        ("review.reject", CHIEF.name), ("review.escalate", REVIEWER.name),
    ]  # fmt: skip
    assert [each.actor for each in studio.audit.entries(act="picture.appeal")] == [OWNER.name]


def test_identical_pictures_are_decided_together_when_asked(studio: Studio) -> None:
    jobs = [draw(studio, seed=seed) for seed in (5, 5, 6)]
    case = take(studio)
    assert case.num_twins == 1
    assert len(studio.moderation.approve(REVIEWER, case.review.id, with_twins=True)) == 2
    for job_id in jobs[:2]:
        wait_for_release(studio, job_id, Release.RELEASED)
    assert image_of(studio, jobs[2]).release is Release.HELD


def test_a_reported_picture_is_hidden_at_once(studio: Studio, tmp_path: Path) -> None:
    job_id = draw(studio)
    image = image_of(studio, job_id)
    studio.moderation.approve(REVIEWER, take(studio).review.id)
    wait_for_release(studio, job_id, Release.RELEASED)
    with pytest.raises(NotFound):
        studio.moderation.report(STRANGER, image.id)
    studio.moderation.report(STRANGER, image.id, "odd", sees=True)
    with pytest.raises(NotFound):
        studio.image(image.id, OWNER.name)
    deadline = time.monotonic() + WAIT_SECONDS
    while files(studio, "pictures"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert files(studio, "held") == {f"{image.id}.png"}
    with pytest.raises(Conflict):
        studio.moderation.report(OWNER, image.id)


def test_an_escalated_case_is_decided_by_an_admin_who_reviews(studio: Studio) -> None:
    draw(studio)
    review_id = take(studio).review.id
    studio.moderation.note(REVIEWER, review_id, "I am not sure")
    studio.moderation.escalate(REVIEWER, review_id, note="who knows")
    assert studio.moderation.take(REVIEWER) is None
    case = take(studio, CHIEF)
    assert [entry.note for entry in case.record if entry.note][-2:] == [
        "I am not sure",
        "who knows",
    ]
    studio.moderation.reject(CHIEF, review_id, "other")


def test_words_on_a_list_are_refused_before_anything_is_spent(studio: Studio) -> None:
    with pytest.raises(BadBrief, match="sexual content") as caught:
        studio.submit(Brief(subject="mug", notes="a nude woman"), OWNER.name)
    assert caught.value.field == "notes"
    assert studio.jobs(OWNER.name) == []


def test_words_that_want_an_eye_hold_the_pictures_of_a_closed_world(
    open_studio: OpenStudio,
) -> None:
    studio = open_studio()
    brief = Brief(subject="bikini", seed=1)
    job = studio.submit(brief, OWNER.name)
    studio.wait(job.id, WAIT_SECONDS)
    image = image_of(studio, job.id)
    assert (image.release, image.screening) == (Release.HELD, "worded")
    case = take(studio)
    assert "bikini" in case.review.words


def test_words_that_want_an_eye_stop_the_previews_of_a_closed_world_too(
    open_studio: OpenStudio,
) -> None:
    studio = open_studio(step_seconds=0.02)
    studio.wait_until_ready(WAIT_SECONDS)
    seen: dict[str, list[bool]] = {}
    for subject in ("mug", "bikini"):
        job = studio.submit(Brief(subject=subject, seed=1, num_steps=20), OWNER.name)
        looks = seen[subject] = []
        while studio.job(job.id, OWNER.name).status.is_active:
            looks += [live.preview is not None for live in studio.live(job.id).values()]
    assert any(seen["mug"]), "what nobody doubts is shown"
    assert seen["bikini"]
    assert not any(seen["bikini"])


def test_a_job_with_a_hidden_picture_is_doubted_from_its_first_step_on(studio: Studio) -> None:
    job_id = draw(studio)
    assert studio.moderation.is_doubted(job_id), "drawn on after a restart, or again"
    studio.moderation.approve(REVIEWER, take(studio).review.id)
    wait_for_release(studio, job_id, Release.RELEASED)
    assert not studio.moderation.is_doubted(job_id)
    assert studio.moderation.is_doubted("no such job"), "where it cannot be told"


def test_an_approved_picture_whose_file_is_gone_is_promised_to_nobody(studio: Studio) -> None:
    job_id = draw(studio)
    image = image_of(studio, job_id)
    studio.picture_path(image).unlink()
    studio.moderation.approve(REVIEWER, take(studio).review.id)
    wait_for_release(studio, job_id, Release.DELETED)
    entry = studio.moderation.decisions(REVIEWER)[-1]
    assert (entry.act, entry.reason) == (Act.DELETE, "missing")
    assert not studio.moderation.why_hidden(image_of(studio, job_id)).is_waiting


def test_what_was_decided_together_is_undone_together(
    open_studio: OpenStudio, tmp_path: Path
) -> None:
    studio = open_studio(is_closed_world=False, moderation_policy=write_policy(tmp_path))
    for seed in (5, 5, 6):
        draw(studio, seed=seed)
    first = take(studio).review.id
    assert len(studio.moderation.approve(REVIEWER, first, with_twins=True)) == 2
    studio.moderation.undo(REVIEWER, first)
    assert studio.moderation.counts(REVIEWER).num_open == 3
    assert studio.moderation.counts(REVIEWER).num_settling == 0
    assert take(studio, OTHER_REVIEWER).review.id != first, "the twin is free, the first is not"
    assert len(studio.audit.entries(act="review.undo")) == 2


def test_retention_deletes_the_files_and_says_so(open_studio: OpenStudio, tmp_path: Path) -> None:
    policy = write_policy(tmp_path, undo_seconds=0, rejected_days=1)
    studio = open_studio(is_closed_world=False, moderation_policy=policy)
    jobs = [draw(studio, seed=seed) for seed in (1, 2)]
    image = image_of(studio, jobs[0])
    studio.moderation.reject(REVIEWER, take(studio).review.id, "broken")
    wait_for_release(studio, jobs[0], Release.REJECTED)
    upkeep = studio.moderation._upkeep
    assert upkeep.delete_expired(time.time()) == 0
    assert upkeep.delete_expired(time.time() + 2 * 86400) == 1
    assert upkeep.delete_expired(time.time() + 2 * 86400) == 0
    held = image_of(studio, jobs[1])
    assert files(studio, "held") == {f"{held.id}.png"}, "what nobody judged is kept"
    entry = studio.moderation.decisions(REVIEWER)[-1]
    assert (entry.act, entry.image_digest) == (Act.DELETE, image.digest)
    assert first_broken(studio.moderation.decisions(REVIEWER)) is None
    with pytest.raises(Conflict, match="deleted"):
        studio.moderation.appeal(OWNER, image.id)
    assert not studio.moderation.why_hidden(image_of(studio, jobs[0])).can_appeal


def test_a_picture_that_is_appealed_in_the_last_moment_is_kept(
    open_studio: OpenStudio, tmp_path: Path
) -> None:
    policy = write_policy(tmp_path, undo_seconds=0, rejected_days=1)
    studio = open_studio(is_closed_world=False, moderation_policy=policy)
    job_id = draw(studio)
    studio.moderation.reject(REVIEWER, take(studio).review.id, "broken")
    wait_for_release(studio, job_id, Release.REJECTED)
    later = time.time() + 2 * 86400
    (record,) = studio._store.expired_images(later)
    studio.moderation.appeal(OWNER, record.id)  # after it was found, before it was deleted
    is_deleted = studio._store.delete_expired(
        record.id, before=later, delete=studio._pictures.delete, version="1", now=later
    )
    assert not is_deleted
    assert files(studio, "held") == {f"{record.id}.png"}


def test_a_note_that_is_too_long_or_empty_is_refused(studio: Studio) -> None:
    draw(studio)
    review_id = take(studio).review.id
    with pytest.raises(BadInput, match="shorten"):
        studio.moderation.note(REVIEWER, review_id, "x" * 501)
    with pytest.raises(BadInput, match="empty"):
        studio.moderation.note(REVIEWER, review_id, "  ")
