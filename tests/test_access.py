"""Every address of the studio, tried by people it is not for.

The list is made from the app's own routes and from the handlers of the page, so that a new one
cannot be forgotten: without a rule, and a way to try it here, a test fails.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

import gradio
import httpx
import numpy as np
import pytest
from starlette.routing import Mount

from studio.access import KEYED, RULES, Access, access_of, check_rules, own_paths
from studio.api_key import Scope
from studio.brief import Brief
from studio.server import create_app
from studio.ui import catalogue, progress, review
from studio.ui.create_acts import press_button, take_draft
from tests.conftest import WAIT_SECONDS, OpenStudio, Served, serving
from tests.people_tools import browser_of, people_of

PEOPLE = {"bob": "merchandiser", "eve": "merchandiser", "rita": "reviewer"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A studio with people, in which Bob has a finished picture and a running job."""
    from studio.application import Studio
    from studio.config import Config
    from studio.engine.gaussian import gaussian_model

    model = gaussian_model(step_seconds=0.2)
    config = Config(
        data_dir=tmp_path_factory.mktemp("access"),
        precision="float32",
        max_rows=2,
        max_num_images=99,
    )
    with Studio.open(config, card=model.card, load=lambda precision, report: model) as studio:
        people_of(studio, **PEOPLE)
        studio.wait_until_ready(WAIT_SECONDS)
        done = studio.submit(Brief(subject="mug", notes="secret-of-bob", num_steps=1), "bob")
        studio.wait(done.id, WAIT_SECONDS)
        studio.submit(
            Brief(subject="mug", notes="secret-of-bob", num_images=99, num_steps=100), "bob"
        )
        with serving(studio) as served:
            yield served


def paths_of(served: Served) -> list[str]:
    """The path of every route, the API's and Gradio's included."""
    app = create_app(served.studio)
    mounted = (route for route in app.routes if isinstance(route, Mount))
    inner = (f"{mount.path}{path}" for mount in mounted for path in own_paths(mount.app))
    return sorted({*own_paths(app), *inner})


@pytest.fixture(scope="module")
def addresses(served: Served) -> list[str]:
    """The same with Bob's objects for the names in them."""
    names = objects_of_bob(served)
    return sorted({filled(path, names) for path in paths_of(served)})


def objects_of_bob(served: Served) -> dict[str, str]:
    """One of everything of Bob's, by the names that routes have for it."""
    studio = served.studio
    image = studio.images("bob")[-1]
    table = b"sku,subject,notes\nA,mug,secret-of-bob\n"
    bob = studio.people.account("bob")
    token = studio.people.open_session(bob, address="127.0.0.1", agent="", how="password")
    return {
        "batch_id": studio.batches.check("bobs.csv", table, "bob").batch.id,
        "picture_id": image.id,
        "digest": studio.sketches.keep("bob", np.zeros((64, 64, 3), np.uint8)),
        "image_id": image.id,
        "job_id": studio.jobs("bob")[0].id,
        "key_id": studio.keys.create("bob", "a program", list(Scope))[0].id,
        "session_id": str(studio.people.session_id(token)),
        "index": "0",
        "fn_index": "0",
    }


def filled(path: str, names: dict[str, str]) -> str:
    return re.sub(r"{(\w+)(:\w+)?}", lambda found: names.get(found[1], "x"), path)


def ask(client: httpx.Client, path: str) -> Iterator[tuple[str, httpx.Response]]:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        with client.stream(method, path) as answer:
            # A stream of events goes on for ever: its head says enough.
            if "event-stream" not in answer.headers.get("content-type", ""):
                answer.read()
            yield method, answer


def test_every_route_of_ours_has_a_rule(served: Served) -> None:
    check_rules(create_app(served.studio))


def test_a_route_without_a_rule_is_found_at_the_start(served: Served) -> None:
    app = create_app(served.studio)
    app.add_api_route("/secrets", lambda: "all of them")
    with pytest.raises(LookupError, match=r"may ask for /secrets: see studio\.access"):
        check_rules(app)


def test_the_list_is_of_all_there_is(addresses: list[str]) -> None:
    assert len(addresses) > 60
    assert "/healthz" in addresses
    assert any("queue/join" in address for address in addresses)


def test_nobody_gets_anywhere_but_to_the_way_in(served: Served, addresses: list[str]) -> None:
    with browser_of(served) as client:
        for address in addresses:
            for method, answer in ask(client, address):
                access = access_of(address)
                where = f"{method} {address}"
                if access is Access.PUBLIC:
                    assert answer.status_code < 500, where
                elif access is None:
                    assert answer.status_code == 404, where
                else:
                    assert answer.status_code == 401, where
                if "event-stream" not in answer.headers.get("content-type", ""):
                    assert "secret-of-bob" not in answer.text, where


def test_a_session_that_has_ended_gets_nowhere_either(served: Served, addresses: list[str]) -> None:
    with browser_of(served, "bob") as client:
        assert client.get("/session").status_code == 200
        people = served.studio.people
        session_id = people.session_id(client.cookies["vitrine-session"])
        assert session_id is not None
        people.end_session(session_id, people.account("ada").person())
        for address in addresses:
            if access_of(address) not in (None, Access.PUBLIC):
                assert {answer.status_code for _, answer in ask(client, address)} == {401}, address


@pytest.mark.parametrize("cookie", ["x", "x" * 5000, "🍪", '"', "a=b", "../../etc"])
def test_a_cookie_that_was_made_up_gets_nowhere(served: Served, cookie: str) -> None:
    with browser_of(served) as client:
        header = f"vitrine-session={cookie}".encode()
        answer = client.get("/session", headers=[(b"cookie", header)])
        assert answer.status_code == 401


def test_what_is_bobs_is_not_there_for_anybody_else(served: Served, addresses: list[str]) -> None:
    """Ada is an admin, and gets no further here: she ends sessions, pictures are their owner's."""
    of_bob = objects_of_bob(served)
    theirs = {
        filled(path, of_bob)
        for path in paths_of(served)
        if any(f"{{{name}}}" in path for name in of_bob if name.endswith("_id") or name == "digest")
    }
    assert len(theirs) >= 20
    for name in ("eve", "rita", "ada"):
        with browser_of(served, name) as client:
            for address in sorted(theirs):
                if name == "ada" and of_bob["session_id"] in address:
                    continue
                for method, answer in ask(client, address):
                    # 403: who makes no pictures is told so before it is looked for.
                    where = f"{name}: {method} {address}"
                    assert answer.status_code in (403, 404, 405, 422), where
    with browser_of(served, "bob") as client:
        assert client.get(f"/pictures/{of_bob['image_id']}.png").status_code == 200
        assert client.get(f"/previews/{of_bob['job_id']}/0.png").status_code in (200, 204)
        assert of_bob["session_id"] in [one.id for one in served.studio.people.sessions("bob")]
        assert all(key.is_good for key in served.studio.keys.list("bob"))


@pytest.mark.parametrize("is_over", [False, True], ids=["good", "expired"])
def test_a_key_opens_nothing_but_the_api_and_an_expired_one_not_even_that(
    served: Served, addresses: list[str], is_over: bool
) -> None:
    key, secret = served.studio.keys.create("bob", "a program", list(Scope))
    if is_over:
        sql = "UPDATE api_keys SET expires_at = 1 WHERE id = ?"
        served.studio._store._write(lambda db: db.execute(sql, [key.id]))
    with browser_of(served) as client:
        client.headers["Authorization"] = f"Bearer {secret}"
        assert (client.get("/api/v1/jobs").status_code == 200) is not is_over
        for address in addresses:
            is_closed = is_over or not address.startswith(KEYED)
            if is_closed and access_of(address) not in (None, Access.PUBLIC):
                assert {answer.status_code for _, answer in ask(client, address)} == {401}, address


def test_an_address_for_a_role_is_for_nobody_else(served: Served, addresses: list[str]) -> None:
    with browser_of(served, "eve") as client:
        for address in addresses:
            if access_of(address) in (Access.ADMIN, Access.REVIEWER):
                assert {answer.status_code for _, answer in ask(client, address)} == {403}, address


# The handlers of the page


def handlers(client: httpx.Client) -> list[dict[str, Any]]:
    config = client.get("/config").json()
    return [each for each in config["dependencies"] if each["backend_fn"]]


def call(
    client: httpx.Client, handler: dict[str, Any], data: list[Any], session: str, event: Any = None
) -> httpx.Response:
    """Call a handler that does not go through the queue."""
    return client.post("/gradio_api/run/predict", json=body_of(handler, data, session, event))


def body_of(handler: dict[str, Any], data: list[Any], session: str, event: Any) -> dict[str, Any]:
    return {
        "data": data,
        "fn_index": handler["id"],
        "session_hash": session,
        "event_data": event,
    }


def is_queued(handler: dict[str, Any]) -> bool:
    return handler["queue"] is not False


def tried(
    client: httpx.Client, handler: dict[str, Any], tries: list[tuple[Any, Any]], session: str
) -> list[str]:
    """What a handler says to each of (what is in the form, which button); each is carried out."""
    filled_in = [([thing] * len(handler["inputs"]), event) for thing, event in tries]
    if not is_queued(handler):
        answers = [call(client, handler, data, session, event) for data, event in filled_in]
        failed = [each for each, answer in zip(tries, answers, strict=True) if answer.is_error]
        assert failed == [], handler
        return [answer.text for answer in answers]
    for data, event in filled_in:
        body = body_of(handler, data, session, event)
        assert client.post("/gradio_api/queue/join", json=body).status_code == 200
    address = f"/gradio_api/queue/data?session_hash={session}"
    with client.stream("GET", address) as answer:
        lines = [line for line in answer.iter_lines() if "process_completed" in line]
    assert len(lines) == len(tries), "none was left out"
    return lines


def test_no_handler_of_the_page_shows_anybody_what_is_bobs(served: Served) -> None:
    of_bob = objects_of_bob(served)
    things = [None, "", of_bob["job_id"], "bob", of_bob["image_id"], {"id": of_bob}]
    with browser_of(served, "eve") as client:
        found = handlers(client)
        assert {is_queued(handler) for handler in found} == {True, False}
        for handler in found:
            said = tried(client, handler, [(thing, None) for thing in things], "of-eve")
            for thing, answer in zip(things, said, strict=True):
                assert "secret-of-bob" not in answer, (handler, thing)
                if of_bob["image_id"] not in json.dumps(thing):  # else it says what it was told
                    assert of_bob["image_id"] not in answer, (handler, thing)


def test_a_tab_is_there_for_nobody_but_whose_it_is(served: Served) -> None:
    with browser_of(served, "bob") as bob, browser_of(served, "eve") as eve:
        handler = next(each for each in handlers(bob) if each["queue"] is not False)
        body = {"data": [None] * len(handler["inputs"]), "fn_index": handler["id"]}
        body |= {"session_hash": "tab-of-bob"}
        assert bob.post("/gradio_api/queue/join", json=body).status_code == 200
        tries = [
            eve.post("/gradio_api/queue/join", json=body),
            eve.post("/gradio_api/run/predict", json=body),
            eve.post("/gradio_api/cancel", json={**body, "event_id": "x"}),
            eve.get("/gradio_api/queue/data?session_hash=mine&session_hash=tab-of-bob"),
            eve.get("/gradio_api/queue/data?session_hash=tab-of-bob"),
            eve.get("/gradio_api/heartbeat/tab-of-bob"),
        ]
        assert [answer.status_code for answer in tries] == [404] * len(tries)
        with bob.stream("GET", "/gradio_api/queue/data?session_hash=tab-of-bob") as answer:
            assert answer.status_code == 200


def test_a_page_that_watches_is_cut_off_when_its_session_ends(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.visit.LOOK_SECONDS", 0.1)
    with (
        browser_of(served, "bob") as bob,
        browser_of(served, "bob") as other,
        bob.stream("GET", "/gradio_api/heartbeat/another-of-bob") as answer,
    ):
        told = answer.iter_text()
        assert next(told).startswith("data: ALIVE")
        people = served.studio.people
        session_id = people.session_id(bob.cookies["vitrine-session"])
        assert session_id is not None
        people.end_session(session_id, people.account("ada").person())
        assert all(each.startswith("data: ALIVE") for each in told), "and it ends"
        assert bob.get("/session").status_code == 401
        assert other.get("/session").status_code == 200


def test_no_button_of_the_page_moves_what_is_bobs(served: Served) -> None:
    of_bob = objects_of_bob(served)
    before = state_of_bob(served)
    ids = {part["id"] for part in before["jobs"]}
    buttons = [
        {"act": act, "id": thing, "index": 0}
        for act in sorted(acts_of_the_page())
        for thing in (*ids, of_bob["batch_id"])
    ]
    with browser_of(served, "eve") as client:
        for handler in handlers(client):
            tries = [(None, button) for button in buttons]
            if not is_queued(handler):
                tries = tries[::7]  # none of these asks which button it was
            for said in tried(client, handler, tries, "of-eve-too"):
                assert "secret-of-bob" not in said, handler
    assert state_of_bob(served) == before


def state_of_bob(served: Served) -> dict[str, list[dict[str, Any]]]:
    jobs, batches = served.studio.jobs("bob"), served.studio.batches.page("bob")
    return {
        "jobs": [
            {"id": job.id, "skipped": job.skipped, "is_stopping": job.is_stopping} for job in jobs
        ],
        "batches": [{"id": batch.id, "status": batch.status} for batch in batches],
    }


def acts_of_the_page() -> set[str]:
    """Every word that what a button sent is compared with, by those who carry buttons out."""
    acts: set[str] = set()
    for act in (press_button, take_draft, progress.act, catalogue.act, review.act):
        for node in ast.walk(ast.parse(inspect.getsource(act))):
            if isinstance(node, ast.Compare | ast.Dict):
                words = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant))
                acts |= {word for word in words if isinstance(word, str) and word}
    return acts


def test_the_buttons_are_known() -> None:
    assert acts_of_the_page() >= {"stop", "retry", "stop-group", "edit-brief", "start", "approve"}


def test_nobody_calls_a_handler_without_being_signed_in(served: Served) -> None:
    with browser_of(served, "eve") as client:
        found = handlers(client)
    with browser_of(served) as client:
        for handler in found:
            answer = call(client, handler, [None] * len(handler["inputs"]), "of-nobody")
            assert answer.status_code == 401, handler


def test_a_person_without_the_role_makes_no_pictures(served: Served) -> None:
    with browser_of(served, "rita") as client:
        config = client.get("/config").json()
        names = {part["id"]: part["props"].get("elem_id") or "" for part in config["components"]}
        (generate,) = (
            event
            for event in config["dependencies"]
            if event["targets"] and names.get(event["targets"][0][0]) == "generate"
        )
        form = {"field-subject": "mug", "field-num_images": 1}
        data = [form.get(names[part]) for part in generate["inputs"]]
        answer = call(client, generate, data, "of-rita")
    assert "“merchandiser”" in json.dumps(answer.json(), ensure_ascii=False)
    assert served.studio.jobs("rita") == []


def test_rules_are_sorted_below_their_headings_and_gradio_is_the_version_they_were_made_for() -> (
    None
):
    gradios = [path for path in RULES if path.startswith("/gradio_api/")]
    assert gradios == sorted(gradios)
    assert gradio.__version__.startswith("6.")


def test_the_longest_rule_wins_and_the_rest_is_closed() -> None:
    assert access_of("/sign-in") is Access.PUBLIC
    for path in ("/sign-in/", "/monitoring", "/gradio_api/vibe-edit", "//", "/gradio_api/proxy=x"):
        assert access_of(path) is None


def test_a_studio_without_accounts_is_the_local_users(open_studio: OpenStudio) -> None:
    with serving(open_studio()) as served, browser_of(served) as client:
        assert client.get("/session").json()["name"] == "local"
        assert client.get("/sign-in", follow_redirects=False).headers["location"] == "/"
        people_of(served.studio)
        assert client.get("/session").status_code == 401
