"""What is counted, remembered and told of jobs, and who may read it."""

from __future__ import annotations

import dataclasses
import gzip
import http.server
import json
import logging
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import Request
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from studio import watch_routes
from studio.api_key import Scope
from studio.application import Studio
from studio.brief import Brief
from studio.config import Config
from studio.engine.classifier_process import ClassifierProcess
from studio.engine.faults import NAN_WORD
from studio.errors import BadConfig, BadInput, Forbidden, QueueFull, StudioError
from studio.job import JobStatus
from studio.person import Person, Role
from studio.tracing import Tracing
from studio.watch.exposition import Present, families
from studio.watch.history import History
from studio.watch.sampler import pace_between
from studio.watch.watch import kind_of
from tests.conftest import WAIT_SECONDS, OpenStudio, Serve
from tests.moderation_tools import write_policy
from tests.people_tools import ADMIN, people_of
from tests.watch_tools import Troubles

BRIEF = Brief(subject="mug", color="red")


class Collector:
    """What OpenTelemetry's collector does first: takes spans over HTTP."""

    def __init__(self) -> None:
        self.resources: list[ResourceSpans] = []
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    content = gzip.decompress(content)
                asked = ExportTraceServiceRequest.FromString(content)
                collector.resources += asked.resource_spans
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def sample(studio: Studio, name: str, **labels: str) -> float:
    """One value of what `/metrics` would say; 0 where there is none."""
    text = studio.watch.metrics.expose()[0].decode()
    inside = ",".join(f'{key}="{labels[key]}"' for key in sorted(labels))
    wanted = f"{name}{{{inside}}}" if labels else name
    for line in text.splitlines():
        if line.rpartition(" ")[0] == wanted:
            return float(line.rpartition(" ")[2])
    return 0.0


def draw(studio: Studio, brief: Brief = BRIEF) -> JobStatus:
    return studio.wait(studio.submit(brief).id, WAIT_SECONDS).job.status


def test_every_stage_of_a_picture_is_timed(studio: Studio) -> None:
    draw(studio, dataclasses.replace(BRIEF, num_images=3))
    name = "vitrine_stage_duration_seconds_count"
    assert sample(studio, name, stage="waiting") == 1
    for stage in ("denoising", "decoding", "screening"):
        assert sample(studio, name, stage=stage) == 3
    assert sample(studio, "vitrine_job_duration_seconds_count") == 1
    assert sample(studio, "vitrine_jobs_submitted_total", service_class="interactive") == 1
    assert sample(studio, "vitrine_jobs_finished_total", outcome="succeeded") == 1
    assert sample(studio, "vitrine_images_total", verdict="allow") == 3
    assert sample(studio, "vitrine_jobs", status="succeeded") == 1
    assert sample(studio, "vitrine_engine_rows_total") == 3 * 2 * 8


def test_what_goes_wrong_is_counted_by_kind_and_remembered(open_studio: OpenStudio) -> None:
    model = Troubles().model()
    studio = open_studio(load=lambda precision, report: model)
    studio.wait_until_ready(WAIT_SECONDS)
    assert draw(studio, dataclasses.replace(BRIEF, notes=NAN_WORD)) is JobStatus.FAILED
    with pytest.raises(BadInput):
        studio.submit(Brief())
    assert sample(studio, "vitrine_errors_total", kind="not_a_number") == 1
    assert sample(studio, "vitrine_errors_total", kind="bad_input") == 1
    assert sample(studio, "vitrine_jobs_finished_total", outcome="failed") == 1
    (trouble,) = studio.watch.last_errors
    assert trouble.kind == "not_a_number"
    assert trouble.job_id == studio.jobs()[0].id


def test_a_death_of_the_engine_is_counted_and_shown_among_the_last_errors(
    open_studio: OpenStudio, caplog: pytest.LogCaptureFixture
) -> None:
    troubles = Troubles()
    model = troubles.model()
    studio = open_studio(load=lambda precision, report: model)
    studio.wait_until_ready(WAIT_SECONDS)
    troubles.dies = True
    assert draw(studio) is JobStatus.SUCCEEDED
    assert sample(studio, "vitrine_engine_restarts_total") == 1
    assert "thread died" in studio.watch.last_errors[0].message


def test_a_job_that_is_stopped_counts_once(open_studio: OpenStudio) -> None:
    studio = open_studio(step_seconds=0.05)
    studio.wait_until_ready(WAIT_SECONDS)
    jobs = [studio.submit(dataclasses.replace(BRIEF, num_images=4)) for _ in range(2)]
    for job in jobs:
        studio.cancel(job.id)
        studio.cancel(job.id)
    draw(studio)
    assert sample(studio, "vitrine_jobs_finished_total", outcome="cancelled") == 2


def test_the_queue_and_its_age_are_told_by_class(open_studio: OpenStudio) -> None:
    studio = open_studio(step_seconds=0.5)
    studio.wait_until_ready(WAIT_SECONDS)
    studio._dispatcher.close()
    studio.submit(BRIEF)
    assert sample(studio, "vitrine_queue_jobs", service_class="interactive") == 1
    assert 0 < sample(studio, "vitrine_queue_oldest_seconds") < 60


def test_a_studio_that_is_not_watched_draws_as_well(open_studio: OpenStudio, serve: Serve) -> None:
    studio = open_studio(watch_seconds=0)
    studio.wait_until_ready(WAIT_SECONDS)
    assert draw(studio) is JobStatus.SUCCEEDED
    assert studio.watch.sampler.latest is None
    answer = httpx.get(f"{serve(studio).address}/metrics")
    assert answer.status_code == 404
    assert "VITRINE_WATCH_SECONDS" in answer.json()["error"]


def test_a_classifier_that_is_there_and_does_not_serve_is_told_as_absent(
    open_studio: OpenStudio, tmp_path: Path
) -> None:
    weights = tmp_path / "weights.txt"
    weights.write_text("refuse")
    classifier = ClassifierProcess(
        weights, sha256="", cache_dir=None, worker="tests.plain_classifier"
    )
    studio = open_studio(classifier=classifier)
    assert sample(studio, "vitrine_screening_required") == 1, "one that is there may fail"
    draw(studio)
    assert sample(studio, "vitrine_classifier_ready") == 0
    weights.write_text("well, after all")
    draw(studio)
    assert sample(studio, "vitrine_classifier_ready") == 1


def test_a_closed_world_that_may_not_be_seen_unscreened_needs_a_classifier(
    open_studio: OpenStudio, tmp_path: Path
) -> None:
    assert sample(open_studio(), "vitrine_screening_required") == 0
    strict = write_policy(tmp_path, release_closed_world=False)
    studio = open_studio(data_dir=tmp_path / "strict", moderation_policy=strict)
    assert sample(studio, "vitrine_screening_required") == 1
    assert sample(studio, "vitrine_classifier_ready") == 0


def test_what_was_seen_too_long_ago_is_not_told_as_if_it_were_so_now(studio: Studio) -> None:
    studio.watch.sampler.look_now()
    now = studio.watch.present()
    assert now.look is not None
    machine = dataclasses.replace(now.look.machine, at=time.time() - 60)
    old = dataclasses.replace(now, look=dataclasses.replace(now.look, machine=machine))

    def values(present: Present) -> dict[str, float]:
        found = families(present)
        return {each.name: each.samples[0][1] for each in found if each.samples}

    assert values(now)["vitrine_host_memory_used_bytes"] > 0
    assert values(now)["vitrine_watch_stale"] == 0
    assert "vitrine_host_memory_used_bytes" not in values(old)
    assert values(old)["vitrine_watch_stale"] == 1
    assert values(old)["vitrine_watch_age_seconds"] >= 60


@pytest.mark.parametrize(
    ("has_driver", "trouble", "expected"),
    [(False, "", []), (True, "", [1.0]), (True, "It does not answer.", [0.0])],
)
def test_a_machine_without_a_driver_is_not_one_whose_driver_is_down(
    studio: Studio, has_driver: bool, trouble: str, expected: list[float]
) -> None:
    studio.watch.sampler.look_now()
    now = studio.watch.present()
    assert now.look is not None
    machine = dataclasses.replace(
        now.look.machine, gpus=(), has_driver=has_driver, gpu_trouble=trouble
    )
    told = dataclasses.replace(now, look=dataclasses.replace(now.look, machine=machine))
    found = [each for each in families(told) if each.name == "vitrine_nvml_up"]
    assert [value for each in found for _, value in each.samples] == expected


def test_looking_at_the_machine_costs_little_of_a_core_and_says_how_much(studio: Studio) -> None:
    look = studio.watch.sampler.look_now()
    assert look is not None
    assert 0 < look.thread_share < 1
    assert look.machine.host.num_cores >= 1
    assert look.facts is not None


def test_requests_are_counted_by_route_and_never_by_address(studio: Studio, serve: Serve) -> None:
    address = serve(studio).address
    for path in (
        "/healthz",
        "/pictures/0123456789abcdef00.png",
        "/nowhere/at/all",
        "/",
        "/api/v1/presets",
    ):
        httpx.get(address + path)
    httpx.request("BREW", address + "/healthz")
    text = httpx.get(f"{address}/metrics").text
    routes = set(re.findall(r'vitrine_http_requests_total\{.*route="([^"]*)"', text))
    assert {"/healthz", "/pictures/{image_id}.png", "/api/v1/presets", "page"} <= routes
    assert not any("0123456789abcdef" in route or "nowhere" in route for route in routes)
    assert 'method="BREW"' not in text
    assert re.search(r'requests_total\{code="200",method="GET",route="/healthz"\} 1', text)


@pytest.mark.parametrize(
    ("client", "headers", "is_here"),
    [
        ("127.0.0.1", {}, True),
        ("::1", {}, True),
        ("192.0.2.7", {}, False),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.7"}, False),
        ("127.0.0.1", {"Forwarded": "for=192.0.2.7"}, False),
        ("testclient", {}, False),
    ],
)
def test_only_this_machine_itself_and_admins_may_read(
    client: str, headers: dict[str, str], is_here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    request = Request({"type": "http", "client": (client, 5), "headers": raw})
    maker = Person(name="mia", roles=frozenset({Role.MERCHANDISER}))
    monkeypatch.setattr(watch_routes, "person_of", lambda request: maker)
    if is_here:
        watch_routes.check_reader(request)
    else:
        with pytest.raises(Forbidden):
            watch_routes.check_reader(request)
    admin = Person(name="ada", roles=frozenset({Role.ADMIN}))
    monkeypatch.setattr(watch_routes, "person_of", lambda request: admin)
    watch_routes.check_reader(request)


def test_a_prometheus_elsewhere_needs_a_key_of_an_admin_made_for_it(
    studio: Studio, serve: Serve
) -> None:
    people_of(studio, mia="merchandiser")
    address = serve(studio).address

    def ask(key: str = "") -> int:
        headers = {"X-Forwarded-For": "192.0.2.7"}
        headers |= {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.get(f"{address}/metrics", headers=headers).status_code

    assert httpx.get(f"{address}/metrics").status_code == 200  # from this machine itself
    assert ask() == 401
    assert ask("vitrine-of-nobody") == 401
    assert ask(studio.keys.create("mia", "watch", [Scope.WATCH])[1]) == 403
    assert ask(studio.keys.create(ADMIN, "jobs", [Scope.JOBS_READ])[1]) == 403
    key = studio.keys.create(ADMIN, "watch", [Scope.WATCH])[1]
    assert ask(key) == 200
    act = f"{address}/monitor/give-back-memory"
    assert httpx.post(act).status_code == 401
    assert httpx.post(act, headers={"Authorization": f"Bearer {key}"}).status_code == 200


def test_memory_is_given_back_between_two_steps_and_told(studio: Studio, serve: Serve) -> None:
    answer = httpx.post(f"{serve(studio).address}/monitor/give-back-memory")
    assert answer.status_code == 200
    facts = answer.json()
    assert facts["before"] - facts["after"] == facts["freed"]
    assert facts["after"] > 0


def test_spans_tell_every_stage_of_a_job_and_no_words(
    open_studio: OpenStudio, tmp_path: Path
) -> None:
    path = tmp_path / "spans.jsonl"
    studio = open_studio(traces=str(path))
    studio.wait_until_ready(WAIT_SECONDS)
    job = studio.submit(dataclasses.replace(BRIEF, num_images=2, notes="zanzibar"))
    studio.wait(job.id, WAIT_SECONDS)
    assert studio.watch._tracing is not None
    studio.watch._tracing.close()
    text = path.read_text(encoding="utf-8")
    spans = [json.loads(line) for line in text.splitlines()]
    names = [span["name"] for span in spans]
    assert sorted(names) == sorted(
        ["waiting", *2 * ["denoising"], *2 * ["decoding"], *2 * ["screening"], "job"]
    )
    (root,) = (span for span in spans if span["name"] == "job")
    assert root["attributes"]["job.outcome"] == "succeeded"
    assert {span["parent_id"] for span in spans if span is not root} == {root["span_id"]}
    assert {span["trace_id"] for span in spans} == {root["trace_id"]}
    assert all(0 <= span["seconds"] <= root["seconds"] + 1 for span in spans)
    assert "zanzibar" not in text
    assert "mug" not in text


def test_a_collector_is_sent_the_spans(
    collector: Collector, open_studio: OpenStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
    studio = open_studio(traces="otlp")
    studio.wait_until_ready(WAIT_SECONDS)
    draw(studio)
    assert studio.watch._tracing is not None
    studio.watch._tracing.close()
    (resource,) = collector.resources
    said = {item.key: item.value.string_value for item in resource.resource.attributes}
    assert said["service.name"] == "vitrine"
    names = [span.name for scope in resource.scope_spans for span in scope.spans]
    assert sorted(names) == sorted(["waiting", "denoising", "decoding", "screening", "job"])


def test_traces_are_off_unless_asked_for_and_a_wrong_target_is_told(tmp_path: Path) -> None:
    assert Tracing.to("") is None
    with pytest.raises(BadConfig, match="VITRINE_TRACES cannot be written"):
        Tracing.to(str(tmp_path / "no" / "such" / "folder"))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (QueueFull("full"), "queue_full"),
        (BadConfig("no"), "setup"),
        (StudioError("?"), "studio"),
        (BadInput("no"), "bad_input"),
    ],
)
def test_an_error_is_counted_under_its_place_in_the_tree(error: StudioError, kind: str) -> None:
    assert kind_of(error) == kind


def test_history_keeps_ten_minutes_and_shows_gaps() -> None:
    history = History(span_seconds=600)
    for at in range(0, 1000, 100):
        history.add(float(at), {"a": float(at)} if at != 700 else {})
    series = history.series("a")
    assert series[0] == (-600.0, 300.0)
    assert series[-1] == (0.0, 900.0)
    assert series[4] == (-200.0, None)
    assert history.series("b")[0][1] is None
    assert History().series("a") == []


def test_the_pace_of_an_engine_is_what_it_did_between_two_looks(studio: Studio) -> None:
    before = studio.manager.facts
    assert before is not None
    after = dataclasses.replace(
        before,
        num_steps=before.num_steps + 10,
        num_rows=before.num_rows + 30,
        num_places=before.num_places + 40,
        busy_seconds=before.busy_seconds + 2.0,
        model_seconds={**before.model_seconds, "denoise": 1.5},
    )
    started = sum(before.model_seconds.values())
    pace = pace_between(before, after, 4.0)
    assert (pace.rows_per_step, pace.places_per_step, pace.steps_per_second) == (3, 4, 2.5)
    assert pace.outside_share == pytest.approx(1 - (1.5 - started) / 2.0, abs=0.05)
    assert pace_between(before, before, 4.0).rows_per_step is None


def test_settings_of_the_watch_come_from_the_environment() -> None:
    config = Config.from_environ({"VITRINE_WATCH_SECONDS": "0", "VITRINE_TEMPERATURE_LIMIT": "80"})
    assert (config.watch_seconds, config.temperature_limit) == (0, 80)
    assert logging.getLogger("studio").level == logging.NOTSET
