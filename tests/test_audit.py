"""The audit: what is written by itself, that it stays, how it is found and handed out."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlite_utils import Database

from studio import cli
from studio.audit import Entry, deed, insert_entry
from studio.audit_search import conditions, csv_lines, json_lines
from studio.brief import Brief
from studio.errors import BadInput, Conflict
from studio.people import People
from studio.person import LOCAL_PERSON, Person, Role
from studio.store import DATABASE_NAME, Store
from studio.who import person_of
from tests.conftest import OpenStudio
from tests.people_tools import PASSWORD, asked_by, people_of

ADA = Person(name="ada", roles=frozenset(Role), address="192.0.2.1")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path) as store:
        yield store


def noted(store: Store, *acts: str) -> None:
    for number, act in enumerate(acts):
        store.note(ADA, act, f"thing-{number}", number=number)


def acts(entries: list[Entry]) -> list[str]:
    return [each.act for each in entries]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'eve'",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit SELECT number, at, 'eve', act, object, address, data"
        " FROM audit",
    ],
)
def test_the_database_refuses_to_change_or_forget_an_entry(
    store: Store, tmp_path: Path, statement: str
) -> None:
    noted(store, "account.add")
    before = store.entries()
    with (
        contextlib.closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as db,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        db.execute(statement)
    assert store.entries() == before


def test_entries_are_listed_the_newest_first_a_page_at_a_time(store: Store) -> None:
    noted(store, "a.a", "a.b", "a.c")
    first = store.entries(limit=2)
    assert acts(first) == ["a.c", "a.b"]
    assert acts(store.entries(limit=2, before=first[-1].number)) == ["a.a"]
    assert first[0].address == "192.0.2.1"
    assert first[0].data == {"number": 2}


def test_entries_are_found_by_person_act_area_thing_words_and_time(store: Store) -> None:
    noted(store, "account.add", "accounting.add", "job.submit")
    bob = Person(name="bob", roles=frozenset())
    store.note(bob, "job.submit", "100%_done", words="under_score")
    assert acts(store.entries(act="account")) == ["account.add"]
    assert acts(store.entries(act="job.submit", actor="bob")) == ["job.submit"]
    assert acts(store.entries(object="thing-2")) == ["job.submit"]
    assert len(store.entries(text="192.0.2")) == 3
    assert [each.actor for each in store.entries(text="0%_d")] == ["bob"]
    assert [each.actor for each in store.entries(text="r_s")] == ["bob"]
    assert store.entries(text="0%d") == []
    assert store.entries(since=time.time() + 60) == []
    assert len(store.entries(until=time.time() + 60)) == 4
    assert store.acts() == ["account.add", "accounting.add", "job.submit"]


def test_a_deed_that_fails_leaves_no_entry(store: Store) -> None:
    def work(db: Database) -> None:
        insert_entry(db, deed("ada", "account.add"))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store._write(work)
    assert store.entries() == []


def test_what_is_done_to_accounts_is_written_with_who_and_from_where(
    open_studio: OpenStudio,
) -> None:
    studio = open_studio()
    people: People = people_of(studio, bob="merchandiser")
    people.set_roles("bob", ["reviewer"], by=ADA)
    people.set_enabled("bob", False, by=ADA)
    with pytest.raises(Conflict):
        people.set_enabled("ada", False, by=ADA)
    people.sign_in("ada", PASSWORD, address="192.0.2.7")
    entries = studio.audit.entries()
    assert acts(entries) == [
        "session.begin", "account.disable", "account.roles", "account.add", "account.add",
    ]  # fmt: skip
    assert (entries[0].actor, entries[0].address) == ("ada", "192.0.2.7")
    assert (entries[2].object, entries[2].data) == ("bob", {"roles": ["reviewer"]})


def test_what_is_done_to_jobs_is_written_too_but_not_what_the_engine_does(
    open_studio: OpenStudio,
) -> None:
    studio = open_studio(step_seconds=0.05)
    studio.wait_until_ready()
    person_of(asked_by(ADA))
    job = studio.submit(Brief(subject="mug", num_images=4), "ada")
    studio.skip(job.id, 3, "ada")
    studio.cancel(job.id, "ada")
    studio.cancel(job.id, "ada")
    studio.retry(job.id, "ada")
    studio.cancel(job.id, "ada")
    person_of(asked_by(LOCAL_PERSON))
    entries = studio.audit.entries(object=job.id)
    assert acts(entries) == [
        "job.cancel", "job.retry", "job.cancel", "job.skip", "job.submit",
    ]  # fmt: skip
    assert {(each.actor, each.address) for each in entries} == {("ada", "192.0.2.1")}


def test_a_spreadsheet_runs_nothing_of_the_audit(store: Store) -> None:
    store.note(Person(name="ada", roles=frozenset()), "job.submit", '=HYPERLINK("x")', a='é,\n"')
    rows = list(csv.DictReader(io.StringIO("".join(csv_lines(store.all_entries())))))
    assert rows[0]["object"] == '\'=HYPERLINK("x")'
    assert json.loads(rows[0]["data"]) == {"a": 'é,\n"'}


def test_json_is_one_array_however_many_there_are(store: Store) -> None:
    assert json.loads("".join(json_lines(store.all_entries()))) == []
    noted(store, *["a.b"] * 1203)
    entries = json.loads("".join(json_lines(store.all_entries())))
    assert [each["number"] for each in entries] == list(range(1203, 0, -1))


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "9999-12-31", "2026-11-24T10:00"])
def test_a_day_that_is_none_is_refused(day: str) -> None:
    with pytest.raises(BadInput, match="write it as 2026-11-24"):
        conditions(actor="", act="", text="", since="", until=day)


def test_the_command_line_hands_it_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITRINE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PASSWORD}\n"))
    assert cli.main(["users", "add", "ada"]) == 0
    capsys.readouterr()
    assert cli.main(["audit", "--act", "account", "--format", "json"]) == 0
    (made,) = json.loads(capsys.readouterr().out)
    assert (made["actor"], made["object"], made["address"]) == ("console", "ada", "console")
    assert cli.main(["audit", "--text", "nothing such"]) == 0
    assert capsys.readouterr().out.splitlines() == ["number,at,actor,act,object,address,data"]
