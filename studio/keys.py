"""`Keys`: API keys as people handle them: made, listed, revoked; and whose a shown key is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from studio.api_key import PREFIX, ApiKey, KeyHolder, Scope, hashed, new_secret
from studio.errors import BadInput
from studio.job import new_id
from studio.key_rows import KeyRows
from studio.person import Person

MAX_KEYS = 50
MAX_DAYS = 3650
DEFAULT_DAYS = 90
MAX_NAME_CHARS = 60

_TOUCH_SECONDS = 60.0
_HINT_CHARS = len(PREFIX) + 4

FindPerson = Callable[[str], Person | None]
"""Who has this name, and may come in."""


class Keys:
    """The API keys of a studio. Any thread may call it."""

    def __init__(self, store: KeyRows, find_person: FindPerson) -> None:
        self._store = store
        self._find_person = find_person
        self._lock = threading.Lock()
        self._touched: dict[str, float] = {}

    def create(
        self,
        owner: str,
        name: object,
        scopes: Iterable[object],
        *,
        days: int | None = DEFAULT_DAYS,
        maker: KeyHolder | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key and its secret, which is told here and never again. `days` of `None`: for ever.

        One that a key makes, the `maker`, has none but its scopes, ends when it ends at the latest,
        and is revoked with it.

        Raises:
            BadInput: the name, a scope or the days cannot be used; the maker has not every scope.
            Conflict: the owner has too many, or the maker was revoked meanwhile.
        """
        text = " ".join(str(name).split())
        if not (0 < len(text) <= MAX_NAME_CHARS and text.isprintable()):
            raise BadInput(f"Name the key after its program, in 1 to {MAX_NAME_CHARS} characters.")
        if days is not None and not 1 <= days <= MAX_DAYS:
            raise BadInput(f"A key is good for 1 to {MAX_DAYS:,} days, or without end.")
        secret = new_secret()
        now = time.time()
        allowed = frozenset(Scope) if maker is None else maker.scopes
        key = ApiKey(
            id=new_id(),
            owner=owner,
            name=text,
            scopes=_checked_scopes(scopes, allowed),
            hint=secret[:_HINT_CHARS],
            created_at=now,
            expires_at=None if days is None else now + days * 86_400,
            parent=None if maker is None else maker.key_id,
        )
        return self._store.add_key(key, hashed(secret), max_keys=MAX_KEYS), secret

    def list(self, owner: str | None = None) -> list[ApiKey]:
        """Keys, the newest first; of everybody where no owner is given."""
        return self._store.keys(owner=owner)

    def revoke(self, key_id: str, owner: str | None = None) -> ApiKey:
        """From now on the key opens nothing, nor does any that it made."""
        return self._store.revoke_key(key_id, owner=owner)

    def holder(self, secret: str) -> KeyHolder | None:
        """Who asks with this secret; `None` when it is not, or no longer, good."""
        if not secret.startswith(PREFIX):
            return None
        key = self._store.key_of_hash(hashed(secret))
        if key is None or not key.is_good:
            return None
        person = self._find_person(key.owner)
        if person is None:
            return None
        self._touch(key)
        return KeyHolder(name=person.name, roles=person.roles, key_id=key.id, scopes=key.scopes)

    def _touch(self, key: ApiKey) -> None:
        """Note the use, once a minute at most."""
        now = time.monotonic()
        with self._lock:
            if now - self._touched.get(key.id, -_TOUCH_SECONDS) < _TOUCH_SECONDS:
                return
            self._touched[key.id] = now
        self._store.touch_key(key.id)


def _checked_scopes(names: Iterable[object], allowed: frozenset[Scope]) -> frozenset[Scope]:
    scopes = set()
    for name in names:
        if name not in list(Scope):
            raise BadInput(f"There is no scope {str(name)[:40]!r}: choose from {', '.join(Scope)}.")
        scopes.add(Scope(str(name)))
    if not scopes:
        raise BadInput(f"A key needs a scope: choose from {', '.join(Scope)}.")
    if not scopes <= allowed:
        missing = ", ".join(sorted(scopes - allowed))
        raise BadInput(f"A key cannot make one that may do more than itself: leave out {missing}.")
    return frozenset(scopes)
