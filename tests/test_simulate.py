"""The simulator: devices and people that do not exist, and a scheduler that does."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.bench import simulate
from studio.bench.crowd import Crowd
from studio.bench.fleet import Arrival, Fleet
from studio.bench.simulate import DEFAULT_TIMES, SCHEDULERS, jain, measure, read_times
from studio.engine.step_times import StepTimes
from studio.errors import SetupError
from studio.request import Request

TIMES = StepTimes.from_dict(DEFAULT_TIMES)
DECODE_SECONDS = TIMES.decode_seconds(128, 128)


def job(at: float, num_steps: int = 5, num_images: int = 1, owner: str = "ann") -> Arrival:
    request = Request(
        prompt="",
        height=128,
        width=128,
        num_steps=num_steps,
        guidance_scale=5.0,
        seed=0,
        num_images=num_images,
    )
    return Arrival(at=at, owner=owner, request=request)


def played(name: str, arrivals: list[Arrival], num_devices: int = 1) -> Fleet:
    fleet = Fleet(num_devices, TIMES, lambda: SCHEDULERS[name](TIMES))
    fleet.run(arrivals)
    return fleet


arrivals = st.lists(
    st.builds(
        job,
        st.floats(0, 5),
        st.integers(1, 12),
        st.integers(1, 3),
        st.sampled_from(["ann", "bob", "eve"]),
    ),
    min_size=1,
    max_size=20,
)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_alone_on_one_device_a_job_takes_the_sum_of_its_steps(name: str) -> None:
    fleet = played(name, [job(3.0, num_steps=7)])
    outcome = fleet.outcomes["job0"]
    step_seconds = TIMES.seconds(128, 128, 2)
    assert outcome.first_preview_at == pytest.approx(3.0 + step_seconds)
    assert outcome.finished_at == pytest.approx(3.0 + 7 * step_seconds + DECODE_SECONDS)


@settings(max_examples=30)
@given(arrivals, st.sampled_from(list(SCHEDULERS)), st.integers(1, 3))
def test_every_job_ends_after_all_its_pictures(
    arrivals: list[Arrival], name: str, num_devices: int
) -> None:
    fleet = played(name, arrivals, num_devices)
    assert len(fleet.outcomes) == len(arrivals)
    assert len(fleet.pictures) == sum(arrival.request.num_images for arrival in arrivals)
    for outcome in fleet.outcomes.values():
        assert outcome.first_preview_at is not None
        assert outcome.finished_at is not None
        assert outcome.arrival.at < outcome.first_preview_at < outcome.finished_at


@settings(max_examples=30)
@given(arrivals, st.sampled_from(list(SCHEDULERS)))
def test_a_device_works_exactly_while_a_job_is_there(arrivals: list[Arrival], name: str) -> None:
    fleet = played(name, arrivals)
    until = covered = 0.0
    for outcome in fleet.outcomes.values():
        assert outcome.finished_at is not None
        covered += max(0.0, outcome.finished_at - max(until, outcome.arrival.at))
        until = max(until, outcome.finished_at)
    assert fleet.busy_seconds == pytest.approx(covered)
    num_pictures = len(fleet.pictures)
    passes = fleet.busy_seconds - num_pictures * DECODE_SECONDS
    assert sum(fleet.service.values()) == pytest.approx(passes)


def test_the_same_seed_tells_the_same_story_and_another_seed_another() -> None:
    first, again, other = (
        measure(played("studio", Crowd(TIMES, seed, 30.0).poisson(10, 0.8)), 30.0)
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_people_in_a_closed_loop_send_the_same_jobs_whoever_serves_them() -> None:
    orders = []
    for name in ("studio", "first come"):
        fleet = played(name, Crowd(TIMES, 1, 20.0).closed(3, think_seconds=1.0))
        mine = [one.arrival for one in fleet.outcomes.values() if one.arrival.owner == "person 0"]
        orders.append([arrival.request for arrival in mine][:5])
    assert orders[0] == orders[1]


def test_jobs_go_to_the_device_with_the_least_to_do() -> None:
    fleet = played("studio", [job(0.0, num_steps=30), job(0.1), job(0.2)], num_devices=2)
    assert fleet.outcomes["job0"].finished_at == pytest.approx(
        30 * TIMES.seconds(128, 128, 2) + DECODE_SECONDS
    )


def test_bulk_is_drawn_in_the_gaps() -> None:
    crowd = Crowd(TIMES, 1, 20.0)
    fleet = played("studio", [*crowd.poisson(10, 0.3), *crowd.bulk(1)])
    assert fleet.bulk_pictures
    assert fleet.busy_seconds == pytest.approx(fleet.until)


def test_jains_index_is_one_for_equal_shares_and_one_of_n_for_a_single_taker() -> None:
    assert jain([2.0, 2.0, 2.0]) == pytest.approx(1.0)
    assert jain([5.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)


def test_every_line_of_the_report_says_that_it_is_simulated(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    play = simulate.play
    monkeypatch.setattr(simulate, "play", lambda times, seed: play(times, seed, scale=0.02))
    assert simulate.run(argparse.Namespace(times=None, seed=1)) == 0
    *table, last = capsys.readouterr().out.splitlines()
    assert table[0].startswith("SIMULATED")
    report = json.loads(last)
    assert report["simulated"] is True
    assert {row["num_devices"] for row in report["rows"]} == {1, 8, 64}
    assert {row["scheduler"] for row in report["rows"]} == set(SCHEDULERS)
    assert all(row["simulated"] is True for row in report["rows"])


def test_times_are_read_from_one_table_or_from_what_a_studio_keeps(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    path.write_text(json.dumps({"lanes": DEFAULT_TIMES["lanes"], "decode_seconds": 0.017}))
    name, times = read_times(str(path))
    assert name == "times.json"
    assert times.to_dict() == TIMES.to_dict()
    path.write_text(json.dumps({"a model auto": "float32", "a model": DEFAULT_TIMES}))
    name, times = read_times(str(path))
    assert name == "a model"
    assert times.to_dict() == TIMES.to_dict()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"lanes": []}', '{"lanes": [{}]}', "no JSON"])
def test_a_file_without_times_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "times.json"
    path.write_text(text)
    with pytest.raises(SetupError, match="step times"):
        read_times(str(path))
