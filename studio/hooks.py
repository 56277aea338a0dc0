"""`Hooks`: webhooks as people handle them, and what their messages say.

    job or batch is done ─▶ row of a message ─▶ `HookSender`
    (the same transaction)

What a message says is read when it is sent, so that it is true then.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable
from typing import Any

from studio.config import Config
from studio.errors import BadInput
from studio.hook import Delivery, Hook, HookEvent, new_hook_secret
from studio.hook_sender import EXCHANGE_SECONDS, RETRY_SECONDS, HookSender
from studio.job import new_id
from studio.public_network import Resolve, checked_url, resolve
from studio.store import Store

MAX_HOOKS = 20
TEST_EVENT = "test"


class Hooks:
    """The webhooks of a studio. Any thread may call it."""

    def __init__(
        self,
        store: Store,
        config: Config,
        *,
        find: Resolve = resolve,
        retry_seconds: tuple[float, ...] = RETRY_SECONDS,
        exchange_seconds: float = EXCHANGE_SECONDS,
    ) -> None:
        self._store = store
        self._allowed_hosts = frozenset(host.lower() for host in config.webhook_hosts)
        self._find = find
        self._sender = HookSender(
            store,
            self._message,
            allowed_hosts=self._allowed_hosts,
            find=find,
            retry_seconds=retry_seconds,
            exchange_seconds=exchange_seconds,
        )

    def begin(self) -> None:
        self._sender.begin()

    def close(self) -> None:
        """Stop sending; what is not delivered is when the studio is back."""
        self._sender.close()

    # What a person does

    def add(self, owner: str, url: object, events: Iterable[object]) -> Hook:
        """A new webhook; its secret is told here and never again.

        Raises:
            BadInput: the address lies inside, or is none; an event is not known.
            Conflict: the owner has too many.
        """
        chosen = set()
        for event in events:
            if event not in list(HookEvent):
                known = ", ".join(HookEvent)
                raise BadInput(f"There is no event {str(event)[:40]!r}: choose from {known}.")
            chosen.add(HookEvent(str(event)))
        if not chosen:
            raise BadInput(f"Choose what to tell of: {', '.join(HookEvent)}.")
        hook = Hook(
            id=new_id(),
            owner=owner,
            url=checked_url(url, self._allowed_hosts, find=self._find),
            events=frozenset(chosen),
            secret=new_hook_secret(),
            created_at=time.time(),
        )
        self._store.add_hook(hook, max_hooks=MAX_HOOKS)
        return hook

    def page(self, owner: str) -> list[Hook]:
        return self._store.hooks(owner=owner)

    def hook(self, hook_id: str, owner: str) -> Hook:
        return self._store.hook(hook_id, owner=owner)

    def delete(self, hook_id: str, owner: str) -> None:
        self._store.delete_hook(hook_id, owner=owner)

    def test(self, hook_id: str, owner: str) -> Delivery:
        """Send a message that tells of nothing, to see whether it arrives."""
        self._store.hook(hook_id, owner=owner)
        return self._store.add_delivery(hook_id, TEST_EVENT, hook_id)

    def deliveries(self, hook_id: str, owner: str, *, limit: int = 50) -> list[Delivery]:
        """The messages of a webhook, the newest first, with what became of them."""
        self._store.hook(hook_id, owner=owner)
        return self._store.deliveries(hook_id, limit=limit)

    # What a message says

    def _message(self, hook: Hook, delivery: Delivery) -> dict[str, Any]:
        at = datetime.datetime.fromtimestamp(delivery.created_at, datetime.UTC)
        data: dict[str, Any]
        if delivery.event == TEST_EVENT:
            data = {"webhook": {"id": hook.id}}
        elif delivery.event == HookEvent.BATCH_FINISHED:
            data = {"batch": self._batch(delivery.object_id, hook.owner)}
        else:
            data = {"job": self._job(delivery.object_id, hook.owner)}
        return {"type": delivery.event, "timestamp": at.isoformat(), "data": data}

    def _job(self, job_id: str, owner: str) -> dict[str, Any]:
        job = self._store.job(job_id, owner=owner)
        images = self._store.images(job_id=job_id, release=None, limit=job.request.num_images)
        line = self._store.batch_of_job(job_id)
        return {
            "id": job.id,
            "status": job.status,
            "error": job.error,
            "sku": line[1].sku if line else None,
            "batch_id": line[0] if line else None,
            "pictures": [
                {"id": each.id, "index": each.index, "seed": each.seed, "release": each.release}
                for each in images
            ],
        }

    def _batch(self, batch_id: str, owner: str) -> dict[str, Any]:
        batch = self._store.batch(batch_id, owner=owner)
        rows, _, num_held = self._store.batch_counts(batch_id)
        return {
            "id": batch.id,
            "name": batch.name,
            "status": batch.status,
            "rows": {str(state): number for state, number in rows.items()},
            "num_held": num_held,
        }
