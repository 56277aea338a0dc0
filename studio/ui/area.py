"""`Area`: one room of the page, and `Frame`: what a room is handed to be built into.

Every area is one line in `page.AREAS`. It is built for everybody and once; who sees its name in the
header is settled for each person, and each of its handlers checks again what that person may do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import gradio as gr

from studio.application import Studio
from studio.person import Person, Role
from studio.ui.speech import Phrase


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shortcut:
    """A shortcut for the list behind `?`; `keys` as in `aria-keyshortcuts`: "Control+Enter"."""

    keys: str
    does: Phrase


@dataclasses.dataclass(frozen=True, kw_only=True)
class Area:
    """`id` is its name in addresses (`#gallery`) and its elements' prefix.

    Whoever has one of `roles` sees it. `looks` are style sheets and scripts beside this file, added
    to the page in order. `count` is a number for its name in the header, as in "Review (3)"; it is
    asked every second or two, so it must be cheap.
    """

    id: str
    title: Phrase
    build: Callable[[Studio, Frame], None]
    roles: frozenset[Role] = frozenset(Role)
    looks: tuple[str, ...] = ()
    shortcuts: tuple[Shortcut, ...] = ()
    count: Callable[[Studio, Person], int] | None = None

    def is_open_to(self, person: Person) -> bool:
        return bool(self.roles & person.roles)


@dataclasses.dataclass
class Frame:
    """The page around one area.

    Its tab is drawn when it first comes to the front, and stays in the browser from then on, so
    that nothing drawn or typed in it is lost by a look elsewhere.
    """

    page: gr.Blocks
    tab: gr.Tab
    is_first: bool
    timers: list[gr.Timer] = dataclasses.field(default_factory=list)
    spoken: list[tuple[Callable[..., Any], dict[str, Any]]] = dataclasses.field(
        default_factory=list
    )

    def timer(self, seconds: float) -> gr.Timer:
        """A timer that runs only while the area is in front."""
        timer = gr.Timer(seconds, active=self.is_first)
        self.timers.append(timer)
        return timer

    def on_show(self, handler: Callable[..., Any], **event: Any) -> None:
        """Call `handler` whenever the area comes to the front; `event` as for any Gradio event."""
        self.tab.select(handler, **event)
        if self.is_first:
            self.page.load(handler, **event)

    def on_speak(self, handler: Callable[..., Any], **event: Any) -> None:
        """Call `handler` when the person has switched the language, to draw HTML anew."""
        self.spoken.append((handler, event))
