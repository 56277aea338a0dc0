"""The books of the scheduler: owners, lanes, shares."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.engine.fairness import Account, LaneWheel, OwnerLedger, Share
from studio.engine.sample import Bucket

LANES = [Bucket(64, width, "model") for width in (64, 96, 128)]


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0.01, 1.5)), max_size=60), st.floats(0.1, 3))
def test_no_owner_is_charged_beyond_a_quantum_and_one_pass_above_the_least_served(
    passes: list[tuple[int, float]], quantum: float
) -> None:
    ledger = OwnerLedger(quantum)
    accounts = [ledger.enter(f"owner {number}") for number in range(5)]
    for number, seconds in passes:
        ledger.charge(accounts[number], seconds, lead=quantum)
        lead = max(account.service for account in accounts) - ledger.floor
        assert lead <= quantum + 1.5 + 1e-9


@given(st.lists(st.sampled_from(["come", "go", "serve"]), max_size=80))
def test_who_comes_starts_within_a_quantum_of_the_least_served(acts: list[str]) -> None:
    ledger = OwnerLedger(1.0)
    here: list[Account] = [ledger.enter("first")]
    for number, act in enumerate(acts):
        floor = ledger.floor
        if act == "come":
            here.append(ledger.enter(f"owner {number}"))
            assert floor <= here[-1].service <= floor + 1.0
        elif act == "go" and len(here) > 1:
            ledger.leave(here.pop())
        else:
            ledger.charge(min(here, key=lambda one: one.service), 0.4, lead=1.0)


def test_an_owner_who_leaves_and_comes_back_at_once_is_as_far_ahead_as_before() -> None:
    ledger = OwnerLedger(1.0)
    ann, _ = ledger.enter("ann"), ledger.enter("bob")
    ledger.charge(ann, 0.9, lead=1.0)
    ledger.leave(ann)
    assert ledger.enter("ann").service == pytest.approx(0.9)


def test_owners_who_are_gone_and_not_ahead_are_forgotten() -> None:
    ledger = OwnerLedger(1.0)
    first = ledger.enter("first")
    for number in range(1000):
        ledger.charge(first, 0.1, lead=1.0)
        account = ledger.enter(f"owner {number}")
        ledger.charge(account, 0.1, lead=1.0)
        ledger.leave(account)
    assert len(ledger._absent) < 300


@given(st.lists(st.floats(0.01, 1.5), min_size=1, max_size=80), st.floats(0.1, 3))
def test_lanes_that_are_wanted_are_served_alike_within_a_quantum_and_one_pass(
    passes: list[float], quantum: float
) -> None:
    wheel = LaneWheel(quantum)
    served = dict.fromkeys(LANES, 0.0)
    for lane in LANES:
        wheel.add(lane)
    for seconds in passes:
        lane = wheel.choose(LANES)
        wheel.charge(lane, seconds)
        served[lane] += seconds
        assert max(served.values()) - min(served.values()) <= quantum + 1.5 + 1e-9


def test_a_lane_in_debt_waits_its_turn_longer() -> None:
    wheel = LaneWheel(1.0)
    for lane in LANES[:2]:
        wheel.add(lane)
    for _ in range(3):
        wheel.charge(LANES[0], 0.9)
    turns = []
    for _ in range(4):
        turns.append(wheel.choose(LANES[:2]))
        wheel.charge(turns[-1], 1.0)
    assert turns[:2] == [LANES[1], LANES[1]]
    assert LANES[0] in turns[2:]


@given(
    st.lists(st.floats(0.01, 1.0), min_size=1, max_size=200),
    st.sampled_from([0.2, 0.5, 0.8]),
    st.sampled_from([0.0, 2.0]),
)
def test_a_kind_of_work_keeps_to_its_share_of_what_is_handed_out(
    passes: list[float], share: float, credit: float
) -> None:
    books = Share(share, credit)
    mine = total = 0.0
    for seconds in passes:
        is_mine = books.is_open
        mine += seconds * is_mine
        total += seconds
        books.book(seconds * is_mine, seconds * (not is_mine))
    assert mine <= share * (total + credit) + (1 - share) * max(passes) + 1e-9
