"""Steps for people: accounts and sessions, the audit, what each has used."""

from __future__ import annotations

from sqlite_utils import Database


def m0010_people(db: Database) -> None:
    """Accounts, the browsers they are signed in with, and passwords that were wrong.

    Tokens of sessions are kept as hashes; what somebody failed to sign in with likewise, since
    people type their password where the name belongs.
    """
    db.table("accounts").create(
        {
            "number": int,
            "name": str,
            "password_hash": str,
            "roles": str,
            "is_enabled": int,
            "max_pictures_per_day": int,
            "queue_share": int,
            "issuer": str,
            "subject": str,
            "created_at": float,
        },
        pk="number",
        not_null={"name", "roles", "is_enabled", "created_at"},
    )
    db.table("accounts").create_index(["name"], unique=True)
    db.table("accounts").create_index(["issuer", "subject"], unique=True)
    db.table("sessions").create(
        {
            "token_hash": str,
            "id": str,
            "name": str,
            "created_at": float,
            "seen_at": float,
            "address": str,
            "agent": str,
        },
        pk="token_hash",
        not_null={"id", "name", "created_at", "seen_at", "address", "agent"},
        foreign_keys=[("name", "accounts", "name")],
    )
    db.table("sessions").create_index(["id"], unique=True)
    db.table("sessions").create_index(["name"])
    db.table("failures").create(
        {"key": str, "num_failures": int, "last_at": float, "locked_until": float},
        pk="key",
        not_null={"num_failures", "last_at", "locked_until"},
    )
    db.table("failures").create_index(["last_at"])


def m0011_audit(db: Database) -> None:
    """Who did what to which object. The database refuses to change or to forget an entry."""
    db.table("audit").create(
        {
            "number": int,
            "at": float,
            "actor": str,
            "act": str,
            "object": str,
            "address": str,
            "data": str,
        },
        pk="number",
        not_null={"at", "actor", "act", "object", "address", "data"},
    )
    for verb in ("UPDATE", "DELETE"):
        db.execute(
            f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit"
            " BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END"
        )
    db.execute(  # INSERT OR REPLACE would go past the other two
        "CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit"
        " WHEN EXISTS (SELECT 1 FROM audit WHERE number = NEW.number)"
        " BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END"
    )
    db.table("audit").create_index(["actor", "number"])
    db.table("audit").create_index(["object", "number"])
    db.table("audit").create_index(["act", "number"])
    db.table("audit").create_index(["at"])


def m0012_usage(db: Database) -> None:
    """How many pictures each owner was drawn on each day: it outlives the pictures' rows."""
    db.table("usage").create(
        {"owner": str, "day": str, "num_pictures": int},
        pk=("owner", "day"),
        not_null={"num_pictures"},
    )
