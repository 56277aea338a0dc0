"""The API over a real server, by the client that ships with it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from studio.api.door import Buckets
from studio.api.schemas.brief import BriefIn, BriefOut
from studio.api_key import Scope
from studio.brief import Brief
from studio.client import ApiError, Client
from studio.engine.gaussian import gaussian_model
from studio.errors import Conflict, LimitReached
from tests.batch_tools import good_lines, table
from tests.conftest import WAIT_SECONDS, Served, serving

API = "/api/v1"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    from studio.application import Studio
    from studio.config import Config

    model = gaussian_model(step_seconds=0.002)
    config = Config(
        data_dir=tmp_path_factory.mktemp("api"),
        precision="float32",
        max_rows=2,
        api_requests_per_minute=1_000_000,
    )
    with (
        Studio.open(config, card=model.card, load=lambda precision, report: model) as studio,
        serving(studio) as served,
    ):
        studio.wait_until_ready(WAIT_SECONDS)
        yield served


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    with Client(served.address) as client:
        yield client


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.address + API, timeout=WAIT_SECONDS) as http:
        yield http


def keyed(served: Served, *scopes: Scope) -> Client:
    _, secret = served.studio.keys.create("local", "a program", scopes)
    return Client(served.address, key=secret)


def test_a_brief_becomes_a_picture_byte_for_byte(
    served: Served, client: Client, tmp_path: Path
) -> None:
    job = client.draw(subject="mug", color="red", seed=7, num_images=2)
    assert (job["status"] in ("queued", "running"), job["request"]["seed"]) == (True, 7)
    done = client.wait(job["id"])
    assert done["status"] == "succeeded"
    assert [picture["seed"] for picture in done["pictures"]] == [7, 8]
    picture = client.picture(done["pictures"][0]["id"])
    content = client.picture_file(picture["id"])
    assert hashlib.sha256(content).hexdigest() == picture["sha256"]
    assert len(client.save_pictures(job["id"], tmp_path)) == 2
    assert next(client.pictures())["job_id"] == job["id"]


def test_a_prompt_is_composed_and_a_brief_checked_without_a_job(client: Client) -> None:
    before = len(list(client.jobs()))
    assert client.compose(subject="杯子", color="红色")["prompt"] == "a red mug"
    checked = client.check(subject="mug", num_images=3)
    assert checked["request"]["prompt"] == "a mug"
    assert checked["device_seconds"] > 0
    assert len(list(client.jobs())) == before


def test_the_api_takes_and_tells_everything_a_brief_can_say(client: Client) -> None:
    parts = {field.name for field in dataclasses.fields(Brief)}
    assert BriefIn.model_fields.keys() == parts
    assert BriefOut.model_fields.keys() == parts
    presets = client.presets()
    styles = {name: presets[name][0]["id"] for name in ("categories", "shots")}
    brief = {"subject": "mug", "category": styles["categories"], "shot": styles["shots"]}
    plain, styled = (client.compose(**each)["prompt"] for each in ({"subject": "mug"}, brief))
    assert styled.startswith(f"{plain}, ")
    job = client.draw(**brief)
    assert job["brief"] | brief == job["brief"]
    assert job["request"]["prompt"] == styled
    with pytest.raises(ApiError, match="There is no shot 'sideways'"):
        client.check(subject="mug", shot="sideways")


def test_the_audit_tells_the_host_of_a_webhook_and_not_its_address(
    served: Served, client: Client
) -> None:
    served.studio.hooks._allowed_hosts = frozenset({"127.0.0.1"})
    hook = client.create_webhook("http://127.0.0.1:9/secret-of-shop", ["job.failed"])
    (noted,) = served.studio.audit.entries(act="webhook.create")
    assert (noted.object, dict(noted.data)) == (hook["id"], {"host": "127.0.0.1"})
    client.delete_webhook(hook["id"])


def test_what_makes_a_secret_is_not_sent_twice() -> None:
    sent = []

    def cut_off(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.path)
        raise httpx.ReadError("cut off")

    with Client("http://studio", transport=httpx.MockTransport(cut_off)) as client:
        with pytest.raises(httpx.ReadError):
            client.create_key("program", ["jobs:read"])
        with pytest.raises(httpx.ReadError):
            client.create_webhook("https://shop.example/", ["job.failed"])
    assert sent == [f"{API}/keys", f"{API}/webhooks"]


def test_a_refusal_is_a_problem_that_names_the_field_and_says_how_to_mend_it(
    client: Client,
) -> None:
    with pytest.raises(ApiError, match="The subject is empty: say what") as caught:
        client.draw(subject="")
    assert caught.value.status == 422
    assert caught.value.problem == {
        "type": "about:blank",
        "title": "Bad brief",
        "status": 422,
        "detail": "The subject is empty: say what the picture shows, as in “sofa”.",
        "field": "subject",
    }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/jobs/0123456789abcdef", 404),
        ("PUT", "/jobs", 405),
        ("GET", "/jobs?limit=0", 422),
        ("GET", "/jobs?status=lost", 422),
        ("GET", "/jobs?cursor=0123456789abcdef", 404),
        ("GET", "/pictures/..%2f..%2fstudio.db/file", 404),
        ("POST", "/jobs", 422),
        ("GET", "/batches/x/rows?cursor=-1", 422),
        ("POST", "/keys", 422),
        ("GET", "//jobs", 404),
    ],
)
def test_every_error_is_a_problem(http: httpx.Client, method: str, path: str, status: int) -> None:
    answer = http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("content", "kind"), [(b"{", "application/json"), (b"\xff\xfe", "text/plain")]
)
def test_a_body_that_is_no_json_is_a_problem(http: httpx.Client, content: bytes, kind: str) -> None:
    answer = http.post("/jobs", content=content, headers={"content-type": kind})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_half_a_character_is_refused_like_any_other_mistake(http: httpx.Client) -> None:
    for sent in (
        b'{"brief": {"subject": "\\ud800"}}',
        b'{"brief": {"subject": "mug", "size": "\\ud800"}}',
        b'{"brief": {"subject": "mug", "negative_presets": ["\\ud800"]}}',
        b'{"\\ud800": 1}',
    ):
        answer = http.post("/jobs", content=sent, headers={"content-type": "application/json"})
        assert answer.status_code == 422, sent


def test_what_the_guard_refuses_is_a_problem_too(http: httpx.Client) -> None:
    for headers in ({"host": "evil.example"}, {"origin": "https://evil.example"}):
        answer = http.post("/jobs", json={"brief": {"subject": "mug"}}, headers=headers)
        assert answer.status_code in (403, 421)
        assert answer.headers["content-type"] == "application/problem+json"
    answer = http.post("/jobs", content=b" " * (2**20 + 1))
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


def test_lists_are_paged_to_their_end(client: Client, http: httpx.Client) -> None:
    ids = [client.draw(subject="mug")["id"] for _ in range(5)]
    page = http.get("/jobs", params={"limit": 2}).json()
    assert [job["id"] for job in page["items"]] == ids[:-3:-1]
    following = http.get("/jobs", params={"limit": 2, "cursor": page["next_cursor"]}).json()
    assert [job["id"] for job in following["items"]] == ids[-3:-5:-1]
    everything = [job["id"] for job in client.jobs(limit=2)]
    assert everything[:5] == ids[::-1]
    assert len(set(everything)) == len(everything)


def test_a_job_is_stopped_in_three_ways_and_drawn_again(client: Client) -> None:
    first = client.draw(subject="mug", num_images=16)
    assert client.cancel(first["id"])["status"] == "cancelled"
    second = client.draw(subject="mug", num_images=3)
    client.cancel(second["id"], "skip", index=2)
    done = client.wait(second["id"])
    assert (done["status"], done["skipped"]) == ("succeeded", [2])
    third = client.draw(subject="mug", num_images=16)
    client.cancel(third["id"], "after_picture")
    done = client.wait(third["id"])
    assert done["status"] == "cancelled"
    client.retry(third["id"])
    assert len(client.wait(third["id"])["pictures"]) == 16
    with pytest.raises(ApiError) as caught:
        client.retry(third["id"])
    assert caught.value.status == 409


def test_events_come_as_they_happen_and_go_on_where_a_reader_was_cut_off(client: Client) -> None:
    job = client.draw(subject="mug", num_images=2)
    seen = list(client.events(job["id"]))
    named = [(number, name) for number, name, _ in seen if number is not None]
    assert [name for _, name in named] == ["queued", "started", "picture", "picture", "finished"]
    assert all(data["job_id"] == job["id"] for _, _, data in seen)
    rest = list(client.events(job["id"], last_event_id=named[2][0]))
    assert [(number, name) for number, name, _ in rest] == named[3:]


def test_steps_are_told_while_a_picture_is_drawn(served: Served, client: Client) -> None:
    job = client.draw(subject="mug", num_images=16, num_steps=100)
    events = client.events(job["id"])
    steps = (data for _, name, data in events if name == "step")
    first = next(steps)
    assert 0 <= first["step"] <= first["num_steps"] == 100
    client.cancel(job["id"])
    assert [name for _, name, _ in events][-1] == "cancelled"


def test_the_stream_of_all_jobs_tells_news_alone_unless_asked(client: Client) -> None:
    old = client.draw(subject="mug")
    client.wait(old["id"])
    last = max(number or 0 for number, _, _ in client.events(old["id"]))
    new = client.draw(subject="mug")
    client.wait(new["id"])
    with contextlib.closing(client.events(last_event_id=last)) as events:
        number, name, data = next(iter(events))
    assert (name, data["job_id"]) == ("queued", new["id"])
    assert number is not None
    assert number > last


def test_a_stream_ends_when_its_key_is_revoked(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.visit.LOOK_SECONDS", 0.1)
    key, secret = served.studio.keys.create("local", "a reader", [Scope.JOBS_READ])
    with (
        httpx.Client(
            base_url=served.address + API,
            headers={"authorization": f"Bearer {secret}"},
            timeout=WAIT_SECONDS,
        ) as http,
        http.stream("GET", "/events") as answer,
    ):
        lines = answer.iter_lines()
        assert next(lines) == "retry: 1000"
        served.studio.keys.revoke(key.id)
        assert not [line for line in lines if line.startswith("data")]


def test_jobs_of_programs_are_in_the_audit_with_where_they_came_from(
    served: Served, client: Client
) -> None:
    job = client.draw(subject="mug")
    entries = served.studio.audit.entries(object=job["id"])
    assert [(each.act, each.address) for each in entries] == [("job.submit", "127.0.0.1")]


def test_a_post_sent_twice_is_carried_out_once(client: Client, http: httpx.Client) -> None:
    key = {"Idempotency-Key": "order 17"}
    sent = {"brief": {"subject": "mug"}}
    first = http.post("/jobs", json=sent, headers=key)
    again = http.post("/jobs", json=sent, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["location"] == f"/api/v1/jobs/{first.json()['id']}"
    other = http.post("/jobs", json={"brief": {"subject": "vase"}}, headers=key)
    assert other.status_code == 422
    assert "used for another request" in other.json()["detail"]


def test_a_refused_post_may_be_sent_again_under_its_key(http: httpx.Client) -> None:
    key = {"Idempotency-Key": "order 18"}
    assert http.post("/jobs", json={"brief": {"subject": ""}}, headers=key).status_code == 422
    assert http.post("/jobs", json={"brief": {"subject": "mug"}}, headers=key).status_code == 201


def test_a_post_whose_answer_was_lost_in_a_crash_finds_what_it_made(
    served: Served, http: httpx.Client
) -> None:
    key = {"Idempotency-Key": "order 19"}
    sent = {"brief": {"subject": "mug"}}
    first = http.post("/jobs", json=sent, headers=key).json()
    lost = "UPDATE kept_answers SET status = 0 WHERE key = 'order 19'"
    served.studio._store._write(lambda db: db.execute(lost))
    again = http.post("/jobs", json=sent, headers=key)
    assert (again.status_code, again.json()["id"]) == (201, first["id"])


def test_an_upload_sent_twice_makes_one_batch(http: httpx.Client) -> None:
    key = {"Idempotency-Key": "upload 1"}
    files = {"file": ("a.csv", table(*good_lines(2)))}
    first = http.post("/batches", files=files, headers=key)
    again = http.post("/batches", files=files, headers=key)
    assert first.status_code == 201, first.text
    assert again.json()["id"] == first.json()["id"]
    other = {"file": ("a.csv", table(*good_lines(3)))}
    assert http.post("/batches", files=other, headers=key).status_code == 422


def test_a_batch_from_upload_to_zip(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "mugs.csv"
    path.write_bytes(table(*good_lines(6), ",mug,,,,,,,,"))
    batch = client.upload_batch(path)
    assert (batch["name"], batch["num_rows"], batch["num_good"]) == ("mugs.csv", 7, 6)
    assert batch["device_seconds"] > 0
    (bad,) = client.batch_rows(batch["id"], state=["bad"])
    assert (bad["line"], bad["error"]) == (8, "The SKU is empty: give the row one of its own.")
    client.do(batch["id"], "start")
    deadline = time.monotonic() + WAIT_SECONDS
    while (batch := client.batch(batch["id"]))["status"] != "finished":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (batch["rows"]["succeeded"], batch["num_over"]) == (6, 6)
    rows = list(client.batch_rows(batch["id"], limit=2))
    assert [row["line"] for row in rows] == list(range(2, 9))
    assert rows[0]["pictures"][0]["url"].startswith("/api/v1/pictures/")
    target = client.save_results(batch["id"], tmp_path / "results.zip")
    with zipfile.ZipFile(target) as archive:
        assert len(archive.namelist()) == 7
    to_mend = client.save_results(batch["id"], tmp_path / "bad.csv", what="bad-rows.csv")
    assert "SKU is empty" in to_mend.read_text("utf-8-sig")
    client.delete_batch(batch["id"])
    with pytest.raises(ApiError) as caught:
        client.batch(batch["id"])
    assert caught.value.status == 404


def test_a_batch_is_paused_resumed_and_cancelled(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "mugs.csv"
    path.write_bytes(table(*good_lines(200)))
    batch_id = client.upload_batch(path)["id"]
    with pytest.raises(ApiError) as caught:
        client.do(batch_id, "pause")
    assert caught.value.status == 409
    client.do(batch_id, "start")
    assert client.do(batch_id, "pause")["status"] == "paused"
    assert client.do(batch_id, "resume")["status"] == "running"
    assert client.do(batch_id, "cancel")["status"] == "cancelled"


def test_a_download_of_a_batch_bears_its_name(http: httpx.Client) -> None:
    files = {"file": ("沙发 1.csv", table(*good_lines(1)))}
    batch_id = http.post("/batches", files=files).json()["id"]
    answer = http.get(f"/batches/{batch_id}/bad-rows.csv")
    expected = "attachment; filename*=UTF-8''%E6%B2%99%E5%8F%91%201-to-mend.csv"
    assert answer.headers["content-disposition"] == expected


def test_a_table_of_more_than_a_mebibyte_is_taken_and_one_beyond_the_limit_refused(
    http: httpx.Client,
) -> None:
    lines = [f"S{n},mug,{'x' * 1900}" for n in range(600)]
    content = table(*lines, header="sku,subject,told elsewhere")
    assert len(content) > 2**20
    answer = http.post("/batches", files={"file": ("big.csv", content)}, timeout=120)
    assert answer.status_code == 201, answer.text
    assert answer.json()["num_good"] == 600
    huge = b"sku,subject\n" * 3_000_000
    answer = http.post("/batches", files={"file": ("huge.csv", huge)}, timeout=120)
    assert answer.status_code == 422
    assert "at most 32 MiB" in answer.json()["detail"]


def test_presets_models_and_health_are_told(client: Client) -> None:
    presets = client.presets()
    assert presets["sizes"][0].keys() == {"id", "en", "zh", "width", "height"}
    assert "no_text" in [preset["id"] for preset in presets["negative"]]
    assert [model["name"] for model in client.models()] == ["gaussian"]
    assert client.health()["status"] == "ready"


def test_a_key_opens_what_its_scopes_say_and_nothing_else(served: Served) -> None:
    with keyed(served, Scope.JOBS_READ) as reader:
        list(reader.jobs())
        with pytest.raises(ApiError, match="lacks the scope “jobs:write”") as caught:
            reader.draw(subject="mug")
        assert caught.value.status == 403
        with pytest.raises(ApiError):
            reader.keys()


def test_a_key_is_shown_once_and_kept_hashed(served: Served, client: Client) -> None:
    made = client.create_key("export", ["jobs:read"], days=1)
    assert made["key"].startswith("vitrine_")
    assert made["key"].startswith(made["hint"])
    assert "key" not in client.keys()[0]
    with open(served.studio.config.data_dir / "studio.db", "rb") as file:
        assert made["key"].encode() not in file.read()
    with Client(served.address, key=made["key"]) as program:
        assert program.health()["status"] == "ready"
        assert client.revoke_key(made["id"])["revoked_at"] is not None
        with pytest.raises(ApiError) as caught:
            program.health()
    assert caught.value.status == 401


def test_a_key_made_under_an_idempotency_key_is_kept_nowhere_either(
    served: Served, http: httpx.Client
) -> None:
    sent = {"name": "export", "scopes": ["jobs:read"], "days": 1}
    answer = http.post("/keys", json=sent, headers={"Idempotency-Key": "key 1"})
    assert answer.status_code == 201
    for path in served.studio.config.data_dir.glob("studio.db*"):
        assert answer.json()["key"].encode() not in path.read_bytes()


def test_an_expired_a_wrong_and_a_strangers_key_open_nothing(served: Served) -> None:
    key, expired = served.studio.keys.create("local", "old", [Scope.JOBS_READ], days=1)
    past = "UPDATE api_keys SET expires_at = 1 WHERE id = ?"
    served.studio._store._write(lambda db: db.execute(past, [key.id]))
    _, stranger = served.studio.keys.create("nobody there", "x", [Scope.JOBS_READ])
    for secret in (expired, stranger, "vitrine_wrong", "x"):
        answer = httpx.get(
            f"{served.address}{API}/jobs", headers={"Authorization": f"Bearer {secret}"}
        )
        assert answer.status_code == 401, secret
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_key_cannot_make_one_that_may_do_more(served: Served) -> None:
    with keyed(served, Scope.KEYS) as program:
        with pytest.raises(ApiError, match="leave out jobs:write"):
            program.create_key("more", ["keys", "jobs:write"])
        assert program.create_key("same", ["keys"])["scopes"] == ["keys"]


def test_a_key_ends_with_the_one_that_made_it(served: Served) -> None:
    keys = served.studio.keys
    parent, secret = keys.create("local", "mother", [Scope.KEYS, Scope.JOBS_READ], days=3)
    with Client(served.address, key=secret) as mother:
        child = mother.create_key("child", [Scope.KEYS], days=None)
        assert child["parent"] == parent.id
        assert child["expires_at"] == mother.keys()[1]["expires_at"]
    with Client(served.address, key=child["key"]) as client:
        grandchild = client.create_key("grandchild", [Scope.KEYS], days=30)
    maker = keys.holder(secret)
    assert maker is not None
    keys.revoke(parent.id, "local")
    for each in (secret, child["key"], grandchild["key"]):
        with Client(served.address, key=each) as client, pytest.raises(ApiError) as caught:
            client.keys()
        assert caught.value.status == 401
    with pytest.raises(Conflict, match="is over"):  # it was revoked while it asked
        keys.create("local", "late", [Scope.KEYS], maker=maker)


def test_who_asks_too_often_is_told_when_to_come_back() -> None:
    now = 0.0
    buckets = Buckets(60, clock=lambda: now)
    for _ in range(10):
        buckets.take("ada", "")
    with pytest.raises(LimitReached) as caught:
        buckets.take("ada", "")
    assert caught.value.retry_after_seconds == pytest.approx(1.0)
    buckets.take("bob", "")
    buckets.take("ada", "another key")
    now = 1.0
    buckets.take("ada", "")
    with pytest.raises(LimitReached):
        buckets.take("ada", "")


def test_many_keys_do_not_give_one_person_more_than_three() -> None:
    buckets = Buckets(60, clock=lambda: 0.0)
    taken = 0
    with contextlib.suppress(LimitReached):
        for number in range(100):
            buckets.take("ada", f"key {number}")
            taken += 1
    assert taken == 30


def test_the_description_is_openapi_3_1_and_can_be_read_without_scripts(http: httpx.Client) -> None:
    description = http.get("/openapi.json").json()
    assert description["openapi"].startswith("3.1")
    assert {"/jobs", "/batches/{batch_id}/results.zip", "/webhooks"} <= description["paths"].keys()
    for path, methods in description["paths"].items():
        for operation in methods.values():
            assert "422" not in operation["responses"], path
            assert "application/problem+json" in operation["responses"]["4XX"]["content"]
    page = http.get("/docs").text
    assert "<script" not in page
    assert "/api/v1/jobs/{job_id}/cancel" in page


def test_every_route_asks_at_the_door(served: Served) -> None:
    """The list is read from the description, so that a new route cannot be forgotten."""
    description = httpx.get(f"{served.address}{API}/openapi.json").json()
    bad = {"Authorization": "Bearer vitrine_wrong"}
    num_routes = 0
    for path, methods in description["paths"].items():
        address = served.address + API + path.replace("{", "").replace("}", "")
        for method in methods:
            for headers in (bad, bad | {"Idempotency-Key": "x"}):
                answer = httpx.request(method, address, headers=headers)
                assert answer.status_code == 401, (method, path)
            num_routes += 1
    assert num_routes > 30


def test_a_zip_is_sent_while_it_is_made(http: httpx.Client) -> None:
    files = {"file": ("a.csv", table(*good_lines(1)))}
    batch_id = http.post("/batches", files=files).json()["id"]
    answer = http.get(f"/batches/{batch_id}/results.zip")
    assert "content-length" not in answer.headers
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["pictures.csv"]
