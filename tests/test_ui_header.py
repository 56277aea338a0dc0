"""What the header says, as HTML."""

from __future__ import annotations

from typing import Any

import pytest

from studio.brief import Brief
from studio.engine.manager import Health, State
from studio.job import JobStatus
from studio.person import LOCAL_PERSON, Person, Role
from studio.ui.create import CREATE
from studio.ui.header import Glance, glance, render_nav, render_status, render_tools
from studio.ui.speech import Language, Say
from tests.batch_tools import good_lines, table
from tests.conftest import WAIT_SECONDS, OpenStudio
from tests.test_ui_render import EVIL, LIVE, READY, view

EN, ZH = Say(Language.EN), Say(Language.ZH)


def status(say: Say = EN, **values: Any) -> str:
    known: dict[str, Any] = {"health": READY, "num_active": 0, "last": None}
    return render_status(Glance(**(known | values)), say)


@pytest.mark.parametrize(
    ("health", "words"),
    [
        (Health(state=State.STARTING), "Warming: starting"),
        (Health(state=State.LOADING, message="loading UNet"), "Warming: loading UNet"),
        (READY, "Ready"),
        (Health(state=State.FAILED, message="no"), "The model could not be loaded"),
    ],
)
def test_the_header_says_how_the_model_does(health: Health, words: str) -> None:
    assert words in status(health=health)


def test_a_waiting_person_reads_how_many_are_ahead_and_for_how_long() -> None:
    last = view(JobStatus.QUEUED, num_ahead=2, seconds_waiting=12.0, seconds_running=8.0)
    assert "2 ahead · about 20 s" in status(last=last, num_active=3)
    assert "前面还有 2 个 · 约 20 秒" in status(ZH, last=last, num_active=3)


def test_the_title_of_the_tab_tells_how_far_the_picture_is() -> None:
    assert 'data-title="30 %"' in status(last=view(live=LIVE, seconds_waiting=0, seconds_running=5))
    assert 'data-title=""' in status()


def test_a_table_stands_behind_what_the_person_draws(open_studio: OpenStudio) -> None:
    studio = open_studio(step_seconds=0.05)
    studio.wait_until_ready(WAIT_SECONDS)
    batch_id = studio.batches.check("a.csv", table(*good_lines(40))).batch.id
    studio.batches.start(batch_id)
    while not studio.jobs(statuses=[JobStatus.RUNNING]):
        studio.wait_for_news(1.0, since=studio.version)
    alone = glance(studio, LOCAL_PERSON).last
    assert alone is not None
    assert alone.job.status is JobStatus.RUNNING
    job = studio.submit(Brief(subject="mug", num_images=16))
    last = glance(studio, LOCAL_PERSON).last
    assert last is not None
    assert last.job.id == job.id


def test_words_of_people_and_models_are_never_markup_in_the_header() -> None:
    person = Person(name=EVIL, roles=frozenset(Role))
    html = status(health=Health(state=State.LOADING, message=EVIL))
    html += render_tools(person, EN, has_accounts=True) + render_nav((CREATE,), person, {}, EN)
    assert "<script" not in html


def test_a_count_stands_beside_the_name_of_its_area_only_where_there_is_something() -> None:
    assert "(1,234)" in render_nav((CREATE,), LOCAL_PERSON, {"create": 1234}, EN)
    assert "(" not in render_nav((CREATE,), LOCAL_PERSON, {"create": 0}, EN)
