"""Variants: one brief becomes many of one seed; their jobs are queued and stopped together."""

from __future__ import annotations

import pytest

from studio.application import Studio
from studio.brief import Brief
from studio.errors import BadBrief, NotFound, QueueFull
from studio.job import JobStatus
from studio.variants import MAX_VARIANTS, Choices, choices_of, variants_of
from tests.conftest import WAIT_SECONDS, OpenStudio

OWNER = "local"


def test_every_combination_is_one_brief_of_one_seed() -> None:
    choices = Choices(colors=("red", "blue"), scenes=("garden", "studio"))
    briefs = variants_of(Brief(subject="mug", material="metal", num_images=4), choices)
    assert [(one.color, one.material, one.scene) for one in briefs] == [
        ("red", "metal", "garden"),
        ("blue", "metal", "garden"),
        ("red", "metal", "studio"),
        ("blue", "metal", "studio"),
    ]
    assert len({one.seed for one in briefs}) == 1
    assert {one.num_images for one in briefs} == {1}
    assert choices.num_variants == 4


def test_a_seed_that_was_typed_is_kept() -> None:
    briefs = variants_of(Brief(subject="mug", seed="12"), Choices(colors=("red", "blue")))
    assert [one.seed for one in briefs] == ["12", "12"]


def test_nothing_to_vary_is_the_brief_itself() -> None:
    (brief,) = variants_of(Brief(subject="mug", color="red", seed=3), Choices())
    assert brief == Brief(subject="mug", color="red", seed=3)


def test_too_many_are_refused_with_the_number() -> None:
    six = tuple("abcdef")
    with pytest.raises(BadBrief, match=f"216 variants: choose fewer, at most {MAX_VARIANTS}"):
        variants_of(Brief(subject="mug"), Choices(colors=six, materials=six, scenes=six))
    with pytest.raises(BadBrief, match="at most 12 of each"):
        variants_of(Brief(subject="mug"), Choices(colors=tuple("abcdefghijklm")))


def test_what_a_form_sends_is_made_choices() -> None:
    assert choices_of(["red", " red ", "", 3, "blue"], None, "garden") == Choices(
        colors=("red", "blue")
    )


def test_a_group_is_drawn_and_listed_in_order(studio: Studio) -> None:
    briefs = variants_of(Brief(subject="mug"), Choices(colors=("red", "blue", "green")))
    group_id = studio.groups.submit(briefs, OWNER)
    jobs = studio.groups.jobs(group_id, OWNER)
    assert [job.brief.color for job in jobs] == ["red", "blue", "green"]
    assert len({job.request.seed for job in jobs}) == 1
    for job in jobs:
        assert studio.wait(job.id, WAIT_SECONDS).job.status is JobStatus.SUCCEEDED
    with pytest.raises(NotFound):
        studio.groups.jobs(group_id, "ann")


def test_a_group_is_stopped_as_one(open_studio: OpenStudio) -> None:
    studio = open_studio(step_seconds=0.2)
    studio.wait_until_ready(WAIT_SECONDS)
    briefs = variants_of(Brief(subject="mug"), Choices(colors=("red", "blue", "green")))
    group_id = studio.groups.submit(briefs, OWNER)
    other = studio.submit(Brief(subject="sofa"))
    with pytest.raises(NotFound):
        studio.groups.cancel(group_id, "ann")
    studio.groups.cancel(group_id, OWNER)
    statuses = {job.status for job in studio.groups.jobs(group_id, OWNER)}
    assert statuses == {JobStatus.CANCELLED}
    assert studio.job(other.id).status.is_active


def test_a_group_is_queued_as_a_whole_or_not_at_all(open_studio: OpenStudio) -> None:
    studio = open_studio(step_seconds=0.5, max_queued_jobs=2)
    briefs = variants_of(Brief(subject="mug"), Choices(colors=tuple("abcdef")))
    with pytest.raises(QueueFull):
        studio.groups.submit(briefs, OWNER)
    assert {job.status for job in studio.jobs()} == {JobStatus.CANCELLED}
    with pytest.raises(BadBrief):
        studio.groups.submit([*briefs[:1], Brief()], OWNER)
    assert studio.num_active() == 0
