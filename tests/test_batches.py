"""Batches over a whole studio: checked, drawn, paused, cancelled, taken away."""

from __future__ import annotations

import contextlib
import csv
import io
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from studio.application import Studio
from studio.batch import BatchRow, BatchStatus, RowState
from studio.batches.feeder import WINDOW
from studio.brief import Brief
from studio.config import Config
from studio.engine.gaussian import gaussian_model
from studio.errors import BadInput, Conflict, LimitReached, NotFound
from studio.job import JobStatus
from studio.terms import ServiceClass
from studio.verdict import Release
from tests.batch_tools import good_lines, table, wait_for_batch
from tests.conftest import WAIT_SECONDS, OpenStudio

BAD = [
    ",mug,,,,,,,,",
    "B-1,,,,,,,,,",
    "=cmd|' /C calc'!A0,mug,,,,,,huge,,",
    "B-3,mug,,,,,,,many,",
    "SKU-0000,mug,,,,,,,,",
]


def rows_of(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode("utf-8-sig"))))


def joined(pieces: Iterator[bytes]) -> bytes:
    return b"".join(pieces)


class Gate:
    """Lets so many calls through, and then no more until it is told to."""

    def __init__(self) -> None:
        self._places = threading.Semaphore(0)
        self._is_open = threading.Event()

    def passing(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def passed(*arguments: Any) -> Any:
            while not self._is_open.is_set() and not self._places.acquire(timeout=0.02):
                pass
            return act(*arguments)

        return passed

    def let_through(self, number: int) -> None:
        self._places.release(number)

    def open(self) -> None:
        self._is_open.set()

    def close(self) -> None:
        self._is_open.clear()
        while self._places.acquire(blocking=False):
            pass


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_good_rows_are_drawn_once_each_and_bad_ones_are_named(studio: Studio) -> None:
    view = studio.batches.check("sofas.csv", table(*good_lines(30), *BAD))
    assert view.rows == {RowState.WAITING: 30, RowState.BAD: 5}
    assert studio.jobs() == [], "nothing is drawn before the start"
    studio.batches.start(view.batch.id)
    view = wait_for_batch(studio, view.batch.id)
    assert view.rows == {RowState.SUCCEEDED: 30, RowState.BAD: 5}
    rows = studio.batches.lines(view.batch.id, states=[RowState.SUCCEEDED])
    images = studio.batches.images_of(rows)
    assert [len(images[row.job_id]) for row in rows] == [1] * 30
    job = studio.job(rows[7].job_id)
    assert (job.service_class, job.request.seed) == (ServiceClass.BULK, 7)
    assert len(studio.jobs(limit=100)) == 30


def test_bad_rows_come_back_with_a_reason_and_can_be_mended_and_sent_again(studio: Studio) -> None:
    view = studio.batches.check("a.csv", table(*good_lines(1), *BAD))
    text = joined(studio.batches.bad_rows(view.batch.id))
    rows = rows_of(text)
    assert [bool(row["reason"]) for row in rows] == [True] * 5
    assert rows[2]["sku"] == "'=cmd|' /C calc'!A0", "no spreadsheet runs it"
    again = studio.batches.check("again.csv", text)
    assert again.rows == {RowState.BAD: 4, RowState.WAITING: 1}, "the SKU is used once in there"
    mended = text.replace(b",huge,", b",square,").replace(b",many,", b",7,")
    assert studio.batches.check("mended.csv", mended).rows[RowState.WAITING] == 3
    sku = studio.batches.lines(again.batch.id)[2].sku
    assert sku == "=cmd|' /C calc'!A0", "the guard is taken off where it comes in"
    assert "reason" not in rows_of(joined(studio.batches.bad_rows(again.batch.id)))[0]["reason"]


def test_the_zip_names_pictures_by_sku_and_says_what_was_made(studio: Studio) -> None:
    lines = ["SHOE/7,mug,,red,,,,,1,2", "=1+1,mug,,,,,,,5,", ",mug,,,,,,,,"]
    batch_id = studio.batches.check("shoes.csv", table(*lines)).batch.id
    studio.batches.start(batch_id)
    wait_for_batch(studio, batch_id)
    pieces = list(studio.batches.zipped(batch_id))
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["SHOE_7-1.png", "SHOE_7-2.png", "=1+1.png", "pictures.csv"]
        with archive.open("SHOE_7-2.png") as file, Image.open(file) as picture:
            picture.load()
            assert picture.text["seed"] == "2"  # type: ignore[attr-defined]
        made = rows_of(archive.read("pictures.csv"))
    assert [row["file"] for row in made] == ["SHOE_7-1.png", "SHOE_7-2.png", "'=1+1.png", ""]
    assert [row["status"] for row in made] == ["released", "released", "released", "bad"]
    assert made[0]["sku"] == "SHOE/7"
    assert made[0]["prompt"].startswith("a red mug")
    assert made[3]["reason"].startswith("The SKU is empty")
    assert made == rows_of(joined(studio.batches.made(batch_id)))


def test_a_picture_that_is_held_or_gone_is_not_in_the_zip_and_is_told(studio: Studio) -> None:
    batch_id = studio.batches.check("a.csv", table(*good_lines(3))).batch.id
    studio.batches.start(batch_id)
    wait_for_batch(studio, batch_id)
    rows = studio.batches.lines(batch_id)
    images = studio.batches.images_of(rows)
    sql = "UPDATE images SET release = 'held' WHERE id = ?"
    held = images[rows[0].job_id][0]
    studio._store._write(lambda db: db.execute(sql, [held.id]))
    studio.picture_path(images[rows[1].job_id][0]).unlink()
    content = io.BytesIO(joined(studio.batches.zipped(batch_id)))
    with zipfile.ZipFile(content) as archive:
        assert archive.namelist() == ["SKU-0002.png", "pictures.csv"]
        made = rows_of(archive.read("pictures.csv"))
    assert [row["status"] for row in made] == [Release.HELD, "missing", "released"]
    assert studio.batches.view(batch_id).num_held == 1


def test_a_picture_that_is_hidden_while_a_zip_is_sent_is_not_in_it(studio: Studio) -> None:
    batch_id = studio.batches.check("a.csv", table(*good_lines(2))).batch.id
    studio.batches.start(batch_id)
    wait_for_batch(studio, batch_id)
    images = studio.batches.images_of(rows := studio.batches.lines(batch_id))
    pieces = studio.batches.zipped(batch_id)
    begun = next(pieces)
    sql = "UPDATE images SET release = 'held' WHERE id = ?"  # its file not moved yet
    hidden = images[rows[1].job_id][0]
    studio._store._write(lambda db: db.execute(sql, [hidden.id]))
    with zipfile.ZipFile(io.BytesIO(begun + joined(pieces))) as archive:
        assert archive.namelist() == ["SKU-0000.png", "pictures.csv"]


def test_the_queue_holds_a_few_rows_of_a_batch_and_no_more(open_studio: OpenStudio) -> None:
    studio = open_studio(step_seconds=0.01)
    batch_id = studio.batches.check("a.csv", table(*good_lines(60))).batch.id
    studio.batches.start(batch_id)
    most = 0
    deadline = time.monotonic() + WAIT_SECONDS
    while studio.batches.batch(batch_id).status is not BatchStatus.FINISHED:
        view = studio.batches.view(batch_id)
        most = max(most, view.num_rows(RowState.QUEUED, RowState.RUNNING))
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert 0 < most <= WINDOW
    assert studio.batches.view(batch_id).rows == {RowState.SUCCEEDED: 60}


def test_a_pause_gives_out_nothing_more_and_a_resume_goes_on(open_studio: OpenStudio) -> None:
    studio = open_studio(step_seconds=0.005)
    studio.wait_until_ready(WAIT_SECONDS)
    batch_id = studio.batches.check("a.csv", table(*good_lines(40))).batch.id
    studio.batches.start(batch_id)
    deadline = time.monotonic() + WAIT_SECONDS
    while not studio.batches.view(batch_id).num_rows(RowState.SUCCEEDED):
        assert time.monotonic() < deadline
    studio.batches.pause(batch_id)
    while studio.batches.view(batch_id).num_rows(RowState.QUEUED, RowState.RUNNING):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    paused = studio.batches.view(batch_id)
    assert paused.batch.status is BatchStatus.PAUSED
    assert paused.num_rows(RowState.WAITING) >= 40 - 2 * WINDOW
    studio.batches.resume(batch_id)
    assert wait_for_batch(studio, batch_id).rows == {RowState.SUCCEEDED: 40}


def test_a_cancelled_batch_draws_no_more_and_a_retry_draws_what_it_lacks(
    open_studio: OpenStudio,
) -> None:
    studio = open_studio(step_seconds=0.02)
    studio.wait_until_ready(WAIT_SECONDS)
    batch_id = studio.batches.check("a.csv", table(*good_lines(40))).batch.id
    studio.batches.start(batch_id)
    deadline = time.monotonic() + WAIT_SECONDS
    while not studio.batches.view(batch_id).num_rows(RowState.SUCCEEDED):
        assert time.monotonic() < deadline
    studio.batches.cancel(batch_id)
    while studio.batches.view(batch_id).num_rows(RowState.QUEUED, RowState.RUNNING):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    view = studio.batches.view(batch_id)
    done = view.num_rows(RowState.SUCCEEDED)
    assert view.rows == {RowState.SUCCEEDED: done, RowState.CANCELLED: 40 - done}
    assert view.batch.status is BatchStatus.CANCELLED
    with pytest.raises(Conflict, match="cannot become"):
        studio.batches.resume(batch_id)
    studio.batches.retry(batch_id)
    assert wait_for_batch(studio, batch_id).rows == {RowState.SUCCEEDED: 40}
    assert studio._store.count_images() == 40


def test_a_row_whose_job_failed_can_be_retried_alone_and_with_the_batch(studio: Studio) -> None:
    batch_id = studio.batches.check("a.csv", table(*good_lines(2))).batch.id
    rows = studio.batches.lines(batch_id)
    _fail_first(studio, rows[0])
    studio.batches.start(batch_id)
    view = wait_for_batch(studio, batch_id)
    assert view.rows == {RowState.SUCCEEDED: 1, RowState.FAILED: 1}
    assert studio.batches.lines(batch_id)[0].error == "The lamp went out."
    studio.batches.retry(batch_id)
    assert wait_for_batch(studio, batch_id).rows == {RowState.SUCCEEDED: 2}
    with pytest.raises(Conflict, match="nothing to draw again"):
        studio.batches.retry(batch_id)


def _fail_first(studio: Studio, row: BatchRow) -> None:
    """The row's job is there before the batch begins, and fails."""
    studio._dispatcher.close()
    studio.submit(row.brief, service_class=ServiceClass.BULK, job_id=row.job_id)
    studio._store.mark_failed(row.job_id, "The lamp went out.")
    studio._dispatcher.open()


def test_a_row_follows_its_job_wherever_that_is_stopped_and_retried(
    open_studio: OpenStudio,
) -> None:
    studio = open_studio(step_seconds=0.05)
    batch_id = studio.batches.check("a.csv", table(*good_lines(1))).batch.id
    (row,) = studio.batches.lines(batch_id)
    studio.batches.start(batch_id)
    deadline = time.monotonic() + WAIT_SECONDS
    while studio.batches.lines(batch_id)[0].state is RowState.WAITING:
        assert time.monotonic() < deadline
    studio.cancel(row.job_id)
    assert studio.batches.lines(batch_id)[0].state is RowState.CANCELLED
    wait_for_batch(studio, batch_id)
    studio.retry(row.job_id)
    assert studio.wait(row.job_id, WAIT_SECONDS).job.status is JobStatus.SUCCEEDED
    assert studio.batches.lines(batch_id)[0].state is RowState.SUCCEEDED


def test_people_who_draw_go_before_a_batch(open_studio: OpenStudio) -> None:
    studio = open_studio(step_seconds=0.02)
    studio.wait_until_ready(WAIT_SECONDS)
    batch_id = studio.batches.check("a.csv", table(*good_lines(60))).batch.id
    studio.batches.start(batch_id)
    deadline = time.monotonic() + WAIT_SECONDS
    while not studio.batches.view(batch_id).num_rows(RowState.SUCCEEDED):
        assert time.monotonic() < deadline
    job = studio.submit(Brief(subject="mug"))
    assert studio.wait(job.id, WAIT_SECONDS).job.status is JobStatus.SUCCEEDED
    assert studio.batches.view(batch_id).num_rows(RowState.WAITING) > 0
    studio.batches.cancel(batch_id)


def test_a_full_queue_stops_a_batch_for_a_while_and_says_so(open_studio: OpenStudio) -> None:
    studio = open_studio(step_seconds=0.005, max_queued_per_owner=2)
    batch_id = studio.batches.check("a.csv", table(*good_lines(12))).batch.id
    studio.batches.start(batch_id)
    messages = set()
    deadline = time.monotonic() + WAIT_SECONDS
    while studio.batches.batch(batch_id).status is not BatchStatus.FINISHED:
        messages.add(studio.batches.batch(batch_id).message)
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert any("Your part of the queue is full" in message for message in messages)
    view = studio.batches.view(batch_id)
    assert (view.rows, view.batch.message) == ({RowState.SUCCEEDED: 12}, "")


def test_time_and_work_are_told_before_the_start(open_studio: OpenStudio) -> None:
    studio = open_studio(step_seconds=0.01)
    studio.wait_until_ready(WAIT_SECONDS)
    view = studio.batches.check("a.csv", table(*good_lines(50), "X,mug,,,,,,,,5"))
    assert view.num_images_left == 55
    assert view.num_steps_left == 55 * studio.card.default_num_steps
    request = studio.check(Brief(subject="mug"))
    seconds = studio.picture_seconds(request)
    assert seconds is not None
    assert view.device_seconds == pytest.approx(55 * seconds, rel=0.5)
    assert view.seconds_left == pytest.approx(view.device_seconds)


def test_a_batch_is_its_owners_alone(studio: Studio) -> None:
    batch_id = studio.batches.check("a.csv", table(*good_lines(2)), "ada").batch.id
    for act in (
        studio.batches.view,
        studio.batches.lines,
        studio.batches.start,
        studio.batches.cancel,
        studio.batches.retry,
        studio.batches.delete,
        studio.batches.zipped,
        studio.batches.bad_rows,
    ):
        with pytest.raises(NotFound):
            act(batch_id, "bob")
    assert [batch.id for batch in studio.batches.page("ada")] == [batch_id]
    assert studio.batches.page("bob") == []
    studio.batches.start(batch_id, "ada")
    wait_for_batch(studio, batch_id, owner="ada")
    assert {job.owner for job in studio.jobs("ada")} == {"ada"}


def test_a_batch_without_a_good_row_cannot_be_started_and_can_be_deleted(studio: Studio) -> None:
    batch_id = studio.batches.check("a.csv", table(",mug,,,,,,,,")).batch.id
    with pytest.raises(BadInput, match="No row of this batch can be drawn"):
        studio.batches.start(batch_id)
    studio.batches.delete(batch_id)
    assert studio.batches.page() == []


def test_a_long_table_is_checked_behind_and_says_how_far_it_is(
    studio: Studio, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.batches.MAX_AT_ONCE", 10)
    monkeypatch.setattr("studio.batches.checking.PORTION", 20)
    monkeypatch.setattr(studio, "check", gate.passing(studio.check))
    content = table(*good_lines(99), "SKU-BAD,,,,,,,,,")
    view = studio.batches.hand_over("long.csv", content)
    batch_id = view.batch.id
    assert view.batch.status is BatchStatus.CHECKING
    with pytest.raises(Conflict):
        studio.batches.start(batch_id)
    with pytest.raises(LimitReached):
        studio.batches.hand_over("another.csv", content)
    gate.let_through(50)
    until(lambda: studio.batches.view(batch_id).num_rows() == 40)
    gate.open()
    view = wait_for_batch(studio, batch_id, BatchStatus.READY)
    assert (view.num_rows(), view.num_good) == (100, 99)
    assert sum(portion.num_images for portion in view.batch.work) == 99


def test_a_check_that_is_cancelled_or_cut_short_leaves_no_half_of_a_table(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.batches.MAX_AT_ONCE", 10)
    monkeypatch.setattr("studio.batches.checking.PORTION", 20)
    model = gaussian_model()
    config = Config(data_dir=tmp_path, precision="float32", max_rows=2)
    content = table(*good_lines(99))
    with (
        Studio.open(config, card=model.card, load=lambda precision, report: model) as studio,
        contextlib.ExitStack() as at_last,
    ):
        at_last.callback(gate.open)
        monkeypatch.setattr(studio, "check", gate.passing(studio.check))
        gate.let_through(30)
        cancelled = studio.batches.hand_over("long.csv", content).batch.id
        until(lambda: studio.batches.view(cancelled).num_rows() == 20)
        view = studio.batches.cancel(cancelled)
        assert (view.batch.status, view.num_rows()) == (BatchStatus.CANCELLED, 0)
        with pytest.raises(Conflict):
            studio.batches.retry(cancelled)
        gate.let_through(40)  # the portion it was at, which is not kept
        until(lambda: not studio.batches._checking._owners)
        assert studio.batches.view(cancelled).num_rows() == 0
        late = table(*good_lines(50), "x" * 200_000)
        damaged = studio.batches.hand_over("damaged.csv", late).batch.id
        gate.open()
        view = wait_for_batch(studio, damaged, BatchStatus.CANCELLED)
        assert "cannot be read" in view.batch.message
        gate.close()
        cut = studio.batches.hand_over("cut.csv", content).batch.id
        gate.let_through(30)
        until(lambda: studio.batches.view(cut).num_rows() == 20)
        studio.batches._checking._closed.set()
    with Studio.open(config, card=model.card, load=lambda precision, report: model) as studio:
        view = studio.batches.view(cut)
        assert (view.batch.status, view.num_rows()) == (BatchStatus.CANCELLED, 0)
        assert "hand it over again" in view.batch.message


def test_batches_are_paged(studio: Studio) -> None:
    ids = [studio.batches.check("a.csv", table(*good_lines(1))).batch.id for _ in range(5)]
    first = studio.batches.page(limit=2)
    second = studio.batches.page(limit=3, before=first[-1].id)
    assert [batch.id for batch in (*first, *second)] == ids[::-1]


def test_a_name_from_anywhere_becomes_a_plain_one(studio: Studio) -> None:
    view = studio.batches.check("C:\\tables\\..\\so\x00fas.csv", table(*good_lines(1)))
    assert view.batch.name == "sofas.csv"


def test_a_closed_studio_takes_its_batch_up_again(tmp_path: Path) -> None:
    slow, quick = gaussian_model(step_seconds=0.01), gaussian_model()
    config = Config(data_dir=tmp_path, precision="float32", max_rows=2)
    with Studio.open(config, card=slow.card, load=lambda precision, report: slow) as first:
        batch_id = first.batches.check("a.csv", table(*good_lines(40))).batch.id
        first.batches.start(batch_id)
        deadline = time.monotonic() + WAIT_SECONDS
        while not first.batches.view(batch_id).num_rows(RowState.SUCCEEDED):
            assert time.monotonic() < deadline
    with Studio.open(config, card=quick.card, load=lambda precision, report: quick) as second:
        assert wait_for_batch(second, batch_id).rows == {RowState.SUCCEEDED: 40}
        assert second._store.count_images() == 40


def test_a_row_follows_the_sketch_it_names_where_the_model_can(open_studio: OpenStudio) -> None:
    model = gaussian_model(follows_sketches=True)
    studio = open_studio(load=lambda precision, report: model)
    studio.wait_until_ready(WAIT_SECONDS)
    buffer = io.BytesIO()
    drawn = Image.new("RGB", (64, 64), "white")
    drawn.paste("black", (16, 16, 48, 48))
    drawn.save(buffer, "PNG")
    content = b"sku,subject,sketch\nA,mug,square.png\nB,mug,\nC,mug,lost.png\nD,mug,text.png\n"
    sketches = {"square.png": buffer.getvalue(), "text.png": b"no picture"}
    batch_id = studio.batches.check("a.csv", content, sketches=sketches).batch.id
    studio.batches.start(batch_id)
    wait_for_batch(studio, batch_id)
    led, free, lost, text = studio.batches.lines(batch_id)
    assert studio.job(led.job_id).request.control is not None
    assert studio.job(free.job_id).request.control is None
    assert lost.error == "The sketch 'lost.png' was not sent along: add the file."
    assert "no picture that the studio reads" in (text.error or "")


def test_a_sketch_is_refused_row_by_row_where_the_model_follows_none(studio: Studio) -> None:
    view = studio.batches.check("a.csv", b"sku,subject,sketch\nA,mug,x.png\nB,mug,\n")
    assert view.rows == {RowState.BAD: 1, RowState.WAITING: 1}
