"""`studio users` as it is typed, on a folder of its own."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from studio import cli
from studio.config import Config
from studio.people import People
from studio.store import Store
from tests.people_tools import PASSWORD


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder; passwords come from standard input."""
    monkeypatch.setenv("VITRINE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PASSWORD}\n" * 9))
    return tmp_path


def users(*arguments: str) -> int:
    return cli.main(["users", *arguments])


def test_the_first_account_is_everything_and_the_next_makes_pictures(
    studio: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert users("add", "ada") == 0
    assert users("add", "bob") == 0
    assert users("add", "rita", "--role", "reviewer", "--role", "admin") == 0
    assert users("list") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:3] == [
        "Added ada: admin, merchandiser, reviewer.",
        "Added bob: merchandiser.",
        "Added rita: admin, reviewer.",
    ]
    assert [line.split()[0] for line in out[3:]] == ["NAME", "ada", "bob", "rita"]


def test_what_was_typed_lets_in_until_it_is_disabled(studio: Path) -> None:
    users("add", "ada")
    assert can_sign_in(studio, "ada")
    assert users("add", "bob") == 0
    assert users("disable", "bob") == 0
    assert not can_sign_in(studio, "bob")
    assert users("enable", "bob") == 0
    assert can_sign_in(studio, "bob")


def can_sign_in(data_dir: Path, name: str, password: str = PASSWORD) -> bool:
    from studio.errors import Unauthenticated

    with Store.open(data_dir) as store:
        people = People(store, Config(data_dir=data_dir))
        try:
            return bool(people.sign_in(name, password, address="here"))
        except Unauthenticated:
            return False
        finally:
            people.close()


def test_a_password_is_reset_from_standard_input(
    studio: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users("add", "ada")
    monkeypatch.setattr(sys, "stdin", io.StringIO("another long password\r\n"))
    assert users("reset", "ADA") == 0
    assert can_sign_in(studio, "ada", "another long password")


def test_roles_are_set(studio: Path, capsys: pytest.CaptureFixture[str]) -> None:
    users("add", "ada")
    users("add", "bob")
    assert users("role", "bob", "reviewer", "merchandiser") == 0
    capsys.readouterr()
    assert users("list", "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    roles = {row["name"]: row["roles"] for row in rows}
    assert roles["bob"] == ["merchandiser", "reviewer"]


def test_what_was_made_before_there_were_accounts_is_given_to_somebody(
    studio: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert users("add", "ada") == 0
    assert users("adopt", "Ada") == 0
    assert "ada has 0 jobs, 0 pictures and 0 batches more." in capsys.readouterr().out


def test_a_studio_without_accounts_says_so(
    studio: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert users("list") == 0
    assert "serves this machine alone" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["add", "a b"], 2, "letters, digits"),
        (["add", "bob", "--role", "boss"], 2, "merchandiser, reviewer, admin"),
        (["add", "ada"], 2, "already"),
        (["disable", "eve"], 2, "no account 'eve'"),
        (["disable", "ada"], 2, "last admin"),
        (["role", "ada", "reviewer"], 2, "last admin"),
        (["reset", "eve"], 2, "no account 'eve'"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    studio: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    sentence: str,
) -> None:
    users("add", "ada")
    assert users(*arguments) == code
    err = capsys.readouterr().err
    assert err.startswith("studio: ")
    assert sentence in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("typed", "sentence"), [("", "no password on standard input"), ("short\n", "too short")]
)
def test_a_password_that_is_missing_or_easy_makes_no_account(
    studio: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    sentence: str,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    assert users("add", "ada") == 2
    assert sentence in capsys.readouterr().err
    users("list")
    assert "no accounts" in capsys.readouterr().out


def test_a_password_is_no_argument(studio: Path) -> None:
    with pytest.raises(SystemExit):
        users("add", "ada", "--password", PASSWORD)
