"""Loads: which requests come, and when. The same for every system they are played to.

A closed loop keeps a number of callers busy, each of whom asks again the moment a picture is there;
an open load comes by a Poisson process, whatever the system makes of it. Both are fixed by a seed.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import random
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from studio.bench.trace import Run, Timing, Trace
from studio.brief import Brief
from studio.compose import compose
from studio.model_card import ModelCard
from studio.presets import Presets
from studio.request import Request

NEGATIVE_PRESETS = ("no_text", "sharp_photo")


@dataclasses.dataclass(frozen=True)
class Arrival:
    """A request that is due `at_seconds` after the load begins."""

    at_seconds: float
    request: Request


class System(Protocol):
    """What serves requests of one picture each, and tells `trace` what becomes of them."""

    def listen(self, trace: Trace) -> None: ...

    def submit(self, key: str, request: Request) -> None: ...

    def estimate_seconds(self, request: Request) -> float | None: ...

    def model_seconds(self) -> float:
        """Wall time spent inside forward passes so far."""
        ...

    def device_bytes(self) -> int | None:
        """Peak memory of the accelerator, `None` without one."""
        ...

    def abandon(self) -> None:
        """Drop what is not done, so that the next load finds the system idle."""
        ...


class Memory(Protocol):
    """Watches the resident memory of the process while a load is played."""

    def start(self) -> None: ...

    def stop(self) -> int:
        """The peak since `start`, in bytes."""
        ...


def make_requests(
    card: ModelCard,
    presets: Presets,
    steps: Sequence[int],
    num_requests: int,
    seed: int,
    *,
    negative_presets: tuple[str, ...] = NEGATIVE_PRESETS,
) -> list[Request]:
    """Requests of one guided picture, of the default size, with words drawn from the presets.

    Each stretch of `len(steps)` requests holds every entry of `steps` once, in random order, so the
    shares of step counts are exact and a short list is no easier than a long one.
    """
    chance = random.Random(seed)
    counts: list[int] = []
    while len(counts) < num_requests:
        counts += chance.sample(list(steps), len(steps))
    words = presets.vocabulary
    return [
        compose(
            Brief(
                subject=chance.choice(words.subject).en,
                material=chance.choice(words.material).en,
                color=chance.choice(words.color).en,
                scene=chance.choice(words.scene).en,
                negative_presets=negative_presets,
                seed=chance.randrange(2**32),
                num_steps=num_steps,
            ),
            presets,
            card,
        )
        for num_steps in counts[:num_requests]
    ]


def poisson_arrivals(requests: Sequence[Request], rate: float, seed: int) -> list[Arrival]:
    """The requests in order, `rate` of them a second on average, with exponential gaps."""
    chance = random.Random(seed)
    times = itertools.accumulate(chance.expovariate(rate) for _ in requests)
    return [Arrival(at, request) for at, request in zip(times, requests, strict=True)]


def play_closed(
    system: System,
    requests: Sequence[Request],
    *,
    num_callers: int,
    memory: Memory,
    timeout_seconds: float = 600.0,
) -> Run:
    """`num_callers` callers take the next of `requests` whenever their last one has ended."""
    # Named beforehand: callers ask from several threads at once.
    waiting = collections.deque(zip(_names(), requests, strict=False))

    def submit_next(_key: str = "") -> None:
        try:
            key, request = waiting.popleft()
        except IndexError:
            return
        _submit(system, trace, key, request, time.perf_counter())

    trace = Trace(on_end=submit_next)
    system.listen(trace)
    memory.start()
    before, started_at = system.model_seconds(), time.perf_counter()
    for _ in range(num_callers):
        submit_next()
    trace.wait_until_ended(timeout_seconds)
    return _run(system, trace, started_at, before, memory)


def play_open(
    system: System,
    arrivals: Sequence[Arrival],
    *,
    memory: Memory,
    timeout_seconds: float = 600.0,
) -> Run:
    """Each request at its time, whether or not the others are done; then wait for the rest.

    A request counts from when it was due, so a system that holds the load up gains nothing by it.
    """
    trace, names = Trace(), _names()
    system.listen(trace)
    memory.start()
    before, started_at = system.model_seconds(), time.perf_counter()
    for arrival in arrivals:
        due_at = started_at + arrival.at_seconds
        time.sleep(max(0.0, due_at - time.perf_counter()))
        _submit(system, trace, next(names), arrival.request, due_at)
    trace.wait_until_ended(timeout_seconds)
    return _run(system, trace, started_at, before, memory)


_plays = itertools.count()


def _names() -> Iterator[str]:
    """Keys that no other load of this process has."""
    play = next(_plays)
    return (f"{play}-{number}" for number in itertools.count())


def _submit(system: System, trace: Trace, key: str, request: Request, due_at: float) -> None:
    trace.arrived(
        Timing(
            key=key,
            num_steps=request.num_steps,
            arrived_at=due_at,
            estimate_seconds=system.estimate_seconds(request),
        )
    )
    system.submit(key, request)


def _run(
    system: System, trace: Trace, started_at: float, model_seconds: float, memory: Memory
) -> Run:
    now = time.perf_counter()
    timings = trace.timings()
    is_over = all(timing.finished_at for timing in timings)
    if not is_over:
        trace.close()
        system.abandon()
    return Run(
        timings=timings,
        started_at=started_at,
        ended_at=max(timing.finished_at or now for timing in timings) if is_over else now,
        model_seconds=system.model_seconds() - model_seconds,
        peak_rss_bytes=memory.stop(),
        device_bytes=system.device_bytes(),
    )
