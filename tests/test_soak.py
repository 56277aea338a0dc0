"""The soak: its plan, its accounting, the faults it injects, and a small one run to its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from studio.application import Studio
from studio.bench import soak_plan
from studio.bench.soak import Task, slope_mb, soak
from studio.bench.soak_plan import OWNERS, Fate, PlannedJob, audit, plan_jobs
from studio.config import Config
from studio.engine import faults
from studio.engine.engine import Engine
from studio.engine.faults import NAN_WORD, Faults, num_live_tensors
from studio.engine.gaussian import gaussian_model
from studio.events import Event, Failed, Finished, PictureFinished
from tests.conftest import WAIT_SECONDS
from tests.engine_tools import request, run_all

CARD = gaussian_model().card
NUM_JOBS = 160


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A small soak with the closed-form model: two processes, one of them killed."""
    folder = tmp_path_factory.mktemp("soak")
    return soak(
        Task(
            data_dir=str(folder / "data"),
            progress=str(folder / "progress.jsonl"),
            num_jobs=NUM_JOBS,
            seed=1,
            is_closed_form=True,
            out_of_memory_share=0.5,
        )
    )


def test_after_a_soak_every_job_is_accounted_for(report: dict[str, Any]) -> None:
    assert report["problems"] == []
    counted = (report.get(f"num_{status}", 0) for status in ("succeeded", "failed", "cancelled"))
    assert sum(counted) == NUM_JOBS
    assert report["num_failed"] == round(0.02 * NUM_JOBS)


def test_after_a_soak_nothing_is_held_and_the_thread_lives(report: dict[str, Any]) -> None:
    assert report["is_nothing_held"]
    assert report["is_no_tensor_leaked"], report
    assert report["is_thread_alive"]


def test_the_kill_of_a_soak_comes_in_the_middle(report: dict[str, Any]) -> None:
    assert 0.4 * NUM_JOBS <= report["num_done_at_kill"] < NUM_JOBS


def test_memory_that_ran_out_in_a_soak_cost_no_picture(report: dict[str, Any]) -> None:
    assert report["num_out_of_memory"] == report["num_injected_out_of_memory"] > 0
    assert report["is_every_job_accounted_for"]


# The plan


def test_a_plan_follows_from_its_seed() -> None:
    assert plan_jobs(CARD, 50, seed=1) == plan_jobs(CARD, 50, seed=1)
    assert plan_jobs(CARD, 50, seed=1) != plan_jobs(CARD, 50, seed=2)


def test_a_plan_has_its_shares_of_cancels_and_failures_exactly() -> None:
    fates = Counter(planned.fate for planned in plan_jobs(CARD, 2000, seed=1))
    assert fates[Fate.CANCELLED] == 100
    assert fates[Fate.TOO_LONG] == fates[Fate.NOT_A_NUMBER] == 20
    assert fates[Fate.DRAWN] == 1860


def test_a_plan_has_every_owner_class_and_size() -> None:
    plan = plan_jobs(CARD, 200, seed=1)
    assert {planned.owner for planned in plan} == set(OWNERS)
    assert len({planned.service_class for planned in plan}) == 2
    assert len({planned.brief.size for planned in plan}) == len(CARD.sizes)
    assert [planned.number for planned in plan] == list(range(1, 201))


def test_the_plan_and_the_faults_mean_the_same_word() -> None:
    assert soak_plan.NAN_WORD == faults.NAN_WORD


# The accounting


@pytest.fixture
def plan() -> list[PlannedJob]:
    chosen = [
        planned for planned in plan_jobs(CARD, 100, seed=1) if planned.fate is not Fate.CANCELLED
    ]
    return sorted(chosen, key=lambda planned: planned.fate is Fate.DRAWN)[:5]


def draw(data_dir: Path, plan: Sequence[PlannedJob], *, has_faults: bool = True) -> None:
    model = gaussian_model()
    if has_faults:
        model = Faults(seed=1).into(model)
    with Studio.open(
        Config(data_dir=data_dir), card=model.card, load=lambda precision, report: model
    ) as studio:
        studio.wait_until_ready()
        ids = [studio.submit(planned.brief, planned.owner).id for planned in plan]
        for job_id in ids:
            studio.wait(job_id, WAIT_SECONDS)


def test_a_folder_in_which_all_is_well_has_no_problems(
    tmp_path: Path, plan: list[PlannedJob]
) -> None:
    draw(tmp_path, plan)
    audited = audit(tmp_path, plan)
    assert audited.problems == []
    assert audited.num_jobs == {"failed": 2, "succeeded": 3}
    assert audited.num_pictures >= 3


def test_a_lost_job_is_noticed(tmp_path: Path, plan: list[PlannedJob]) -> None:
    draw(tmp_path, plan[:-1])
    (problem,) = audit(tmp_path, plan).problems
    assert problem == f"job {plan[-1].number} is there 0 times"


def test_a_job_that_was_run_twice_is_noticed(tmp_path: Path, plan: list[PlannedJob]) -> None:
    draw(tmp_path, [*plan, plan[-1]])
    assert f"job {plan[-1].number} is there 2 times" in audit(tmp_path, plan).problems


def test_a_job_that_ended_otherwise_than_it_must_is_noticed(
    tmp_path: Path, plan: list[PlannedJob]
) -> None:
    failing = [planned for planned in plan if planned.fate is Fate.NOT_A_NUMBER]
    assert failing
    draw(tmp_path, failing, has_faults=False)
    problems = audit(tmp_path, failing).problems
    assert [problem.split(": ")[0] for problem in problems] == [
        f"job {planned.number} (not a number) is succeeded" for planned in failing
    ]


def test_a_missing_file_and_one_too_many_are_noticed(
    tmp_path: Path, plan: list[PlannedJob]
) -> None:
    draw(tmp_path, plan)
    first, *_ = sorted((tmp_path / "pictures").rglob("*.png"))
    first.rename(first.with_name("stray.png"))
    assert audit(tmp_path, plan).problems == ["stray.png has no row", f"{first.name} is missing"]


def test_a_file_cut_short_is_noticed(tmp_path: Path, plan: list[PlannedJob]) -> None:
    draw(tmp_path, plan)
    first, *_ = sorted((tmp_path / "pictures").rglob("*.png"))
    first.write_bytes(first.read_bytes()[:-40])
    (problem,) = audit(tmp_path, plan).problems
    assert problem.startswith(f"{first.name} cannot be read")


def test_growing_memory_is_told_per_thousand_jobs() -> None:
    lines = [
        {"num_done": done, "rss_bytes": (100 + 0.02 * max(0, done - 500)) * 2**20}
        for done in range(0, 1001, 50)
    ]
    assert slope_mb(lines, 500) == pytest.approx(20.0)
    assert slope_mb(lines[:3], 0) == pytest.approx(0.0)
    assert slope_mb(lines[:1], 0) is None


# The faults


def events_of(*prompts: str, faults: Faults) -> list[Event]:
    """What an engine tells of a picture for each prompt, drawn side by side."""
    events: list[Event] = []
    engine = Engine(faults.into(gaussian_model()), max_rows=16, emit=events.append)
    for prompt in prompts:
        engine.submit(prompt, request(prompt))
    run_all(engine)
    return events


def test_a_prompt_that_is_no_number_fails_alone() -> None:
    events = events_of("a red mug", f"a {NAN_WORD} mug", faults=Faults(seed=1))
    assert [event.job_id for event in events if isinstance(event, Finished)] == ["a red mug"]
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert "not-a-number" in failed.message


def test_a_prompt_that_is_too_long_comes_as_far_as_the_encoder() -> None:
    model = Faults(seed=1).into(gaussian_model())
    assert model.encoder.num_tokens(soak_plan.TOO_LONG) == model.encoder.max_tokens
    (failed,) = [
        event
        for event in events_of(soak_plan.TOO_LONG, faults=Faults(seed=1))
        if isinstance(event, Failed)
    ]
    assert "tokens" in failed.message


def test_memory_runs_out_only_when_armed_and_only_for_several_pictures() -> None:
    faults = Faults(seed=1, out_of_memory_share=1.0)
    faults.allocate(16)
    faults.is_armed = True
    faults.allocate(2)
    with pytest.raises(torch.OutOfMemoryError):
        faults.allocate(3)
    assert faults.num_out_of_memory == 1


def test_memory_that_runs_out_changes_no_picture() -> None:
    prompts = ("a red mug", "a blue vase", "a green lamp")
    armed = Faults(seed=1, out_of_memory_share=1.0)
    armed.is_armed = True
    pictures = [
        {event.job_id: event.pixels for event in events if isinstance(event, PictureFinished)}
        for events in (events_of(*prompts, faults=one) for one in (Faults(seed=1), armed))
    ]
    assert armed.num_out_of_memory > 0
    for prompt in prompts:
        difference = pictures[0][prompt].astype(int) - pictures[1][prompt].astype(int)
        assert abs(difference).max() <= 1


def test_live_tensors_are_counted() -> None:
    before = num_live_tensors()
    kept = [torch.zeros(1) for _ in range(3)]
    assert num_live_tensors() == before + 3
    del kept
    assert num_live_tensors() == before
