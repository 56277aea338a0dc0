"""`Person`: who asks, and what they may do.

A studio without accounts has one, who may do everything. Who somebody is, is settled at the door
(`who.py`); everything behind it is handed a `Person` and trusts it.
"""

from __future__ import annotations

import dataclasses
import enum

from studio.errors import Forbidden
from studio.terms import LOCAL_OWNER


class Role(enum.StrEnum):
    """What a person may do. Merchandisers make pictures, reviewers judge them, admins keep house.

    No role includes another: an admin who is to review is given both.
    """

    MERCHANDISER = "merchandiser"
    REVIEWER = "reviewer"
    ADMIN = "admin"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Person:
    """`name` is the owner of what this person makes; `address` is where they ask from."""

    name: str
    roles: frozenset[Role]
    address: str = dataclasses.field(default="", compare=False)

    def has(self, role: Role) -> bool:
        return role in self.roles

    def require(self, role: Role) -> None:
        """See that the person has the role.

        Raises:
            Forbidden: they have not.
        """
        if role not in self.roles:
            raise Forbidden(f"Only a person with the role “{role}” may do this: ask an admin.")


LOCAL_PERSON = Person(name=LOCAL_OWNER, roles=frozenset(Role))
"""The one user of a studio without accounts, who sits at its machine."""

CONSOLE_PERSON = Person(name="console", roles=frozenset(Role), address="console")
"""Whoever runs `studio` commands on the machine: they can read its files anyway."""
