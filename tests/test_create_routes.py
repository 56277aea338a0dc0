"""The routes of the canvas and of drafts, over a real server."""

from __future__ import annotations

import io
import socket

import httpx
import numpy as np
import pytest
from PIL import Image

from studio.brief import Brief
from tests.conftest import WAIT_SECONDS, OpenStudio, Serve, Served
from tests.test_sketch import drawing, encoded, huge_png

OWNER = "local"


@pytest.fixture
def served(open_studio: OpenStudio, serve: Serve) -> Served:
    return serve(open_studio(step_seconds=0.02))


def post(served: Served, data: bytes) -> httpx.Response:
    return httpx.post(f"{served.address}/sketches", content=data)


def test_a_sketch_is_kept_and_comes_back(served: Served) -> None:
    answer = post(served, encoded(Image.fromarray(drawing())))
    assert answer.status_code == 201
    said = answer.json()
    assert (said["height"], said["width"]) == (512, 512)
    assert (said["is_blank"], said["is_line_drawing"]) == (False, True)
    back = httpx.get(f"{served.address}/sketches/{said['sketch']}.png")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(back.content))), drawing())
    address = f"{served.address}/sketches/{said['sketch']}/outlines.png"
    found = httpx.get(address, params={"height": 64, "width": 96, "low": 50, "high": 90})
    assert Image.open(io.BytesIO(found.content)).size == (96, 64)
    for wrong in ({"height": 0}, {"width": "x"}, {"height": 9999}, {"low": 400}):
        refused = httpx.get(address, params={"height": 64, "width": 64} | wrong)
        assert refused.status_code == 422
        assert refused.json()["error"]


@pytest.mark.parametrize(
    ("data", "status", "sentence"),
    [
        (b"text", 422, "no picture that the studio reads"),
        (b"<svg/>", 422, "An SVG is a program"),
        (huge_png(50_000, 50_000), 422, "too large"),
        (b"", 422, "The file is empty"),
        (bytes(20 * 2**20 + 1), 413, "more than the studio takes at once (20 MiB)"),
    ],
)
def test_what_is_no_sketch_is_refused_and_nothing_is_kept(
    served: Served, data: bytes, status: int, sentence: str
) -> None:
    answer = post(served, data)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]
    assert not list(served.studio.config.data_dir.rglob("*.png"))


def test_two_hundred_megabytes_are_refused_by_their_head(served: Served) -> None:
    host, port = served.address.removeprefix("http://").split(":")
    head = f"POST /sketches HTTP/1.1\r\nHost: {host}\r\nContent-Length: {200 * 2**20}\r\n\r\n"
    with socket.create_connection((host, int(port)), WAIT_SECONDS) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("path", ["0" * 64, "..%2F..%2Fstudio", "x", "%00"])
def test_what_is_not_there_is_not_found(served: Served, path: str) -> None:
    assert httpx.get(f"{served.address}/sketches/{path}.png").status_code == 404
    assert httpx.get(f"{served.address}/sketches/{path}").status_code == 404
    assert httpx.get(f"{served.address}/drafts/{path}.png").status_code == 404


def test_a_draft_is_answered_when_it_is_drawn_and_one_superseded_at_once(served: Served) -> None:
    first = served.studio.drafts.begin(Brief(subject="mug"), OWNER)
    second = served.studio.drafts.begin(Brief(subject="sofa"), OWNER)
    assert httpx.get(f"{served.address}/drafts/{first.id}.png").status_code == 204
    answer = httpx.get(f"{served.address}/drafts/{second.id}.png", timeout=30)
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).size == (64, 64)


def test_a_draft_that_takes_long_is_asked_for_again(
    open_studio: OpenStudio, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.create_routes.DRAFT_WAIT_SECONDS", 0.05)
    served = serve(open_studio(step_seconds=0.1))
    draft = served.studio.drafts.begin(Brief(subject="mug"), OWNER)
    answers = [202]
    while answers[-1] == 202:
        answers.append(httpx.get(f"{served.address}/drafts/{draft.id}.png").status_code)
    assert len(answers) > 2
    assert answers[-1] == 200


def test_a_draft_that_may_not_be_seen_says_so(served: Served) -> None:
    draft = served.studio.drafts.begin(Brief(subject="mug"), OWNER)
    served.studio._store.mark_failed(draft.id, "This draft is held back.")
    answer = httpx.get(f"{served.address}/drafts/{draft.id}.png")
    assert answer.status_code == 409
    assert answer.json()["error"] == "This draft is held back."
