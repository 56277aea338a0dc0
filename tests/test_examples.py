"""The examples that a new gallery begins with."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.application import Studio
from studio.brief import Brief
from studio.config import Config, draft_model_dir
from studio.engine.gaussian import gaussian_model
from studio.engine.layout import folder_digest
from studio.examples import examples_dir, read_examples
from studio.gallery import Look
from studio.model_card import read_card
from studio.person import LOCAL_PERSON, Person, Role
from studio.pictures import read_metadata
from tests.conftest import WAIT_SECONDS

ME = LOCAL_PERSON
OTHER = Person(name="other", roles=frozenset(Role))
REVIEWER = Person(name="reviewer", roles=frozenset({Role.REVIEWER}))
EXAMPLES = read_examples(examples_dir())


@contextlib.contextmanager
def opened(data_dir: Path, name: str = EXAMPLES[0].model_name) -> Iterator[Studio]:
    """A studio over the closed form, whose model has the name of the one that ships."""
    model = gaussian_model()
    card = dataclasses.replace(model.card, name=name, is_closed_world=True)
    model = dataclasses.replace(model, card=card)
    config = Config(data_dir=data_dir, precision="float32", max_rows=2)
    with Studio.open(config, card=card, load=lambda precision, report: model) as studio:
        studio.wait_until_ready(WAIT_SECONDS)
        yield studio


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with opened(tmp_path) as studio:
        yield studio


def ids(studio: Studio, person: Person = ME) -> list[str]:
    return [item.image.id for item in studio.gallery.page(person, Look()).items]


def test_an_empty_gallery_begins_with_three_examples_that_can_be_seen(studio: Studio) -> None:
    page = studio.gallery.page(ME, Look())
    assert [item.brief.subject for item in page.items] == [one.brief.subject for one in EXAMPLES]
    assert page.total == len(EXAMPLES) == 3
    assert all(item.is_example for item in page.items)
    for item, example in zip(page.items, EXAMPLES, strict=True):
        _, path = studio.image(item.image.id)
        assert path.read_bytes() == (examples_dir() / example.file).read_bytes()
        assert studio.gallery.thumbnail(ME, item.image.id)[1].is_file()


def test_everybody_has_examples_of_their_own_and_reviewers_need_none(studio: Studio) -> None:
    mine, theirs = ids(studio), ids(studio, OTHER)
    assert len(theirs) == 3
    assert not set(mine) & set(theirs)
    studio.gallery.delete(ME, mine)
    assert ids(studio, OTHER) == theirs
    assert ids(studio, REVIEWER) == []


def test_deleted_examples_do_not_come_back(tmp_path: Path) -> None:
    with opened(tmp_path) as studio:
        assert studio.gallery.delete(ME, ids(studio)) == 3
        assert ids(studio) == []
    with opened(tmp_path) as studio:
        assert ids(studio) == []
    assert not list((tmp_path / "pictures").iterdir())


def test_who_has_pictures_already_is_given_no_examples(studio: Studio) -> None:
    view = studio.wait(studio.submit(Brief(subject="mug")).id, WAIT_SECONDS)
    assert ids(studio) == [view.images[0].id]
    studio.gallery.delete(ME, ids(studio))
    assert ids(studio) == []


def test_examples_count_nowhere_and_are_in_no_list_of_work(studio: Studio) -> None:
    before = studio._store.counts()
    assert len(ids(studio)) == 3
    assert studio._store.counts() == before
    assert studio.jobs() == []
    assert studio.images() == []
    assert studio._store.owner_history(ME.name).num_released == 0
    assert studio._store._rows("SELECT * FROM usage") == []


def test_an_example_is_a_start_and_has_its_record(studio: Studio) -> None:
    (first, *_) = studio.gallery.page(ME, Look()).items
    job = studio.job(first.image.job_id)
    assert (job.brief, job.request) == (EXAMPLES[0].brief, EXAMPLES[0].request)
    assert first.image.model_digest == EXAMPLES[0].model_digest
    assert [item.image.id for item in studio.gallery.page(ME, Look(text="handbag")).items] == [
        first.image.id
    ]


def test_a_studio_with_another_model_promises_nothing(tmp_path: Path) -> None:
    with opened(tmp_path, name="another") as studio:
        assert ids(studio) == []


def test_a_search_that_finds_nothing_is_no_reason_to_give_them(tmp_path: Path) -> None:
    with opened(tmp_path) as studio:
        assert studio.gallery.page(ME, Look(text="sofa")).total == 0
        assert len(ids(studio)) == 3


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one.file)
def test_the_file_of_an_example_is_the_one_its_record_tells_of(example: object) -> None:
    assert isinstance(example, type(EXAMPLES[0]))
    path = examples_dir() / example.file
    assert hashlib.sha256(path.read_bytes()).hexdigest() == example.digest
    told = read_metadata(path)
    assert json.loads(told["request"]) == json.loads(json.dumps(example.request.to_dict()))
    assert told["model_digest"] == example.model_digest
    with Image.open(path) as image:
        assert image.size == (example.request.width, example.request.height)
        assert np.asarray(image).std() > 10


def test_the_examples_are_of_the_model_that_ships() -> None:
    """Where this fails the model is another one: run `python -m scripts.make_examples`."""
    name, digest = read_card(draft_model_dir()).name, folder_digest(draft_model_dir())
    assert {(one.model_name, one.model_digest) for one in EXAMPLES} == {(name, digest)}
