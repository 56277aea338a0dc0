"""The live board: the latest look of jobs in flight."""

from __future__ import annotations

import numpy as np

from studio.events import Cancelled, Finished, PictureFinished, Skipped, Started, Stepped
from studio.live import LiveBoard

PREVIEW = np.zeros((8, 8, 3), np.uint8)


def _finished(index: int) -> PictureFinished:
    return PictureFinished(
        job_id="job",
        index=index,
        seed=1,
        pixels=PREVIEW,
        seconds=1.0,
        backend="b",
        precision="p",
        model_name="m",
        model_digest="d",
    )


def test_the_latest_step_of_each_picture_is_shown() -> None:
    board = LiveBoard()
    for step in (1, 2, 3):
        board.update(Stepped(job_id="job", index=0, step=step, num_steps=9))
    board.update(Stepped(job_id="job", index=1, step=1, num_steps=9))
    assert {index: picture.step for index, picture in board.pictures("job").items()} == {0: 3, 1: 1}


def test_a_step_without_a_preview_keeps_the_one_before() -> None:
    board = LiveBoard()
    board.update(Stepped(job_id="job", index=0, step=1, num_steps=9, preview=PREVIEW))
    board.update(Stepped(job_id="job", index=0, step=2, num_steps=9))
    picture = board.pictures("job")[0]
    assert (picture.step, picture.preview_step) == (2, 1)
    assert picture.preview is PREVIEW


def test_a_finished_picture_leaves_the_board() -> None:
    board = LiveBoard()
    board.update(Stepped(job_id="job", index=0, step=9, num_steps=9))
    board.update(Stepped(job_id="job", index=1, step=2, num_steps=9))
    board.update(_finished(0))
    assert set(board.pictures("job")) == {1}


def test_a_job_that_is_over_leaves_the_board() -> None:
    board = LiveBoard()
    for event in (Finished(job_id="job"), Cancelled(job_id="job")):
        board.update(Stepped(job_id="job", index=0, step=1, num_steps=9))
        board.update(event)
        assert board.pictures("job") == {}


def test_a_skipped_picture_leaves_the_board() -> None:
    board = LiveBoard()
    board.update(Stepped(job_id="job", index=0, step=3, num_steps=9))
    board.update(Skipped(job_id="job", index=0))
    assert board.pictures("job") == {}


def test_a_job_that_was_doubted_before_its_first_step_shows_no_preview_in_that_run() -> None:
    board = LiveBoard()
    step = Stepped(job_id="job", index=0, step=1, num_steps=9, preview=PREVIEW)
    board.update(Started(job_id="job"))
    board.doubt("job")
    board.update(step)
    board.show(step)
    assert board.pictures("job")[0].preview is None
    board.update(Cancelled(job_id="job"))
    board.update(Started(job_id="job"))
    board.update(step)
    assert board.pictures("job")[0].preview is PREVIEW
