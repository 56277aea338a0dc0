"""`Counting`: ASGI middleware that counts every request, and the time until its answer begins.

Until it *begins*, since the page holds a stream open as long as its tab is. A request is counted
under the pattern of its route, so that no address and nothing a client sends becomes a label.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence

from fastapi import FastAPI
from starlette.routing import Mount, compile_path

from studio.access import own_paths
from studio.application import Studio
from studio.guard import App, Message, Receive, Scope, Send

PAGE = "page"
"""The route that everything of the page's own is counted under."""


class Counting:
    """Stands before everything else; `routes` is the app whose own routes are told apart."""

    def __init__(self, app: App, studio: Studio, routes: FastAPI) -> None:
        self._app = app
        self._metrics = studio.watch.metrics
        self._is_on = studio.watch.is_on
        self._own = routes
        self._patterns: Patterns | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._is_on:
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                seconds = time.perf_counter() - began
                route, method = self._route(str(scope["path"])), _method(str(scope["method"]))
                self._metrics.request(route, method, int(message["status"]), seconds)
            await send(message)

        await self._app(scope, receive, counted)

    def _route(self, path: str) -> str:
        """The pattern of our own route that `path` is of, else "page"."""
        if self._patterns is None:
            self._patterns = _patterns(self._own)
        candidates = self._patterns.get(_first(path), ())
        return next((name for regex, name in candidates if regex.match(path)), PAGE)


Patterns = Mapping[str, Sequence[tuple[re.Pattern[str], str]]]


def _patterns(app: FastAPI) -> Patterns:
    """The routes of `app` by the first part of their path, the more particular first."""
    paths = set(own_paths(app))
    for route in app.routes:  # the API is an app of its own; Gradio, mounted at "", is the page
        if isinstance(route, Mount) and route.path and isinstance(route.app, FastAPI):
            paths |= {route.path + path for path in own_paths(route.app)}
    found: dict[str, list[tuple[re.Pattern[str], str]]] = {}
    for path in sorted(paths, key=lambda path: (":path}" in path, "{" in path, path)):
        if path != "/":  # the page's own
            found.setdefault(_first(path), []).append((compile_path(path)[0], path))
    return found


def _first(path: str) -> str:
    return path.split("/", 2)[1] if "/" in path else ""


def _method(method: str) -> str:
    """A method that is known, as clients may send any word."""
    return method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE") else "other"
