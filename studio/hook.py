"""`Hook` and `Delivery`: an address that is told when something is done, and one such message.

Messages are signed as Standard Webhooks has it: HMAC-SHA256 over id, time and body, so that the
receiver knows who sent them and that they are not old ones sent again.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import hashlib
import hmac
import secrets

SECRET_PREFIX = "whsec_"


class HookEvent(enum.StrEnum):
    JOB_FINISHED = "job.finished"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    JOB_HELD = "job.held"
    BATCH_FINISHED = "batch.finished"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hook:
    """`secret` is what the owner checks signatures with; it is told once, when the hook is made."""

    id: str
    owner: str
    url: str
    events: frozenset[HookEvent]
    secret: str = dataclasses.field(repr=False)
    created_at: float


class DeliveryStatus(enum.StrEnum):
    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Delivery:
    """`event` about job or batch `object_id`. `next_at` is when it is tried (again)."""

    id: str
    hook_id: str
    event: HookEvent | str
    object_id: str
    created_at: float
    status: DeliveryStatus
    attempts: int
    next_at: float
    error: str | None = None


def new_hook_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of the `webhook-signature` header (standardwebhooks.com, "Signature scheme")."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    content = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


def is_signed(secret: str, message_id: str, timestamp: int, body: bytes, signatures: str) -> bool:
    """Whether one of the space-separated `signatures` is right; for receivers."""
    right = signature(secret, message_id, timestamp, body)
    return any(hmac.compare_digest(right, each) for each in signatures.split())
