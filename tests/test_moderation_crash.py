"""`kill -9` around a verdict and a decision: nothing becomes visible by it, no decision is lost.

Real processes over real folders: what is between the engine and the page, without either. The
parent looks at what the dead one left, and goes on there.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from studio.engine.classifier_process import ClassifierProcess
from studio.events import Finished, PictureFinished
from studio.model_card import ModelCard
from studio.moderation.screening import Screening
from studio.moderation.service import Moderation
from studio.moderation_policy import load_moderation_policy
from studio.pictures import Pictures
from studio.prompt_terms import load_prompt_terms
from studio.recorder import Recorder
from studio.review import Act, first_broken
from studio.store import Store
from studio.verdict import Release
from tests.moderation_tools import REVIEWER, write_policy
from tests.store_tools import ROOT, add_jobs

TIMEOUT = 120.0
NEVER = "never"


class Dying(Pictures):
    """Picture files of a process that is killed at a chosen moment."""

    moment = NEVER

    def save(self, *arguments, **named):  # type: ignore[no-untyped-def]
        die_if(self.moment == "before the file")
        saved = super().save(*arguments, **named)
        die_if(self.moment == "before the row")
        return saved

    def move(self, *arguments):  # type: ignore[no-untyped-def]
        die_if(self.moment == "before the move")
        path = super().move(*arguments)
        die_if(self.moment == "before the release")
        return path


def die_if(condition: bool) -> None:
    if condition:
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def opened(data_dir: Path, policy_path: Path) -> Iterator[tuple[Store, Pictures, Moderation]]:
    """Store, files and moderation of a folder, as a studio opens them."""
    with Store.open(data_dir) as store:
        pictures = Dying(data_dir, 0)
        moderation = Moderation(
            store,
            pictures,
            policy=load_moderation_policy(policy_path),
            terms=load_prompt_terms(),
            on_changed=lambda: None,
        )
        moderation.start()
        try:
            yield store, pictures, moderation
        finally:
            moderation.close()


def draw(store: Store, pictures: Pictures, moderation: Moderation, job_id: str) -> None:
    """Let a finished picture of an open world pass screening and recorder; nothing can judge it."""
    recorder = Recorder(store, pictures, cancel=lambda _: None, on_recorded=lambda _: None)
    screening = Screening(
        moderation.policy,
        card=ModelCard(name="open"),
        classifier=ClassifierProcess(Path("none.h5"), sha256="", cache_dir=None),
        opinion_of_words=moderation.opinion_of_words,
        hand_on=recorder.record,
        on_doubt=lambda _: None,
        show=lambda _: None,
    )
    recorder.start()
    screening.start()
    picture = PictureFinished(
        job_id=job_id,
        index=0,
        seed=7,
        pixels=np.full((32, 32, 3), 99, np.uint8),
        seconds=1.0,
        backend="none",
        precision="float32",
        model_name="open",
        model_digest="d" * 64,
    )
    screening.hear(picture)
    screening.hear(Finished(job_id=job_id))
    screening.close()
    recorder.close()


def live_and_die(data_dir: Path, policy: Path, moment: str) -> None:
    """The life of the process that is killed."""
    Dying.moment = moment
    with opened(data_dir, policy) as (store, pictures, moderation):
        (job,) = add_jobs(store)
        store.mark_running(job.id)
        draw(store, pictures, moderation, job.id)
        case = moderation.take(REVIEWER)
        assert case is not None
        die_if(moment == "after the lease")
        moderation.approve(REVIEWER, case.review.id)
        die_if(moment == "after the decision")
        signal.pause()  # until the upkeep's thread gets there


def run_until_killed(data_dir: Path, policy: Path, moment: str) -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.test_moderation_crash"]
    died = subprocess.run(
        [*command, str(data_dir), str(policy), moment], env=environ, timeout=TIMEOUT
    )
    assert died.returncode == -signal.SIGKILL


@pytest.mark.parametrize("moment", ["before the file", "before the row"])
def test_a_picture_that_was_scored_and_not_written_down_is_seen_by_nobody_and_drawn_again(
    tmp_path: Path, moment: str
) -> None:
    data_dir, policy = tmp_path / "data", write_policy(tmp_path, undo_seconds=0)
    run_until_killed(data_dir, policy, moment)
    assert not list((data_dir / "pictures").glob("*.png"))
    with opened(data_dir, policy) as (store, pictures, moderation):
        assert store.reviews() == []
        (job,) = store.recover()
        assert store.missing_indices(job.id) == [0]
        store.mark_running(job.id)
        draw(store, pictures, moderation, job.id)
        (image,) = store.images(job_id=job.id, release=None)
        assert image.release is Release.HELD
        assert [path.parent.name for path in data_dir.rglob("*.png")] == ["held"]
        assert [entry.act for entry in store.decisions()] == [Act.OPEN], "once, not twice"


@pytest.mark.parametrize("moment", ["before the move", "before the release"])
def test_a_decision_that_was_to_take_effect_does_so_after_all(tmp_path: Path, moment: str) -> None:
    data_dir, policy = tmp_path / "data", write_policy(tmp_path, undo_seconds=0)
    run_until_killed(data_dir, policy, moment)
    with Store.open(data_dir) as store:
        (review,) = store.reviews()
        assert review.answer is Act.APPROVE
        assert store.image(review.image_id).release is Release.HELD
        assert first_broken(store.decisions()) is None
    with opened(data_dir, policy) as (store, pictures, _):
        image = store.image(review.image_id)
        assert image.release is Release.RELEASED
        assert pictures.absolute(image).is_file()
        acts = [entry.act for entry in store.decisions()]
        assert acts == [Act.OPEN, Act.APPROVE, Act.RELEASE]


def test_a_decision_whose_minute_is_not_over_can_still_be_undone(tmp_path: Path) -> None:
    data_dir, policy = tmp_path / "data", write_policy(tmp_path, undo_seconds=3600)
    run_until_killed(data_dir, policy, "after the decision")
    with opened(data_dir, policy) as (store, _, moderation):
        (review,) = store.reviews()
        assert store.image(review.image_id).release is Release.HELD
        assert moderation.undo(REVIEWER, review.id).review.is_open


def test_a_reviewer_who_dies_loses_the_lease_and_not_the_case(tmp_path: Path) -> None:
    data_dir, policy = tmp_path / "data", write_policy(tmp_path)
    run_until_killed(data_dir, policy, "after the lease")
    with Store.open(data_dir) as store:
        (review,) = store.reviews(is_open=True)
        assert review.leased_by == REVIEWER.name
        until = review.leased_until
        assert until is not None
        for now, expected in ((until - 1, None), (until, review.id)):
            found = store.claim_review("raul", lease_seconds=1, is_admin=False, now=now)
            assert (found and found.id) == expected


if __name__ == "__main__":
    live_and_die(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
