"""The HTTP face over a real server: pictures by id, health, what is refused."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from studio.brief import Brief
from studio.errors import BadConfig, BadModel, PortInUse
from studio.job import JobStatus
from studio.server import listen
from tests.conftest import WAIT_SECONDS, OpenStudio, Serve, Served

BRIEF = Brief(subject="mug", material="ceramic", color="red", seed=1234)


@pytest.fixture
def served(open_studio: OpenStudio, serve: Serve) -> Served:
    studio = open_studio()
    studio.wait_until_ready(WAIT_SECONDS)
    return serve(studio)


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.address, timeout=WAIT_SECONDS) as client:
        yield client


def draw(served: Served) -> str:
    """Draw a picture; its id."""
    view = served.studio.wait(served.studio.submit(BRIEF).id, WAIT_SECONDS)
    return view.images[0].id


def test_a_picture_is_served_byte_for_byte_to_its_owner_alone(
    served: Served, client: httpx.Client
) -> None:
    image_id = draw(served)
    answer = client.get(f"/pictures/{image_id}.png")
    record, path = served.studio.image(image_id)
    assert answer.status_code == 200
    assert answer.content == path.read_bytes()
    assert hashlib.sha256(answer.content).hexdigest() == record.digest
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"].startswith("private")
    assert "content-disposition" not in answer.headers


def test_a_download_has_a_telling_name(served: Served, client: httpx.Client) -> None:
    answer = client.get(f"/pictures/{draw(served)}.png?download=1")
    assert answer.headers["content-disposition"] == (
        'attachment; filename="red-ceramic-mug-1234.png"'
    )


@pytest.mark.parametrize(
    "path",
    [
        "/pictures/0123456789abcdef00.png",
        "/pictures/..%2f..%2fstudio.db",
        "/pictures/..%2fstudio.db.png",
        "/pictures/%2e%2e/studio.db",
        "/pictures/%00.png",
        "/pictures/",
        "/pictures/a%0d%0ab.png",
        "/previews/0123456789abcdef/0.png",
        "/previews/0123456789abcdef/-1.png",
        "/previews/0123456789abcdef/99999999999999999999.png",
        "/previews/x/../../studio.db",
    ],
)
def test_what_does_not_exist_is_not_found(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404


def test_a_refusal_of_the_studio_is_one_sentence(client: httpx.Client) -> None:
    answer = client.get("/pictures/0123456789abcdef00.png")
    assert answer.json() == {"error": "There is no such picture: it may have been deleted."}


def test_the_data_folder_is_out_of_reach_of_gradios_file_routes(
    served: Served, client: httpx.Client
) -> None:
    draw(served)
    database = served.studio.config.data_dir / "studio.db"
    for address in (f"/gradio_api/file={database}", f"/file={database}"):
        assert client.get(address).status_code in (403, 404)


def test_a_preview_is_a_picture_while_the_job_runs_and_nothing_after(
    open_studio: OpenStudio, serve: Serve
) -> None:
    served = serve(open_studio(step_seconds=0.1))
    served.studio.wait_until_ready(WAIT_SECONDS)
    job = served.studio.submit(BRIEF)
    address = f"{served.address}/previews/{job.id}/0.png"
    deadline = time.monotonic() + WAIT_SECONDS
    while (answer := httpx.get(address)).status_code == 204 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert answer.status_code == 200
    assert answer.content.startswith(b"\x89PNG")
    assert answer.headers["cache-control"] == "no-store"
    assert served.studio.wait(job.id, WAIT_SECONDS).job.status is JobStatus.SUCCEEDED
    assert httpx.get(address).status_code == 204


def test_health_is_ready_only_when_the_model_is_warm(open_studio: OpenStudio, serve: Serve) -> None:
    from studio.engine.gaussian import gaussian_model

    may_load = threading.Event()

    def load(precision: str, report: object) -> object:
        report("UNet")  # type: ignore[operator]
        assert may_load.wait(60)
        return gaussian_model()

    served = serve(open_studio(load=load))
    answer = httpx.get(f"{served.address}/healthz")
    assert (answer.status_code, answer.json()["status"]) == (503, "warming")
    assert httpx.get(served.address).status_code == 200, "the page is up before the model is"
    may_load.set()
    served.studio.wait_until_ready(WAIT_SECONDS)
    answer = httpx.get(f"{served.address}/healthz")
    assert answer.status_code == 200
    facts = answer.json()
    assert (facts["status"], facts["model"], facts["backend"], facts["precision"]) == (
        "ready",
        "gaussian",
        "closed-form",
        "float32",
    )


def test_health_says_why_a_model_failed(open_studio: OpenStudio, serve: Serve) -> None:
    def load(precision: str, report: object) -> object:
        raise BadModel("The weights in unet are cut short: copy the folder again.")

    served = serve(open_studio(load=load))
    deadline = time.monotonic() + WAIT_SECONDS
    while (answer := httpx.get(f"{served.address}/healthz")).json()["status"] == "warming":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "failed",
        "message": "The weights in unet are cut short: copy the folder again.",
    }


def test_every_answer_carries_the_security_headers(client: httpx.Client) -> None:
    for path in ("/", "/healthz", "/pictures/x.png", "/gradio_api/info"):
        headers = client.get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_site_can_change_nothing(client: httpx.Client, headers: dict[str, str]) -> None:
    answer = client.post("/gradio_api/queue/join", headers=headers, json={"data": []})
    assert answer.status_code == 403
    assert "Another site" in answer.json()["error"]


def test_a_name_that_points_here_from_elsewhere_is_refused(client: httpx.Client) -> None:
    answer = client.get("/healthz", headers={"Host": "rebound.example:7860"})
    assert answer.status_code == 421


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_past_the_limit_is_refused(client: httpx.Client, is_chunked: bool) -> None:
    body = b"x" * (2**20 + 1)
    answer = client.post(
        "/gradio_api/queue/join",
        content=iter([body]) if is_chunked else body,
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 413
    assert "1024 KiB" in answer.json()["error"]


def test_nothing_of_gradio_that_tells_or_keeps_is_on(client: httpx.Client) -> None:
    assert client.get("/gradio_api/runs").status_code == 404
    assert client.get("/monitoring/summary").status_code in (403, 404)
    config = client.get("/config").json()
    assert config["analytics_enabled"] is False
    assert config["footer_links"] == []
    assert all(event["api_visibility"] == "private" for event in config["dependencies"])
    assert client.get("/gradio_api/info").json()["named_endpoints"] == {}


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("size", "77x99", "The size &#x27;77x99&#x27; is not offered: choose one of"),
        ("negative_presets", ["none_such"], "There is no negative preset"),
        ("negative_presets", 7, "There is no negative preset"),
        ("subject", ["sofa"], "The subject must be text"),
        ("notes", {"a": 1}, "The text of the notes must be text"),
        ("num_images", "1000", "a whole number from 1 to 16"),
        ("num_images", [1], "a whole number from 1 to 16"),
        ("seed", {"a": 1}, "The seed must be a whole number"),
    ],
)
def test_a_form_sent_past_the_page_is_answered_by_the_studio_itself(
    served: Served, client: httpx.Client, field: str, value: object, sentence: str
) -> None:
    config = client.get("/config").json()
    names = {part["id"]: part["props"].get("elem_id") or "" for part in config["components"]}
    (generate,) = (
        event
        for event in config["dependencies"]
        if event["targets"] and names.get(event["targets"][0][0]) == "generate"
    )
    form = {"subject": "mug", "num_images": 1, "size": "square"} | {field: value}
    data = [form.get(names[part].removeprefix("field-")) for part in generate["inputs"]]
    answer = client.post(
        "/gradio_api/run/predict",
        json={"data": data, "fn_index": generate["id"], "session_hash": "a-test"},
    )
    assert answer.status_code == 200
    shown = [part for part in answer.json()["data"] if isinstance(part, str) and "alert" in part]
    assert len(shown) == 1
    assert sentence in shown[0]
    assert served.studio.jobs() == []


def test_a_port_in_use_is_named_with_the_way_out() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=rf"Port {port} .*in use.*--port"):
            listen("127.0.0.1", port)


def test_a_port_used_just_before_is_free_again() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            server_side, _ = listener.accept()
            server_side.close()
            client.recv(1)
    listen("127.0.0.1", port).close()


def test_an_address_that_does_not_exist_is_refused() -> None:
    with pytest.raises(BadConfig, match="cannot be used"):
        listen("127.0.0.1.nowhere", 0)


SERVE_CLOSED_FORM = """
import contextlib, sys
from pathlib import Path
from studio import server
from studio.application import Studio
from studio.brief import Brief
from studio.config import Config
from studio.engine.gaussian import gaussian_model

model = gaussian_model(step_seconds=0.1)
open_real = Studio.open

@contextlib.contextmanager
def open_closed_form(config, **options):
    load = lambda precision, report: model
    with open_real(config, card=model.card, load=load, **options) as studio:
        print(studio.submit(Brief(subject="mug", num_images=16)).id, flush=True)
        yield studio

Studio.open = open_closed_form
server.serve(Config(data_dir=Path(sys.argv[1]), port=0, precision="float32", max_rows=2,
                    drain_seconds=int(sys.argv[2])))
print("closed in order", flush=True)
"""


@pytest.mark.parametrize("drain_seconds", [0, 60])
def test_a_signal_stops_the_server_and_puts_its_job_back_in_the_queue(
    tmp_path: Path, drain_seconds: int
) -> None:
    """With time to drain, the picture that is begun is finished first."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE_CLOSED_FORM, str(tmp_path / "data"), str(drain_seconds)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    assert process.stdout
    job_id = process.stdout.readline().strip()
    line = process.stderr.readline()
    assert line.startswith("Vitrine is at http://127.0.0.1:"), line
    with httpx.Client(base_url=line.split()[3], timeout=WAIT_SECONDS) as client:
        deadline = time.monotonic() + WAIT_SECONDS
        while client.get(f"/previews/{job_id}/0.png").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=WAIT_SECONDS)
    assert (process.returncode, out.strip(), err.strip()) == (0, "closed in order", "")

    from studio.store import Store

    with Store.open(tmp_path / "data") as store:
        (job,) = store.jobs()
        num_images = len(store.image_indices(job.id))
    assert (job.status, job.attempts) == (JobStatus.QUEUED, 0)
    assert (num_images > 0) == (drain_seconds > 0)
    assert num_images < 16


def test_a_full_queue_is_told_with_the_time_to_come_back() -> None:
    from studio.errors import QueueFull
    from studio.server import _answer_error

    error = QueueFull("The queue is full: try again in about 3 minutes.", retry_after_seconds=171.2)
    with ThreadPoolExecutor(1) as pool:  # this thread may have a loop of the browser's
        answer = pool.submit(lambda: asyncio.run(_answer_error(None, error))).result()  # type: ignore[arg-type]
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "171")


def test_health_tells_how_much_there_is_to_draw(open_studio: OpenStudio, serve: Serve) -> None:
    studio = open_studio(step_seconds=0.1)
    studio.wait_until_ready(WAIT_SECONDS)
    job = studio.submit(Brief(subject="mug", num_images=4, num_steps=100))
    facts = httpx.get(f"{serve(studio).address}/healthz").json()
    assert facts["num_active_jobs"] == 1
    assert facts["seconds_of_work"] > 1
    studio.cancel(job.id)
