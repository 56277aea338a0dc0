"""`Sampler`: the one thread that looks at cards, processor and engine, at a set rate.

Whoever shows anything reads what it saw last. What a look costs of a core is measured and shown
with the rest.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable

from studio.engine.facts import EngineFacts
from studio.readings import GpuReading, MachineReading
from studio.telemetry import Telemetry
from studio.watch.history import History
from studio.watch_rows import Counts

JOIN_SECONDS = 5.0

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pace:
    """What the engine did between two looks. `None` where it ran no pass.

    `rows_per_step` of `places_per_step` that a pass pays for; `outside_share` of its busy time went
    into anything but the model.
    """

    rows_per_step: float | None = None
    places_per_step: float | None = None
    step_seconds: float | None = None
    outside_share: float | None = None
    steps_per_second: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """One look at everything. `thread_share` is what looking took of a core so far."""

    machine: MachineReading
    facts: EngineFacts | None
    counts: Counts
    pace: Pace
    thread_share: float


class Sampler:
    """Looks every `interval_seconds` until closed; `latest` is what it saw last."""

    def __init__(
        self,
        telemetry: Telemetry,
        *,
        read_facts: Callable[[], EngineFacts | None],
        read_counts: Callable[[], Counts],
        interval_seconds: float,
    ) -> None:
        self.history = History()
        self.latest: Look | None = None
        self._telemetry = telemetry
        self._read_facts = read_facts
        self._read_counts = read_counts
        self._interval_seconds = interval_seconds
        self._changed = threading.Condition()
        self._num_looks = 0
        self._is_asked = threading.Event()
        self._is_closing = False
        self._before: tuple[float, EngineFacts] | None = None
        self._last_pace = Pace()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._is_closing = True
        self._is_asked.set()
        if self._thread.ident is not None:
            self._thread.join(JOIN_SECONDS)  # a driver may hang; then the thread is left behind

    def look_now(self, timeout_seconds: float = 30.0) -> Look | None:
        """Have the thread look at once; what it then saw."""
        with self._changed:
            before = self._num_looks
            self._is_asked.set()
            self._changed.wait_for(lambda: self._num_looks > before, timeout_seconds)
        return self.latest

    def _run(self) -> None:
        began = time.monotonic()
        while not self._is_closing:
            started = time.monotonic()
            try:
                self._look(max(time.monotonic() - began, self._interval_seconds))
            except Exception:
                log.exception("the machine could not be looked at")
            with self._changed:
                self._num_looks += 1
                self._changed.notify_all()
            self._is_asked.wait(max(0.0, self._interval_seconds - (time.monotonic() - started)))
            self._is_asked.clear()
        self._telemetry.close()

    def _look(self, seconds_since_start: float) -> None:
        machine = self._telemetry.read()
        facts = self._read_facts()
        pace = self._pace(facts)
        look = Look(
            machine=machine,
            facts=facts,
            counts=self._read_counts(),
            pace=pace,
            thread_share=time.thread_time() / seconds_since_start,
        )
        self.history.add(time.monotonic(), points(look))
        self.latest = look

    def _pace(self, facts: EngineFacts | None) -> Pace:
        """Since the last look; a new engine, whose counters began anew, is measured from zero."""
        now, before = time.monotonic(), self._before
        if facts is None:
            self._before = None
            return Pace()
        self._before = (now, facts)
        if before is None or facts.num_steps < before[1].num_steps:
            return Pace()
        return pace_between(before[1], facts, now - before[0])


def pace_between(before: EngineFacts, after: EngineFacts, seconds: float) -> Pace:
    """What the engine did between two of its counts."""
    num_steps = after.num_steps - before.num_steps
    busy = after.busy_seconds - before.busy_seconds
    if num_steps <= 0 or busy <= 0 or seconds <= 0:
        return Pace()
    model = sum(after.model_seconds.values()) - sum(before.model_seconds.values())
    denoising = after.model_seconds.get("denoise", 0.0) - before.model_seconds.get("denoise", 0.0)
    return Pace(
        rows_per_step=(after.num_rows - before.num_rows) / num_steps,
        places_per_step=(after.num_places - before.num_places) / num_steps,
        step_seconds=denoising / num_steps,
        # A pass that began before the one count and ended after it belongs to both in part.
        outside_share=min(1.0, max(0.0, 1 - model / busy)),
        steps_per_second=num_steps / seconds,
    )


def points(look: Look) -> dict[str, float]:
    """The numbers of a look that are worth a line over time, by name; those not given left out."""
    host, pace = look.machine.host, look.pace
    values: dict[str, float | None] = {
        "host.utilization": host.utilization,
        "host.process_utilization": host.process_utilization,
        "host.memory": float(host.memory_used_bytes),
        "host.process_memory": float(host.process_memory_bytes),
        "host.temperature": host.temperature,
        "host.clock": host.clock_hertz,
        "queue": float(sum(look.counts.queued.values())),
        "rows_per_step": pace.rows_per_step,
        "step_seconds": pace.step_seconds,
        "outside_share": pace.outside_share,
        "steps_per_second": pace.steps_per_second,
        "to_decode": None if look.facts is None else float(look.facts.num_to_decode),
    }
    for gpu in look.machine.gpus:
        values |= _card_points(gpu)
    return {name: value for name, value in values.items() if value is not None}


def _card_points(gpu: GpuReading) -> dict[str, float | None]:
    torch_memory = gpu.torch_memory
    used = gpu.memory_used_bytes
    return {
        f"gpu{gpu.index}.utilization": gpu.utilization,
        f"gpu{gpu.index}.sm_activity": gpu.sm_activity,
        f"gpu{gpu.index}.memory": None if used is None else float(used),
        f"gpu{gpu.index}.reserved": torch_memory.reserved_bytes if torch_memory else None,
        f"gpu{gpu.index}.fragmented": torch_memory.fragmented_bytes if torch_memory else None,
        f"gpu{gpu.index}.temperature": gpu.temperature,
        f"gpu{gpu.index}.power": gpu.power_watts,
        f"gpu{gpu.index}.clock": gpu.sm_clock_hertz,
        f"gpu{gpu.index}.pcie": gpu.pcie_received_bytes_per_second,
    }
