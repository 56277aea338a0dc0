"""`Fleet`: simulated devices under a virtual clock. Each has a scheduler of its own: the real one,
or one it is compared with. Knows no tensors and no real time; passes last what `StepTimes` says.

Modelled: a job goes, whole and at once, to the device with the least interactive work left, by a
dispatcher who knows it exactly; a turn is one pass and then at most one decode, as in the engine.
Not modelled: the network, text encoding, previews' and pictures' cost on the host, faults.
"""

from __future__ import annotations

import collections
import dataclasses
import heapq
import itertools
from collections.abc import Callable, Iterable
from typing import Protocol

from studio.engine.sample import Sample
from studio.engine.scheduler import StepBatch
from studio.engine.step_times import StepTimes
from studio.request import Request
from studio.terms import ServiceClass, Terms


class Chooser(Protocol):
    """What the fleet needs of a scheduler."""

    def add(self, sample: Sample) -> None: ...
    def remove(self, sample: Sample) -> None: ...
    def schedule(self, now: float) -> StepBatch | None: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arrival:
    """A job that `owner` sends at `at` seconds. `then` is asked, at the time of its last picture,
    for the job that follows it, if any.
    """

    at: float
    owner: str
    request: Request
    is_bulk: bool = False
    then: Callable[[float], Arrival | None] | None = None


@dataclasses.dataclass(eq=False)
class Outcome:
    """What became of a job, on the virtual clock."""

    arrival: Arrival
    job_id: str
    num_waiting: int
    first_preview_at: float | None = None
    finished_at: float | None = None


class _Device:
    def __init__(self, number: int, scheduler: Chooser) -> None:
        self.number = number
        self.scheduler = scheduler
        self.to_decode: collections.deque[Sample] = collections.deque()
        self.is_idle = True
        self.backlog_seconds = 0.0
        self.busy_seconds = 0.0


class Fleet:
    """`outcomes` are the jobs in order of arrival; `service` is seconds of passes by owner;
    `pictures` and `bulk_pictures` are the times at which pictures were done; `until` is when the
    last turn ended.
    """

    def __init__(
        self, num_devices: int, times: StepTimes, make_scheduler: Callable[[], Chooser]
    ) -> None:
        self.now = 0.0
        self.until = 0.0
        self.outcomes: dict[str, Outcome] = {}
        self.service: dict[str, float] = collections.defaultdict(float)
        self.pictures: list[float] = []
        self.bulk_pictures: list[float] = []
        self.devices = tuple(_Device(number, make_scheduler()) for number in range(num_devices))
        self._times = times
        self._events: list[tuple[float, int, Arrival | _Device]] = []
        self._ticket = itertools.count()
        self._num_interactive = 0

    @property
    def busy_seconds(self) -> float:
        return sum(device.busy_seconds for device in self.devices)

    def run(self, arrivals: Iterable[Arrival]) -> None:
        """Play the jobs until the last interactive one is done; then what is left is dropped.

        With bulk work alone it is played to its end.
        """
        for arrival in arrivals:
            self._expect(arrival)
        is_bulk_only = not self._num_interactive
        while self._events and (self._num_interactive or is_bulk_only):
            self.now, _, what = heapq.heappop(self._events)
            if isinstance(what, Arrival):
                self._take(what)
            else:
                self._turn(what)

    def _expect(self, arrival: Arrival) -> None:
        self._num_interactive += not arrival.is_bulk
        heapq.heappush(self._events, (arrival.at, next(self._ticket), arrival))

    def _take(self, arrival: Arrival) -> None:
        request = arrival.request
        device = min(self.devices, key=lambda one: (one.backlog_seconds, one.number))
        if arrival.is_bulk:  # spread evenly: the backlog counts interactive work
            device = self.devices[len(self.outcomes) % len(self.devices)]
        job_id = f"job{len(self.outcomes)}"
        self.outcomes[job_id] = Outcome(arrival, job_id, request.num_images)
        kind = ServiceClass.BULK if arrival.is_bulk else ServiceClass.INTERACTIVE
        terms = Terms(owner=arrival.owner, service_class=kind)
        for index in range(request.num_images):
            sample = Sample(job_id, index, request, terms=terms, arrived_at=self.now)
            device.scheduler.add(sample)
            device.backlog_seconds += (
                0.0 if arrival.is_bulk else self._work(sample, request.num_steps)
            )
        if device.is_idle:
            device.is_idle = False
            self._turn(device)

    def _turn(self, device: _Device) -> None:
        """One pass and at most one decode, booked at its start: nobody can change it meanwhile."""
        batch = device.scheduler.schedule(self.now)
        device.is_idle = batch is None and not device.to_decode
        if device.is_idle:
            return
        at = self.now
        if batch is not None:
            at += self._pass(device, batch)
        if device.to_decode:
            sample = device.to_decode.popleft()
            at += self._times.decode_seconds(sample.request.height, sample.request.width)
            self._finish(sample, at)
        device.busy_seconds += at - self.now
        self.until = max(self.until, at)
        heapq.heappush(self._events, (at, next(self._ticket), device))

    def _pass(self, device: _Device, batch: StepBatch) -> float:
        num_rows = batch.num_rows
        seconds = self._times.seconds(batch.bucket.height, batch.bucket.width, num_rows)
        for sample in batch.samples:
            sample.num_evaluations = sample.request.num_steps
            sample.evaluation += 1
            outcome = self.outcomes[sample.job_id]
            self.service[outcome.arrival.owner] += seconds * sample.num_rows / num_rows
            if outcome.first_preview_at is None:
                outcome.first_preview_at = self.now + seconds
            if not outcome.arrival.is_bulk:
                device.backlog_seconds -= self._work(sample, 1)
            if sample.is_denoised:
                device.scheduler.remove(sample)
                device.to_decode.append(sample)
        return seconds

    def _finish(self, sample: Sample, at: float) -> None:
        outcome = self.outcomes[sample.job_id]
        outcome.num_waiting -= 1
        (self.bulk_pictures if outcome.arrival.is_bulk else self.pictures).append(at)
        if outcome.num_waiting:
            return
        outcome.finished_at = at
        if outcome.arrival.then is not None and (arrival := outcome.arrival.then(at)) is not None:
            self._expect(arrival)
        self._num_interactive -= not outcome.arrival.is_bulk

    def _work(self, sample: Sample, num_steps: int) -> float:
        return num_steps * row_seconds(self._times, sample.request) * sample.num_rows


def row_seconds(times: StepTimes, request: Request) -> float:
    """Seconds a row of a full pass takes."""
    knee = times.knee(request.height, request.width)
    return times.seconds(request.height, request.width, knee) / knee
