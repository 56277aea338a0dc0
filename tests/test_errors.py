"""The error tree is as its docstring draws it."""

from __future__ import annotations

import re

import pytest

from studio import errors
from studio.errors import BadBrief, NotFound, QueueFull, StudioError

DRAWN = re.compile(
    r"^ *(?P<stem>[│ ]*)[├└]── (?P<name>\w+) +.*?(?:HTTP (?P<http>\d+) +exit (?P<exit>\d+))?$"
)


def tree() -> list[tuple[str, str, str | None, str | None]]:
    """(name, parent, HTTP status, exit code) for each line of the drawing."""
    rows: list[tuple[str, str, str | None, str | None]] = []
    parents = ["StudioError"]
    for line in (errors.__doc__ or "").splitlines():
        if match := DRAWN.match(line):
            depth = 1 + bool(re.match(r" {4}(│| ) +[├└]", line))
            parents[depth:] = [match["name"]]
            rows.append((match["name"], parents[depth - 1], match["http"], match["exit"]))
    return rows


def test_every_error_is_drawn() -> None:
    classes = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, StudioError)
    }
    assert {name for name, *_ in tree()} == classes - {"StudioError"}


@pytest.mark.parametrize(("name", "parent", "http", "code"), tree())
def test_an_error_stands_where_it_is_drawn(
    name: str, parent: str, http: str | None, code: str | None
) -> None:
    error = getattr(errors, name)
    assert error.__bases__ == (getattr(errors, parent),)
    assert error.__doc__
    if http and code:
        assert (error.http_status, error.exit_code) == (int(http), int(code))


def test_a_message_is_shown_as_it_is() -> None:
    assert str(NotFound("There is no such job.")) == "There is no such job."


def test_a_bad_field_is_named() -> None:
    error = BadBrief("subject", "The subject is empty.")
    assert (error.field, str(error)) == ("subject", "The subject is empty.")


def test_a_full_queue_says_when_to_come_back() -> None:
    assert QueueFull("full").retry_after_seconds == 5.0
    assert QueueFull("full", retry_after_seconds=60).retry_after_seconds == 60
