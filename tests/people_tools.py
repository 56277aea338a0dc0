"""People for the tests: accounts with known passwords, browsers that are signed in, requests."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import httpx

from studio.application import Studio
from studio.people import People
from studio.person import LOCAL_PERSON, Person, Role
from studio.who import admit
from tests.conftest import WAIT_SECONDS, Served

ADMIN = "ada"
PASSWORD = "correct horse battery"


def asked_by(person: Person = LOCAL_PERSON) -> Any:
    """A request of `person`, as it is behind the gate: for handlers called without a server."""

    @dataclasses.dataclass
    class Asked:
        scope: dict[str, Any]

    asked = Asked({})
    admit(asked.scope, person)
    return asked


def people_of(studio: Studio, **roles: str) -> People:
    """The studio's people: an admin `ada` of every role, and `roles` by name, all with `PASSWORD`.

    Several roles are parted by commas.
    """
    people = studio.people
    people.add(ADMIN, PASSWORD, list(Role), by=LOCAL_PERSON)
    for name, names in roles.items():
        people.add(name, PASSWORD, names.split(","), by=people.account(ADMIN).person())
    return people


@contextlib.contextmanager
def browser_of(served: Served, name: str | None = None) -> Iterator[httpx.Client]:
    """A client signed in as `name`, or as nobody."""
    with httpx.Client(base_url=served.address, timeout=WAIT_SECONDS) as client:
        if name is not None:
            assert sign_in(client, name).status_code == 303
        yield client


def sign_in(client: httpx.Client, name: str, password: str = PASSWORD) -> httpx.Response:
    return client.post("/sign-in", data={"name": name, "password": password})
