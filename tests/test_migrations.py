"""Every earlier database ends at this studio's schema, with its rows."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
from sqlite_utils import Database, Migrations

from studio.errors import BadDataFolder
from studio.migrations import STEPS, migrate
from studio.rows import row_of_job
from studio.store import DATABASE_NAME, Store
from tests.store_tools import make_job


def schema_after(data_dir: Path, *steps: int) -> str:
    with Database(data_dir / f"{'-'.join(map(str, steps))}.db") as db:
        for number in steps:
            migrate(db, data_dir, steps=number)
        return db.schema


@pytest.mark.parametrize("version", range(len(STEPS)))
def test_a_database_of_any_version_ends_at_the_same_schema(tmp_path: Path, version: int) -> None:
    newest = len(STEPS)
    assert schema_after(tmp_path, version, newest) == schema_after(tmp_path, newest)


def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    newest = len(STEPS)
    assert schema_after(tmp_path, newest, newest) == schema_after(tmp_path, newest)


@pytest.mark.parametrize("version", range(1, len(STEPS)))
def test_jobs_of_an_earlier_version_are_kept(tmp_path: Path, version: int) -> None:
    job = make_job()
    with Database(tmp_path / DATABASE_NAME) as db:
        migrate(db, tmp_path, steps=version)
        table = db.table("jobs")
        row = row_of_job(job) | {"position": 1}
        table.insert({name: value for name, value in row.items() if name in table.columns_dict})
    with Store.open(tmp_path) as store:
        assert store.jobs() == [job]


def test_steps_bear_a_number_of_their_own_and_say_why() -> None:
    numbers = [step.__name__[:6] for step in STEPS]
    assert all(re.fullmatch(r"m\d{4}_", number) for number in numbers)
    assert len(set(numbers)) == len(numbers)
    assert all(step.__doc__ for step in STEPS)


def test_a_database_of_a_newer_studio_is_refused_and_left_alone(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    with Database(tmp_path / DATABASE_NAME) as db:
        future = Migrations("studio")
        for step in STEPS:
            future(name=step.__name__)(step)
        future(name="m9999_holograms")(lambda db: None)
        future.apply(db)
        before = db.schema
    with pytest.raises(BadDataFolder, match=r"newer studio .*m9999_holograms.*update this studio"):
        Store.open(tmp_path)
    with Database(tmp_path / DATABASE_NAME) as db:
        assert db.schema == before


def test_a_picture_needs_its_job(tmp_path: Path) -> None:
    with Database(tmp_path / DATABASE_NAME) as db:
        migrate(db, tmp_path)
        db.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(sqlite3.IntegrityError):
            db.table("events").insert({"job_id": "nobody", "kind": "x", "at": 0.0, "data": "{}"})
