"""`HookSender`: the thread that sends the messages of webhooks, each until it is taken.

    due ─▶ POST, signed ─▶ 2xx: delivered
             └ else again, later and later; at last given up

Several are sent at a time: of one webhook one, of one owner a few, so that a receiver that is slow
holds up nobody but its owner. What a message says is asked for when it is sent.
"""

from __future__ import annotations

import collections
import functools
import json
import logging
import ssl
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpcore

from studio import __version__
from studio.errors import NotFound, StudioError
from studio.exchange import Exchange, NetworkError
from studio.hook import Delivery, DeliveryStatus, Hook, signature
from studio.public_network import Resolve, resolve
from studio.store import Store

RETRY_SECONDS = (5.0, 30.0, 120.0, 600.0, 3_600.0, 6 * 3_600.0, 24 * 3_600.0)
"""After how long a message that was not taken is sent again; after the last it is given up."""

EXCHANGE_SECONDS = 10.0
"""How long one attempt may take, all in all."""

KEPT_SECONDS = 7 * 86_400.0
NUM_SENDERS = 8
MAX_OF_AN_OWNER = 2
"""Messages under way at a time, of everybody and of one person."""

_LOOK_SECONDS = 1.0
_PAUSE_SECONDS = 30.0
_SWEEP_SECONDS = 3_600.0
_GONE = 410

Message = Callable[[Hook, Delivery], dict[str, Any]]

log = logging.getLogger(__name__)


class HookSender:
    """One thread that looks, and a few that send."""

    def __init__(
        self,
        store: Store,
        message: Message,
        *,
        allowed_hosts: Collection[str] = (),
        find: Resolve = resolve,
        retry_seconds: tuple[float, ...] = RETRY_SECONDS,
        exchange_seconds: float = EXCHANGE_SECONDS,
    ) -> None:
        """`message` gives what a delivery says; `NotFound` where it is about nothing any more."""
        self._store = store
        self._message = message
        self._allowed_hosts = allowed_hosts
        self._find = find
        self._retry_seconds = retry_seconds
        self._exchange_seconds = exchange_seconds
        self._closed = threading.Event()
        self._woken = threading.Event()
        self._lock = threading.Lock()
        self._under_way: dict[str, str] = {}
        self._swept_at = 0.0
        self._thread = threading.Thread(target=self._run, name="hooks", daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop sending; what is not delivered is when the studio is back."""
        self._closed.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(self._exchange_seconds)

    def _run(self) -> None:
        with ThreadPoolExecutor(NUM_SENDERS, thread_name_prefix="hook") as senders:
            while not self._closed.is_set():
                self._woken.clear()
                try:
                    self._sweep()
                    self._send_due(senders)
                except Exception as error:
                    if self._closed.is_set():
                        return
                    log.error("the webhooks could not be served", exc_info=error)
                self._woken.wait(_LOOK_SECONDS)

    def _sweep(self) -> None:
        if time.time() - self._swept_at > _SWEEP_SECONDS:
            self._store.forget_deliveries(before=time.time() - KEPT_SECONDS)
            self._swept_at = time.time()

    def _send_due(self, senders: ThreadPoolExecutor) -> None:
        """Begin to send what is due, as far as there is room."""
        with self._lock:
            hooks = list(self._under_way)
            of_owners = collections.Counter(self._under_way.values())
        room = NUM_SENDERS - len(hooks)
        busy = [owner for owner, number in of_owners.items() if number >= MAX_OF_AN_OWNER]
        if room <= 0:
            return
        for owner, delivery in self._store.deliveries_due(not_of=hooks, not_to=busy):
            if room <= 0:
                return
            if of_owners[owner] < MAX_OF_AN_OWNER:
                of_owners[owner] += 1
                room -= 1
                with self._lock:
                    self._under_way[delivery.hook_id] = owner
                senders.submit(self._send, delivery)

    def _send(self, delivery: Delivery) -> None:
        try:
            if not self._closed.is_set():
                self._attempt(delivery)
        except Exception as error:  # what became of it could not be written down
            if not self._closed.is_set():
                log.error("a message of a webhook is left as it was", exc_info=error)
                # It is due still: sent again at once it would flood the receiver.
                self._closed.wait(_PAUSE_SECONDS)
        finally:
            with self._lock:
                self._under_way.pop(delivery.hook_id, None)
            self._woken.set()

    def _attempt(self, delivery: Delivery) -> None:
        """One attempt, and what became of it, written down."""
        try:
            hook = self._store.hook(delivery.hook_id)
            body = json.dumps(self._message(hook, delivery), ensure_ascii=False).encode()
            status = self._post(hook, delivery, body)
        except NotFound as error:  # webhook, job or batch is gone
            self._store.settle_delivery(delivery.id, DeliveryStatus.GIVEN_UP, error=str(error))
            return
        except StudioError as error:
            self._try_later(delivery, str(error))
            return
        except NetworkError as error:
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

    def _post(self, hook: Hook, delivery: Delivery, body: bytes) -> int:
        timestamp = int(time.time())
        headers = {
            "content-type": "application/json",
            "user-agent": f"vitrine/{__version__}",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(hook.secret, delivery.id, timestamp, body),
        }
        exchange = Exchange(
            self._allowed_hosts, seconds=self._exchange_seconds, find=self._find, tls=_tls()
        )
        return exchange.post(hook.url, headers, body)


@functools.cache
def _tls() -> ssl.SSLContext:
    return httpcore.default_ssl_context()
