"""The scheduler: which samples share a step, and what everyone can count on."""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.engine.sample import Bucket, Sample
from studio.engine.scheduler import Policy, Scheduler, StepBatch
from studio.request import Request
from studio.terms import ServiceClass, Terms

BULK = ServiceClass.BULK
NEVER = 1e9
CALM = Policy(ageing_seconds=NEVER, bulk_ageing_seconds=NEVER)
"""Nothing gets overdue: the other rules alone."""


def pass_seconds(bucket: Bucket, num_rows: int) -> float:
    """A pass of 64 by 64 costs 0.1 s and 0.05 s for each row; wider ones more."""
    return (0.1 + 0.05 * num_rows) * bucket.width / 64


@dataclasses.dataclass(frozen=True)
class Order:
    """A job that comes before turn `turn`; cancelled before turn `cancelled`, if ever."""

    turn: int = 0
    owner: str = "ann"
    service_class: ServiceClass = ServiceClass.INTERACTIVE
    priority: int = 0
    num_images: int = 1
    num_steps: int = 4
    width: int = 64
    has_guidance: bool = False
    deadline: float | None = None
    is_isolated: bool = False
    cancelled: int | None = None

    def samples(self, job_id: str, now: float = 0.0) -> list[Sample]:
        wanted = Request(
            prompt="a red mug",
            negative_prompt="",
            height=64,
            seed=7,
            model="gaussian",
            num_images=self.num_images,
            num_steps=self.num_steps,
            width=self.width,
            guidance_scale=5.0 if self.has_guidance else 1.0,
        )
        terms = Terms(owner=self.owner, service_class=self.service_class, priority=self.priority)
        return [
            Sample(
                job_id,
                index,
                wanted,
                terms=terms,
                arrived_at=now,
                deadline=None if self.deadline is None else now + self.deadline,
                is_isolated=self.is_isolated,
            )
            for index in range(self.num_images)
        ]


orders = st.builds(
    Order,
    turn=st.integers(0, 25),
    owner=st.sampled_from(["ann", "bob", "eve"]),
    service_class=st.sampled_from(list(ServiceClass)),
    priority=st.sampled_from([0, 0, 0, 5]),
    num_images=st.integers(1, 4),
    num_steps=st.integers(1, 12),
    width=st.sampled_from([64, 96, 128]),
    has_guidance=st.booleans(),
    deadline=st.none() | st.floats(0.1, 20),
    is_isolated=st.sampled_from([False, False, False, True]),
    cancelled=st.none() | st.integers(0, 40),
)
plans = st.lists(orders, min_size=1, max_size=12)


class Shop:
    """Does what the engine does with a scheduler: runs its batches on a clock of its own."""

    def __init__(self, policy: Policy = CALM, max_rows: int = 4) -> None:
        self.scheduler = Scheduler(
            max_rows=lambda bucket: max_rows, seconds=pass_seconds, policy=policy
        )
        self.now = 0.0
        self.longest = 0.0
        self.waiting: dict[str, list[Sample]] = {}
        self.finished: list[Sample] = []
        self.num_jobs = 0

    def take(self, order: Order) -> str:
        job_id = f"job{self.num_jobs}"
        self.num_jobs += 1
        self.waiting[job_id] = order.samples(job_id, self.now)
        for sample in self.waiting[job_id]:
            self.scheduler.add(sample)
        return job_id

    def cancel(self, job_id: str) -> None:
        for sample in self.waiting.pop(job_id, []):
            self.scheduler.remove(sample)

    def turn(self) -> StepBatch | None:
        batch = self.scheduler.schedule(self.now)
        if batch is None:
            return None
        seconds = pass_seconds(batch.bucket, batch.num_rows)
        self.now += seconds
        self.longest = max(self.longest, seconds)
        for sample in batch.samples:
            sample.num_evaluations = sample.request.num_steps
            sample.evaluation += 1
            if sample.is_denoised:
                self.scheduler.remove(sample)
                self.waiting[sample.job_id].remove(sample)
                self.finished.append(sample)
        return batch

    def run(self, plan: list[Order]) -> Iterator[StepBatch]:
        """Every batch until nothing waits and nobody is to come."""
        names: dict[int, str] = {}
        turn = 0
        while len(self.scheduler) or len(names) < len(plan):
            for number, order in enumerate(plan):
                if order.turn == turn:
                    names[number] = self.take(order)
                if order.cancelled == turn and number in names:
                    self.cancel(names[number])
            if (batch := self.turn()) is not None:
                yield batch
            turn += 1


def keys(batch: StepBatch) -> list[tuple[str, int]]:
    return [sample.key for sample in batch.samples]


def is_bulk(sample: Sample) -> bool:
    return sample.terms.service_class is BULK


@given(plans, st.integers(1, 8))
def test_every_sample_that_is_not_cancelled_finishes_once(plan: list[Order], max_rows: int) -> None:
    shop = Shop(Policy(ageing_seconds=3, bulk_ageing_seconds=5), max_rows)
    num_cancelled = 0
    for batch in shop.run(plan):
        assert len({id(sample) for sample in batch.samples}) == len(batch.samples)
        for sample in batch.samples:
            is_waiting = sample in shop.waiting.get(sample.job_id, [])
            assert is_waiting or sample in shop.finished
            assert sample.evaluation <= sample.request.num_steps
    num_cancelled = sum(order.num_images for order in plan if order.cancelled is not None)
    total = sum(order.num_images for order in plan)
    assert total - num_cancelled <= len(shop.finished) <= total
    assert len({sample.key for sample in shop.finished}) == len(shop.finished)
    assert not any(samples for samples in shop.waiting.values())


@given(plans, st.integers(1, 8))
def test_a_batch_keeps_to_its_lane_and_to_the_row_budget_unless_one_sample_alone_exceeds_it(
    plan: list[Order], max_rows: int
) -> None:
    for batch in Shop(Policy(ageing_seconds=3), max_rows).run(plan):
        assert {sample.bucket for sample in batch.samples} == {batch.bucket}
        assert batch.num_rows <= max_rows or len(batch.samples) == 1


@given(plans)
def test_an_isolated_sample_runs_alone(plan: list[Order]) -> None:
    for batch in Shop(max_rows=8).run(plan):
        assert len(batch.samples) == 1 or not any(one.is_isolated for one in batch.samples)


@given(plans)
def test_the_same_calls_make_the_same_batches(plan: list[Order]) -> None:
    policy = Policy(ageing_seconds=3)
    first, second = ([keys(batch) for batch in Shop(policy).run(plan)] for _ in range(2))
    assert first == second


@given(plans, st.integers(1, 8))
def test_bulk_only_rides_along_while_interactive_work_waits(
    plan: list[Order], max_rows: int
) -> None:
    shop = Shop(CALM, max_rows)
    for batch in shop.run(plan):
        waiting = [one for samples in shop.waiting.values() for one in samples]
        if all(is_bulk(sample) for sample in batch.samples):
            assert all(is_bulk(sample) for sample in waiting)
            continue
        rows = sum(sample.num_rows for sample in batch.samples if not is_bulk(sample))
        shortest = pass_seconds(batch.bucket, rows)
        assert pass_seconds(batch.bucket, batch.num_rows) <= shortest * (1 + CALM.max_stretch)


@settings(max_examples=200)
@given(plans, st.integers(1, 6), st.sampled_from([0.2, 0.5]))
def test_nothing_starves(plan: list[Order], max_rows: int, share: float) -> None:
    policy = Policy(ageing_seconds=2, bulk_ageing_seconds=4, ageing_share=share)
    shop = Shop(policy, max_rows)
    since: dict[object, float] = {}
    gaps: dict[bool, float] = defaultdict(float)
    num_most = 0
    for batch in shop.run(plan):
        waiting = [one for samples in shop.waiting.values() for one in samples]
        num_most = max(num_most, len(waiting) + len(batch.samples))
        seconds = pass_seconds(batch.bucket, batch.num_rows)
        for sample in batch.samples:
            line = (sample.job_id, is_bulk(sample))
            for one in (sample.key, line):
                gap = shop.now - since.pop(one, shop.now - seconds)
                gaps[is_bulk(sample)] = max(gaps[is_bulk(sample)], gap)
        for sample in waiting:
            since.setdefault((sample.job_id, is_bulk(sample)), shop.now)
            if sample.is_begun:
                since.setdefault(sample.key, shop.now)
        present = {one.key for one in waiting} | {(one.job_id, is_bulk(one)) for one in waiting}
        since = {one: at for one, at in since.items() if one in present}
    slack = (num_most * (1 / share + 1) + 1) * shop.longest
    assert gaps[False] <= policy.ageing_seconds + slack
    assert gaps[True] <= policy.bulk_ageing_seconds + slack


def test_bulk_gets_its_steps_under_an_endless_stream_of_newcomers() -> None:
    policy = Policy(ageing_seconds=2, bulk_ageing_seconds=4)
    shop = Shop(policy, max_rows=1)
    shop.take(Order(service_class=BULK, owner="bulk", num_steps=1000))
    steps = []
    for number in range(400):
        shop.take(Order(owner=f"owner {number}", num_steps=1))
        batch = shop.turn()
        assert batch is not None
        if is_bulk(batch.samples[0]):
            steps.append(shop.now)
    assert len(steps) > 5
    assert max(later - at for at, later in itertools.pairwise(steps)) < 10


def backlog(owner: str, width: int, num_steps: int, has_guidance: bool) -> Order:
    return Order(
        owner=owner, width=width, num_steps=num_steps, has_guidance=has_guidance, num_images=4
    )


backlogs = st.builds(
    backlog,
    st.sampled_from(["ann", "bob", "eve"]),
    st.sampled_from([64, 96]),
    st.integers(2, 30),
    st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(backlogs, min_size=6, max_size=30), st.integers(1, 6), st.sampled_from([0.5, 2.0]))
def test_owners_with_work_left_out_are_served_alike_within_a_quantum_and_one_pass(
    plan: list[Order], max_rows: int, quantum: float
) -> None:
    policy = dataclasses.replace(CALM, quantum_seconds=quantum, max_stretch=0)
    shop = Shop(policy, max_rows)
    for order in plan:
        shop.take(order)
    served = {order.owner: 0.0 for order in plan}
    while True:
        batch = shop.turn()
        rows_left = dict.fromkeys(served, 0)
        for samples in shop.waiting.values():
            for sample in samples:
                rows_left[sample.terms.owner] += 1
        if batch is None or min(rows_left.values()) <= max_rows:
            break  # someone may have no work left out
        for sample in batch.samples:
            part = sample.num_rows / batch.num_rows
            served[sample.terms.owner] += part * pass_seconds(batch.bucket, batch.num_rows)
        assert max(served.values()) - min(served.values()) <= quantum + shop.longest + 1e-9


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([64, 96, 128]), min_size=3, max_size=12),
    st.integers(1, 6),
    st.sampled_from([0.2, 1.0]),
    st.sampled_from(list(ServiceClass)),
)
def test_lanes_with_work_are_served_alike_within_a_quantum_and_one_pass(
    widths: list[int], max_rows: int, quantum: float, service_class: ServiceClass
) -> None:
    policy = dataclasses.replace(CALM, lane_quantum_seconds=quantum, burst_evaluations=0)
    shop = Shop(policy, max_rows)
    for width in widths:
        shop.take(Order(width=width, num_steps=20, num_images=2, service_class=service_class))
    served = dict.fromkeys(widths, 0.0)
    while (batch := shop.turn()) is not None:
        served[batch.bucket.width] += pass_seconds(batch.bucket, batch.num_rows)
        assert max(served.values()) - min(served.values()) <= quantum + shop.longest + 1e-9
        waiting = {one.bucket.width for samples in shop.waiting.values() for one in samples}
        if waiting != set(widths):
            break


@given(st.lists(orders, min_size=1, max_size=8), st.booleans())
def test_a_lone_newcomer_is_in_the_very_next_batch(plan: list[Order], has_guidance: bool) -> None:
    shop = Shop()
    for order in plan:
        shop.take(dataclasses.replace(order, num_steps=100))
    for _ in range(40):  # the bursts of those before are over
        shop.turn()
    newcomer = shop.take(Order(owner="new", width=160, has_guidance=has_guidance, num_images=4))
    batch = shop.turn()
    assert batch is not None
    assert batch.samples[0].key == (newcomer, 0)


def test_newcomers_come_in_order_of_arrival() -> None:
    shop = Shop(max_rows=1)
    for number in range(4):
        shop.take(Order(owner=f"owner {number}", num_steps=10 - number))
        shop.now += 0.01
    first = [shop.turn() for _ in range(4)]
    assert [batch.samples[0].job_id for batch in first if batch] == ["job0", "job1", "job2", "job3"]


def test_bulk_has_no_burst() -> None:
    shop = Shop(max_rows=1)
    shop.take(Order(service_class=BULK, num_steps=4))
    shop.turn()
    shop.take(Order(service_class=BULK, num_steps=9))
    jobs = [batch.samples[0].job_id for batch in (shop.turn() for _ in range(4)) if batch]
    assert jobs == ["job0", "job0", "job0", "job1"]


def test_a_flood_of_newcomers_takes_at_most_half_from_those_in_the_middle() -> None:
    shop = Shop(max_rows=1)
    shop.take(Order(owner="old", num_steps=10_000))
    shop.turn()
    newcomer_seconds = started = shop.now
    for number in range(200):
        shop.take(Order(owner=f"owner {number}", num_steps=50))
        batch = shop.turn()
        assert batch is not None
        if batch.samples[0].evaluation == 1:
            newcomer_seconds += pass_seconds(batch.bucket, batch.num_rows)
    allowed = (shop.now - started) / 2 + CALM.quantum_seconds + shop.longest
    assert newcomer_seconds - started <= allowed


def test_an_owner_who_is_ahead_does_not_jump_with_job_after_job() -> None:
    shop = Shop(dataclasses.replace(CALM, quantum_seconds=0.5), max_rows=1)
    shop.take(Order(owner="old", num_steps=1000))
    shop.turn()
    num_jumps = 0
    for _ in range(40):
        job_id = shop.take(Order(owner="greedy", num_steps=1))
        batch = shop.turn()
        assert batch is not None
        num_jumps += batch.samples[0].job_id == job_id
    assert num_jumps <= 22


def test_an_owner_who_was_away_has_no_credit() -> None:
    shop = Shop(max_rows=1)
    shop.take(Order(owner="ann", num_steps=1))
    shop.take(Order(owner="bob", num_steps=100_000))
    for _ in range(1000):
        shop.turn()
    shop.take(Order(owner="ann", num_steps=100_000, priority=-1))
    for _ in range(20):
        shop.turn()
    served = defaultdict(float)
    for _ in range(400):
        batch = shop.turn()
        assert batch is not None
        served[batch.samples[0].terms.owner] += 1
    assert abs(served["ann"] - served["bob"]) <= 2 * CALM.quantum_seconds / 0.15


@pytest.mark.parametrize("owner", ["ann", "bob"])
def test_a_short_job_finishes_before_a_long_one_of_an_owner_within_the_quantum(owner: str) -> None:
    shop = Shop(max_rows=1)
    shop.take(Order(num_steps=30))
    for _ in range(2):
        shop.turn()
    short = shop.take(Order(owner=owner, num_steps=5))
    while not shop.finished:
        shop.turn()
    assert shop.finished[0].job_id == short


def test_what_is_left_of_the_whole_job_decides_then_the_picture_closest_to_its_end() -> None:
    shop = Shop(dataclasses.replace(CALM, burst_evaluations=0), max_rows=1)
    many = shop.take(Order(num_steps=4, num_images=3))
    shop.take(Order(num_steps=10))
    while len(shop.scheduler):
        shop.turn()
    assert [sample.key for sample in shop.finished] == [
        ("job1", 0),
        (many, 0),
        (many, 1),
        (many, 2),
    ]


def test_what_is_short_does_not_pass_before_what_is_long_for_ever() -> None:
    policy = dataclasses.replace(CALM, waiting_weight=0.1)
    shop = Shop(policy, max_rows=1)
    long = shop.take(Order(num_steps=30))
    for _ in range(200):
        shop.take(Order(num_steps=5))
        for _ in range(5):
            shop.turn()
    work = 30 * pass_seconds(Bucket(64, 64, "gaussian"), 1)
    ahead = [sample.job_id for sample in shop.finished].index(long)
    assert ahead * 5 * 0.15 <= work / policy.waiting_weight + 10


def test_a_higher_priority_goes_first_whatever_the_lane() -> None:
    shop = Shop(max_rows=1)
    shop.take(Order(num_steps=3))
    shop.take(Order(num_steps=20, priority=5, width=96))
    while not shop.finished:
        shop.turn()
    assert shop.finished[0].job_id == "job1"


def test_a_deadline_that_would_be_missed_comes_first() -> None:
    shop = Shop(max_rows=1)
    shop.take(Order(num_steps=20))
    late = shop.take(Order(num_steps=25, deadline=25 * 0.15 + 1))
    while not shop.finished:
        shop.turn()
    assert shop.finished[0].job_id == late


def test_a_hopeless_deadline_is_not_preferred() -> None:
    shop = Shop(max_rows=1)
    short = shop.take(Order(num_steps=20))
    shop.take(Order(num_steps=25, deadline=25 * 0.15 - 1))
    while not shop.finished:
        shop.turn()
    assert shop.finished[0].job_id == short


def test_deadlines_do_not_put_an_owner_ahead_for_ever() -> None:
    policy = dataclasses.replace(CALM, quantum_seconds=1, deadline_lead_seconds=3)
    shop = Shop(policy, max_rows=1)
    shop.take(Order(owner="patient", num_steps=100_000))
    served = {"patient": 0.0, "pressed": 0.0}
    for _ in range(300):
        shop.take(Order(owner="pressed", num_steps=10, deadline=2.0))
        batch = shop.turn()
        assert batch is not None
        served[batch.samples[0].terms.owner] += pass_seconds(batch.bucket, batch.num_rows)
        assert served["pressed"] - served["patient"] <= 3 + shop.longest + 1e-9


def test_an_owner_who_is_ahead_takes_the_rows_nobody_else_wants() -> None:
    shop = Shop(dataclasses.replace(CALM, quantum_seconds=0.5), max_rows=8)
    shop.take(Order(owner="modest", num_steps=1000))
    shop.take(Order(owner="greedy", num_steps=1000, num_images=7))
    batches = [shop.turn() for _ in range(50)]
    assert all(batch is not None and batch.num_rows == 8 for batch in batches[1:])


def test_a_sample_of_two_rows_is_not_passed_over_for_ever_by_samples_of_one_row() -> None:
    shop = Shop(Policy(ageing_seconds=3), max_rows=2)
    shop.take(Order(owner="two", num_steps=50, has_guidance=True))
    shop.turn()
    for number in range(200):
        shop.take(Order(owner=f"owner {number}", num_steps=2))
        shop.turn()
    two = [sample for samples in shop.waiting.values() for sample in samples][:1]
    assert not two or two[0].evaluation > 5


def test_a_sample_wider_than_the_budget_runs_alone() -> None:
    shop = Shop(max_rows=1)
    shop.take(Order(has_guidance=True, num_images=2))
    batch = shop.turn()
    assert batch is not None
    assert batch.num_rows == 2


def test_one_lane_is_filled_to_the_budget() -> None:
    shop = Shop(max_rows=5)
    shop.take(Order(num_images=3, has_guidance=True))
    shop.take(Order(num_images=3))
    batch = shop.turn()
    assert batch is not None
    assert batch.num_rows == 5


def test_the_budget_is_asked_at_each_pass() -> None:
    budget = [4]
    scheduler = Scheduler(max_rows=lambda bucket: budget[0], seconds=pass_seconds)
    for sample in Order(num_images=4).samples("job"):
        scheduler.add(sample)
    sizes = []
    for budget[0] in (4, 2, 1):
        batch = scheduler.schedule(0.0)
        assert batch is not None
        sizes.append(batch.num_rows)
    assert sizes == [4, 2, 1]


def test_a_removed_sample_is_forgotten() -> None:
    scheduler = Scheduler(max_rows=lambda bucket: 4, seconds=pass_seconds)
    first, second = Order(num_images=2).samples("job")
    for sample in (first, second, first):
        scheduler.add(sample)
    assert len(scheduler) == 2
    scheduler.remove(first)
    scheduler.remove(first)
    batch = scheduler.schedule(0.0)
    assert batch is not None
    assert batch.samples == (second,)


def test_an_empty_scheduler_has_no_batch() -> None:
    assert Shop().turn() is None


def test_a_batch_that_is_not_ready_is_chosen_anew() -> None:
    scheduler = Scheduler(max_rows=lambda bucket: 2, seconds=pass_seconds, policy=CALM)
    (ann,), (bob,) = Order(owner="ann").samples("a"), Order(owner="bob").samples("b")
    scheduler.add(ann)
    scheduler.add(bob)

    def is_ready(sample: Sample) -> bool:
        if sample is ann:
            scheduler.remove(sample)
        return sample is not ann

    batch = scheduler.schedule(0.0, is_ready)
    assert batch is not None
    assert batch.samples == (bob,)


def test_a_batch_that_is_not_ready_is_charged_to_nobody() -> None:
    scheduler = Scheduler(max_rows=lambda bucket: 1, seconds=pass_seconds, policy=CALM)
    (ann,), (bob,) = (Order(owner=name, num_steps=99).samples(name) for name in ("ann", "bob"))
    scheduler.add(bob)

    def is_ready(sample: Sample) -> bool:
        if sample is ann:
            scheduler.remove(sample)
        return sample is not ann

    for _ in range(60):
        scheduler.add(ann)
        batch = scheduler.schedule(0.0, is_ready)
        assert batch is not None
        bob.num_evaluations, bob.evaluation = 99, bob.evaluation + 1
    scheduler.add(ann)
    batch = scheduler.schedule(0.0)
    assert batch is not None
    assert batch.samples == (ann,)
