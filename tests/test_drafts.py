"""Quick drafts: few steps, one at a time for each person, kept in memory and nowhere else."""

from __future__ import annotations

import dataclasses
import io
import time
from pathlib import Path

import pytest
from PIL import Image

from studio.application import Studio
from studio.brief import Brief
from studio.config import Config
from studio.engine.gaussian import gaussian_model
from studio.engine.model import Model
from studio.errors import BadBrief, NotFound
from studio.job import JobStatus
from tests.conftest import WAIT_SECONDS, OpenStudio
from tests.test_sketch import drawing

OWNER = "local"
BRIEF = Brief(subject="mug", size="photo", num_images=4, seed=7)


def test_a_draft_is_one_picture_of_few_steps_and_can_be_looked_at(studio: Studio) -> None:
    job = studio.drafts.begin(BRIEF, OWNER)
    assert (job.request.num_images, job.request.num_steps) == (1, 6)
    assert job.request.seed == 7
    assert studio.wait(job.id, WAIT_SECONDS).job.status is JobStatus.SUCCEEDED
    _, content = studio.drafts.look(job.id, OWNER)
    assert content is not None
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.size == (96, 64)


def test_a_draft_has_no_place_among_jobs_and_pictures(studio: Studio) -> None:
    job = studio.drafts.begin(BRIEF, OWNER)
    assert studio.num_active(OWNER) == 0
    studio.wait(job.id, WAIT_SECONDS)
    assert studio.jobs() == []
    assert studio.images() == []
    assert not list(studio.config.data_dir.rglob("*.png"))


def test_a_new_draft_stops_the_one_before_it(open_studio: OpenStudio) -> None:
    studio = open_studio(step_seconds=0.2)
    studio.wait_until_ready(WAIT_SECONDS)
    first = studio.drafts.begin(BRIEF, OWNER)
    second = studio.drafts.begin(BRIEF, OWNER)
    assert studio.job(first.id).status is JobStatus.CANCELLED
    assert studio.wait(second.id, WAIT_SECONDS).job.status is JobStatus.SUCCEEDED
    assert studio.drafts.look(first.id, OWNER)[1] is None


def test_a_draft_of_somebody_else_goes_on_and_is_not_seen(open_studio: OpenStudio) -> None:
    studio = open_studio(step_seconds=0.05)
    studio.wait_until_ready(WAIT_SECONDS)
    theirs = studio.drafts.begin(BRIEF, "ann")
    studio.drafts.begin(BRIEF, OWNER)
    assert studio.wait(theirs.id, WAIT_SECONDS).job.status is JobStatus.SUCCEEDED
    with pytest.raises(NotFound):
        studio.drafts.look(theirs.id, OWNER)


def test_what_cannot_be_drawn_is_refused(studio: Studio) -> None:
    with pytest.raises(BadBrief, match="The subject is empty"):
        studio.drafts.begin(Brief(), OWNER)
    with pytest.raises(BadBrief, match="is not offered"):
        studio.drafts.begin(Brief(subject="mug", size="77x77"), OWNER)


def test_rows_of_drafts_are_forgotten_and_others_are_not(studio: Studio) -> None:
    draft = studio.drafts.begin(BRIEF, OWNER)
    job = studio.submit(Brief(subject="mug"))
    studio.wait(job.id, WAIT_SECONDS)
    studio.wait(draft.id, WAIT_SECONDS)
    assert studio._store.forget_drafts(OWNER, older_than=time.time() - 60) == 0
    assert studio._store.forget_drafts("ann", older_than=time.time() + 1) == 0
    assert studio._store.forget_drafts(OWNER, older_than=time.time() + 1) == 1
    with pytest.raises(NotFound):
        studio.job(draft.id)
    assert studio.jobs() == [studio.job(job.id)]


def test_a_draft_does_not_outlive_the_studio(tmp_path: Path) -> None:
    model = gaussian_model(step_seconds=0.5)
    config = Config(data_dir=tmp_path / "data", precision="float32", max_rows=2)

    def load(precision: str, report: object) -> Model:
        return model

    with Studio.open(config, card=model.card, load=load) as studio:
        studio.wait_until_ready(WAIT_SECONDS)
        sketch = studio.sketches.keep(OWNER, drawing())
        led = dataclasses.replace(BRIEF, sketch=sketch)
        job = studio.submit(dataclasses.replace(led, size="square"))
        draft = studio.drafts.begin(led, OWNER)
        assert len(list((tmp_path / "data" / "controls").iterdir())) == 2
    with Studio.open(config, card=model.card, load=load, is_started=False) as studio:
        assert studio.num_active() == 1
        (kept,) = (tmp_path / "data" / "controls").iterdir()
        assert job.request.control is not None
        assert kept.stem == job.request.control.image_digest
        with pytest.raises(NotFound):
            studio.job(draft.id)
