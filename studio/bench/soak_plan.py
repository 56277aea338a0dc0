"""The jobs of a soak, and the accounting at its end.

The plan follows from its seed, and each job carries its number as its seed, so that a worker that
takes over after a kill, and whoever audits the data folder afterwards, know which job is which.
"""

from __future__ import annotations

import dataclasses
import enum
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from studio.brief import Brief
from studio.image_record import ImageRecord
from studio.job import Job, JobStatus
from studio.model_card import ModelCard
from studio.store import Store
from studio.terms import ServiceClass

OWNERS = ("ada", "ben", "cho", "dia", "eve")
CANCELLED_SHARE, FAILING_SHARE = 0.05, 0.02
BULK_SHARE, TWO_PICTURES_SHARE = 0.3, 0.1
SUBJECTS, COLORS = ("mug", "chair"), ("red", "blue")
"""Few, so that every prompt has been embedded, and is kept, long before tensors are counted."""

MAX_CANCEL_JOBS = 30
"""A job is cancelled when up to as many others came after it: waiting, running, or over."""

NAN_WORD = "unpaintable"
"""As `studio.engine.faults` has it, which cannot be imported without torch."""

TOO_LONG = " ".join("abcdefghij" * 10)
"""Notes of a hundred words, as many characters as the form takes and more than models read."""


class Fate(enum.StrEnum):
    """What is to become of a job."""

    DRAWN = "drawn"
    CANCELLED = "cancelled"
    TOO_LONG = "too long"
    NOT_A_NUMBER = "not a number"


MESSAGES = {Fate.TOO_LONG: "tokens", Fate.NOT_A_NUMBER: "not-a-number"}
"""A word of the sentence a failing job must end with."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedJob:
    """One job; to be cancelled when `cancel_after_jobs` others have come after it."""

    owner: str
    service_class: ServiceClass
    brief: Brief
    fate: Fate
    cancel_after_jobs: int = 0

    @property
    def number(self) -> int:
        return int(self.brief.seed or 0)


def plan_jobs(card: ModelCard, num_jobs: int, seed: int) -> list[PlannedJob]:
    """Jobs of several owners, classes and sizes, a few steps each; the shares are exact."""
    chance = random.Random(seed)
    num_failing, num_cancelled = round(FAILING_SHARE * num_jobs), round(CANCELLED_SHARE * num_jobs)
    fates = [(Fate.TOO_LONG, Fate.NOT_A_NUMBER)[number % 2] for number in range(num_failing)]
    fates += [Fate.CANCELLED] * num_cancelled
    fates += [Fate.DRAWN] * (num_jobs - len(fates))
    chance.shuffle(fates)
    sizes = [f"{width}x{height}" for height, width in card.sizes]
    notes = {Fate.TOO_LONG: TOO_LONG, Fate.NOT_A_NUMBER: NAN_WORD}
    return [
        PlannedJob(
            owner=chance.choice(OWNERS),
            service_class=ServiceClass("bulk" if chance.random() < BULK_SHARE else "interactive"),
            fate=fate,
            cancel_after_jobs=chance.randint(0, MAX_CANCEL_JOBS),
            brief=Brief(
                subject=chance.choice(SUBJECTS),
                color=chance.choice(COLORS),
                notes=notes.get(fate, ""),
                size=chance.choice(sizes),
                num_images=1 + (chance.random() < TWO_PICTURES_SHARE),
                num_steps=chance.randint(1, 3),
                seed=number,
            ),
        )
        for number, fate in enumerate(fates, start=1)
    ]


@dataclasses.dataclass(frozen=True)
class Audit:
    """What became of the jobs, by status, and everything that is not as it must be."""

    num_jobs: Counter[str]
    num_pictures: int
    problems: list[str]


def audit(data_dir: Path, plan: Sequence[PlannedJob]) -> Audit:
    """Account for every job, row and file of a data folder that nobody serves any more."""
    problems: list[str] = []
    with Store.open(data_dir) as store:
        jobs: dict[int, list[Job]] = defaultdict(list)
        for job in store.jobs(limit=10 * len(plan) + 100):
            jobs[int(job.brief.seed or 0)].append(job)
        images = {
            job.id: store.images(job_id=job.id, release=None, limit=100)
            for same in jobs.values()
            for job in same
        }
    planned_numbers = {planned.number for planned in plan}
    problems += [f"job {number} was never asked for" for number in jobs.keys() - planned_numbers]
    for planned in plan:
        same = jobs[planned.number]
        if len(same) == 1:
            problems += _problems(planned, same[0], images[same[0].id])
        else:
            problems.append(f"job {planned.number} is there {len(same)} times")
    rows = [image for pictures in images.values() for image in pictures]
    problems += _problems_of_files(data_dir, rows)
    statuses = Counter(str(job.status) for same in jobs.values() for job in same)
    return Audit(num_jobs=statuses, num_pictures=len(rows), problems=problems)


def _problems(planned: PlannedJob, job: Job, images: Sequence[ImageRecord]) -> list[str]:
    """What is wrong with one job."""
    name = f"job {planned.number} ({planned.fate})"
    wanted = set(range(job.request.num_images))
    drawn = [image.index for image in images]
    found = []
    if len(set(drawn)) != len(drawn) or not set(drawn) <= wanted:
        found.append(f"{name} has pictures {sorted(drawn)} of {len(wanted)}")
    allowed = {
        Fate.DRAWN: {JobStatus.SUCCEEDED},
        Fate.CANCELLED: {JobStatus.CANCELLED, JobStatus.SUCCEEDED},  # it may have been too late
    }.get(planned.fate, {JobStatus.FAILED})
    if job.status not in allowed:
        found.append(f"{name} is {job.status}: {job.error}")
    elif job.status is JobStatus.SUCCEEDED and set(drawn) != wanted:
        found.append(f"{name} succeeded with pictures {sorted(drawn)} of {len(wanted)}")
    elif job.status is JobStatus.FAILED:
        if drawn:
            found.append(f"{name} failed and has pictures {sorted(drawn)}")
        if MESSAGES[planned.fate] not in (job.error or ""):
            found.append(f"{name} failed with: {job.error}")
    return found


def _problems_of_files(data_dir: Path, rows: Sequence[ImageRecord]) -> list[str]:
    """Rows without a whole file, and files without a row."""
    found = []
    named = {data_dir / row.path for row in rows}
    files = {path for path in (data_dir / "pictures").rglob("*") if path.is_file()}
    found += [f"{path.name} has no row" for path in sorted(files - named)]
    found += [f"{path.name} is missing" for path in sorted(named - files)]
    for path in sorted(named & files):
        try:
            with Image.open(path) as picture:
                picture.load()
        except OSError as error:
            found.append(f"{path.name} cannot be read: {error}")
    return found
