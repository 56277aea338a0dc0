"""`KeyRows`: the rows of API keys, and of answers kept for programs that ask twice."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from typing import Any

from studio.api_key import ApiKey, Scope
from studio.errors import Conflict, NotFound
from studio.statements import count
from studio.tables import Tables

_COLUMNS = tuple(field.name for field in dataclasses.fields(ApiKey))
_REVOKE = """
    WITH RECURSIVE made (id) AS (
      VALUES (?1) UNION SELECT api_keys.id FROM api_keys JOIN made ON parent = made.id
    )
    UPDATE api_keys SET revoked_at = IFNULL(revoked_at, ?2) WHERE id IN (SELECT id FROM made)
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeptAnswer:
    """What was answered to a request with an idempotency key; `status` 0 while it is not done.

    `resource_id` is the id of what the request makes, settled before it is made.
    """

    digest: str
    resource_id: str
    status: int
    headers: dict[str, str]
    body: bytes


class KeyRows(Tables):
    """API keys by id and by hash; kept answers by owner and key."""

    def add_key(self, key: ApiKey, key_hash: str, *, max_keys: int) -> ApiKey:
        """The key as it is kept: good no longer than the key that made it.

        Raises:
            Conflict: the owner has `max_keys` good ones already; the key that made it is over.
        """

        def work(db: Any) -> ApiKey:
            sql = "SELECT COUNT(*) FROM api_keys WHERE owner = ? AND revoked_at IS NULL"
            if count(db, sql, key.owner) >= max_keys:
                raise Conflict(f"You have {max_keys} keys: revoke one that is not used.")
            kept = _within_parent(db, key)
            values = {name: getattr(kept, name) for name in _COLUMNS}
            values |= {"scopes": json.dumps(sorted(kept.scopes)), "hash": key_hash}
            names = ", ".join(values)
            marks = ", ".join(f":{name}" for name in values)
            db.execute(f"INSERT INTO api_keys ({names}) VALUES ({marks})", values)
            return kept

        return self._write(work)

    def keys(self, *, owner: str | None = None) -> list[ApiKey]:
        """Keys, the newest first, revoked ones too."""
        where = "" if owner is None else "WHERE owner = ?"
        given = () if owner is None else (owner,)
        rows = self._rows(f"SELECT * FROM api_keys {where} ORDER BY number DESC", *given)
        return [_key_of_row(row) for row in rows]

    def key_of_hash(self, key_hash: str) -> ApiKey | None:
        rows = self._rows("SELECT * FROM api_keys WHERE hash = ?", key_hash)
        return _key_of_row(rows[0]) if rows else None

    def revoke_key(self, key_id: str, *, owner: str | None = None) -> ApiKey:
        """The key is no longer good, nor are those it made. Twice is harmless.

        `NotFound` as everywhere.
        """

        def work(db: Any) -> ApiKey:
            rows = list(db.query("SELECT * FROM api_keys WHERE id = ?", [key_id]))
            if not rows or owner not in (None, rows[0]["owner"]):
                raise NotFound("There is no such key: look at the list again.")
            db.execute(_REVOKE, [key_id, time.time()])
            return _key_of_row(
                next(iter(db.query("SELECT * FROM api_keys WHERE id = ?", [key_id])))
            )

        return self._write(work)

    def touch_key(self, key_id: str) -> None:
        """Note that the key was used."""
        sql = "UPDATE api_keys SET used_at = ? WHERE id = ?"
        self._write(lambda db: db.execute(sql, [time.time(), key_id]))

    # Answers to requests that may be sent twice

    def begin_answer(
        self, owner: str, key: str, digest: str, resource_id: str, *, kept_seconds: float
    ) -> KeptAnswer | None:
        """Claim an idempotency key; or what is known of the request that claimed it before."""

        def work(db: Any) -> KeptAnswer | None:
            now = time.time()
            db.execute("DELETE FROM kept_answers WHERE at < ?", [now - kept_seconds])
            sql = "SELECT * FROM kept_answers WHERE owner = ? AND key = ?"
            for row in db.query(sql, [owner, key]):
                return KeptAnswer(
                    digest=row["digest"],
                    resource_id=row["resource_id"],
                    status=row["status"],
                    headers=json.loads(row["headers"]),
                    body=bytes(row["body"]),
                )
            db.execute(
                "INSERT INTO kept_answers (owner, key, digest, resource_id, status, headers, body,"
                " at) VALUES (?, ?, ?, ?, 0, '{}', ?, ?)",
                [owner, key, digest, resource_id, b"", now],
            )
            return None

        return self._write(work)

    def keep_answer(
        self, owner: str, key: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        """What was answered, to be answered again."""
        sql = (
            "UPDATE kept_answers SET status = ?, headers = ?, body = ? WHERE owner = ? AND key = ?"
        )
        values = [status, json.dumps(dict(headers)), body, owner, key]
        self._write(lambda db: db.execute(sql, values))

    def forget_answer(self, owner: str, key: str) -> None:
        """The request was refused: the key may be used again."""
        sql = "DELETE FROM kept_answers WHERE owner = ? AND key = ?"
        self._write(lambda db: db.execute(sql, [owner, key]))


def _within_parent(db: Any, key: ApiKey) -> ApiKey:
    """The key with an end no later than its parent's, which must be good."""
    if key.parent is None:
        return key
    rows = list(db.query("SELECT * FROM api_keys WHERE id = ?", [key.parent]))
    parent = _key_of_row(rows[0]) if rows else None
    if parent is None or not parent.is_good:
        raise Conflict("The key that asks is over: make a new one where people sign in.")
    ends = [each.expires_at for each in (key, parent) if each.expires_at is not None]
    return dataclasses.replace(key, expires_at=min(ends, default=None))


def _key_of_row(row: Mapping[str, Any]) -> ApiKey:
    values = {name: row[name] for name in _COLUMNS}
    known = set(Scope)
    values["scopes"] = frozenset(Scope(s) for s in json.loads(row["scopes"]) if s in known)
    return ApiKey(**values)
