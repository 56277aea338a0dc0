"""How many pictures a person may have, and how much of the queue."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest

from studio import quota
from studio.application import Studio
from studio.brief import Brief
from studio.errors import BadInput, LimitReached, QueueFull
from studio.people import People
from studio.person import Person
from tests.conftest import WAIT_SECONDS, OpenStudio
from tests.people_tools import ADMIN, people_of


@pytest.fixture
def studio(open_studio: OpenStudio) -> Iterator[Studio]:
    studio = open_studio(max_queued_jobs=10)
    people_of(studio, bob="merchandiser", carl="merchandiser")
    studio.wait_until_ready(WAIT_SECONDS)
    return studio


@pytest.fixture
def people(studio: Studio) -> People:
    return studio.people


@pytest.fixture
def ada(people: People) -> Person:
    return people.account(ADMIN).person()


def draw(studio: Studio, owner: str, num_images: int = 1) -> None:
    job = studio.submit(Brief(subject="mug", num_images=num_images, num_steps=1), owner)
    studio.wait(job.id, WAIT_SECONDS)


def limit(people: People, ada: Person, pictures: object = None, share: object = None) -> None:
    people.set_quota("bob", max_pictures_per_day=pictures, queue_share=share, by=ada)


def test_a_person_has_so_many_pictures_a_day_and_is_told_when_to_come_back(
    studio: Studio, people: People, ada: Person
) -> None:
    limit(people, ada, 3)
    draw(studio, "bob", 2)
    with pytest.raises(
        LimitReached,
        match=r"may have 3 pictures a day, and 2 of .* ask for at most 1 now, or try again",
    ) as caught:
        draw(studio, "bob", 2)
    assert 0 < caught.value.retry_after_seconds <= 25 * 3600
    draw(studio, "bob", 1)
    with pytest.raises(LimitReached, match=r"on their way: try again in about \d+ (hour|minute)"):
        draw(studio, "bob")
    draw(studio, "carl", 4)
    assert people.usage("bob") == (3, 3)


def test_the_next_day_begins_anew(
    studio: Studio, people: People, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(people, ada, 1)
    draw(studio, "bob")
    tomorrow = datetime.date.today() + datetime.timedelta(days=1)
    monkeypatch.setattr(quota, "_today", tomorrow.isoformat)
    draw(studio, "bob")


def test_what_waits_counts_until_it_is_cancelled(open_studio: OpenStudio) -> None:
    studio = open_studio(step_seconds=0.2)
    people = people_of(studio, bob="merchandiser")
    limit(people, people.account(ADMIN).person(), 5)
    first = studio.submit(Brief(subject="mug", num_images=4, num_steps=50), "bob")
    with pytest.raises(LimitReached):
        studio.submit(Brief(subject="mug", num_images=2), "bob")
    studio.cancel(first.id, "bob")
    second = studio.submit(Brief(subject="mug", num_images=2, num_steps=50), "bob")
    with pytest.raises(LimitReached):
        studio.retry(first.id, "bob")
    studio.cancel(second.id, "bob")
    studio.cancel(studio.retry(first.id, "bob").id, "bob")


def test_drafts_are_no_pictures(studio: Studio, people: People, ada: Person) -> None:
    limit(people, ada, 0)
    studio.drafts.begin(Brief(subject="mug"), "bob")
    with pytest.raises(LimitReached):
        draw(studio, "bob")


def test_the_studio_may_have_a_limit_for_everybody_that_an_account_overrides(
    open_studio: OpenStudio,
) -> None:
    studio = open_studio(max_pictures_per_day=1)
    studio.wait_until_ready(WAIT_SECONDS)
    people = people_of(studio, bob="merchandiser", carl="merchandiser")
    limit(people, people.account(ADMIN).person(), 2)
    draw(studio, "bob", 2)
    with pytest.raises(LimitReached, match="may have 1 pictures"):
        draw(studio, "carl", 2)
    assert (people.usage("bob"), people.usage("carl")) == ((2, 2), (0, 1))


def test_a_share_of_the_queue_is_a_part_of_its_places(open_studio: OpenStudio) -> None:
    studio = open_studio(step_seconds=0.2, max_queued_jobs=10)
    people = people_of(studio, bob="merchandiser")
    limit(people, people.account(ADMIN).person(), share=20)
    studio.manager.close(10)  # nothing leaves the queue
    brief = Brief(subject="mug")
    for _ in range(2):
        studio.submit(brief, "bob")
    with pytest.raises(QueueFull, match=r"Your part of the queue is full \(2 waiting\)"):
        studio.submit(brief, "bob")
    studio.submit(brief, ADMIN)


@pytest.mark.parametrize(
    ("pictures", "share"),
    [("many", ""), ("-1", ""), ("1.5", ""), ("", "0"), ("", "101"), ("9" * 50, ""), ("²", "")],
)
def test_a_limit_is_a_whole_number(people: People, ada: Person, pictures: str, share: str) -> None:
    with pytest.raises(BadInput, match="whole number"):
        limit(people, ada, pictures, share)
