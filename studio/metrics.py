"""`Metrics`: what is counted, in Prometheus' form. The only door of `prometheus_client`.

A registry of its own, so that two studios in one process count apart. What happens is counted as it
happens; what *is* (jobs by state, cards, the engine's counters) is read when somebody scrapes, from
the `Family` values of `collect`. Every label has a fixed set of values, or one bounded by the
machine (cards, models): none comes from a person.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import prometheus_client as prometheus
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

STAGES = ("waiting", "denoising", "decoding", "screening")
STAGE_BUCKETS = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600, 1800, 7200,
)  # fmt: skip
HTTP_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

ERROR_KINDS = frozenset(
    {
        "bad_input", "conflict", "engine", "forbidden", "model", "no_memory", "not_a_number",
        "not_found", "not_ready", "queue_full", "setup", "storage", "studio", "unauthenticated",
        "unavailable",
    }
)  # fmt: skip
OTHER = "other"

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
    """Values read at a scrape: `samples` are label values in the order of `labels`, and a number.

    The name of a counter is given without its `_total`.
    """

    name: str
    help: str
    samples: Sequence[tuple[tuple[str, ...], float]]
    labels: tuple[str, ...] = ()
    is_counter: bool = False


class Metrics:
    """Counts; every method may be called from any thread. `collect` is asked at every scrape."""

    def __init__(self, collect: Callable[[], Iterable[Family]] = tuple) -> None:
        prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]  # twice the series, for nothing anybody asks
        self._registry = registry = prometheus.CollectorRegistry(auto_describe=False)
        prometheus.ProcessCollector(registry=registry)
        prometheus.PlatformCollector(registry=registry)
        prometheus.GCCollector(registry=registry)
        registry.register(_Collector(collect))
        self._http_requests = prometheus.Counter(
            "vitrine_http_requests",
            "Requests answered, by route and status code.",
            ("route", "method", "code"),
            registry=registry,
        )
        self._http_seconds = prometheus.Histogram(
            "vitrine_http_request_duration_seconds",
            "Time until an answer begins, by route.",
            ("route",),
            buckets=HTTP_BUCKETS,
            registry=registry,
        )
        self._submitted = prometheus.Counter(
            "vitrine_jobs_submitted",
            "Jobs taken into the queue, by class.",
            ("service_class",),
            registry=registry,
        )
        self._finished = prometheus.Counter(
            "vitrine_jobs_finished", "Jobs that ended, by outcome.", ("outcome",), registry=registry
        )
        self._stages = prometheus.Histogram(
            "vitrine_stage_duration_seconds",
            "Time spent in each stage: waiting by job, the others by picture.",
            ("stage",),
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
        self._jobs = prometheus.Histogram(
            "vitrine_job_duration_seconds",
            "Time from Generate to the last picture of a job that succeeded.",
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
        self._errors = prometheus.Counter(
            "vitrine_errors",
            "What went wrong or was refused, by kind.",
            ("kind",),
            registry=registry,
        )
        self._images = prometheus.Counter(
            "vitrine_images",
            "Pictures kept, by the verdict on them.",
            ("verdict",),
            registry=registry,
        )
        # Series that are there from the start: a rate over one that appears with its first error
        # misses that error.
        for stage in STAGES:
            self._stages.labels(stage)
        for kind in ("model", "no_memory", "not_a_number", "engine", "storage", "queue_full"):
            self._errors.labels(kind)
        for outcome in ("succeeded", "failed", "cancelled"):
            self._finished.labels(outcome)
        for verdict in ("allow", "hold", "block"):
            self._images.labels(verdict)
        for service_class in ("interactive", "bulk"):
            self._submitted.labels(service_class)

    def expose(self) -> tuple[bytes, str]:
        """Everything, as text, and its content type."""
        return prometheus.generate_latest(self._registry), prometheus.CONTENT_TYPE_LATEST

    def request(self, route: str, method: str, code: int, seconds: float) -> None:
        self._http_requests.labels(route, method, str(code)).inc()
        self._http_seconds.labels(route).observe(seconds)

    def submitted(self, service_class: str) -> None:
        self._submitted.labels(service_class).inc()

    def finished(self, outcome: str) -> None:
        self._finished.labels(outcome).inc()

    def stage(self, stage: str, seconds: float) -> None:
        self._stages.labels(stage).observe(max(0.0, seconds))

    def job(self, seconds: float) -> None:
        self._jobs.observe(max(0.0, seconds))

    def error(self, kind: str) -> None:
        """One of `ERROR_KINDS`; anything else counts as "other"."""
        self._errors.labels(kind if kind in ERROR_KINDS else OTHER).inc()

    def image(self, verdict: str) -> None:
        self._images.labels(verdict).inc()


class _Collector:
    """Turns families into the library's form."""

    def __init__(self, collect: Callable[[], Iterable[Family]]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Any]:
        try:
            families = list(self._collect())
        except Exception:  # what was counted is worth showing all the same
            log.exception("the present state could not be read for a scrape")
            families = [
                Family(
                    name="vitrine_scrape_failed",
                    help="Whether the present state could not be read.",
                    samples=[((), 1.0)],
                )
            ]
        for family in families:
            kind = CounterMetricFamily if family.is_counter else GaugeMetricFamily
            made = kind(family.name, family.help, labels=family.labels)
            for labels, value in family.samples:
                made.add_metric(labels, value)
            yield made
