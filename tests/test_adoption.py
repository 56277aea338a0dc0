"""What was made before there were accounts becomes somebody's, all of it."""

from __future__ import annotations

import numpy as np
import pytest

from studio.application import Studio
from studio.batch import BatchStatus
from studio.brief import Brief
from studio.errors import Conflict, NotFound
from studio.gallery import Look
from studio.person import LOCAL_PERSON
from tests.batch_tools import good_lines, table, wait_for_batch
from tests.conftest import WAIT_SECONDS
from tests.people_tools import people_of

LOCAL = LOCAL_PERSON.name
KEPT = {"api_keys", "kept_answers", "usage"}
"""Keys are revoked and answers forgotten; usage is added up."""


def test_everything_of_the_local_user_becomes_somebodys(studio: Studio) -> None:
    digest = studio.sketches.keep(LOCAL, np.zeros((64, 64, 3), np.uint8))
    batch_id = studio.batches.check("mugs.csv", table(*good_lines(3))).batch.id
    studio.batches.start(batch_id)
    wait_for_batch(studio, batch_id, BatchStatus.FINISHED)
    studio.wait(studio.submit(Brief(subject="teapot")).id, WAIT_SECONDS)
    image_id = studio.images()[0].id
    studio.moderation.report(LOCAL_PERSON, image_id)
    _, secret = studio.keys.create(LOCAL, "old", ["jobs:read"])
    with pytest.raises(Conflict, match="add one first"):
        studio.people.adopt("ada", by=LOCAL_PERSON)
    people = people_of(studio, bob="merchandiser")
    ada = people.account("ada").person()
    with pytest.raises(NotFound):
        people.adopt("nobody", by=ada)
    adopted = people.adopt("bob", by=ada)
    assert (adopted.num_jobs, adopted.num_pictures, adopted.num_batches) == (4, 4, 1)
    bob = people.account("bob").person()
    assert studio.gallery.page(bob, Look(collection="mugs.csv")).total == 3
    assert studio.batches.view(batch_id, "bob").batch.status is BatchStatus.FINISHED
    assert studio.sketches.path("bob", digest).is_file()
    assert not studio.sketches.path(LOCAL, digest).exists()
    assert people.usage("bob")[0] == 4
    assert studio.keys.holder(secret) is None
    assert people.adopt("bob", by=ada).num_jobs == 0
    assert [each.object for each in studio.audit.entries(act="account.adopt")] == ["bob", "bob"]


def test_no_table_with_an_owner_is_forgotten(studio: Studio) -> None:
    studio.wait(studio.submit(Brief(subject="mug")).id, WAIT_SECONDS)
    people = people_of(studio)
    people.adopt("ada", by=people.account("ada").person())
    rows = studio._store._rows
    tables = [row["name"] for row in rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    owned = {
        name
        for name in tables
        if any(column["name"] == "owner" for column in rows(f"PRAGMA table_info({name})"))
    }
    assert {"jobs", "images", "shelf", "batches", "reviews", "hooks"} | KEPT == owned
    for name in sorted(owned - KEPT):
        assert not rows(f"SELECT 1 FROM {name} WHERE owner = 'local'"), name
