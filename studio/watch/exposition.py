"""What is, as families for a scrape: jobs, queue, reviews, engine, cards, processor, disk.

Names follow Prometheus' rules: base units in the name, `_total` for what only grows (added by
`Metrics`). What is not known has no sample, so that a graph has a gap instead of a zero.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping

from studio import __version__
from studio.engine.facts import EngineFacts
from studio.engine.health import Health, State
from studio.job import JobStatus
from studio.metrics import Family
from studio.readings import GpuReading, HostReading, MachineReading
from studio.telemetry import THROTTLE_REASONS
from studio.terms import ServiceClass
from studio.verdict import Release
from studio.watch.sampler import Look
from studio.watch_rows import Counts

Samples = list[tuple[tuple[str, ...], float]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Present:
    """What is asked at a scrape besides the last look."""

    health: Health
    counts: Counts
    facts: EngineFacts | None
    look: Look | None
    needs_screening: bool
    has_classifier: bool
    free_disk_bytes: int
    temperature_limit: float
    max_queued_jobs: int
    watch_seconds: float

    @property
    def look_age_seconds(self) -> float:
        """0 before the first look."""
        return 0.0 if self.look is None else max(0.0, time.time() - self.look.machine.at)

    @property
    def is_stale(self) -> bool:
        """Whether what was seen last is no news any more: a driver hangs, and the look with it."""
        return self.look_age_seconds > stale_after_seconds(self.watch_seconds)


def stale_after_seconds(watch_seconds: float) -> float:
    """From which age on a look is worth nothing, where one is had every `watch_seconds`."""
    return 5 * watch_seconds + 5


def families(state: Present) -> Iterator[Family]:
    """Everything that is read rather than counted."""
    yield _one("vitrine_build_info", "The studio's version.", 1, version=__version__)
    yield from _of_rows(state)
    yield from _of_engine(state.health, state.facts)
    if state.look is not None:
        machine = state.look.machine
        if not state.is_stale:
            yield from _of_host(machine.host)
            yield from _of_gpus(machine, state.temperature_limit)
        yield _one(
            "vitrine_watch_core_ratio",
            "What watching the machine takes of one processor core.",
            state.look.thread_share,
        )
        yield _one(
            "vitrine_watch_age_seconds",
            "Time since the machine was last looked at.",
            state.look_age_seconds,
        )
        yield _one(
            "vitrine_watch_stale",
            "Whether that is too long ago for what was seen to be told.",
            float(state.is_stale),
        )


def _of_rows(state: Present) -> Iterator[Family]:
    counts, now = state.counts, time.time()
    yield Family(
        name="vitrine_jobs",
        help="Jobs in the database, by state.",
        labels=("status",),
        samples=[((status,), counts.jobs.get(status, 0)) for status in JobStatus],
    )
    yield Family(
        name="vitrine_queue_jobs",
        help="Jobs that wait, by class.",
        labels=("service_class",),
        samples=[((each,), counts.queued.get(each, 0)) for each in ServiceClass],
    )
    yield _one("vitrine_queue_limit_jobs", "Jobs that may wait.", state.max_queued_jobs)
    yield _one(
        "vitrine_queue_oldest_seconds",
        "How long the job whose turn is next has waited; 0 where none waits.",
        0 if counts.queued_since is None else max(0.0, now - counts.queued_since),
    )
    yield Family(
        name="vitrine_pictures",
        help="Pictures in the database, by release state.",
        labels=("release",),
        samples=[((each,), counts.images.get(each, 0)) for each in Release],
    )
    yield _one("vitrine_reviews_open", "Cases that wait for a reviewer.", counts.reviews)
    yield _one(
        "vitrine_review_oldest_seconds",
        "How long the case that waits longest for a reviewer has waited; 0 where none waits.",
        0 if counts.review_since is None else max(0.0, now - counts.review_since),
    )
    yield _one(
        "vitrine_screening_required",
        "Whether pictures of the model served must be screened before they are released.",
        float(state.needs_screening),
    )
    yield _one(
        "vitrine_classifier_ready",
        "Whether a classifier screens pictures.",
        float(state.has_classifier),
    )
    yield _one(
        "vitrine_data_disk_free_bytes",
        "Room on the disk that holds the data folder.",
        state.free_disk_bytes,
    )


def _of_engine(health: Health, facts: EngineFacts | None) -> Iterator[Family]:
    yield _one(
        "vitrine_engine_ready", "Whether the model serves.", float(health.state is State.READY)
    )
    yield Family(
        name="vitrine_engine_state",
        help="1 for the state the engine is in.",
        labels=("state",),
        samples=[((state,), float(state is health.state)) for state in State],
    )
    yield _counter("vitrine_engine_restarts", "Deaths of the engine's thread.", health.num_restarts)
    if health.is_ready:
        yield _one(
            "vitrine_engine_info",
            "The model served, and by what.",
            1,
            model=health.model,
            backend=health.backend,
            precision=health.precision,
        )
        yield _one(
            "vitrine_engine_step_expected_seconds",
            "What a guided step of one picture of default size took at warm-up.",
            health.step_seconds,
        )
        yield _one("vitrine_engine_max_rows", "Rows of a pass worth filling.", health.max_rows)
    if facts is None:
        return
    yield _counter("vitrine_engine_steps", "Denoising steps run.", facts.num_steps)
    yield _counter("vitrine_engine_rows", "Rows that went through a pass.", facts.num_rows)
    yield _counter("vitrine_engine_places", "Rows worth filling, over passes.", facts.num_places)
    yield _counter(
        "vitrine_engine_out_of_memory", "Passes that did not fit.", facts.num_out_of_memory
    )
    yield _counter("vitrine_engine_busy_seconds", "Time in turns of the loop.", facts.busy_seconds)
    yield _by_stage(
        "vitrine_engine_model_seconds", "Time in the model, by stage.", facts.model_seconds
    )
    yield _by_stage(
        "vitrine_engine_host_seconds", "Time around the model, by stage.", facts.host_seconds
    )
    yield _one("vitrine_engine_jobs", "Jobs the engine holds.", facts.num_jobs)
    yield _one("vitrine_engine_pictures", "Pictures that hold tensors.", facts.num_held)
    yield _one("vitrine_engine_decode_backlog", "Pictures to be decoded.", facts.num_to_decode)
    yield _one(
        "vitrine_engine_pace_ratio", "How long passes take lately, beside warm-up.", facts.pace
    )


def _of_host(host: HostReading) -> Iterator[Family]:
    yield _one("vitrine_host_cpu_ratio", "Use of the processor, of all cores.", host.utilization)
    yield _one("vitrine_host_memory_used_bytes", "Memory in use.", host.memory_used_bytes)
    yield _one("vitrine_host_memory_limit_bytes", "Memory there is.", host.memory_total_bytes)
    if host.temperature is not None:
        yield _one("vitrine_host_temperature_celsius", "The hottest core.", host.temperature)


def _of_gpus(machine: MachineReading, temperature_limit: float) -> Iterator[Family]:
    gpus = machine.gpus
    if machine.has_driver:
        yield _one(
            "vitrine_nvml_up",
            "Whether the driver of the cards answers, and each card it had.",
            float(not machine.gpu_trouble),
        )
    if not gpus:
        return
    yield Family(
        name="vitrine_gpu_info",
        help="The cards.",
        labels=("gpu", "name", "uuid"),
        samples=[((str(gpu.index), gpu.name, gpu.uuid), 1) for gpu in gpus],
    )
    yield _by_card("vitrine_gpu_up", "Whether the card answers.", gpus, lambda g: not g.is_lost)
    yield Family(
        name="vitrine_gpu_temperature_limit_celsius",
        help="What the temperature is held against.",
        labels=("gpu",),
        samples=[((str(gpu.index),), temperature_limit) for gpu in gpus],
    )
    for name, help_text, read in _CARD_GAUGES:
        yield _by_card(name, help_text, gpus, read)
    yield _by_card(
        "vitrine_gpu_throttled",
        "Whether heat or power holds the card back.",
        gpus,
        lambda gpu: None if gpu.throttle_reasons is None else gpu.is_throttled,
    )
    yield Family(
        name="vitrine_gpu_throttle_reason",
        help="1 for each reason that holds the card back.",
        labels=("gpu", "reason"),
        samples=[
            ((str(gpu.index), word), float(word in gpu.throttle_reasons))
            for gpu in gpus
            if gpu.throttle_reasons is not None
            for word in THROTTLE_REASONS.values()
        ],
    )
    yield Family(
        name="vitrine_gpu_ecc_errors",
        help="Memory errors since the driver was loaded.",
        labels=("gpu", "kind"),
        samples=[
            ((str(gpu.index), kind), count)
            for gpu in gpus
            for kind, count in (gpu.ecc_errors or {}).items()
        ],
        is_counter=True,
    )


Read = Callable[[GpuReading], float | None]

_CARD_GAUGES: tuple[tuple[str, str, Read], ...] = (
    ("vitrine_gpu_utilization_ratio", "Time with any kernel running.", lambda g: g.utilization),
    ("vitrine_gpu_sm_activity_ratio", "SM cycles with work.", lambda g: g.sm_activity),
    ("vitrine_gpu_memory_used_bytes", "Memory in use by all.", lambda g: g.memory_used_bytes),
    ("vitrine_gpu_memory_limit_bytes", "Memory of the card.", lambda g: g.memory_total_bytes),
    (
        "vitrine_gpu_memory_reserved_bytes",
        "Memory torch has reserved.",
        lambda g: g.torch_memory.reserved_bytes if g.torch_memory else None,
    ),
    (
        "vitrine_gpu_memory_allocated_bytes",
        "Memory torch has in use.",
        lambda g: g.torch_memory.allocated_bytes if g.torch_memory else None,
    ),
    (
        "vitrine_gpu_memory_fragmented_bytes",
        "Memory torch holds in split blocks and cannot give back.",
        lambda g: g.torch_memory.fragmented_bytes if g.torch_memory else None,
    ),
    ("vitrine_gpu_temperature_celsius", "Temperature of the chip.", lambda g: g.temperature),
    ("vitrine_gpu_power_watts", "Power drawn.", lambda g: g.power_watts),
    ("vitrine_gpu_power_limit_watts", "Power allowed.", lambda g: g.power_limit_watts),
    ("vitrine_gpu_sm_clock_hertz", "Clock of the SMs.", lambda g: g.sm_clock_hertz),
    ("vitrine_gpu_memory_clock_hertz", "Clock of the memory.", lambda g: g.memory_clock_hertz),
    (
        "vitrine_gpu_pcie_sent_bytes_per_second",
        "Sent over PCIe.",
        lambda g: g.pcie_sent_bytes_per_second,
    ),
    (
        "vitrine_gpu_pcie_received_bytes_per_second",
        "Received over PCIe.",
        lambda g: g.pcie_received_bytes_per_second,
    ),
)


def _by_card(name: str, help_text: str, gpus: tuple[GpuReading, ...], read: Read) -> Family:
    found = [(gpu, read(gpu)) for gpu in gpus]
    return Family(
        name=name,
        help=help_text,
        labels=("gpu",),
        samples=[((str(gpu.index),), float(value)) for gpu, value in found if value is not None],
    )


def _by_stage(name: str, help_text: str, seconds: Mapping[str, float]) -> Family:
    return Family(
        name=name,
        help=help_text,
        labels=("stage",),
        samples=[((stage,), value) for stage, value in sorted(seconds.items())],
        is_counter=True,
    )


def _one(name: str, help_text: str, value: float, **labels: str) -> Family:
    return Family(
        name=name,
        help=help_text,
        labels=tuple(labels),
        samples=[(tuple(labels.values()), float(value))],
    )


def _counter(name: str, help_text: str, value: float) -> Family:
    return Family(name=name, help=help_text, samples=[((), float(value))], is_counter=True)
