"""`AccountRows`: the rows of accounts and of their sessions.

Changes of an account are written together with their audit entry. This file knows hashes as text:
how they are made is `passwords.py`'s, who may do what is `people.py`'s.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from typing import Any

from sqlite_utils import Database

from studio.account import Account, Session
from studio.audit import Entry, insert_entry
from studio.errors import Conflict, NotFound
from studio.person import Role
from studio.quota import pictures_to_come, pictures_today
from studio.statements import DISABLED
from studio.tables import Tables


class AccountRows(Tables):
    """Accounts by name, sessions by the hash of their token."""

    def has_accounts(self) -> bool:
        """Whether there is any, be it disabled: from the first on, everybody must sign in."""
        return bool(self._rows("SELECT EXISTS (SELECT 1 FROM accounts) AS found")[0]["found"])

    def accounts(self) -> list[Account]:
        """All of them, by name."""
        return [_account_of(row) for row in self._rows("SELECT * FROM accounts ORDER BY name")]

    def has_several_people(self) -> bool:
        """Whether more than one may come in."""
        sql = "SELECT COUNT(*) AS number FROM accounts WHERE is_enabled"
        return bool(self._rows(sql)[0]["number"] > 1)

    def disabled_names(self) -> frozenset[str]:
        """Who may not come in."""
        return frozenset(row["name"] for row in self._rows(DISABLED))

    def account(self, name: str) -> Account:
        """Raises `NotFound` where there is none of this name."""
        return self._read(lambda db: get_account(db, name))

    def linked_account(self, issuer: str, subject: str) -> Account | None:
        """Who this is at the provider `issuer`, where they are known."""
        rows = self._rows(
            "SELECT * FROM accounts WHERE issuer = ? AND subject = ?", issuer, subject
        )
        return _account_of(rows[0]) if rows else None

    def password_hash(self, name: str) -> str | None:
        """`None` for an unknown name, and for one that has no password."""
        rows = self._rows("SELECT password_hash FROM accounts WHERE name = ?", name)
        return rows[0]["password_hash"] if rows else None

    def add_account(self, account: Account, password_hash: str | None, made: Entry) -> None:
        """Raises `Conflict` where there is one of this name, or linked to the same subject."""

        def work(db: Database) -> None:
            row = {
                "name": account.name,
                "password_hash": password_hash,
                "roles": json.dumps(sorted(account.roles)),
                "is_enabled": account.is_enabled,
                "max_pictures_per_day": account.max_pictures_per_day,
                "queue_share": account.queue_share,
                "issuer": account.issuer,
                "subject": account.subject,
                "created_at": account.created_at or time.time(),
            }
            names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
            try:
                db.execute(f"INSERT INTO accounts ({names}) VALUES ({values})", row)
            except sqlite3.IntegrityError as error:
                raise Conflict(
                    f"There is an account {account.name!r} already: choose another name."
                ) from error
            insert_entry(db, made)

        self._write(work)

    def change_account(
        self, name: str, made: Entry, *, ends_sessions: bool = False, **changes: Any
    ) -> Account:
        """Set columns of an account; the account as it then is.

        `ends_sessions` signs the person out everywhere, but for the session `keep`.

        Raises:
            NotFound: there is no such account.
            Conflict: no enabled admin would be left, or the link is somebody else's.
        """
        keep = changes.pop("keep", None)

        def work(db: Database) -> Account:
            get_account(db, name)
            assignments = ", ".join(f"{column} = :{column}" for column in changes)
            try:
                db.execute(
                    f"UPDATE accounts SET {assignments} WHERE name = :name",
                    {**changes, "name": name},
                )
            except sqlite3.IntegrityError as error:
                raise Conflict("Somebody else is linked to this subject: look again.") from error
            if changes.keys() & {"roles", "is_enabled"}:
                _check_admin_is_left(db)
            if ends_sessions:
                db.execute("DELETE FROM sessions WHERE name = ? AND id IS NOT ?", [name, keep])
            insert_entry(db, made)
            return get_account(db, name)

        return self._write(work)

    def pictures_of_today(self, name: str) -> int:
        """How many pictures of today somebody has had or asked for."""
        return self._read(lambda db: pictures_today(db, name) + pictures_to_come(db, name))

    # Sessions

    def add_session(self, session: Session, token_hash: str, made: Entry) -> None:
        """A new session. Raises `NotFound` where the account is gone or disabled meanwhile."""

        def work(db: Database) -> None:
            if not get_account(db, session.name).is_enabled:
                raise NotFound("There is no such account any more: ask an admin.")
            row = {**_session_row(session), "token_hash": token_hash}
            names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
            db.execute(f"INSERT INTO sessions ({names}) VALUES ({values})", row)
            insert_entry(db, made)

        self._write(work)

    def find_session(self, token_hash: str) -> tuple[Session, Account] | None:
        """The session of a token and whose it is, however old."""

        def work(db: Database) -> tuple[Session, Account] | None:
            for row in db.query("SELECT * FROM sessions WHERE token_hash = ?", [token_hash]):
                return _session_of(row), get_account(db, row["name"])
            return None

        return self._read(work)

    def sessions(self, name: str | None = None) -> list[Session]:
        """Of one person or of everybody, the newest first."""
        rows = self._rows(
            "SELECT * FROM sessions WHERE ?1 IS NULL OR name = ?1 ORDER BY created_at DESC", name
        )
        return [_session_of(row) for row in rows]

    def touch_session(self, token_hash: str) -> None:
        """Note that somebody sits at it now."""
        sql = "UPDATE sessions SET seen_at = ? WHERE token_hash = ?"
        self._write(lambda db: db.execute(sql, [time.time(), token_hash]))

    def end_session(self, session_id: str, made: Entry, *, name: str | None = None) -> None:
        """Raises `NotFound` where there is none, or it is not `name`'s."""

        def work(db: Database) -> None:
            sql = "DELETE FROM sessions WHERE id = ?1 AND (?2 IS NULL OR name = ?2)"
            if db.execute(sql, [session_id, name]).rowcount == 0:
                raise NotFound("There is no such session: it has ended already.")
            insert_entry(db, made)

        self._write(work)

    def remove_sessions(self, *, created_before: float, seen_before: float) -> None:
        """Forget sessions that are over by their age."""
        sql = "DELETE FROM sessions WHERE created_at < ? OR seen_at < ?"
        self._write(lambda db: db.execute(sql, [created_before, seen_before]))


def get_account(db: Database, name: str) -> Account:
    """The account, inside the caller's transaction; `NotFound` where there is none."""
    for row in db.query("SELECT * FROM accounts WHERE name = ?", [name]):
        return _account_of(row)
    raise NotFound(f"There is no account {name!r}: `studio users list` shows them all.")


def _check_admin_is_left(db: Database) -> None:
    for row in db.query("SELECT * FROM accounts WHERE is_enabled"):
        if Role.ADMIN in _account_of(row).roles:
            return
    raise Conflict("The last admin must stay one: make somebody else an admin first.")


def _account_of(row: Mapping[str, Any]) -> Account:
    return Account(
        name=row["name"],
        roles=frozenset(Role(role) for role in json.loads(row["roles"])),
        is_enabled=bool(row["is_enabled"]),
        has_password=row["password_hash"] is not None,
        max_pictures_per_day=row["max_pictures_per_day"],
        queue_share=row["queue_share"],
        issuer=row["issuer"],
        subject=row["subject"],
        created_at=row["created_at"],
    )


def _session_row(session: Session) -> dict[str, Any]:
    return {
        "id": session.id,
        "name": session.name,
        "created_at": session.created_at,
        "seen_at": session.seen_at,
        "address": session.address,
        "agent": session.agent,
    }


def _session_of(row: Mapping[str, Any]) -> Session:
    return Session(**{name: row[name] for name in row if name != "token_hash"})
