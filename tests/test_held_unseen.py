"""An attack list: a held picture asked for by every address the studio has. None gives it away.

The addresses are asked of the app itself, so that one that is added later is attacked as well:
every route, the API's too, with everything an attacker may know of the picture in the place of its
parameters; by session, and by key.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import itertools
import re
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from PIL import Image, UnidentifiedImageError
from starlette.routing import Mount

from studio.access import RULES
from studio.api_key import Scope
from studio.application import Studio
from studio.brief import Brief
from studio.engine.classifier_process import ClassifierProcess
from studio.engine.denoiser import Denoiser, Rows
from studio.engine.gaussian import gaussian_model
from studio.review import Act
from studio.server import create_app
from studio.store import DATABASE_NAME
from studio.verdict import Release
from tests.conftest import WAIT_SECONDS, OpenStudio, Serve, Served
from tests.moderation_tools import REVIEWER, draw, take, write_policy
from tests.people_tools import browser_of, people_of

OWNER, STRANGER, OTHER = "olga", "bob", "raul"
"""Whose picture it is, another merchandiser, and a reviewer who has not its case."""

PEOPLE = {"olga": "merchandiser", "bob": "merchandiser", "rita": "reviewer", "raul": "reviewer"}
MANY = 10**9
"""Requests a minute: nobody is to be saved by asking too often."""

LEAVING = ("/sign-in", "/sign-out")
"""Asking these would end the session that asks the rest."""

MAX_BYTES = 2**20
STREAM_SECONDS = 0.5
NEAR = 12.0
"""Pictures that differ by less in the mean of their channels, of 255, are taken for the same."""

TRICKS = (
    "/pictures/{id}.png",
    "/pictures/{id}.png?download=1",
    "/pictures/{id}",
    "/pictures/{digest}.png",
    "/pictures/../held/{id}.png",
    "/pictures/..%2fheld%2f{id}.png",
    "/pictures/%2e%2e/held/{id}.png",
    "/pictures//held/{id}.png",
    "/pictures/{id}.png%00",
    "/pictures/{id}.PNG",
    "/held/{id}.png",
    "/held%2f{id}.png",
    "/previews/{job}/0.png",
    "/previews/{job}/00.png",
    "/drafts/{job}.png",
    "/review/pictures/{id}.png",
    "/review/pictures/{review}.png?plain=1",
    "/review/pictures/{review}.png?plain=1&grey=1",
    "/review/pictures/../../held/{id}.png",
    "/placeholders/{id}.png",
    "/placeholders/..%2f..%2fheld%2f{id}.png",
    "/thumbnails/{id}.png",
    "/thumbnails/{id}.webp",
    "/file={path}",
    "/gradio_api/file={path}",
    "/gradio_api/file=held/{id}.png",
    "/gradio_api/file/{path}",
    "/gradio_api/proxy=file://{path}",
    "/gradio_api/stream/{id}/0/0/playlist-file",
    "/static/{path}",
    "/assets/../../held/{id}.png",
    "//{path}",
    "/%2e%2e/%2e%2e/{path}",
)


class Target:
    """A picture that is not to be seen, and everything an attacker may know of it."""

    def __init__(self, studio: Studio, job_id: str, review_id: str) -> None:
        (record,) = studio._store.images(job_id=job_id, release=None)
        self.path = studio.config.data_dir.absolute() / "held" / f"{record.id}.png"
        self.content = self.path.read_bytes()
        with Image.open(self.path) as picture:
            self.mean = np.asarray(picture.convert("RGB")).reshape(-1, 3).mean(axis=0)
        self.names = {
            "id": record.id,
            "digest": record.digest,
            "job": job_id,
            "review": review_id,
            "path": str(self.path),
        }

    def is_shown_by(self, content: bytes) -> bool:
        """Whether `content` is, or holds, the picture in whatever size or format."""
        if self.content[33:] in content or self.content[100:400] in content:
            return True
        if content[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                return any(self.is_shown_by(archive.read(name)) for name in archive.namelist())
        for found in re.findall(rb"data:image/[a-z]+;base64,([A-Za-z0-9+/=]+)", content):
            if self.is_shown_by(base64.b64decode(found)):
                return True
        try:
            with Image.open(io.BytesIO(content)) as picture:
                mean = np.asarray(picture.convert("RGB")).reshape(-1, 3).mean(axis=0)
        except (UnidentifiedImageError, OSError, ValueError):
            return False
        return bool(np.abs(mean - self.mean).max() < NEAR)


def fetch(client: httpx.Client, address: str, method: str = "GET", **more: Any) -> bytes:
    """What comes within half a second, of streams that do not end."""
    received = bytearray()
    deadline = time.monotonic() + STREAM_SECONDS
    try:
        with client.stream(method, address, **more) as answer:
            for part in answer.iter_bytes():
                received += part
                if len(received) > MAX_BYTES or time.monotonic() > deadline:
                    break
    except (httpx.TimeoutException, httpx.RemoteProtocolError, httpx.InvalidURL):
        pass
    return bytes(received)


def routes_of(app: FastAPI) -> set[tuple[str, str]]:
    """(path, method) of every route of the app and of the API that is mounted in it."""
    found = {
        (str(route.path), method)
        for route in iter_route_contexts(app.routes)
        for method in (route.methods or ())
    }
    for route in app.routes:
        if isinstance(route, Mount) and route.path and isinstance(route.app, FastAPI):
            found |= {(route.path + path, method) for path, method in routes_of(route.app)}
    return found


def addresses(app: FastAPI, names: dict[str, str]) -> Iterator[tuple[str, str]]:
    """(method, address) of every route, with everything that is known in its parameters."""
    known = [*names.values(), f"{names['id']}.png", f"held/{names['id']}.png", "0", "png"]
    others = {(rule.replace("*", "{rest}"), "GET") for rule in RULES}
    for path, method in sorted(routes_of(app) | others):
        if method not in ("GET", "POST") or path in LEAVING:
            continue
        parameters = re.findall(r"{([^}]+)}", path)
        for values in itertools.product(known, repeat=min(len(parameters), 2)):
            address = path
            for parameter, value in itertools.zip_longest(parameters, values, fillvalue="0"):
                address = address.replace(f"{{{parameter}}}", str(value))
            yield method, address


def attack(served: Served, target: Target) -> list[str]:
    """Every address that gave the picture away, and to whom."""
    guesses = list(target.names.values())
    body = dict.fromkeys(("ids", "images", "image_ids", "pictures", "data"), guesses)
    tricks = [("GET", trick.format(**target.names)) for trick in TRICKS]
    routes = list(addresses(create_app(served.studio), target.names))
    keyed = [each for each in routes if each[1].startswith("/api/")]
    found = []

    def ask(client: httpx.Client, who: object, asked: list[tuple[str, str]]) -> None:
        client.timeout = httpx.Timeout(STREAM_SECONDS)
        for method, address in asked:
            more = {"json": body} if method == "POST" else {}
            if target.is_shown_by(fetch(client, address, method, **more)):
                found.append(f"{who}: {method} {address}")

    for name in (None, OWNER, STRANGER, OTHER):
        with browser_of(served, name) as client:
            ask(client, name, [*tricks, *routes])
    for name in (OWNER, OTHER):
        key = served.studio.keys.create(name, "attack", list(Scope))[1]
        with browser_of(served) as client:
            client.headers["Authorization"] = f"Bearer {key}"
            ask(client, f"a key of {name}", keyed)
    return found


@pytest.fixture
def studio(open_studio: OpenStudio, tmp_path: Path) -> Studio:
    policy = write_policy(tmp_path, undo_seconds=0)
    studio = open_studio(
        is_closed_world=False, moderation_policy=policy, api_requests_per_minute=MANY
    )
    people_of(studio, **PEOPLE)
    return studio


@pytest.fixture
def held(studio: Studio) -> Target:
    """A held picture of `olga`, whose case `rita` has."""
    job_id = draw(studio, owner=OWNER)
    return Target(studio, job_id, take(studio).review.id)


def test_the_list_would_find_a_picture_that_is_given_away(
    studio: Studio, serve: Serve, held: Target
) -> None:
    studio.moderation.approve(REVIEWER, held.names["review"])
    deadline = time.monotonic() + WAIT_SECONDS
    while held.path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    served = serve(studio)
    with browser_of(served, OWNER) as client:
        for address in ("/pictures/{id}.png", "/api/v1/pictures/{id}/file"):
            address = address.format(**held.names)
            assert held.is_shown_by(fetch(client, address))
            assert any(address in asked for asked in addresses(create_app(studio), held.names))
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("a.png", held.content)
        assert held.is_shown_by(archive.getvalue())


def test_a_held_picture_is_given_to_nobody(studio: Studio, serve: Serve, held: Target) -> None:
    assert attack(serve(studio), held) == []


def test_a_rejected_picture_is_given_to_nobody(studio: Studio, serve: Serve, held: Target) -> None:
    studio.moderation.reject(REVIEWER, held.names["review"], "nudity")
    deadline = time.monotonic() + WAIT_SECONDS
    while studio._store.image(held.names["id"]).release is not Release.REJECTED:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert attack(serve(studio), held) == []


def test_a_reported_picture_is_gone_even_from_the_caches_of_who_has_seen_it(
    studio: Studio, serve: Serve, held: Target
) -> None:
    studio.moderation.approve(REVIEWER, held.names["review"])
    address = f"/pictures/{held.names['id']}.png"
    with browser_of(serve(studio), OWNER) as client:
        deadline = time.monotonic() + WAIT_SECONDS
        while (seen := client.get(address)).status_code == 404:
            assert time.monotonic() < deadline
        assert seen.headers["cache-control"] == "private, no-cache"
        known = {"if-none-match": seen.headers["etag"]}
        assert client.get(address, headers=known).status_code == 304
        assert client.post(f"{address[:-4]}/report", json={"words": "odd"}).status_code == 201
        assert client.get(address, headers=known).status_code == 404


class Waiting:
    """The closed-form denoiser, which stops in the middle of a picture until it may go on."""

    def __init__(self, denoiser: Denoiser) -> None:
        self._denoiser = denoiser
        self.num_passes_left = 10**9
        self.may_go_on = threading.Event()

    def denoise(self, rows: Rows) -> torch.Tensor:
        self.num_passes_left -= 1
        if self.num_passes_left < 0:
            assert self.may_go_on.wait(600)
        return self._denoiser.denoise(rows)


def test_a_picture_that_is_being_made_and_doubted_is_given_to_nobody_by_any_address(
    open_studio: OpenStudio, serve: Serve, tmp_path: Path
) -> None:
    weights = tmp_path / "weights.txt"
    weights.write_text("well")
    model = gaussian_model()
    waiting = Waiting(model.denoiser)
    model = dataclasses.replace(model, denoiser=waiting)
    studio = open_studio(
        load=lambda precision, report: model,
        is_closed_world=False,
        moderation_policy=write_policy(tmp_path, hold_from=0.0),
        classifier=ClassifierProcess(
            weights, sha256="", cache_dir=None, worker="tests.plain_classifier"
        ),
        api_requests_per_minute=MANY,
    )
    people_of(studio, **PEOPLE)
    studio.wait_until_ready(WAIT_SECONDS)
    target = Target(studio, draw(studio, owner=OWNER), take(studio).review.id)
    waiting.num_passes_left = 6
    job = studio.submit(Brief(subject="mug", color="red", seed=7), OWNER)
    target.names |= {"job": job.id, "id": job.image_id(0)}
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while waiting.num_passes_left >= 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert attack(serve(studio), target) == []
        assert studio.job(job.id, OWNER).status.is_active
    finally:
        waiting.may_go_on.set()


def test_a_picture_that_is_being_made_is_given_to_nobody(
    open_studio: OpenStudio, serve: Serve
) -> None:
    studio = open_studio(is_closed_world=False, step_seconds=0.05)
    studio.wait_until_ready(WAIT_SECONDS)
    served = serve(studio)
    job = studio.submit(Brief(subject="mug", color="red", seed=7, num_steps=30))
    with httpx.Client(base_url=served.address, timeout=WAIT_SECONDS) as client:
        seen = set()
        while studio.job(job.id).status.is_active:
            seen.add(client.get(f"/previews/{job.id}/0.png").status_code)
    assert seen == {204}


def test_only_a_reviewer_with_the_case_is_shown_it_and_blurred_at_first(
    studio: Studio, serve: Serve, held: Target
) -> None:
    address = f"/review/pictures/{held.names['review']}.png"
    served = serve(studio)
    with browser_of(served, "rita") as client:
        blurred, plain = client.get(address), client.get(f"{address}?plain=1")
    assert (blurred.status_code, plain.status_code) == (200, 200)
    assert plain.headers["cache-control"] == "no-store"
    assert blurred.content != plain.content
    for name, status in ((None, 401), (OWNER, 403), (STRANGER, 403), (OTHER, 404)):
        with browser_of(served, name) as client:
            assert client.get(f"{address}?plain=1").status_code == status


def test_neither_the_database_nor_an_export_holds_a_picture(studio: Studio, held: Target) -> None:
    for path in studio.config.data_dir.glob(f"{DATABASE_NAME}*"):
        assert b"\x89PNG" not in path.read_bytes()
    assert [entry.act for entry in studio.moderation.decisions(REVIEWER)] == [Act.OPEN]


def test_the_page_of_its_owner_shows_a_placeholder_and_a_sentence(
    studio: Studio, serve: Serve, held: Target
) -> None:
    with browser_of(serve(studio), OWNER) as client:
        answer = client.get("/placeholders/held.svg")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/svg+xml"
    assert b"<script" not in answer.content


def test_held_files_lie_where_no_other_user_of_the_machine_may_look(held: Target) -> None:
    assert held.path.parent.stat().st_mode & 0o077 == 0
