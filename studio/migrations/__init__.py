"""The steps that bring a database of any earlier studio to this studio's schema.

`STEPS` is append-only: a step that was released is never edited, since databases out there have
taken it. Numbers have gaps, and say nothing of the order. Each runs in a transaction together with
the mark that it ran. The steps lie in a file for each part of the house; they know tables and
columns, and what rows mean is `store.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlite_utils import Database, Migrations

from studio.errors import BadDataFolder
from studio.migrations.people import m0010_people, m0011_audit, m0012_usage
from studio.migrations.programs import m0040_batches, m0041_keys, m0042_hooks, m0044_key_parents
from studio.migrations.queue import (
    m0001_jobs,
    m0002_images,
    m0003_events,
    m0004_terms,
    m0043_jobs_by_class,
    m0060_drafts_and_groups,
)
from studio.migrations.reviews import m0020_reviews
from studio.migrations.shelf import m0030_shelf, m0031_examples, m0032_ids_apart

STEPS: tuple[Callable[[Database], None], ...] = (
    m0001_jobs,
    m0002_images,
    m0003_events,
    m0004_terms,
    m0060_drafts_and_groups,
    m0010_people,
    m0011_audit,
    m0012_usage,
    m0040_batches,
    m0041_keys,
    m0042_hooks,
    m0020_reviews,
    m0030_shelf,
    m0043_jobs_by_class,
    m0044_key_parents,
    m0031_examples,
    m0032_ids_apart,
)


def migrate(db: Database, data_dir: Path, *, steps: int = len(STEPS)) -> None:
    """Take every step of the first `steps` that `db` has not taken; `data_dir` is for messages.

    Raises:
        BadDataFolder: the database was written by a newer studio, whose steps are unknown here.
    """
    migrations = _known(steps)
    _refuse_newer(migrations, db, data_dir)
    migrations.apply(db)


def check_current(db: Database, data_dir: Path) -> None:
    """See that the schema is this studio's, without changing it.

    Raises:
        BadDataFolder: it is older or newer.
    """
    if missing := pending(db, data_dir):
        raise BadDataFolder(
            f"The studio that uses {data_dir} is older than this one (its database lacks "
            f"{missing[0]!r}): stop it and try again."
        )


def pending(db: Database, data_dir: Path) -> list[str]:
    """The steps that `db` has not taken. Raises `BadDataFolder` where it is newer."""
    migrations = _known(len(STEPS))
    _refuse_newer(migrations, db, data_dir)
    return [step.name for step in migrations.pending(db)]


def _known(steps: int) -> Migrations:
    migrations = Migrations("studio")
    for step in STEPS[:steps]:
        migrations(name=step.__name__)(step)
    return migrations


def _refuse_newer(migrations: Migrations, db: Database, data_dir: Path) -> None:
    known = {step.__name__ for step in STEPS}
    unknown = [step.name for step in migrations.applied(db) if step.name not in known]
    if unknown:
        raise BadDataFolder(
            f"The data folder {data_dir} was written by a newer studio (its database has "
            f"{unknown[-1]!r}): update this studio, or choose another folder with --data-dir."
        )
