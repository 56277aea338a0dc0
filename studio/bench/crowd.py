"""`Crowd`: the people of a simulation: who sends which jobs, and when. Chance comes from a seed."""

from __future__ import annotations

import dataclasses
import random
import statistics

from studio.bench.fleet import Arrival, row_seconds
from studio.engine.step_times import StepTimes
from studio.request import Request

STEPS = (10, 20, 30)
MODELS = ("first", "second")
"""Two lanes for each size; one job in five is of the second model, which costs the same."""

NUM_BULK_PICTURES = 500


class Crowd:
    """Sends jobs for `seconds`: the same ones by the same `seed`, whoever serves them."""

    def __init__(self, times: StepTimes, seed: int, seconds: float) -> None:
        self._times = times
        self._random = random.Random(seed)
        self._seconds = seconds
        self._sizes = [(lane["height"], lane["width"]) for lane in times.to_dict()["lanes"]]

    def poisson(self, num_people: int, load: float) -> list[Arrival]:
        """Jobs of many people at `load` times what one device can do."""
        mean_seconds = statistics.fmean(
            self._work(self._request(random.Random(number))) for number in range(2000)
        )
        arrivals, at = [], 0.0
        while (at := at + self._random.expovariate(load / mean_seconds)) < self._seconds:
            owner = f"person {self._random.randrange(num_people)}"
            arrivals.append(Arrival(at=at, owner=owner, request=self._request(self._random)))
        return arrivals

    def closed(self, num_people: int, think_seconds: float) -> list[Arrival]:
        """People who look at a job's pictures, `think_seconds` on average, and send the next."""
        people = (self._person(f"person {number}", think_seconds) for number in range(num_people))
        return [first for first in people if first.at < self._seconds]

    def greedy(self) -> list[Arrival]:
        """Eight people, and an owner who keeps sixteen jobs of four pictures waiting."""
        jobs = [self._person("greedy", 0.0, num_images=4) for _ in range(16)]
        return [*self.closed(8, think_seconds=4.0), *jobs]

    def bulk(self, num_devices: int) -> list[Arrival]:
        """More pictures than can be drawn, of two owners, for each device."""
        return [
            Arrival(at=0.0, owner=f"bulk {half}", request=self._bulk_request(), is_bulk=True)
            for half in range(2)
            for _ in range(num_devices)
        ]

    def _person(self, owner: str, think_seconds: float, num_images: int | None = None) -> Arrival:
        """Each has a source of chance, so that nobody's jobs depend on how others are served."""
        chance = random.Random(self._random.random())

        def think() -> float:
            return chance.expovariate(1 / think_seconds) if think_seconds else 0.0

        def next_job(now: float) -> Arrival | None:
            at, request = now + think(), self._request(chance, num_images)
            if at >= self._seconds:
                return None
            return Arrival(at=at, owner=owner, request=request, then=next_job)

        return Arrival(
            at=think(), owner=owner, request=self._request(chance, num_images), then=next_job
        )

    def _request(self, chance: random.Random, num_images: int | None = None) -> Request:
        """Mixed step counts; one job in four makes four pictures, one in ten has no guidance."""
        height, width = chance.choice(self._sizes)
        return Request(
            prompt="",
            height=height,
            width=width,
            num_steps=chance.choice(STEPS),
            guidance_scale=1.0 if chance.random() < 0.1 else 5.0,
            seed=0,
            model=MODELS[chance.random() < 0.2],
            num_images=(4 if chance.random() < 0.25 else 1) if num_images is None else num_images,
        )

    def _bulk_request(self) -> Request:
        return dataclasses.replace(
            self._request(self._random), num_steps=20, num_images=NUM_BULK_PICTURES
        )

    def _work(self, request: Request) -> float:
        """Seconds a device that is always full takes for the job."""
        rows = 2 if request.uses_guidance else 1
        steps = request.num_steps * rows * row_seconds(self._times, request)
        decode = self._times.decode_seconds(request.height, request.width)
        return request.num_images * (steps + decode)
