"""`studio bench simulate`: how the scheduler would serve many people on many devices.

The scheduler is the real one; time, people and devices are not. Passes last what was measured, or
where nothing is given `DEFAULT_TIMES`. Every figure is simulated and marked so. See `fleet.py` for
what is modelled and what is not.
"""

from __future__ import annotations

import argparse
import collections
import json
import statistics
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from studio.bench.common import print_table
from studio.bench.crowd import Crowd
from studio.bench.fleet import Arrival, Chooser, Fleet, Outcome
from studio.bench.simple_schedulers import FirstComeFirstServed, OwnersInTurn, ShortestRemaining
from studio.engine.policy import Policy
from studio.engine.sample import Bucket
from studio.engine.scheduler import Scheduler
from studio.engine.step_times import StepTimes
from studio.errors import SetupError

DEFAULT_TIMES: dict[str, Any] = {
    "lanes": [
        {
            "height": 128,
            "width": 128,
            "seconds": {"2": 0.0237, "4": 0.0354, "8": 0.0590, "16": 0.105},
        }
    ],
    "decode": [{"height": 128, "width": 128, "seconds": 0.017}],
}
"""The draft model on a two-core processor, an early measurement: an example, no claim."""

NUM_USERS = 1000
WARM_SHARE = 0.2
"""Jobs that come in this first part of a scenario are played, but not counted."""


def run(options: argparse.Namespace) -> int:
    """Play every scenario, and print what came out."""
    name, times = read_times(options.times)
    rows = play(times, options.seed)
    print(f"SIMULATED: no device was used. Step times: {name}")
    for title, loads, keys in (
        ("Fleets", (_BULK, _MANY), _FLEET_COLUMNS),
        ("Ways of sharing one device", _COMPARED, _SHARING_COLUMNS),
    ):
        print(f"\n{title} (simulated; seconds unless said otherwise)")
        chosen = [row for row in rows if row["load"] in loads]
        print_table(list(keys), [[row[key] for key in keys.values()] for row in chosen])
    print()
    print(json.dumps({"simulated": True, "times": name, "seed": options.seed, "rows": rows}))
    return 0


_SHARING_COLUMNS = {
    "load": "load",
    "scheduler": "scheduler",
    "pictures/s": "pictures_per_second",
    "preview p50": "preview_p50_seconds",
    "preview p99": "preview_p99_seconds",
    "latency mean": "latency_mean_seconds",
    "p50": "latency_p50_seconds",
    "p99": "latency_p99_seconds",
    "share (Jain)": "jain",
    "people mean": "people_latency_mean_seconds",
}
_FLEET_COLUMNS = {
    "load": "load",
    "devices": "num_devices",
    "busy": "busy_share",
    "pictures/s": "pictures_per_second",
    "preview p50": "preview_p50_seconds",
    "preview p99": "preview_p99_seconds",
    "latency mean": "latency_mean_seconds",
    "p50": "latency_p50_seconds",
    "p99": "latency_p99_seconds",
    "share (Jain)": "jain",
    "bulk/s": "bulk_pictures_per_second",
}


def read_times(path: str | None) -> tuple[str, StepTimes]:
    """A table of step times and its name: one table, or the last of those a studio keeps."""
    if path is None:
        return "the example in studio/bench/simulate.py", StepTimes.from_dict(DEFAULT_TIMES)
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        tables = {Path(path).name: values} if "lanes" in values else values
        name, table = [(key, one) for key, one in tables.items() if isinstance(one, dict)][-1]
        times = StepTimes.from_dict(table)
        for lane in table["lanes"] if "decode_seconds" in table else ():
            times.record_decode(lane["height"], lane["width"], float(table["decode_seconds"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise SetupError(f"{path} holds no table of step times: {error}") from error
    if not times:
        raise SetupError(f"{path} holds no step times.")
    return name, times


def studio_scheduler(times: StepTimes, policy: Policy | None = None, share: float = 1.0) -> Chooser:
    """The real scheduler; passes are filled to `share` of the measured knee."""
    return Scheduler(
        max_rows=lambda bucket: max(1, round(share * times.knee(bucket.height, bucket.width))),
        seconds=lambda bucket, rows: times.seconds(bucket.height, bucket.width, rows),
        policy=policy or Policy(),
    )


MakeScheduler = Callable[[StepTimes], Chooser]


def _simple(kind: Callable[[Callable[[Bucket], int]], Chooser]) -> MakeScheduler:
    return lambda times: kind(lambda bucket: times.knee(bucket.height, bucket.width))


_STUDIO = "studio"
SCHEDULERS: Mapping[str, MakeScheduler] = {
    "first come": _simple(FirstComeFirstServed),
    "owners in turn": _simple(OwnersInTurn),
    "shortest first": _simple(ShortestRemaining),
    _STUDIO: studio_scheduler,
    "studio, half the rows": lambda times: studio_scheduler(times, share=0.5),
}


def play(times: StepTimes, seed: int, scale: float = 1.0) -> list[dict[str, Any]]:
    """Every scenario, each over the same arrivals for all that are compared; `scale` shortens."""
    rows: list[dict[str, Any]] = []

    def add(load: str, num_devices: int, seconds: float, name: str) -> None:
        crowd = Crowd(times, seed, seconds)
        fleet = Fleet(num_devices, times, lambda: SCHEDULERS[name](times))
        fleet.run(_LOADS[load](crowd, num_devices))
        rows.append({"load": load, "scheduler": name, **measure(fleet, seconds)})

    for num_devices, seconds in ((1, 600.0), (8, 150.0), (64, 30.0)):
        for load in (_BULK, _MANY):
            add(load, num_devices, seconds * scale, _STUDIO)
    for load in _COMPARED:
        for name in SCHEDULERS:
            add(load, 1, 600.0 * scale, name)
    return rows


_BULK, _MANY = "80 % and bulk", f"{NUM_USERS} people"
_COMPARED = ("80 %", "95 %", "one greedy owner")
_LOADS: Mapping[str, Callable[[Crowd, int], list[Arrival]]] = {
    _BULK: lambda crowd, num: [*crowd.poisson(NUM_USERS, 0.8 * num), *crowd.bulk(num)],
    _MANY: lambda crowd, num: crowd.closed(NUM_USERS, think_seconds=60.0),
    "80 %": lambda crowd, num: crowd.poisson(NUM_USERS, 0.8 * num),
    "95 %": lambda crowd, num: crowd.poisson(NUM_USERS, 0.95 * num),
    "one greedy owner": lambda crowd, num: crowd.greedy(),
}
"""By name: the jobs sent to so many devices; loads are shares of what they can do."""


def measure(fleet: Fleet, seconds: float) -> dict[str, Any]:
    """Over the jobs that came after the warm part; rates until the last job came."""
    warm = WARM_SHARE * seconds
    people = [one for one in fleet.outcomes.values() if not one.arrival.is_bulk]
    counted = [one for one in people if one.arrival.at >= warm]
    previews = [one.first_preview_at - one.arrival.at for one in counted if one.first_preview_at]
    latencies = [_latency(one) for one in counted]
    modest = [_latency(one) for one in counted if one.arrival.owner != "greedy"]
    span = seconds - warm
    return {
        "simulated": True,
        "num_devices": len(fleet.devices),
        "num_jobs": len(counted),
        "busy_share": round(fleet.busy_seconds / len(fleet.devices) / fleet.until, 3),
        "pictures_per_second": _rate(fleet.pictures, warm, span),
        "preview_p50_seconds": _percentile(previews, 50),
        "preview_p99_seconds": _percentile(previews, 99),
        "latency_mean_seconds": round(statistics.fmean(latencies), 3),
        "latency_p50_seconds": _percentile(latencies, 50),
        "latency_p99_seconds": _percentile(latencies, 99),
        "people_latency_mean_seconds": round(statistics.fmean(modest), 3),
        "jain": round(jain(service_rates(fleet, people)), 3),
        "bulk_pictures_per_second": _rate(fleet.bulk_pictures, warm, span),
    }


def jain(values: Iterable[float]) -> float:
    """Jain's index of fairness (Jain, Chiu, Hawe 1984): 1 where all are equal, 1/n for one of n."""
    shares = list(values)
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


def service_rates(fleet: Fleet, outcomes: Iterable[Outcome]) -> list[float]:
    """By owner: compute received for each second in which a job of theirs was waiting."""
    until: dict[str, float] = collections.defaultdict(float)
    waited: dict[str, float] = collections.defaultdict(float)
    for one in sorted(outcomes, key=lambda one: one.arrival.at):
        assert one.finished_at is not None
        owner = one.arrival.owner
        waited[owner] += max(0.0, one.finished_at - max(one.arrival.at, until[owner]))
        until[owner] = max(until[owner], one.finished_at)
    return [fleet.service[owner] / seconds for owner, seconds in waited.items()]


def _latency(outcome: Outcome) -> float:
    assert outcome.finished_at is not None
    return outcome.finished_at - outcome.arrival.at


def _rate(times: Iterable[float], start: float, span: float) -> float:
    return round(sum(start <= at < start + span for at in times) / span, 2)


def _percentile(values: list[float], percent: int) -> float:
    """The smallest value that at least `percent` of them do not exceed."""
    return round(sorted(values)[max(0, -(-len(values) * percent // 100) - 1)], 3)
