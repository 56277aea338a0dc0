"""`Tabs`: which tab of a browser is whose.

Gradio knows a tab by a word that the tab chose, its session hash, and asks nobody whose it is: who
has it could read the events of somebody else's page, and use what that page remembers. Here the
first use of one says whose it is, and from then on it is there for nobody else.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable
from urllib.parse import parse_qs

from studio.errors import NotFound
from studio.guard import Message, Receive, Scope

MAX_TABS = 256
"""Remembered of one person, the latest used."""

MAX_CHARS = 64

_HEARTBEAT = "/gradio_api/heartbeat/"
_ASKED = ("/gradio_api/queue/data",)
_SENT = ("/gradio_api/cancel", "/gradio_api/queue/join", "/gradio_api/run/predict")


class Tabs:
    """The tabs of one server; to be asked in its event loop alone."""

    def __init__(self, *, max_tabs: int = MAX_TABS) -> None:
        self._max_tabs = max_tabs
        self._owners: dict[str, str] = {}
        self._tabs: dict[str, OrderedDict[str, None]] = {}

    def claim(self, tab: str, name: str) -> None:
        """Note that `name` uses `tab`.

        Raises:
            NotFound: it is somebody else's.
        """
        if len(tab) > MAX_CHARS or self._owners.setdefault(tab, name) != name:
            raise NotFound("This tab is not known here: load the page again.")
        mine = self._tabs.setdefault(name, OrderedDict())
        mine[tab] = None
        mine.move_to_end(tab)
        if len(mine) > self._max_tabs:
            # Their own oldest one is forgotten, never another's: nobody can push others out.
            del self._owners[mine.popitem(last=False)[0]]

    async def settle(self, scope: Scope, receive: Receive, name: str) -> Receive:
        """Claim the tab a request speaks of for `name`; how the request is received from then on.

        Raises:
            NotFound: it is somebody else's.
        """
        path = scope["path"]
        if path.startswith(_HEARTBEAT):
            self._claim_all([path.removeprefix(_HEARTBEAT)], name)
        elif path in _ASKED:
            query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
            self._claim_all(query.get("session_hash", ()), name)
        elif path in _SENT and scope["method"] == "POST":
            messages = await _body_of(receive)
            self._claim_all(_told(messages), name)
            return _again(messages, receive)
        return receive

    def _claim_all(self, tabs: Iterable[str], name: str) -> None:
        for tab in tabs:
            self.claim(tab, name)


async def _body_of(receive: Receive) -> list[Message]:
    """The request's body, in the pieces it came in; the guard has bounded it."""
    messages = [await receive()]
    while messages[-1]["type"] == "http.request" and messages[-1].get("more_body"):
        messages.append(await receive())
    return messages


def _told(messages: list[Message]) -> list[str]:
    """The tab that the body names. What is no JSON is for the handler to refuse."""
    try:
        content = json.loads(b"".join(message.get("body", b"") for message in messages))
    except (ValueError, RecursionError):
        return []
    tab = content.get("session_hash") if isinstance(content, dict) else None
    return [tab] if isinstance(tab, str) else []


def _again(messages: list[Message], receive: Receive) -> Receive:
    """Receives what was read already, then what follows."""
    left = iter(messages)

    async def received() -> Message:
        for message in left:
            return message
        return await receive()

    return received
