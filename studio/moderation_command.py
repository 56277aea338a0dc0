"""`studio moderation`: the queue and the record of a data folder, from the command line.

What only reads works beside a running studio; what deletes needs the folder for itself. Light at
import: libraries are loaded by what needs them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from studio.config import Config
from studio.errors import BadConfig, Conflict

if TYPE_CHECKING:
    from studio.moderation_policy import ModerationPolicy
    from studio.review_reading import ReviewReading


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Hang `moderation` and its own commands under the command line's parser."""
    parser = subparsers.add_parser(
        "moderation",
        help="the review queue and the record of decisions",
        description="What waits for review, what was decided, and what follows from it.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    cases = commands.add_parser(
        "cases", help="list open cases", description="List open cases, the oldest first."
    )
    cases.add_argument("--all", action="store_true", help="decided ones too")
    cases.add_argument("--json", action="store_true", help="one line of JSON per case")
    cases.set_defaults(run=_cases)
    export = commands.add_parser(
        "export",
        help="write the record of decisions",
        description="Write every decision, in order, to standard output.",
    )
    export.add_argument(
        "--format", choices=("csv", "json"), default="csv", help="csv or json (csv)"
    )
    export.set_defaults(run=_export)
    verify = commands.add_parser(
        "verify",
        help="see that no decision was changed",
        description=(
            "Check the chain of digests through the record, and tell the newest one. Kept "
            "elsewhere, it shows later that nothing was cut off: --head."
        ),
    )
    verify.add_argument("--head", metavar="DIGEST", help="a digest that must be in the record")
    verify.set_defaults(run=_verify)
    retention = commands.add_parser(
        "retention",
        help="delete rejected pictures whose time is over",
        description=(
            "Delete the files of pictures rejected longer ago than the policy keeps them, and say "
            "so in the record. A running studio does this by itself."
        ),
    )
    retention.add_argument("--dry-run", action="store_true", help="only tell which")
    retention.set_defaults(run=_retention)
    report = commands.add_parser(
        "report",
        help="precision, recall and queue length by threshold",
        description="What people's decisions say about the classifier's threshold.",
    )
    report.add_argument("--out", metavar="FILE", help="draw the curve into this SVG file")
    report.set_defaults(run=_report)
    for command in (cases, export, verify, retention, report):
        command.add_argument("--data-dir", metavar="DIR", help="the data folder, as for serve")


def _cases(options: argparse.Namespace) -> None:
    with _reading(options) as (rows, policy):
        now = time.time()
        reviews = rows.reviews(is_open=None if options.all else True)
        for review in reviews:
            minutes = (now - review.opened_at) / 60
            if options.json:
                values = {
                    "id": review.id,
                    "image": review.image_id,
                    "owner": review.owner,
                    "origin": review.origin,
                    "reason": review.reason,
                    "minutes": round(minutes, 1),
                    "answer": review.answer,
                    "scores": dict(review.scores),
                }
                print(json.dumps(values))
                continue
            state = review.answer or ("escalated" if review.needs_admin else "open")
            late = " overdue" if review.is_open and minutes * 60 > policy.target_seconds else ""
            print(
                f"{review.id}  {state:9}  {review.origin:9}  {review.reason:10}  "
                f"{minutes:8.0f} min  {review.owner}{late}"
            )
        if not reviews and not options.json:
            print("No case is open.")


def _export(options: argparse.Namespace) -> None:
    from studio.moderation.export import export_decisions

    with _reading(options) as (rows, _):
        sys.stdout.write(export_decisions(rows.decisions(), options.format))


def _verify(options: argparse.Namespace) -> None:
    from studio.review import first_broken

    with _reading(options) as (rows, _):
        decisions = rows.decisions()
    broken = first_broken(decisions)
    if broken is not None:
        raise Conflict(
            f"The record was changed: entry {broken} does not follow from the one before; compare "
            "it with a backup."
        )
    if options.head and options.head not in {decision.digest for decision in decisions}:
        raise Conflict(
            f"No entry has the digest {options.head[:12]}…: entries were cut off, or this is "
            "another studio's record."
        )
    newest = decisions[-1].digest if decisions else "none"
    print(f"{len(decisions)} decisions, unbroken; the newest digest is {newest}")


def _retention(options: argparse.Namespace) -> None:
    from studio.moderation.upkeep import DAY_SECONDS, Upkeep
    from studio.pictures import Pictures
    from studio.store import Store

    if options.dry_run:
        with _reading(options) as (rows, policy):
            for record in rows.expired_images(time.time() - policy.rejected_days * DAY_SECONDS):
                print(record.path)
        return
    config = _existing(options)
    with Store.open(config.data_dir) as store:
        pictures = Pictures(config.data_dir, config.min_free_bytes)
        upkeep = Upkeep(store, pictures, _policy(config), on_changed=lambda: None)
        num_deleted = upkeep.delete_expired(time.time())
    print(f"Deleted {num_deleted} rejected pictures; the record says so.")


def _report(options: argparse.Namespace) -> None:
    from studio.moderation.learning import threshold_curve
    from studio.moderation.plot import curve_svg
    from studio.moderation.screening import CLASSIFIER

    with _reading(options) as (rows, policy):
        judged = rows.judged(CLASSIFIER)
    points = threshold_curve(judged)
    num_judged = sum(each.is_bad is not None for each in judged)
    print(f"{len(judged)} pictures scored, {num_judged} of them decided by people.")
    print("hold from  precision  recall  held  per day")
    for point in points:
        print(
            f"{point.threshold:9.2f}  {_share(point.precision):>9}  {_share(point.recall):>6}  "
            f"{point.num_held:4}  {point.held_per_day:7.1f}"
        )
    if options.out:
        path = Path(options.out).expanduser()
        svg = curve_svg(points, hold_from=policy.bands.hold_from, num_judged=num_judged)
        try:
            path.write_text(svg, encoding="utf-8")
        except OSError as error:
            raise BadConfig(f"{path} cannot be written ({error.strerror}): mend --out.") from error


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


@contextlib.contextmanager
def _reading(options: argparse.Namespace) -> Iterator[tuple[ReviewReading, ModerationPolicy]]:
    from studio.database import DatabaseReader
    from studio.review_reading import ReviewReading
    from studio.store import DATABASE_NAME

    config = _existing(options)
    database = DatabaseReader(config.data_dir.absolute() / DATABASE_NAME)
    try:
        yield ReviewReading(database), _policy(config)
    finally:
        database.close()


def _existing(options: argparse.Namespace) -> Config:
    from studio.store import DATABASE_NAME

    config = Config.from_environ(data_dir=options.data_dir)
    if not (config.data_dir / DATABASE_NAME).is_file():
        raise BadConfig(f"There is no studio's data in {config.data_dir}: name it with --data-dir.")
    return config


def _policy(config: Config) -> ModerationPolicy:
    from studio.moderation_policy import load_moderation_policy

    return load_moderation_policy(config.moderation_policy)
