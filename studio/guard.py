"""`Guard`: what every HTTP request passes before anything else, and what every answer carries.

Refused: hosts that are not this machine or one it is known by (DNS rebinding), requests from other
sites that change something, bodies that are too long. It knows nothing of the studio, and streams
pass through it.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request

from studio.ui.speech import say_for
from studio.ui.told import told

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY_BYTES = 2**20
"""The form is text."""

MAX_BODY_BYTES_OF = {
    "/api/v1/batches": 96 * 2**20,
    "/api/v1/sketches": 21 * 2**20,
    "/sketches": 20 * 2**20,
}
"""Paths to which files are sent."""

_API = "/api/"

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

# Gradio builds its page with inline scripts and compiles templates in the browser, hence the two
# "unsafe" words. Everything comes from this server: the page works offline and tells nobody.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class TooLong(Exception):
    """The body grew past the limit while it was read."""


class Guard:
    """ASGI middleware; see the module."""

    def __init__(
        self,
        app: App,
        max_body_bytes: int = MAX_BODY_BYTES,
        *,
        allowed_hosts: Collection[str] = (),
        is_local: bool = True,
    ) -> None:
        """`allowed_hosts` are names beside loopback's; addresses are fine unless `is_local`."""
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._hosts = Hosts(frozenset(host.lower() for host in allowed_hosts), is_local)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        max_body_bytes = MAX_BODY_BYTES_OF.get(scope.get("path", ""), self._max_body_bytes)
        refusal = refuse(scope, max_body_bytes, self._hosts)
        if refusal is not None:
            await answer(scope, send, *refusal)
            return
        exchange = _Exchange(scope, receive, send, max_body_bytes)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except TooLong:
            await exchange.refuse_body()


class _Exchange:
    """One request and its answer: counts the body, adds the headers."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, max_body_bytes: int) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._max_body_bytes = max_body_bytes
        self._num_bytes = 0
        self._has_begun = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._num_bytes += len(message.get("body", b""))
        if self._num_bytes > self._max_body_bytes:
            raise TooLong
        return message

    async def send(self, message: Message) -> None:
        if self._num_bytes > self._max_body_bytes and not self._has_begun:
            raise TooLong  # a framework took the first one for a fault in the body and answers so
        if message["type"] == "http.response.start":
            self._has_begun = True
            message["headers"] = _with_headers(message.get("headers", ()))
        await self._send(message)

    async def refuse_body(self) -> None:
        if self._has_begun:
            raise TooLong
        self._has_begun = True
        await answer(self._scope, self._send, *_too_long(self._max_body_bytes))


def refuse(scope: Scope, max_body_bytes: int, hosts: Hosts) -> tuple[int, str] | None:
    """Status and sentence where the request must not go on, by its head alone."""
    headers = {name.lower(): value for name, value in reversed(list(scope["headers"]))}
    host = headers.get(b"host", b"").decode("latin-1")
    if not hosts.allow(host):
        if hosts.is_local:
            return 421, "The studio serves this machine only: open it by the address it printed."
        return 421, "The studio does not know this name as its own: start it with --allowed-host."
    if scope["method"] not in _SAFE_METHODS and not _is_same_origin(headers, host):
        return 403, "Another site sent this request: use the studio's own page."
    length = headers.get(b"content-length", b"0")
    if not length.isdigit():
        return 400, "The Content-Length is no number."
    if int(length) > max_body_bytes:
        return _too_long(max_body_bytes)
    return None


@dataclasses.dataclass(frozen=True)
class Hosts:
    """Which Host headers name this studio.

    A page elsewhere can give its own name this machine's address, but not an address: that is
    allowed, where others may reach the studio at all.
    """

    names: frozenset[str]
    is_local: bool

    def allow(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name == "localhost" or name in self.names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self.is_local


def _is_same_origin(headers: dict[bytes, bytes], host: str) -> bool:
    """Programs send neither header and are let through: they hold no one's cookies."""
    if headers.get(b"sec-fetch-site", b"same-origin") not in (b"same-origin", b"none"):
        return False
    origin = headers.get(b"origin")
    return origin is None or urlsplit(origin.decode("latin-1")).netloc == host


def _with_headers(headers: Any) -> list[tuple[bytes, bytes]]:
    ours = {name.encode(): value.encode() for name, value in _HEADERS.items()}
    return [(name, value) for name, value in headers if name.lower() not in ours] + [*ours.items()]


def _too_long(max_body_bytes: int) -> tuple[int, str]:
    most = f"{max_body_bytes // 2**10} KiB"
    if max_body_bytes >= 10 * 2**20:
        most = f"{max_body_bytes // 2**20} MiB"
    return 413, f"That is more than the studio takes at once ({most})."


async def answer(scope: Scope, send: Send, status: int, sentence: str) -> None:
    """End the exchange with a sentence, as JSON; as problem details where programs ask."""
    sentence = told(sentence, say_for(Request(scope)))
    content: dict[str, object] = {"error": sentence}
    kind = b"application/json"
    if scope["path"].startswith(_API):
        title = HTTPStatus(status).phrase
        content = {"type": "about:blank", "title": title, "status": status, "detail": sentence}
        kind = b"application/problem+json"
    body = json.dumps(content, ensure_ascii=False).encode()
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    headers = _with_headers(headers)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
