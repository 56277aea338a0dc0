"""API keys."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from pydantic import BaseModel, Field

from studio.api.schemas.base import Sent, time_or_none
from studio.api_key import ApiKey, Scope


class KeyIn(Sent):
    name: str = Field(examples=["catalogue export"])
    scopes: list[str] = Field(examples=[["jobs:read", "jobs:write"]])
    days: int | None = Field(90, description="how long it is good; null for ever")


class KeyOut(BaseModel):
    """A key as it may be shown. `hint` is how it begins, `parent` the id of what key made it."""

    id: str
    name: str
    scopes: list[Scope]
    hint: str
    created_at: datetime.datetime
    expires_at: datetime.datetime | None
    used_at: datetime.datetime | None
    revoked_at: datetime.datetime | None
    parent: str | None

    @classmethod
    def of(cls, key: ApiKey) -> KeyOut:
        return cls(**_key_values(key))


class NewKeyOut(KeyOut):
    """A key just made. `key` is shown this once: keep it now."""

    key: str

    @classmethod
    def of_new(cls, key: ApiKey, secret: str) -> NewKeyOut:
        return cls(**_key_values(key), key=secret)


def _key_values(key: ApiKey) -> dict[str, Any]:
    values = dataclasses.asdict(key)
    del values["owner"]
    values["scopes"] = sorted(key.scopes)
    for name in ("created_at", "expires_at", "used_at", "revoked_at"):
        values[name] = time_or_none(values[name])
    return values
