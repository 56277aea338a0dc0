"""`ApiKey`: what lets a program act for a person, and how far.

The key itself is told once, when it is made; what is kept is its hash. It is random and long, so a
fast hash is enough.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import secrets
import time

from studio.errors import Forbidden
from studio.person import Person

PREFIX = "vitrine_"
"""What every key begins with, so that scanners for leaked secrets can find one."""


class Scope(enum.StrEnum):
    """What a key is good for. A key never does what its owner's roles do not allow."""

    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    PICTURES_READ = "pictures:read"
    BATCHES_READ = "batches:read"
    BATCHES_WRITE = "batches:write"
    WEBHOOKS = "webhooks"
    KEYS = "keys"
    WATCH = "watch"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ApiKey:
    """A key as it may be shown. `hint` is how it begins. Times are Unix seconds.

    `parent` is the id of the key that made it: it ends no later than that one, and with it.
    """

    id: str
    owner: str
    name: str
    scopes: frozenset[Scope]
    hint: str
    created_at: float
    expires_at: float | None = None
    used_at: float | None = None
    revoked_at: float | None = None
    parent: str | None = None

    @property
    def is_good(self) -> bool:
        return self.revoked_at is None and not self.is_expired

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and time.time() >= self.expires_at


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeyHolder(Person):
    """A program that asks with a key; everything else about it is its owner's."""

    key_id: str
    scopes: frozenset[Scope]


def require_scope(person: Person, scope: Scope) -> None:
    """See that who asks may do this. People who are signed in have every scope.

    Raises:
        Forbidden: the key was not made for it.
    """
    if isinstance(person, KeyHolder) and scope not in person.scopes:
        raise Forbidden(f"This key lacks the scope “{scope}”: make one that has it.")


def new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def hashed(secret: str) -> str:
    """A key as it is kept."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
