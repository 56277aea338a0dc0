"""The scheduler: which samples share a step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.engine.sample import Sample
from studio.engine.scheduler import Scheduler
from tests.engine_tools import request

samples = st.builds(
    lambda index, guidance_scale, width: Sample(
        "job", index, request(guidance_scale=guidance_scale, width=width)
    ),
    st.integers(0, 100),
    st.sampled_from([1.0, 5.0]),
    st.sampled_from([64, 96]),
)


def _scheduler(members: list[Sample], max_rows: int) -> Scheduler:
    scheduler = Scheduler(max_rows)
    for sample in members:
        scheduler.add(sample)
    return scheduler


@given(st.lists(samples, min_size=1), st.integers(1, 16))
def test_the_oldest_sample_is_in_every_batch(members: list[Sample], max_rows: int) -> None:
    batch = _scheduler(members, max_rows).schedule()
    assert batch is not None
    assert batch.samples[0] is members[0]


@given(st.lists(samples, min_size=1), st.integers(1, 16))
def test_a_batch_keeps_to_the_row_budget_unless_one_sample_alone_exceeds_it(
    members: list[Sample], max_rows: int
) -> None:
    batch = _scheduler(members, max_rows).schedule()
    assert batch is not None
    assert batch.num_rows <= max_rows or len(batch.samples) == 1


@given(st.lists(samples, min_size=1), st.integers(1, 16))
def test_samples_of_a_batch_share_one_bucket(members: list[Sample], max_rows: int) -> None:
    batch = _scheduler(members, max_rows).schedule()
    assert batch is not None
    assert {sample.bucket for sample in batch.samples} == {batch.bucket}


@given(st.lists(samples, min_size=1), st.integers(1, 16))
def test_no_sample_is_lost_or_served_twice_when_batches_leave_whole(
    members: list[Sample], max_rows: int
) -> None:
    scheduler = _scheduler(members, max_rows)
    served: list[Sample] = []
    while (batch := scheduler.schedule()) is not None:
        for sample in batch.samples:
            scheduler.remove(sample)
            served.append(sample)
    assert len(served) == len(members)
    assert {id(sample) for sample in served} == {id(sample) for sample in members}


@given(st.lists(samples, min_size=1), st.integers(1, 16))
def test_samples_of_one_bucket_are_served_in_order_of_arrival(
    members: list[Sample], max_rows: int
) -> None:
    batch = _scheduler(members, max_rows).schedule()
    assert batch is not None
    of_bucket = [sample for sample in members if sample.bucket == batch.bucket]
    assert list(batch.samples) == of_bucket[: len(batch.samples)]


def test_an_empty_scheduler_has_no_batch() -> None:
    assert Scheduler(4).schedule() is None


def test_a_row_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Scheduler(0)
