"""Steps for programs: tables of products, API keys, webhooks."""

from __future__ import annotations

from sqlite_utils import Database


def m0040_batches(db: Database) -> None:
    """Tables of products handed over at once, and their lines.

    A line has the id of its job before there is such a job, and two triggers keep its state equal
    to the job's from then on, in the transaction that changes the job. So whatever happens to the
    process, a line has one job at most, and never another state than it.
    """
    db.table("batches").create(
        {
            "number": int,
            "id": str,
            "owner": str,
            "name": str,
            "status": str,
            "headers": str,
            "notes": str,
            "work": str,
            "created_at": float,
            "started_at": float,
            "finished_at": float,
            "message": str,
        },
        pk="number",
        not_null={
            "id", "owner", "name", "status", "headers", "notes", "work", "created_at", "message",
        },
    )  # fmt: skip
    db.table("batches").create_index(["id"], unique=True)
    db.table("batches").create_index(["owner", "number"])
    db.table("batches").create_index(["status", "number"])
    db.table("batch_rows").create(
        {
            "number": int,
            "batch_id": str,
            "line": int,
            "sku": str,
            "stem": str,
            "brief": str,
            "num_images": int,
            "job_id": str,
            "state": str,
            "error": str,
            "cells": str,
        },
        pk="number",
        not_null={"batch_id", "line", "sku", "stem", "brief", "num_images", "job_id", "state"},
        foreign_keys=[("batch_id", "batches", "id")],
    )
    db.table("batch_rows").create_index(["job_id"], unique=True)
    db.table("batch_rows").create_index(["batch_id", "line"], unique=True)
    db.table("batch_rows").create_index(["batch_id", "state", "line", "num_images"])
    db.execute(
        "CREATE TRIGGER batch_rows_get_a_job AFTER INSERT ON jobs BEGIN"
        " UPDATE batch_rows SET state = NEW.status, error = NULL WHERE job_id = NEW.id; END"
    )
    db.execute(
        "CREATE TRIGGER batch_rows_follow_their_job AFTER UPDATE OF status, error ON jobs BEGIN"
        " UPDATE batch_rows SET state = NEW.status, error = NEW.error WHERE job_id = NEW.id; END"
    )


def m0041_keys(db: Database) -> None:
    """API keys, hashed, and answers kept for programs that ask twice."""
    db.table("api_keys").create(
        {
            "number": int,
            "id": str,
            "owner": str,
            "name": str,
            "scopes": str,
            "hint": str,
            "hash": str,
            "created_at": float,
            "expires_at": float,
            "used_at": float,
            "revoked_at": float,
        },
        pk="number",
        not_null={"id", "owner", "name", "scopes", "hint", "hash", "created_at"},
    )
    db.table("api_keys").create_index(["id"], unique=True)
    db.table("api_keys").create_index(["hash"], unique=True)
    db.table("api_keys").create_index(["owner", "number"])
    db.table("kept_answers").create(
        {
            "owner": str,
            "key": str,
            "digest": str,
            "resource_id": str,
            "status": int,
            "headers": str,
            "body": bytes,
            "at": float,
        },
        pk=("owner", "key"),
        not_null={"digest", "resource_id", "status", "headers", "body", "at"},
    )
    db.table("kept_answers").create_index(["at"])


def m0044_key_parents(db: Database) -> None:
    """Which key made a key: it ends with that one."""
    db.table("api_keys").add_column("parent", str)


def m0042_hooks(db: Database) -> None:
    """Webhooks and their messages, noted in the transaction in which a thing happens."""
    db.table("hooks").create(
        {
            "number": int,
            "id": str,
            "owner": str,
            "url": str,
            "events": str,
            "secret": str,
            "created_at": float,
        },
        pk="number",
        not_null={"id", "owner", "url", "events", "secret", "created_at"},
    )
    db.table("hooks").create_index(["id"], unique=True)
    db.table("hooks").create_index(["owner", "number"])
    db.table("hook_deliveries").create(
        {
            "number": int,
            "id": str,
            "hook_id": str,
            "event": str,
            "object_id": str,
            "created_at": float,
            "status": str,
            "attempts": int,
            "next_at": float,
            "error": str,
        },
        pk="number",
        not_null={
            "id", "hook_id", "event", "object_id", "created_at", "status", "attempts", "next_at",
        },
        foreign_keys=[("hook_id", "hooks", "id")],
    )  # fmt: skip
    db.table("hook_deliveries").create_index(["id"], unique=True)
    db.table("hook_deliveries").create_index(["hook_id", "number"])
    db.table("hook_deliveries").create_index(["status", "next_at"])
    now = "(julianday('now') - 2440587.5) * 86400.0"
    note = (
        "INSERT INTO hook_deliveries (id, hook_id, event, object_id, created_at, status, attempts,"
        f" next_at) SELECT lower(hex(randomblob(8))), hooks.id, {{event}}, NEW.{{object}}, {now},"
        f" 'waiting', 0, {now} FROM hooks WHERE hooks.owner = {{owner}}"
        " AND EXISTS (SELECT 1 FROM json_each(hooks.events) WHERE value = {event})"
    )
    of_job = note.format(
        event="'job.' || NEW.kind",
        object="job_id",
        owner="(SELECT owner FROM jobs WHERE id = NEW.job_id)",
    )
    db.execute(
        "CREATE TRIGGER hooks_hear_of_jobs AFTER INSERT ON events"
        " WHEN NEW.kind IN ('finished', 'failed', 'cancelled', 'held')"
        " AND NOT (SELECT is_draft FROM jobs WHERE id = NEW.job_id)"
        f" BEGIN {of_job}; END"
    )
    of_batch = note.format(event="'batch.finished'", object="id", owner="NEW.owner")
    db.execute(
        "CREATE TRIGGER hooks_hear_of_batches AFTER UPDATE OF status ON batches"
        " WHEN NEW.status = 'finished' AND OLD.status != 'finished'"
        f" BEGIN {of_batch}; END"
    )
