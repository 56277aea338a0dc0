"""Steps for the queue: jobs, finished pictures, events, terms, drafts and groups."""

from __future__ import annotations

from sqlite_utils import Database


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


def m0043_jobs_by_class(db: Database) -> None:
    """So that a page finds what its person asked for in front of it behind a long batch."""
    db.table("jobs").create_index(["owner", "service_class", "number"])
