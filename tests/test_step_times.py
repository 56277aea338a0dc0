"""Step times: what is read off a table of measurements."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from studio.engine.step_times import StepTimes


def _times(seconds: dict[int, float], height: int = 64, width: int = 64) -> StepTimes:
    times = StepTimes()
    for num_rows, value in seconds.items():
        times.record(height, width, num_rows, value)
    return times


def test_a_measured_point_is_given_back() -> None:
    assert _times({2: 0.1, 8: 0.3}).seconds(64, 64, 8) == 0.3


def test_between_two_points_the_time_lies_on_their_line() -> None:
    assert abs(_times({2: 0.1, 8: 0.4}).seconds(64, 64, 4) - 0.2) < 1e-12


def test_beyond_the_last_point_the_line_goes_on() -> None:
    assert abs(_times({2: 0.1, 4: 0.2}).seconds(64, 64, 8) - 0.4) < 1e-12


def test_a_larger_picture_costs_in_proportion_until_it_is_measured() -> None:
    times = _times({2: 0.1})
    assert times.seconds(128, 64, 2) == 0.2
    times.record(128, 64, 2, 0.25)
    assert times.seconds(128, 64, 2) == 0.25


def test_rows_stop_where_batching_buys_nothing() -> None:
    assert _times({2: 0.10, 4: 0.20, 8: 0.40}).knee(64, 64) == 2


def test_rows_grow_while_each_row_becomes_cheaper() -> None:
    assert _times({2: 0.10, 4: 0.11, 8: 0.13, 16: 0.26}).knee(64, 64) == 8


def test_a_bump_in_the_step_time_does_not_hide_a_later_gain() -> None:
    assert _times({2: 0.10, 4: 0.20, 8: 0.16}).knee(64, 64) == 8


def test_with_nothing_measured_there_is_still_an_answer() -> None:
    assert StepTimes().seconds(64, 64, 4) > 0
    assert StepTimes().knee(64, 64) == 2


def test_a_table_survives_the_way_through_json() -> None:
    times = _times({1: 0.05, 2: 0.1})
    times.record_decode(64, 64, 0.02)
    again = StepTimes.from_dict(json.loads(json.dumps(times.to_dict())))
    assert again.to_dict() == times.to_dict()
    assert again.decode_seconds(128, 64) == 0.04


@given(
    st.dictionaries(st.sampled_from([1, 2, 4, 8, 16]), st.floats(1e-4, 1.0), min_size=1),
    st.integers(1, 64),
)
def test_a_pass_is_never_free(seconds: dict[int, float], num_rows: int) -> None:
    assert _times(seconds).seconds(64, 64, num_rows) > 0


def test_a_table_can_be_read_while_it_is_added_to() -> None:
    times = _times({1: 0.1})
    lanes = iter(times._lanes)
    next(lanes)
    times.record(32, 32, 1, 0.05)
    assert next(lanes, None) is None
    assert times.seconds(32, 32, 1) == 0.05
