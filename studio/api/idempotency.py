"""`Idempotency`: a POST with an `Idempotency-Key`, sent again, is answered again and done once.

The key is claimed, with a digest of the request, before the request is carried out; and the id of
what it makes is settled with it. So a request whose answer was lost in a crash is carried out under
the same id when it is sent again, and finds what it made.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from studio.api.problems import problem, problem_of
from studio.errors import BadInput, Conflict, StudioError
from studio.guard import App, Message, Receive, Scope, Send
from studio.job import new_id
from studio.key_rows import KeptAnswer, KeyRows
from studio.person import Person

KEPT_SECONDS = 86_400.0
MAX_KEY_CHARS = 200

_RESOURCE = "vitrine.resource_id"
_KEPT_HEADERS = ("content-type", "location")


def resource_id(request: Request) -> str:
    """The id for what this request makes: the same when the request is sent again."""
    found = request.scope.get(_RESOURCE)
    return found if isinstance(found, str) else new_id()


def is_repeatable(request: Request) -> bool:
    """Whether the request may have been carried out before, under the same `resource_id`."""
    return _RESOURCE in request.scope


_TOLD_ONCE = ("/keys", "/webhooks")
"""Addresses whose answers hold a secret: those are kept nowhere, so not here either."""

MAX_BODIES = 4
"""Bodies that are held in memory at a time: that of a table may be long."""


class Idempotency:
    """ASGI middleware; see the module."""

    def __init__(self, app: App, *, answers: KeyRows, who: Callable[[Request], Person]) -> None:
        self._app = app
        self._answers = answers
        self._who = who
        self._in_flight: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._bodies = asyncio.Semaphore(MAX_BODIES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", ()))
        key = headers.get(b"idempotency-key", b"").decode("latin-1")
        is_kept = scope["type"] == "http" and scope["method"] == "POST" and key
        if not is_kept or scope["path"].endswith(_TOLD_ONCE):
            await self._app(scope, receive, send)
            return
        try:
            if len(key) > MAX_KEY_CHARS or not key.isprintable():
                raise BadInput(f"An Idempotency-Key has at most {MAX_KEY_CHARS} characters.")
            owner = (await run_in_threadpool(self._who, Request(scope))).name
        except StudioError as error:
            await problem_of(error, Request(scope))(scope, receive, send)
            return
        async with self._bodies:
            await self._carry_out(scope, receive, send, (owner, key), headers)

    async def _carry_out(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        claim: tuple[str, str],
        headers: dict[bytes, bytes],
    ) -> None:
        body = await Request(scope, receive).body()
        digest = await run_in_threadpool(_digest, scope, headers.get(b"content-type", b""), body)
        with self._lock:
            is_mine = claim not in self._in_flight
            self._in_flight.add(claim)
        if not is_mine:
            busy = Conflict("The same request is still being carried out: ask again in a moment.")
            await problem_of(busy, Request(scope))(scope, receive, send)
            return
        answer = _Recorded()
        try:
            await self._once(scope, _Replayed(body, receive), answer, claim, digest)
        finally:
            # Before anything is sent: who has the answer may ask again at once.
            with self._lock:
                self._in_flight.discard(claim)
            for message in answer.messages:
                await send(message)

    async def _once(
        self,
        scope: Scope,
        receive: Receive,
        answer: _Recorded,
        claim: tuple[str, str],
        digest: str,
    ) -> None:
        chosen_id = new_id()
        try:
            kept: KeptAnswer | None = await run_in_threadpool(
                lambda: self._answers.begin_answer(
                    *claim, digest, chosen_id, kept_seconds=KEPT_SECONDS
                )
            )
        except StudioError as error:
            await problem_of(error, Request(scope))(scope, receive, answer.send)
            return
        if kept is not None and kept.digest != digest:
            detail = "This Idempotency-Key was used for another request: take a new one."
            await problem(422, detail)(scope, receive, answer.send)
            return
        if kept is not None and kept.status:
            await _answer(answer.send, kept)
            return
        scope[_RESOURCE] = kept.resource_id if kept else chosen_id
        try:
            await self._app(scope, receive, answer.send)
        finally:
            await run_in_threadpool(self._keep, claim, answer, kept is None)

    def _keep(self, claim: tuple[str, str], answer: _Recorded, is_first: bool) -> None:
        """What was done is answered again; what was refused may be tried again.

        One that was sent before without an answer may have been carried out then: it keeps its id.
        """
        if 200 <= answer.status < 300:
            self._answers.keep_answer(*claim, answer.status, answer.headers, answer.body)
        elif answer.status and is_first:
            self._answers.forget_answer(*claim)


class _Replayed:
    """The body once more, for the app; then what the connection says."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _Recorded:
    """An answer, held back. Answers to a POST are short."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"]) if self.messages else 0

    @property
    def headers(self) -> dict[str, str]:
        """Those that are worth keeping."""
        return {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in self.messages[0].get("headers", ())
            if name.decode("latin-1").lower() in _KEPT_HEADERS
        }

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)


def _digest(scope: Scope, content_type: bytes, body: bytes) -> str:
    """Of all that matters of a request; a form's boundary, which is drawn by lot, does not."""
    boundary = re.search(rb'boundary="?([^";]+)', content_type)
    if boundary:
        body = body.replace(boundary[1], b"")
    digest = hashlib.sha256(scope["path"].encode("utf-8", "surrogateescape"))
    digest.update(b"?" + scope.get("query_string", b"") + b"\n" + body)
    return digest.hexdigest()


async def _answer(send: Send, kept: KeptAnswer) -> None:
    headers = {**kept.headers, "idempotent-replayed": "true", "cache-control": "no-store"}
    headers["content-length"] = str(len(kept.body))
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": kept.status, "headers": encoded})
    await send({"type": "http.response.body", "body": kept.body})
