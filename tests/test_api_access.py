"""Whose things they are: two people, a stranger and an expired key at every route of the API.

The routes are read from the description, so that a new one cannot be forgotten.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import httpx
import pytest

from studio.api_key import Scope
from studio.application import Studio
from studio.brief import Brief
from studio.person import CONSOLE_PERSON
from tests.batch_tools import good_lines, table, wait_for_batch
from tests.conftest import WAIT_SECONDS, OpenStudio, Serve

API = "/api/v1"
BODIES = {
    "/jobs/{job_id}/cancel": {"mode": "now"},
    "/keys": {"name": "x", "scopes": ["keys"]},
}


@pytest.fixture
def owned(open_studio: OpenStudio, serve: Serve) -> Iterator[tuple[httpx.Client, Studio]]:
    studio = open_studio()
    studio.wait_until_ready(WAIT_SECONDS)
    for name in ("ada", "bob"):
        roles = ["merchandiser", "admin"] if name == "ada" else ["merchandiser"]
        studio.people.add(name, "four words and more", roles, by=CONSOLE_PERSON)
    with httpx.Client(base_url=serve(studio).address + API, timeout=WAIT_SECONDS) as http:
        yield http, studio


def bearer(studio: Studio, owner: str) -> dict[str, str]:
    _, secret = studio.keys.create(owner, "all", list(Scope))
    return {"Authorization": f"Bearer {secret}"}


def things_of(studio: Studio, owner: str) -> dict[str, str]:
    """One of everything of the owner's, by the name its routes have for it."""
    job = studio.submit(Brief(subject="mug"), owner)
    picture = studio.wait(job.id, WAIT_SECONDS).images[0].id
    batch_id = studio.batches.check("a.csv", table(*good_lines(1)), owner).batch.id
    studio.batches.start(batch_id, owner)
    wait_for_batch(studio, batch_id, owner=owner)
    studio.hooks._allowed_hosts = frozenset({"127.0.0.1"})
    hook_id = studio.hooks.add(owner, "http://127.0.0.1:9/x", ["job.failed"]).id
    key, _ = studio.keys.create(owner, "mine", [Scope.JOBS_READ])
    return {
        "job_id": job.id,
        "picture_id": picture,
        "batch_id": batch_id,
        "webhook_id": hook_id,
        "key_id": key.id,
    }


def test_nobody_gets_at_what_is_anothers(owned: tuple[httpx.Client, Studio]) -> None:
    http, studio = owned
    bob = bearer(studio, "bob")
    things = things_of(studio, "ada")
    paths = http.get("/openapi.json", headers=bob).json()["paths"]
    tried = 0
    for path, methods in paths.items():
        if "{" not in path:
            continue
        for method in methods:
            answer = http.request(method, path.format(**things), headers=bob, json=BODIES.get(path))
            assert answer.status_code == 404, (method, path, answer.text)
            tried += 1
    assert tried >= 20
    # And nothing of it happened, nor shows in any list.
    for path in ("/jobs", "/pictures", "/batches", "/webhooks"):
        assert http.get(path, headers=bob).json()["items"] == []
    shown = http.get("/keys", headers=bob).text
    assert things["key_id"] not in shown
    assert studio.batches.view(things["batch_id"], "ada").num_over == 1
    assert studio.hooks.hook(things["webhook_id"], "ada")


def test_who_has_no_account_or_a_key_that_is_over_gets_nothing(
    owned: tuple[httpx.Client, Studio],
) -> None:
    http, studio = owned
    expired = bearer(studio, "ada")
    studio._store._write(lambda db: db.execute("UPDATE api_keys SET expires_at = 1"))
    paths = http.get("/openapi.json", headers=bearer(studio, "bob")).json()["paths"]
    for path, headers in itertools.product(paths, ({}, expired, {"Cookie": "vitrine-session=x"})):
        for method in paths[path]:
            answer = http.request(method, path, headers=headers)
            assert answer.status_code == 401, (method, path)
            assert answer.headers["content-type"] == "application/problem+json"


def test_a_key_is_over_when_its_owner_may_not_come_in_any_more(
    owned: tuple[httpx.Client, Studio],
) -> None:
    http, studio = owned
    bob = bearer(studio, "bob")
    assert http.get("/jobs", headers=bob).status_code == 200
    studio.people.set_enabled("bob", False, by=CONSOLE_PERSON)
    assert http.get("/jobs", headers=bob).status_code == 401


def test_who_does_not_make_pictures_makes_none_with_a_key_either(
    owned: tuple[httpx.Client, Studio],
) -> None:
    http, studio = owned
    studio.people.add("eve", "four words and more", ["reviewer"], by=CONSOLE_PERSON)
    sent = {"brief": {"subject": "mug"}}
    answer = http.post("/jobs", json=sent, headers=bearer(studio, "eve"))
    assert answer.status_code == 403
    assert "merchandiser" in answer.json()["detail"]
