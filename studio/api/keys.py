"""API keys: made, listed, revoked. A key is shown once, when it is made."""

from __future__ import annotations

from fastapi import APIRouter

from studio.api.door import Door
from studio.api.schemas.base import Page
from studio.api.schemas.key import KeyIn, KeyOut, NewKeyOut
from studio.api_key import KeyHolder, Scope
from studio.application import Studio
from studio.person import Person


def keys_router(studio: Studio, door: Door) -> APIRouter:
    router = APIRouter(tags=["keys"])
    manages = door.may(Scope.KEYS)

    @router.post("/keys", status_code=201, summary="Make a key")
    def create_key(sent: KeyIn, person: Person = manages) -> NewKeyOut:
        """It acts for you, as far as its scopes and your roles go.

        One made with a key has no other scopes than that, ends with it at the latest, and is
        revoked with it.
        """
        maker = person if isinstance(person, KeyHolder) else None
        key, secret = studio.keys.create(
            person.name, sent.name, sent.scopes, days=sent.days, maker=maker
        )
        studio.audit.note(person, "key.create", key.id, scopes=sorted(key.scopes))
        return NewKeyOut.of_new(key, secret)

    @router.get("/keys", summary="Your keys, newest first")
    def list_keys(person: Person = manages) -> Page[KeyOut]:
        return Page(items=[KeyOut.of(key) for key in studio.keys.list(person.name)])

    @router.delete("/keys/{key_id}", summary="Revoke a key")
    def revoke_key(key_id: str, person: Person = manages) -> KeyOut:
        """From now on it opens nothing, nor do keys it made."""
        key = studio.keys.revoke(key_id, person.name)
        studio.audit.note(person, "key.revoke", key_id)
        return KeyOut.of(key)

    return router
