"""`Hooks`: webhooks as people handle them, and the thread that sends their messages.

    job or batch is done ─▶ row of a message ─▶ POST, signed ─▶ 2xx: delivered
    (the same transaction)                        └ else again, later and later; at last given up

What a message says is read when it is sent. Nothing here follows redirects or reads an answer.
"""

from __future__ import annotations

import datetime
import json
import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpcore

from studio import __version__
from studio.config import Config
from studio.errors import BadInput, NotFound, StudioError
from studio.hook import (
    Delivery,
    DeliveryStatus,
    Hook,
    HookEvent,
    new_hook_secret,
    signature,
)
from studio.job import new_id
from studio.public_network import PublicBackend, Resolve, checked_url, resolve
from studio.store import Store

MAX_HOOKS = 20
RETRY_SECONDS = (5.0, 30.0, 120.0, 600.0, 3_600.0, 6 * 3_600.0, 24 * 3_600.0)
"""After how long a message that was not taken is sent again; after the last it is given up."""

KEPT_SECONDS = 7 * 86_400.0
TEST_EVENT = "test"

_LOOK_SECONDS = 1.0
_TIMEOUT_SECONDS = 10.0
_NUM_SENDERS = 4
_GONE = 410

log = logging.getLogger(__name__)


class Hooks:
    """The webhooks of a studio. Any thread may call it."""

    def __init__(
        self,
        store: Store,
        config: Config,
        *,
        find: Resolve = resolve,
        retry_seconds: tuple[float, ...] = RETRY_SECONDS,
    ) -> None:
        self._store = store
        self._allowed_hosts = frozenset(host.lower() for host in config.webhook_hosts)
        self._find = find
        self._retry_seconds = retry_seconds
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hooks", daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop sending; what is not delivered is when the studio is back."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(_TIMEOUT_SECONDS)

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

    # The thread

    def _run(self) -> None:
        with (
            ThreadPoolExecutor(_NUM_SENDERS, thread_name_prefix="hook") as senders,
            httpcore.ConnectionPool(
                network_backend=PublicBackend(self._allowed_hosts, find=self._find),
                max_connections=2 * _NUM_SENDERS,
                keepalive_expiry=30.0,
            ) as pool,
        ):
            swept_at = 0.0
            while not self._closed.is_set():
                due: list[Delivery] = []
                try:
                    if time.time() - swept_at > 3_600:
                        self._store.forget_deliveries(before=time.time() - KEPT_SECONDS)
                        swept_at = time.time()
                    due = self._store.deliveries_due()
                    list(senders.map(lambda each: self._send(pool, each), due))
                except Exception as error:
                    if self._closed.is_set():
                        return
                    log.error("the webhooks could not be served", exc_info=error)
                    due = []
                if not due:
                    self._closed.wait(_LOOK_SECONDS)

    def _send(self, pool: httpcore.ConnectionPool, delivery: Delivery) -> None:
        """One attempt, and what became of it, written down."""
        if self._closed.is_set():
            return
        try:
            hook = self._store.hook(delivery.hook_id)
            body = json.dumps(self._message(hook, delivery), ensure_ascii=False).encode()
            status = _post(pool, hook, delivery, body)
        except NotFound as error:  # webhook, job or batch is gone
            self._store.settle_delivery(delivery.id, DeliveryStatus.GIVEN_UP, error=str(error))
            return
        except StudioError as error:
            self._try_later(delivery, str(error))
            return
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            what = type(error).__name__
            self._try_later(delivery, f"It could not be reached ({what}: {error}).")
            return
        except Exception as error:  # the others' messages are to go out all the same
            log.exception("a message of webhook %s could not be sent", delivery.hook_id)
            self._try_later(delivery, f"It could not be sent: {error}")
            return
        if 200 <= status < 300:
            self._store.settle_delivery(delivery.id, DeliveryStatus.DELIVERED)
        elif status == _GONE:
            self._store.settle_delivery(
                delivery.id, DeliveryStatus.GIVEN_UP, error="It answered 410: it is gone."
            )
        else:
            self._try_later(delivery, f"It answered {status}.")

    def _try_later(self, delivery: Delivery, error: str) -> None:
        if delivery.attempts >= len(self._retry_seconds):
            self._store.settle_delivery(delivery.id, DeliveryStatus.GIVEN_UP, error=error)
            return
        next_at = time.time() + self._retry_seconds[delivery.attempts]
        self._store.settle_delivery(
            delivery.id, DeliveryStatus.WAITING, next_at=next_at, error=error
        )

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


def _post(pool: httpcore.ConnectionPool, hook: Hook, delivery: Delivery, body: bytes) -> int:
    timestamp = int(time.time())
    headers = {
        "content-type": "application/json",
        "user-agent": f"vitrine/{__version__}",
        "webhook-id": delivery.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(hook.secret, delivery.id, timestamp, body),
    }
    timeout = dict.fromkeys(("connect", "read", "write", "pool"), _TIMEOUT_SECONDS)
    with pool.stream(
        "POST",
        hook.url,
        headers=list(headers.items()),
        content=body,
        extensions={"timeout": timeout},
    ) as answer:
        return int(answer.status)  # its body is of no interest, however long
