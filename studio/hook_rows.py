"""`HookRows`: the rows of webhooks and of their messages.

That a message is due is noted by the database itself, in the transaction in which the thing
happened (see `m0042_hooks`): so none is forgotten, whatever dies.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Collection, Mapping
from typing import Any

from studio.errors import Conflict, NotFound
from studio.hook import Delivery, DeliveryStatus, Hook, HookEvent
from studio.job import new_id
from studio.statements import DISABLED, count
from studio.tables import Tables

_COLUMNS = tuple(field.name for field in dataclasses.fields(Delivery))


class HookRows(Tables):
    """Webhooks by id and owner; messages by when they are due."""

    def add_hook(self, hook: Hook, *, max_hooks: int) -> None:
        """Raises `Conflict` where the owner has `max_hooks` already."""

        def work(db: Any) -> None:
            if count(db, "SELECT COUNT(*) FROM hooks WHERE owner = ?", hook.owner) >= max_hooks:
                raise Conflict(f"You have {max_hooks} webhooks: delete one that is not used.")
            db.execute(
                "INSERT INTO hooks (id, owner, url, events, secret, created_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                [
                    *(hook.id, hook.owner, hook.url, json.dumps(sorted(hook.events))),
                    *(hook.secret, hook.created_at),
                ],
            )

        self._write(work)

    def hooks(self, *, owner: str) -> list[Hook]:
        """The owner's webhooks, the newest first."""
        rows = self._rows("SELECT * FROM hooks WHERE owner = ? ORDER BY number DESC", owner)
        return [_hook_of_row(row) for row in rows]

    def hook(self, hook_id: str, *, owner: str | None = None) -> Hook:
        """The webhook; `NotFound` when there is none, or it is not `owner`'s."""
        rows = self._rows("SELECT * FROM hooks WHERE id = ?", hook_id)
        if not rows or owner not in (None, rows[0]["owner"]):
            raise NotFound("There is no such webhook: it may have been deleted.")
        return _hook_of_row(rows[0])

    def delete_hook(self, hook_id: str, *, owner: str | None = None) -> None:
        """Delete it with its messages."""
        self.hook(hook_id, owner=owner)

        def work(db: Any) -> None:
            db.execute("DELETE FROM hook_deliveries WHERE hook_id = ?", [hook_id])
            db.execute("DELETE FROM hooks WHERE id = ?", [hook_id])

        self._write(work)

    def add_delivery(self, hook_id: str, event: str, object_id: str) -> Delivery:
        """A message that is due now."""
        now = time.time()
        delivery = Delivery(
            id=new_id(),
            hook_id=hook_id,
            event=event,
            object_id=object_id,
            created_at=now,
            status=DeliveryStatus.WAITING,
            attempts=0,
            next_at=now,
        )
        values = {name: getattr(delivery, name) for name in _COLUMNS}
        marks = ", ".join(f":{name}" for name in values)
        sql = f"INSERT INTO hook_deliveries ({', '.join(values)}) VALUES ({marks})"
        self._write(lambda db: db.execute(sql, values))
        return delivery

    def deliveries(self, hook_id: str, *, limit: int = 50) -> list[Delivery]:
        """The webhook's messages, the newest first."""
        sql = "SELECT * FROM hook_deliveries WHERE hook_id = ? ORDER BY number DESC LIMIT ?"
        return [_delivery_of_row(row) for row in self._rows(sql, hook_id, limit)]

    def deliveries_due(
        self, *, not_of: Collection[str] = (), not_to: Collection[str] = (), limit: int = 50
    ) -> list[tuple[str, Delivery]]:
        """The messages to be tried now with their owners: of each webhook its oldest.

        Those of the webhooks `not_of`, and of the owners `not_to`, are left out, and of people who
        are disabled: theirs wait until they are not any more.
        """
        sql = (
            "SELECT hook_deliveries.*, hooks.owner, MIN(next_at) AS first_at"
            " FROM hook_deliveries JOIN hooks ON hooks.id = hook_id"
            " WHERE status = 'waiting' AND next_at <= ?"
            " AND hook_id NOT IN (SELECT value FROM json_each(?))"
            " AND owner NOT IN (SELECT value FROM json_each(?))"
            f" AND owner NOT IN ({DISABLED}) GROUP BY hook_id ORDER BY first_at LIMIT ?"
        )
        given = (time.time(), json.dumps(list(not_of)), json.dumps(list(not_to)), limit)
        return [(row["owner"], _delivery_of_row(row)) for row in self._rows(sql, *given)]

    def settle_delivery(
        self,
        delivery_id: str,
        status: DeliveryStatus,
        *,
        next_at: float | None = None,
        error: str | None = None,
    ) -> None:
        """One attempt more, and what became of it."""
        sql = (
            "UPDATE hook_deliveries SET attempts = attempts + 1, status = ?, error = ?,"
            " next_at = IFNULL(?, next_at) WHERE id = ?"
        )
        self._write(lambda db: db.execute(sql, [status, error, next_at, delivery_id]))

    def forget_deliveries(self, *, before: float) -> None:
        """Forget messages that are done with since before `before`."""
        sql = "DELETE FROM hook_deliveries WHERE status != 'waiting' AND created_at < ?"
        self._write(lambda db: db.execute(sql, [before]))


def _hook_of_row(row: Mapping[str, Any]) -> Hook:
    return Hook(
        id=row["id"],
        owner=row["owner"],
        url=row["url"],
        events=frozenset(HookEvent(event) for event in json.loads(row["events"])),
        secret=row["secret"],
        created_at=row["created_at"],
    )


def _delivery_of_row(row: Mapping[str, Any]) -> Delivery:
    values = {name: row[name] for name in _COLUMNS}
    values["status"] = DeliveryStatus(row["status"])
    return Delivery(**values)
