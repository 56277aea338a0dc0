"""What the panels draw of a snapshot, as HTML."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from studio.application import Studio
from studio.brief import Brief
from studio.durations import about, try_again
from studio.engine.manager import Health, State
from studio.image_record import ImageRecord
from studio.job import Job, JobStatus
from studio.job_view import JobView
from studio.live import LivePicture
from studio.presets import load_presets
from studio.request import Request
from studio.terms import LOCAL_OWNER
from studio.ui.describe import SayTerms, described
from studio.ui.progress import render_progress
from studio.ui.recent import render_recent
from studio.ui.result import render_result
from studio.ui.snapshot import MAX_ACTIVE_CARDS, Chosen, Snapshot, look
from studio.ui.speech import Language
from studio.verdict import Release
from tests.conftest import OpenStudio

EVIL = '<script>alert("x")</script>'
READY = Health(state=State.READY)
ENGLISH, CHINESE = (
    SayTerms(language, vocabulary=load_presets().vocabulary) for language in Language
)


def view(
    status: JobStatus = JobStatus.RUNNING,
    *,
    job_id: str = "0" * 16,
    skipped: tuple[int, ...] = (),
    is_stopping: bool = False,
    num_images: int = 2,
    **values: Any,
) -> JobView:
    request = Request(
        prompt=EVIL,
        height=64,
        width=64,
        num_steps=20,
        guidance_scale=3.0,
        seed=1,
        num_images=num_images,
    )
    brief = Brief(subject=EVIL, color="red")
    error = f"It failed {EVIL}" if status is JobStatus.FAILED else None
    job = Job(
        id=job_id,
        owner="local",
        brief=brief,
        request=request,
        created_at=0.0,
        status=status,
        error=error,
        skipped=skipped,
        is_stopping=is_stopping,
    )
    known = {
        "num_ahead": 0, "seconds_waiting": None, "seconds_running": None, "live": {}, "images": {}
    } | values  # fmt: skip
    return JobView(job=job, **known)


def image(release: Release = Release.RELEASED) -> ImageRecord:
    return ImageRecord(
        id="0" * 18,
        job_id="0" * 16,
        owner="local",
        index=0,
        seed=1,
        digest="",
        path="",
        height=64,
        width=64,
        release=release,
        screening="",
        model_name=EVIL,
        model_digest="",
        backend=EVIL,
        precision="float32",
        seconds=1.0,
        created_at=0.0,
    )


def snapshot(**values: Any) -> Snapshot:
    known: dict[str, Any] = {
        "health": READY,
        "active": (),
        "num_active": 0,
        "trouble": (),
        "recent": (),
        "result": None,
        "chosen": Chosen(),
        "say": ENGLISH,
    }
    return Snapshot(**(known | values))


RENDERERS = [render_progress, render_recent, render_result]
LIVE = {0: LivePicture(index=0, step=12, num_steps=20, preview_step=11)}


@pytest.mark.parametrize("render", RENDERERS)
@pytest.mark.parametrize("status", list(JobStatus))
def test_words_of_people_and_models_are_never_markup(render: Any, status: JobStatus) -> None:
    seen = view(status, live=LIVE, images={0: image()}, num_ahead=2)
    health = Health(state=State.FAILED, message=EVIL)
    for each in (READY, health):
        html = render(
            snapshot(
                health=each,
                active=(seen,),
                num_active=1,
                trouble=(seen,),
                recent=(image(),),
                result=seen,
            )
        )
        assert "<script" not in html


def test_a_running_job_shows_its_preview_step_and_time(studio: Studio) -> None:
    seen = view(live=LIVE, seconds_waiting=0.0, seconds_running=5.2)
    card = render_progress(snapshot(active=(seen,), num_active=1))
    assert "step 12/20 · about 6 s" in card
    assert "/previews/0000000000000000/0.png?step=11" in card
    assert 'aria-valuenow="12"' in card
    assert 'data-act="stop"' in card


def test_a_waiting_job_tells_waiting_and_drawing_apart() -> None:
    seen = view(JobStatus.QUEUED, num_ahead=2, seconds_waiting=12.0, seconds_running=8.0)
    shown = snapshot(active=(seen,), num_active=3)
    words = "waiting about 15 s, then 8 s of drawing"
    assert f"{words} · 2 ahead" in render_progress(shown)
    assert "and 2 more waiting" in render_progress(shown)


def test_a_running_job_that_shares_the_device_says_how_much_of_the_time_is_its_own() -> None:
    seen = view(live=LIVE, seconds_waiting=6.0, seconds_running=6.0)
    shown = snapshot(active=(seen,), num_active=1)
    assert "step 12/20 · about 15 s, 6 s of it drawing" in render_progress(shown)


def test_a_job_of_several_pictures_can_be_stopped_in_three_ways() -> None:
    seen = view(live=LIVE)
    for render in (render_progress, render_result):
        html = render(snapshot(active=(seen,), num_active=1, result=seen))
        for act in ("stop", "stop-after", "skip"):
            assert f'data-act="{act}" data-id="0000000000000000" data-index="0"' in html


@pytest.mark.parametrize(
    "seen",
    [
        view(JobStatus.QUEUED),
        view(live=LIVE, num_images=1),
    ],
    ids=["waiting", "one picture"],
)
def test_otherwise_stop_is_all_that_is_offered(seen: JobView) -> None:
    for render in (render_progress, render_result):
        html = render(snapshot(active=(seen,), num_active=1, result=seen))
        assert 'data-act="stop"' in html
        assert 'data-act="stop-after"' not in html
        assert 'data-act="skip"' not in html


def test_the_last_picture_can_be_skipped_and_nothing_stops_after_it() -> None:
    card = render_progress(snapshot(active=(view(live=LIVE, skipped=(1,)),), num_active=1))
    assert 'data-act="skip"' in card
    assert 'data-act="stop-after"' not in card


def test_a_job_that_is_stopping_says_so_and_can_still_be_stopped_at_once() -> None:
    seen = view(live=LIVE, is_stopping=True)
    card = render_progress(snapshot(active=(seen,), num_active=1))
    assert "stops after this" in card
    assert 'data-act="stop"' in card
    assert 'data-act="stop-after"' not in card


def test_skipped_pictures_are_counted_and_marked() -> None:
    seen = view(live=LIVE, skipped=(1,))
    card = render_progress(snapshot(active=(seen,), num_active=1))
    assert "1 of 2 · step 12/20 · 1 skipped" in card
    assert 'aria-valuenow="12"' in card
    assert 'aria-valuemax="20"' in card
    shown = snapshot(result=seen, chosen=Chosen(job_id=seen.job.id, index=1))
    html = render_result(shown)
    assert "Skipped." in html
    assert 'aria-label="Variant 2, skipped"' in html


@pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.CANCELLED])
def test_a_job_that_is_over_says_how_many_pictures_it_has(status: JobStatus) -> None:
    seen = view(status, num_images=4, skipped=(1,), images={0: image()})
    assert "1 of 4 drawn · 1 skipped" in render_result(snapshot(result=seen))
    if status is JobStatus.CANCELLED:
        card = render_progress(snapshot(trouble=(seen,)))
        assert "Stopped · 1 of 4 drawn · 1 skipped" in card


def test_a_failed_job_says_why_and_offers_a_retry() -> None:
    card = render_progress(snapshot(trouble=(view(JobStatus.FAILED),)))
    assert "It failed" in card
    assert 'data-act="retry"' in card


def test_a_held_picture_has_no_address_on_the_page() -> None:
    seen = view(JobStatus.SUCCEEDED, images={0: image(Release.HELD)})
    shown = snapshot(result=seen, active=(seen,), num_active=1)
    for render in (render_result, render_progress):
        assert "/pictures/" not in render(shown)
    assert "held back" in render_result(shown)


def test_a_finished_picture_has_a_download_and_tells_how_it_was_made() -> None:
    html = render_result(snapshot(result=view(JobStatus.SUCCEEDED, images={0: image()})))
    assert 'href="/pictures/000000000000000000.png?download=1" download' in html
    assert "float32" in html


def test_the_picture_that_was_chosen_is_shown_even_unfinished() -> None:
    seen = view(images={0: image()})
    html = render_result(snapshot(result=seen, chosen=Chosen(job_id=seen.job.id, index=1)))
    assert "v-picture" not in html
    assert 'data-index="1" aria-pressed="true"' in html


def test_ten_thousand_waiting_jobs_are_a_few_cards(open_studio: OpenStudio) -> None:
    studio = open_studio(step_seconds=0.05)
    for _ in range(MAX_ACTIVE_CARDS + 20):
        studio.submit(Brief(subject="mug"))
    seen = look(studio, Chosen(), LOCAL_OWNER)
    assert len(seen.active) == MAX_ACTIVE_CARDS
    assert seen.num_active == MAX_ACTIVE_CARDS + 20
    assert seen.result is not None
    assert seen.result.job.id == studio.jobs()[0].id


def test_a_chosen_job_that_is_gone_gives_way_to_the_newest(studio: Studio) -> None:
    job = studio.submit(Brief(subject="mug"))
    seen = look(studio, Chosen(job_id="f" * 16), LOCAL_OWNER)
    assert seen.result is not None
    assert seen.result.job.id == job.id


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0.2, "about 1 s"),
        (5.2, "about 6 s"),
        (38.0, "about 40 s"),
        (600.0, "about 10 min"),
        (7200.0, "about 2.0 h"),
    ],
)
def test_a_time_to_wait_is_told_in_plain_words(seconds: float | None, words: str) -> None:
    assert about(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "in a few minutes"),
        (0.2, "in about 1 second"),
        (40.0, "in about 40 seconds"),
        (170.0, "in about 3 minutes"),
        (7300.0, "in about 3 hours"),
    ],
)
def test_a_refusal_says_in_words_when_to_come_back(seconds: float | None, words: str) -> None:
    assert try_again(seconds) == f"try again {words}"


def test_a_snapshot_is_busy_while_jobs_run_or_the_model_warms() -> None:
    assert not snapshot().is_busy
    assert snapshot(num_active=1).is_busy
    assert dataclasses.replace(snapshot(), health=Health(state=State.LOADING)).is_busy
    assert not dataclasses.replace(snapshot(), health=Health(state=State.FAILED)).is_busy


@pytest.mark.parametrize(
    ("brief", "english", "chinese"),
    [
        (
            Brief(subject="mug", material="ceramic", color="red", scene="wooden table"),
            "red ceramic mug, wooden table",
            "红色陶瓷马克杯，木桌",
        ),
        (Brief(subject="马克杯", color="red"), "red mug", "红色马克杯"),
        (Brief(subject="gizmo", color="red"), "red gizmo", "红色 gizmo"),
    ],
)
def test_a_product_is_named_in_the_persons_language(
    brief: Brief, english: str, chinese: str
) -> None:
    assert described(brief, ENGLISH) == english
    assert described(brief, CHINESE) == chinese
