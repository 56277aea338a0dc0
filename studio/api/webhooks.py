"""Webhooks: addresses that are told, in signed messages, when something is done."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import APIRouter

from studio.api.door import Door
from studio.api.jobs import Limit
from studio.api.schemas.base import Page
from studio.api.schemas.webhook import DeliveryOut, NewWebhookOut, WebhookIn, WebhookOut
from studio.api_key import Scope
from studio.application import Studio
from studio.person import Person


def webhooks_router(studio: Studio, door: Door) -> APIRouter:
    router = APIRouter(tags=["webhooks"])
    manages = door.may(Scope.WEBHOOKS)

    @router.post("/webhooks", status_code=201, summary="Tell an address")
    def create_webhook(sent: WebhookIn, person: Person = manages) -> NewWebhookOut:
        """Messages are signed (standardwebhooks.com) and sent again until they are taken."""
        hook = studio.hooks.add(person.name, sent.url, sent.events)
        # Not the whole address: of many receivers it is their secret.
        host = urlsplit(hook.url).hostname
        studio.audit.note(person, "webhook.create", hook.id, host=host)
        return NewWebhookOut.of_new(hook)

    @router.get("/webhooks", summary="Your webhooks, newest first")
    def list_webhooks(person: Person = manages) -> Page[WebhookOut]:
        return Page(items=[WebhookOut.of(hook) for hook in studio.hooks.page(person.name)])

    @router.get("/webhooks/{webhook_id}", summary="One webhook")
    def get_webhook(webhook_id: str, person: Person = manages) -> WebhookOut:
        return WebhookOut.of(studio.hooks.hook(webhook_id, person.name))

    @router.delete("/webhooks/{webhook_id}", status_code=204, summary="Tell it no more")
    def delete_webhook(webhook_id: str, person: Person = manages) -> None:
        studio.hooks.delete(webhook_id, person.name)
        studio.audit.note(person, "webhook.delete", webhook_id)

    @router.post("/webhooks/{webhook_id}/test", status_code=202, summary="Send it a test message")
    def test_webhook(webhook_id: str, person: Person = manages) -> DeliveryOut:
        return DeliveryOut.of(studio.hooks.test(webhook_id, person.name))

    @router.get("/webhooks/{webhook_id}/deliveries", summary="Its messages, newest first")
    def list_deliveries(
        webhook_id: str, limit: Limit = 50, person: Person = manages
    ) -> Page[DeliveryOut]:
        found = studio.hooks.deliveries(webhook_id, person.name, limit=limit)
        return Page(items=[DeliveryOut.of(delivery) for delivery in found])

    return router
