"""`Locks`: shut the door to an account, or an address, from which too many passwords were wrong.

Both are known by hashes alone: people type their password where the name belongs.
"""

from __future__ import annotations

import hashlib
import ipaddress

from studio.durations import about
from studio.errors import LimitReached
from studio.failure_rows import Throttle
from studio.store import Store

ACCOUNT_THROTTLE = Throttle(num_free=5)
ADDRESS_THROTTLE = Throttle(num_free=20)


class Locks:
    """The locks of one studio; they outlast it. Any thread may call it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def check(self, name: str, address: str) -> None:
        """Raises `LimitReached` where the door is shut, with when it opens."""
        say_locked(self._store.seconds_locked([_account(name), _address(address)]))

    def count(self, name: str, address: str) -> float:
        """Note a wrong password; for how many seconds the door is now shut, 0 where it is not."""
        return self._store.add_failure(
            [(_account(name), ACCOUNT_THROTTLE), (_address(address), ADDRESS_THROTTLE)]
        )

    def open(self, name: str) -> None:
        """Forget what went wrong with an account."""
        self._store.forget_failures(_account(name))


def say_locked(seconds: float) -> None:
    """Raises `LimitReached` where that is any time at all."""
    if seconds > 0:
        raise LimitReached(
            f"Too many wrong passwords: try again in {about(seconds)}, or ask an admin to set a "
            "new password.",
            retry_after_seconds=seconds,
        )


def _account(name: str) -> str:
    return _key("account", name)


def _address(address: str) -> str:
    return _key("address", _network(address))


def _key(kind: str, text: str) -> str:
    return hashlib.sha256(f"{kind}:{text}".encode()).hexdigest()


def _network(address: str) -> str:
    """The address, or its network where one household has a great many (IPv6)."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
