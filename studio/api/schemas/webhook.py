"""Webhooks and their messages."""

from __future__ import annotations

import datetime
from typing import Any

from pydantic import BaseModel, Field

from studio.api.schemas.base import Sent, time_of
from studio.hook import Delivery, DeliveryStatus, Hook, HookEvent


class WebhookIn(Sent):
    url: str = Field(examples=["https://shop.example/hooks/vitrine"])
    events: list[str] = Field(examples=[["job.finished", "batch.finished"]])


class WebhookOut(BaseModel):
    id: str
    url: str
    events: list[HookEvent]
    created_at: datetime.datetime

    @classmethod
    def of(cls, hook: Hook) -> WebhookOut:
        return cls(**_hook_values(hook))


class NewWebhookOut(WebhookOut):
    """A webhook just made. `secret` signs its messages and is shown this once: keep it now."""

    secret: str

    @classmethod
    def of_new(cls, hook: Hook) -> NewWebhookOut:
        return cls(**_hook_values(hook), secret=hook.secret)


class DeliveryOut(BaseModel):
    """A message of a webhook, and what became of it."""

    id: str
    event: str
    object_id: str
    status: DeliveryStatus
    attempts: int
    created_at: datetime.datetime
    next_at: datetime.datetime | None
    error: str | None

    @classmethod
    def of(cls, delivery: Delivery) -> DeliveryOut:
        is_waiting = delivery.status is DeliveryStatus.WAITING
        return cls(
            id=delivery.id,
            event=str(delivery.event),
            object_id=delivery.object_id,
            status=delivery.status,
            attempts=delivery.attempts,
            created_at=time_of(delivery.created_at),
            next_at=time_of(delivery.next_at) if is_waiting else None,
            error=delivery.error,
        )


def _hook_values(hook: Hook) -> dict[str, Any]:
    return {
        "id": hook.id,
        "url": hook.url,
        "events": sorted(hook.events),
        "created_at": time_of(hook.created_at),
    }
