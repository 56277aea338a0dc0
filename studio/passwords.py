"""Passwords as argon2id hashes, with the parameters RFC 9106 recommends where memory is scarce.

Nothing else in the studio sees a hash from the inside. Checking takes about a tenth of a second of
one core on purpose.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argon2 import PasswordHasher


def hash_password(password: str) -> str:
    """The password as it is kept."""
    return _hasher().hash(password)


def is_password(password: str, hashed: str | None) -> bool:
    """Whether `password` is the one behind `hashed`.

    `None` is nobody's, and takes as long to be refused.
    """
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return _hasher().verify(hashed or _of_nobody(), password) and hashed is not None
    except (VerificationError, InvalidHashError):
        return False


def is_outdated(hashed: str) -> bool:
    """Whether it was made with weaker parameters than today's."""
    return _hasher().check_needs_rehash(hashed)


@functools.cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    # One lane: a sign-in takes one core, however many there are.
    return PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)


@functools.cache
def _of_nobody() -> str:
    return _hasher().hash("nobody's password")
