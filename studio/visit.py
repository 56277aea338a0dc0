"""`Visit`: a request for as long as it lasts, ended when who asked may not be here any more.

Streams of events and long downloads outlast the moment in which the gate looked. While one goes on,
the gate is asked again every few seconds; where the session has ended, the key is revoked or the
person was disabled, the answer ends, as if its reader had hung up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.datastructures import Headers

from studio.guard import App, Message, Receive, Scope, Send

LOOK_SECONDS = 2.0
"""How often it is asked whether the visitor may stay."""

_HUNG_UP: Message = {"type": "http.disconnect"}
_EVENTS = "text/event-stream"


class Visit:
    """One request behind the gate."""

    def __init__(
        self, receive: Receive, send: Send, may_stay: Callable[[], Awaitable[bool]]
    ) -> None:
        self._receive = receive
        self._send = send
        self._may_stay = may_stay
        self._is_read = False
        self._is_open = False
        self._waiting: asyncio.Future[Message] | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def attend(self, app: App, scope: Scope) -> None:
        """Let `app` answer."""
        try:
            await app(scope, self._heard, self._told)
        finally:
            for task in (self._waiting, self._watcher):
                if task is not None:
                    task.cancel()
        if self._is_open and self._watcher is not None and self._watcher.done():
            # A stream ends as streams do. Anything else is left broken off: its reader must know.
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _heard(self) -> Message:
        """What the client says next. After its request that can only be that it hangs up."""
        if not self._is_read:
            message = await self._receive()
            self._is_read = message["type"] != "http.request" or not message.get("more_body")
            return message
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch())
        if self._waiting is None:
            self._waiting = asyncio.ensure_future(self._receive())
        if not (self._waiting.done() or self._watcher.done()):
            both: set[asyncio.Future[Any]] = {self._waiting, self._watcher}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if self._watcher.done():
            return _HUNG_UP
        message, self._waiting = self._waiting.result(), None
        return message

    async def _told(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            kind = Headers(raw=list(message.get("headers", ()))).get("content-type", "")
            self._is_open = kind.startswith(_EVENTS)
        elif not message.get("more_body"):
            self._is_open = False
        await self._send(message)

    async def _watch(self) -> None:
        """Over when the visitor may not stay."""
        await asyncio.sleep(LOOK_SECONDS)
        while await self._may_stay():
            await asyncio.sleep(LOOK_SECONDS)
