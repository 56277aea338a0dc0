"""`Account` and `Session`: a person the studio knows by name, and one browser of theirs.

What may be a name and a password is said here; nothing here knows a database.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Iterable

from studio.errors import BadInput
from studio.person import CONSOLE_PERSON, Person, Role
from studio.terms import LOCAL_OWNER

MAX_NAME_CHARACTERS = 64
MIN_PASSWORD_CHARACTERS = 10
MAX_PASSWORD_CHARACTERS = 1024
_MARKS_IN_NAMES = "._-+@"
_RESERVED = (LOCAL_OWNER, CONSOLE_PERSON.name, "nobody", "system")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Account:
    """A person of the studio.

    `max_pictures_per_day` and `queue_share`, the percentage of the queue's places that may be
    theirs, are `None` where the studio's own limits hold. One without a password signs in through
    the provider, where they are `subject` at `issuer`.
    """

    name: str
    roles: frozenset[Role]
    is_enabled: bool = True
    has_password: bool = False
    max_pictures_per_day: int | None = None
    queue_share: int | None = None
    issuer: str | None = None
    subject: str | None = None
    created_at: float = 0.0

    def person(self, address: str = "") -> Person:
        """Who this is to everything behind the door."""
        return Person(name=self.name, roles=self.roles, address=address)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Session:
    """A browser in which somebody is signed in. `id` is fit to be shown; it lets nobody in."""

    id: str
    name: str
    created_at: float
    seen_at: float
    address: str
    agent: str


def plain_name(text: object) -> str:
    """A name as it is kept, whatever case and form it was typed in."""
    return unicodedata.normalize("NFKC", str(text)[:1000]).strip().casefold()


def checked_name(text: object) -> str:
    """The name as it is kept: without case, so that two people cannot look alike by it.

    Raises:
        BadInput: it cannot be a name.
    """
    name = plain_name(text)
    if not 0 < len(name) <= MAX_NAME_CHARACTERS:
        raise BadInput(f"A name has 1 to {MAX_NAME_CHARACTERS} characters: choose another.")
    # It names folders too: neither "." nor ".." may be one.
    if not all(sign.isalnum() or sign in _MARKS_IN_NAMES for sign in name) or name[0] in "._-":
        raise BadInput(
            f"The name {name!r} cannot be used: take letters, digits and, but not at first, any of "
            f"{_MARKS_IN_NAMES}"
        )
    if name in _RESERVED:
        raise BadInput(f"The name {name!r} is the studio's own: choose another.")
    return name


def checked_password(text: object, name: str) -> str:
    """The password, if it is one that cannot be guessed at once.

    Raises:
        BadInput: it is too short, too long, or easy.
    """
    password = str(text)
    if len(password) < MIN_PASSWORD_CHARACTERS:
        raise BadInput(
            f"The password is too short: take at least {MIN_PASSWORD_CHARACTERS} characters, such "
            "as four words."
        )
    if len(password) > MAX_PASSWORD_CHARACTERS:
        raise BadInput(f"The password is too long: take at most {MAX_PASSWORD_CHARACTERS}.")
    if len(set(password)) < 4 or name in password.casefold():
        raise BadInput("The password is easy to guess: take one of more signs, without the name.")
    return password


def checked_roles(names: Iterable[object]) -> frozenset[Role]:
    """The roles of these names.

    Raises:
        BadInput: there is none, or one that is no role.
    """
    roles = set()
    for name in names:
        try:
            roles.add(Role(str(name)))
        except ValueError as error:
            raise BadInput(f"There is no role {name!r}: choose of {', '.join(Role)}.") from error
    if not roles:
        raise BadInput(f"A person has at least one role: choose of {', '.join(Role)}.")
    return frozenset(roles)


def checked_limit(text: object, name: str, least: int, most: int) -> int | None:
    """A limit as it was typed; nothing, or "none", is no limit of one's own.

    Raises:
        BadInput: it is no whole number, or not one in its bounds.
    """
    typed = "" if text is None else str(text).strip().lower()
    if typed in ("", "none"):
        return None
    if not (typed.isascii() and typed.isdigit() and least <= int(typed[:9]) <= most):
        raise BadInput(
            f"The {name} must be a whole number from {least} to {most:,}, or nothing: mend it."
        )
    return int(typed[:9])
