"""The steps that bring a database of any earlier studio to this studio's schema.

`STEPS` is append-only: a step that was released is never edited, since databases out there have
taken it. Numbers have gaps, and say nothing of the order. Each runs in a transaction together with
the mark that it ran. This file knows tables and columns; what rows mean is `store.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlite_utils import Database, Migrations

from studio.errors import BadDataFolder


def m0001_jobs(db: Database) -> None:
    """The queue.

    `number` is the order of arrival and never changes: lists are sorted and paged by it, since
    clocks jump. `position` is the place in the queue, which a retry moves to the end.
    `num_steps_left` is the work left in a job; it stands in the queue's index, so that a sum over
    it reads no rows.
    """
    db.table("jobs").create(
        {
            "number": int,
            "id": str,
            "owner": str,
            "brief": str,
            "request": str,
            "num_steps_left": int,
            "status": str,
            "attempts": int,
            "position": int,
            "created_at": float,
            "started_at": float,
            "finished_at": float,
            "error": str,
        },
        pk="number",
        not_null={
            "id", "owner", "brief", "request", "num_steps_left", "status", "attempts", "position",
            "created_at",
        },
    )  # fmt: skip
    db.table("jobs").create_index(["id"], unique=True)
    db.table("jobs").create_index(["position"], unique=True)
    db.table("jobs").create_index(["status", "position", "num_steps_left"])
    db.table("jobs").create_index(["status", "number"])
    db.table("jobs").create_index(["owner", "status", "number"])
    db.table("jobs").create_index(["owner", "number"])


def m0002_images(db: Database) -> None:
    """Finished pictures; one per job and index, so that a picture drawn twice is kept once."""
    db.table("images").create(
        {
            "number": int,
            "id": str,
            "job_id": str,
            "owner": str,
            "index": int,
            "seed": int,
            "digest": str,
            "path": str,
            "height": int,
            "width": int,
            "release": str,
            "screening": str,
            "model_name": str,
            "model_digest": str,
            "backend": str,
            "precision": str,
            "seconds": float,
            "created_at": float,
        },
        pk="number",
        not_null={
            "id", "job_id", "owner", "index", "seed", "digest", "path", "height", "width",
            "release", "screening", "model_name", "model_digest", "backend", "precision",
            "seconds", "created_at",
        },
        foreign_keys=[("job_id", "jobs", "id")],
    )  # fmt: skip
    db.table("images").create_index(["id"], unique=True)
    db.table("images").create_index(["job_id", "index"], unique=True)
    db.table("images").create_index(["release", "number"])
    db.table("images").create_index(["owner", "release", "number"])


def m0003_events(db: Database) -> None:
    """What happened to a job, in order, so that a page opened later can tell the story."""
    db.table("events").create(
        {"number": int, "job_id": str, "kind": str, "at": float, "data": str},
        pk="number",
        not_null={"job_id", "kind", "at", "data"},
        foreign_keys=[("job_id", "jobs", "id")],
    )
    db.table("events").create_index(["job_id", "number"])


def m0004_terms(db: Database) -> None:
    """How a job is to be served, whether it is to stop early, and which pictures are left out.

    `work` is the request without what makes no picture slower: jobs of equal work can be counted
    together, so that an estimate over a long queue reads few groups. The two orders are those in
    which the dispatcher hands jobs out: among all, and among those of one owner.
    """
    table = db.table("jobs")
    table.add_column("service_class", str, not_null_default="interactive")
    table.add_column("priority", int, not_null_default=0)
    table.add_column("deadline_at", float)
    table.add_column("is_stopping", int, not_null_default=0)
    table.add_column("skipped", str, not_null_default="[]")
    db.execute(
        "ALTER TABLE jobs ADD COLUMN work TEXT GENERATED ALWAYS AS (json_remove(request,"
        " '$.prompt', '$.negative_prompt', '$.seed', '$.num_images', '$.control.image_digest'))"
        " VIRTUAL"
    )
    order = "priority DESC, IFNULL(deadline_at, 9e999), position"
    db.execute(
        f"CREATE INDEX idx_jobs_turn ON jobs (status, service_class, {order}, owner, id, attempts)"
    )
    order = f"owner, {order}"
    db.execute(
        f"CREATE INDEX idx_jobs_owner_turn ON jobs (status, service_class, {order}, id, attempts)"
    )
    table.create_index(
        ["status", "service_class", "owner", "priority", "work", "num_steps_left", "position"]
    )
    table.create_index(["status", "service_class", "position"])
    table.create_index(["status", "owner"])


def m0060_drafts_and_groups(db: Database) -> None:
    """Which jobs are quick drafts, and which were asked for together."""
    db.table("jobs").add_column("is_draft", int, not_null_default=0)
    db.table("jobs").add_column("group_id", str)
    db.execute("CREATE INDEX idx_jobs_group ON jobs (group_id, number) WHERE group_id IS NOT NULL")
    db.execute("CREATE INDEX idx_jobs_drafts ON jobs (owner, number) WHERE is_draft")


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


def m0020_reviews(db: Database) -> None:
    """What screened each picture, the queue of cases, and the record of decisions.

    The queue's rows change, the record's never do: triggers refuse it, and each entry carries the
    digest of the one before.
    """
    db.table("screenings").create(
        {
            "image_id": str,
            "answer": str,
            "reason": str,
            "scores": str,
            "policy_version": str,
            "at": float,
        },
        pk="image_id",
        not_null={"answer", "reason", "scores", "policy_version", "at"},
    )
    db.table("reviews").create(
        {
            "number": int,
            "id": str,
            "image_id": str,
            "image_digest": str,
            "job_id": str,
            "owner": str,
            "origin": str,
            "reason": str,
            "words": str,
            "scores": str,
            "policy_version": str,
            "opened_at": float,
            "needs_admin": int,
            "not_for": str,
            "leased_by": str,
            "leased_until": float,
            "answer": str,
            "decided_by": str,
            "decided_at": float,
            "due_at": float,
            "is_settled": int,
        },
        pk="number",
        not_null={
            "id", "image_id", "image_digest", "job_id", "owner", "origin", "reason", "words",
            "scores", "policy_version", "opened_at", "needs_admin", "is_settled",
        },
        foreign_keys=[("image_id", "images", "id")],
    )  # fmt: skip
    db.table("reviews").create_index(["id"], unique=True)
    db.table("reviews").create_index(["answer", "number"])
    db.table("reviews").create_index(["is_settled", "due_at"])
    db.table("reviews").create_index(["image_id"])
    db.table("reviews").create_index(["image_digest"])
    db.table("reviews").create_index(["owner", "origin"])
    db.execute(
        "CREATE UNIQUE INDEX idx_reviews_one_open ON reviews (image_id) WHERE answer IS NULL"
    )
    db.table("decisions").create(
        {
            "number": int,
            "review_id": str,
            "image_id": str,
            "image_digest": str,
            "act": str,
            "by": str,
            "at": float,
            "reason": str,
            "note": str,
            "policy_version": str,
            "scores": str,
            "previous": str,
            "digest": str,
        },
        pk="number",
        not_null={
            "review_id", "image_id", "image_digest", "act", "by", "at", "reason", "note",
            "policy_version", "scores", "previous", "digest",
        },
    )  # fmt: skip
    db.table("decisions").create_index(["review_id", "number"])
    for act in ("UPDATE", "DELETE"):
        db.execute(
            f"CREATE TRIGGER decisions_no_{act.lower()} BEFORE {act} ON decisions"
            " BEGIN SELECT RAISE(ABORT, 'the record of decisions is append-only'); END"
        )


def m0030_shelf(db: Database) -> None:
    """The gallery: what a person puts beside a picture, and what can be searched.

    Triggers keep both in step with the pictures, whoever writes those. The order of the indices is
    that of the lists: a page is read without a sort. Pictures of a table of products come with the
    SKU of their line, in a collection of the table's name.
    """
    for statement in _SHELF:
        db.execute(statement)


_SHELF = (
    """
    CREATE TABLE shelf (
      number INTEGER PRIMARY KEY,
      owner TEXT NOT NULL,
      release TEXT NOT NULL,
      is_starred INTEGER NOT NULL DEFAULT 0,
      is_example INTEGER NOT NULL DEFAULT 0,
      collection TEXT NOT NULL DEFAULT '',
      sku TEXT NOT NULL DEFAULT ''
    )
    """,
    """
    CREATE INDEX idx_shelf_owner ON shelf (owner, release, number)
    """,
    """
    CREATE INDEX idx_shelf_starred ON shelf (owner, release, is_starred, number)
    """,
    """
    CREATE INDEX idx_shelf_collection ON shelf (owner, release, collection, number)
    """,
    """
    CREATE INDEX idx_shelf_sku ON shelf (owner, release, sku, number)
    """,
    """
    CREATE VIRTUAL TABLE shelf_words USING fts5 (words, placed, tokenize = 'trigram')
    """,
    """
    CREATE TRIGGER shelf_words_added AFTER INSERT ON shelf BEGIN
      INSERT INTO shelf_words (rowid, words, placed) SELECT images.number, printf(
        '%s %s %s %s %s %s %s %d %dx%d %s %s %s',
        json_extract(brief, '$.subject'), json_extract(brief, '$.material'),
        json_extract(brief, '$.color'), json_extract(brief, '$.scene'),
        json_extract(brief, '$.notes'), json_extract(request, '$.prompt'),
        images.id, seed, width, height, model_name, backend,
        date(images.created_at, 'unixepoch')
      ), NEW.collection || ' ' || NEW.sku
      FROM images JOIN jobs ON jobs.id = images.job_id WHERE images.number = NEW.number;
    END;
    """,
    """
    CREATE TRIGGER shelf_words_placed AFTER UPDATE OF collection, sku ON shelf BEGIN
      UPDATE shelf_words SET placed = NEW.collection || ' ' || NEW.sku WHERE rowid = NEW.number;
    END;
    """,
    """
    CREATE TRIGGER shelf_words_removed AFTER DELETE ON shelf BEGIN
      DELETE FROM shelf_words WHERE rowid = OLD.number;
    END;
    """,
    """
    CREATE TRIGGER shelf_added AFTER INSERT ON images BEGIN
      INSERT INTO shelf (number, owner, release, sku, collection) SELECT NEW.number, NEW.owner,
        NEW.release, COALESCE(MAX(batch_rows.sku), ''), COALESCE(MAX(batches.name), '')
        FROM batch_rows JOIN batches ON batches.id = batch_rows.batch_id
        WHERE batch_rows.job_id = NEW.job_id;
    END;
    """,
    """
    CREATE TRIGGER shelf_changed AFTER UPDATE OF owner, release ON images BEGIN
      UPDATE shelf SET owner = NEW.owner, release = NEW.release WHERE number = NEW.number;
      DELETE FROM shelf WHERE number = NEW.number AND release = 'deleted';
    END;
    """,
    """
    CREATE TRIGGER shelf_removed AFTER DELETE ON images BEGIN
      DELETE FROM shelf WHERE number = OLD.number;
    END;
    """,
    """
    INSERT INTO shelf (number, owner, release) SELECT number, owner, release FROM images
    """,
)


def m0043_jobs_by_class(db: Database) -> None:
    """So that a page finds what its person asked for in front of it behind a long batch."""
    db.table("jobs").create_index(["owner", "service_class", "number"])


def m0031_examples(db: Database) -> None:
    """Which jobs nobody asked for: those of the examples that a new gallery begins with.

    The indices hold the examples alone, so that lists and counts leave them out at no cost.
    """
    db.table("jobs").add_column("is_example", int, not_null_default=0)
    db.execute("CREATE INDEX idx_jobs_examples ON jobs (status) WHERE is_example")
    db.execute("CREATE INDEX idx_shelf_examples ON shelf (number, release) WHERE is_example")


STEPS: tuple[Callable[[Database], None], ...] = (
    m0001_jobs,
    m0002_images,
    m0003_events,
    m0004_terms,
    m0060_drafts_and_groups,
    m0010_people,
    m0011_audit,
    m0012_usage,
    m0040_batches,
    m0041_keys,
    m0042_hooks,
    m0020_reviews,
    m0030_shelf,
    m0043_jobs_by_class,
    m0031_examples,
)


def migrate(db: Database, data_dir: Path, *, steps: int = len(STEPS)) -> None:
    """Take every step of the first `steps` that `db` has not taken; `data_dir` is for messages.

    Raises:
        BadDataFolder: the database was written by a newer studio, whose steps are unknown here.
    """
    migrations = _known(steps)
    _refuse_newer(migrations, db, data_dir)
    migrations.apply(db)


def check_current(db: Database, data_dir: Path) -> None:
    """See that the schema is this studio's, without changing it.

    Raises:
        BadDataFolder: it is older or newer.
    """
    if missing := pending(db, data_dir):
        raise BadDataFolder(
            f"The studio that uses {data_dir} is older than this one (its database lacks "
            f"{missing[0]!r}): stop it and try again."
        )


def pending(db: Database, data_dir: Path) -> list[str]:
    """The steps that `db` has not taken. Raises `BadDataFolder` where it is newer."""
    migrations = _known(len(STEPS))
    _refuse_newer(migrations, db, data_dir)
    return [step.name for step in migrations.pending(db)]


def _known(steps: int) -> Migrations:
    migrations = Migrations("studio")
    for step in STEPS[:steps]:
        migrations(name=step.__name__)(step)
    return migrations


def _refuse_newer(migrations: Migrations, db: Database, data_dir: Path) -> None:
    known = {step.__name__ for step in STEPS}
    unknown = [step.name for step in migrations.applied(db) if step.name not in known]
    if unknown:
        raise BadDataFolder(
            f"The data folder {data_dir} was written by a newer studio (its database has "
            f"{unknown[-1]!r}): update this studio, or choose another folder with --data-dir."
        )
