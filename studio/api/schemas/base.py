"""What every schema rests on: strict input, pages, times."""

from __future__ import annotations

import datetime
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

_Item = TypeVar("_Item")


class Sent(BaseModel):
    """What comes in: nothing is guessed, and nothing is overlooked."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Page(BaseModel, Generic[_Item]):
    """A part of a list, newest first. `next_cursor` is null at its end."""

    items: list[_Item]
    next_cursor: str | None = None


def time_of(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def time_or_none(seconds: float | None) -> datetime.datetime | None:
    return None if seconds is None else time_of(seconds)
