"""Accounts, passwords, sessions, and the door, on a real store without a server."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from studio import people as people_module
from studio.config import Config
from studio.errors import (
    BadInput,
    Conflict,
    Forbidden,
    LimitReached,
    NotFound,
    Unauthenticated,
)
from studio.failure_rows import Throttle
from studio.people import People
from studio.person import CONSOLE_PERSON, LOCAL_PERSON, Person, Role
from studio.store import DATABASE_NAME, Store

PASSWORD = "correct horse battery"
WRONG = "wrong horse battery"
HERE, THERE = "192.0.2.1", "192.0.2.2"


@contextlib.contextmanager
def opened(data_dir: Path, **settings: int) -> Iterator[People]:
    with Store.open(data_dir) as store:
        people = People(store, Config(data_dir=data_dir, **settings))  # type: ignore[arg-type]
        yield people
        people.close()


@pytest.fixture
def people(tmp_path: Path) -> Iterator[People]:
    """Ada, who is everything, and Bob, who makes pictures."""
    with opened(tmp_path) as people:
        people.add("Ada", PASSWORD, list(Role), by=CONSOLE_PERSON)
        people.add("bob", PASSWORD, ["merchandiser"], by=CONSOLE_PERSON)
        yield people


@pytest.fixture
def ada(people: People) -> Person:
    return people.account("ada").person(HERE)


@pytest.fixture
def bob(people: People) -> Person:
    return people.account("bob").person(HERE)


def visits(people: People, token: str) -> str | None:
    person = people.visitor(token, HERE)
    return person and person.name


def fail(people: People, name: str, address: str = HERE) -> None:
    with pytest.raises((Unauthenticated, LimitReached)):
        people.sign_in(name, WRONG, address=address)


def test_without_accounts_everybody_is_the_local_user(tmp_path: Path) -> None:
    with opened(tmp_path) as people:
        assert people.visitor(None, HERE) == LOCAL_PERSON
        assert people.visitor("a token of long ago", HERE) == LOCAL_PERSON


def test_from_the_first_account_on_nobody_is(people: People) -> None:
    assert people.visitor(None, HERE) is None
    assert people.visitor("a guess", HERE) is None


def test_disabling_everybody_opens_the_studio_to_nobody(people: People, ada: Person) -> None:
    people.set_enabled("bob", False, by=ada)
    assert people.has_accounts
    assert people.visitor(None, HERE) is None


def test_a_right_password_opens_a_session_whatever_the_case_of_the_name(people: People) -> None:
    token = people.sign_in(" ADA ", PASSWORD, address=HERE, agent="a browser")
    person = people.visitor(token, THERE)
    assert person == Person(name="ada", roles=frozenset(Role))
    assert person
    assert person.address == THERE
    (session,) = people.sessions("ada")
    assert (session.address, session.agent) == (HERE, "a browser")


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ada", WRONG),
        ("ada", ""),
        ("ada", PASSWORD + " "),
        ("ada", "x" * 1_000_000),
        ("nobody-here", PASSWORD),
        ("", ""),
        ("ada\x00", PASSWORD),
        ("' OR 1=1 --", PASSWORD),
    ],
    ids=str,
)
def test_anything_else_is_refused_in_the_same_words(
    people: People, name: str, password: str
) -> None:
    with pytest.raises(Unauthenticated, match="The name or the password is wrong"):
        people.sign_in(name, password, address=HERE)


def test_neither_passwords_nor_tokens_are_in_the_database(people: People, tmp_path: Path) -> None:
    token = people.sign_in("ada", PASSWORD, address=HERE)
    fail(people, PASSWORD)  # typed where the name belongs
    with contextlib.closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as db:
        dump = "\n".join(db.iterdump())
    assert "$argon2id$" in dump
    assert token not in dump
    assert PASSWORD not in dump


# The door


def test_too_many_wrong_passwords_shut_the_door_for_the_right_one_too(people: People) -> None:
    for _ in range(5):
        fail(people, "bob")
    with pytest.raises(LimitReached, match=r"Too many wrong passwords: try again in about 30 s"):
        people.sign_in("bob", PASSWORD, address=THERE)
    assert people.sign_in("ada", PASSWORD, address=HERE), "others are not held up"


def test_the_door_stays_shut_over_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path) as people:
        people.add("bob", PASSWORD, ["admin"], by=CONSOLE_PERSON)
        for _ in range(5):
            fail(people, "bob")
    with opened(tmp_path) as people, pytest.raises(LimitReached):
        people.sign_in("bob", PASSWORD, address=HERE)


def test_an_address_that_tries_many_names_is_shut_out(people: People) -> None:
    for number in range(20):
        fail(people, f"somebody-{number}")
    with pytest.raises(LimitReached):
        people.sign_in("ada", PASSWORD, address=HERE)
    assert people.sign_in("ada", PASSWORD, address=THERE)


def test_one_household_of_ipv6_addresses_counts_as_one(people: People) -> None:
    for number in range(20):
        fail(people, f"somebody-{number}", f"2001:db8::{number + 1:x}")
    with pytest.raises(LimitReached):
        people.sign_in("ada", PASSWORD, address="2001:db8::ffff")
    assert people.sign_in("ada", PASSWORD, address="2001:db8:0:1::1")


def test_a_success_ends_the_row_of_failures(people: People) -> None:
    for _ in range(4):
        fail(people, "bob")
    assert people.sign_in("bob", PASSWORD, address=HERE)
    for _ in range(4):
        fail(people, "bob")
    assert people.sign_in("bob", PASSWORD, address=HERE)


def test_a_new_password_opens_the_door_again(people: People, ada: Person) -> None:
    for _ in range(5):
        fail(people, "bob")
    people.set_password("bob", "another long password", by=ada)
    assert people.sign_in("bob", "another long password", address=HERE)


def test_every_failure_past_the_free_ones_shuts_the_door_for_longer() -> None:
    throttle = Throttle(num_free=3, first_seconds=30, max_seconds=100)
    assert [throttle.locked_seconds(number) for number in range(1, 8)] == [
        0, 0, 30, 60, 100, 100, 100,
    ]  # fmt: skip
    assert throttle.locked_seconds(10**9) == 100


def test_a_thousand_wrong_passwords_check_few_and_let_nothing_through(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The right one among them comes too late; who is signed in, and who signs in from elsewhere,
    does not notice."""
    checked: list[str] = []
    is_password = people_module.is_password

    def counted(password: str, hashed: str | None) -> bool:
        checked.append(password)
        return is_password(password, hashed)

    token = people.sign_in("ada", PASSWORD, address=THERE)
    monkeypatch.setattr(people_module, "is_password", counted)
    answers: list[str] = []

    def guess(number: int) -> None:
        try:
            people.sign_in("bob", PASSWORD if number > 500 else WRONG, address=HERE)
        except (Unauthenticated, LimitReached) as error:
            answers.append(type(error).__name__)
        else:
            answers.append("in")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(guess, range(1000)))
    assert "in" not in answers
    assert len(answers) == 1000
    assert len(checked) == 5
    assert visits(people, token) == "ada"
    assert people.sign_in("ada", PASSWORD, address=THERE)


def test_a_crowd_at_the_door_is_sent_away_at_once(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on, waits = threading.Event(), threading.Semaphore(0)

    def slow(password: str, hashed: str | None) -> bool:
        waits.release()
        assert may_go_on.wait(60)
        return False

    monkeypatch.setattr(people_module, "is_password", slow)
    with ThreadPoolExecutor(people_module.MAX_AT_THE_DOOR) as pool:
        crowd = [
            pool.submit(fail, people, f"somebody-{number}", f"198.51.100.{number}")
            for number in range(people_module.MAX_AT_THE_DOOR)
        ]
        assert waits.acquire(timeout=60)
        while people._places._value:  # all of them stand in the line
            time.sleep(0.001)
        with pytest.raises(LimitReached, match="Many people are signing in"):
            people.sign_in("ada", PASSWORD, address=THERE)
        may_go_on.set()
        for each in crowd:
            each.result()


# Sessions


def test_a_session_ends_when_nobody_sits_at_it(tmp_path: Path) -> None:
    with opened(tmp_path, session_idle_seconds=60) as people:
        people.add("ada", PASSWORD, ["admin"], by=CONSOLE_PERSON)
        token = people.sign_in("ada", PASSWORD, address=HERE)
        age(tmp_path, "seen_at", 59)
        assert visits(people, token) == "ada"
        age(tmp_path, "seen_at", 2)
        assert visits(people, token) is None
        assert people.sessions() == []


def test_being_there_keeps_a_session_alive_up_to_its_end(tmp_path: Path) -> None:
    with opened(tmp_path, session_seconds=1000, session_idle_seconds=100) as people:
        people.add("ada", PASSWORD, ["admin"], by=CONSOLE_PERSON)
        token = people.sign_in("ada", PASSWORD, address=HERE)
        for _ in range(3):
            age(tmp_path, "seen_at", 90)
            people.keep_alive(token)
            assert visits(people, token) == "ada"
        age(tmp_path, "created_at", 1001)
        assert visits(people, token) is None


def age(data_dir: Path, column: str, seconds: float) -> None:
    with contextlib.closing(sqlite3.connect(data_dir / DATABASE_NAME)) as db, db:
        db.execute(f"UPDATE sessions SET {column} = {column} - ?", [seconds])


def test_signing_out_ends_this_session_and_no_other(people: People, ada: Person) -> None:
    here, there = (people.sign_in("ada", PASSWORD, address=where) for where in (HERE, THERE))
    people.sign_out(here, ada)
    people.sign_out(here, ada)
    assert (visits(people, here), visits(people, there)) == (None, "ada")


def test_one_ends_ones_own_sessions_and_an_admin_everybodys(
    people: People, ada: Person, bob: Person
) -> None:
    tokens = [people.sign_in(name, PASSWORD, address=HERE) for name in ("ada", "bob", "bob")]
    of_ada = people.sessions("ada")[0].id
    with pytest.raises(NotFound):
        people.end_session(of_ada, bob)
    people.end_session(people.sessions("bob")[0].id, bob)
    assert [visits(people, token) for token in tokens] == ["ada", "bob", None]
    people.end_session(people.sessions("bob")[0].id, ada)
    assert [visits(people, token) for token in tokens] == ["ada", None, None]


def test_somebody_disabled_is_out_at_once_and_told_so_only_with_the_right_password(
    people: People, ada: Person
) -> None:
    token = people.sign_in("bob", PASSWORD, address=HERE)
    people.set_enabled("bob", False, by=ada)
    assert visits(people, token) is None
    with pytest.raises(Unauthenticated, match="wrong"):
        people.sign_in("bob", WRONG, address=HERE)
    with pytest.raises(Unauthenticated, match="disabled: ask an admin"):
        people.sign_in("bob", PASSWORD, address=HERE)
    people.set_enabled("bob", True, by=ada)
    assert people.sign_in("bob", PASSWORD, address=HERE)
    assert visits(people, token) is None, "the old session stays ended"


def test_roles_change_with_the_next_click(people: People, ada: Person) -> None:
    token = people.sign_in("bob", PASSWORD, address=HERE)
    people.set_roles("bob", ["reviewer"], by=ada)
    person = people.visitor(token, HERE)
    assert person
    assert person.roles == {Role.REVIEWER}


# Passwords


def test_a_new_password_of_ones_own_ends_every_other_session(people: People, bob: Person) -> None:
    here, there = (people.sign_in("bob", PASSWORD, address=where) for where in (HERE, THERE))
    people.change_password(bob, PASSWORD, "another long password", keep_token=here)
    assert (visits(people, here), visits(people, there)) == ("bob", None)
    fail(people, "bob")
    with pytest.raises(Unauthenticated):
        people.sign_in("bob", PASSWORD, address=HERE)
    assert people.sign_in("bob", "another long password", address=HERE)


def test_the_old_password_cannot_be_guessed_there_either(people: People, bob: Person) -> None:
    for _ in range(5):
        with pytest.raises((Unauthenticated, LimitReached)):
            people.change_password(bob, WRONG, "another long password")
    with pytest.raises(LimitReached):
        people.change_password(bob, PASSWORD, "another long password")


@pytest.mark.parametrize(
    ("password", "sentence"),
    [
        ("", "too short"),
        ("short", "too short"),
        ("aaaaaaaaaaaaaaaa", "easy to guess"),
        ("the password of ada", "easy to guess"),
        ("x" * 2000, "too long"),
    ],
    ids=lambda value: value[:20],
)
def test_a_password_that_is_easily_guessed_is_refused(
    people: People, ada: Person, password: str, sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        people.set_password("ada", password, by=ada)


# Accounts


@pytest.mark.parametrize(
    "name",
    ["", " ", "..", ".a", "a b", "a/b", "<b>", "a\nb", "local", "Console", "system", "x" * 65],
)
def test_a_name_that_would_confuse_is_refused(people: People, ada: Person, name: str) -> None:
    with pytest.raises(BadInput):
        people.add(name, PASSWORD, ["merchandiser"], by=ada)


@pytest.mark.parametrize("name", ["BOB", " bob ", "ｂｏｂ"])
def test_two_people_cannot_look_alike_by_case_or_width(
    people: People, ada: Person, name: str
) -> None:
    with pytest.raises(Conflict, match="already: choose another name"):
        people.add(name, PASSWORD, ["merchandiser"], by=ada)


def test_a_name_may_be_chinese(people: People, ada: Person) -> None:
    assert people.add("王芳", PASSWORD, ["merchandiser"], by=ada).name == "王芳"
    assert people.sign_in("王芳", PASSWORD, address=HERE)


def test_the_first_account_is_an_admin(tmp_path: Path) -> None:
    with (
        opened(tmp_path) as people,
        pytest.raises(BadInput, match="first account must be an admin"),
    ):
        people.add("bob", PASSWORD, ["merchandiser"], by=CONSOLE_PERSON)


def test_the_last_admin_stays_one(people: People, ada: Person) -> None:
    with pytest.raises(Conflict, match="last admin"):
        people.set_enabled("ada", False, by=ada)
    with pytest.raises(Conflict, match="last admin"):
        people.set_roles("ada", ["reviewer"], by=ada)
    people.set_roles("bob", ["admin"], by=ada)
    people.set_enabled("ada", False, by=ada)


@pytest.mark.parametrize("roles", [[], ["boss"], ["admin", ""]])
def test_roles_are_of_the_three(people: People, ada: Person, roles: list[str]) -> None:
    with pytest.raises(BadInput, match="merchandiser, reviewer, admin"):
        people.set_roles("bob", roles, by=ada)


def test_accounts_are_the_admins_to_change(people: People, bob: Person) -> None:
    for act in (
        lambda: people.add("eve", PASSWORD, ["admin"], by=bob),
        lambda: people.set_password("ada", "another long password", by=bob),
        lambda: people.set_roles("bob", ["admin"], by=bob),
        lambda: people.set_enabled("ada", False, by=bob),
    ):
        with pytest.raises(Forbidden, match="“admin”"):
            act()


def test_what_is_not_there_is_not_found(people: People, ada: Person) -> None:
    for act in (
        lambda: people.set_password("eve", "another long password", by=ada),
        lambda: people.set_roles("eve", ["admin"], by=ada),
        lambda: people.set_enabled("eve", False, by=ada),
        lambda: people.end_session("eve", ada),
    ):
        with pytest.raises(NotFound):
            act()


def test_a_second_process_sees_and_changes_the_accounts_of_a_running_studio(
    people: People, tmp_path: Path
) -> None:
    token = people.sign_in("bob", PASSWORD, address=HERE)
    with Store.beside(tmp_path) as store:
        others = People(store, Config(data_dir=tmp_path))
        assert [account.name for account in others.accounts()] == ["ada", "bob"]
        others.set_enabled("bob", False, by=CONSOLE_PERSON)
        others.close()
    assert visits(people, token) is None
