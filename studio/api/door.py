"""`Door`: who asks, for what their key is good, in which role, and how often.

Every route of the API asks here, by `may`; a route that does not is found by a test.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from fastapi import Depends, Request

from studio.api_key import KeyHolder, Scope, require_scope
from studio.application import Studio
from studio.errors import LimitReached
from studio.person import Person, Role
from studio.who import person_of

_MAX_BUCKETS = 10_000


class Door:
    """The door of one API."""

    def __init__(self, studio: Studio) -> None:
        self._buckets = Buckets(studio.config.api_requests_per_minute)

    def who(self, request: Request) -> Person:
        """Who asks: the holder of a key, or who is signed in. Raises `Unauthenticated`."""
        return person_of(request)

    def may(self, scope: Scope | None, role: Role | None = None) -> Any:
        """A dependency that gives the person, where they may do this."""
        return Depends(self.checker(scope, role))

    def checker(self, scope: Scope | None, role: Role | None) -> Callable[[Request], Person]:
        def check(request: Request) -> Person:
            person = self.who(request)
            if scope is not None:
                require_scope(person, scope)
            if role is not None:
                person.require(role)
            key_id = person.key_id if isinstance(person, KeyHolder) else ""
            self._buckets.take(person.name, key_id)
            return person

        return check


class Buckets:
    """Token buckets: each key may ask `per_minute` times a minute, a sixth of that at once.

    So may each person with all their keys together, three times as often.
    """

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_minute / 60
        self._most = max(10.0, per_minute / 6)
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}

    def take(self, name: str, key_id: str) -> None:
        """Count one request. Raises `LimitReached`, with when to come back."""
        with self._lock:
            now = self._clock()
            factors = {(name, key_id): 1.0, (name, "*"): 3.0}
            left = {}
            for bucket, factor in factors.items():
                tokens, at = self._buckets.get(bucket, (self._most * factor, now))
                left[bucket] = min(
                    self._most * factor, tokens + (now - at) * self._per_second * factor
                )
                if left[bucket] < 1:
                    seconds = (1 - left[bucket]) / (self._per_second * factor)
                    raise LimitReached(
                        "That is more often than the studio takes: ask less often.",
                        retry_after_seconds=seconds,
                    )
            if len(self._buckets) > _MAX_BUCKETS:
                self._buckets.clear()  # who has been patient loses nothing by it
            self._buckets |= {bucket: (tokens - 1, now) for bucket, tokens in left.items()}
