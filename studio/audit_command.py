"""`studio audit`: who did what, also of a studio that runs. Light at import."""

from __future__ import annotations

import argparse
import sys

from studio.config import Config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Hang `audit` under the command line's parser."""
    parser = subparsers.add_parser(
        "audit",
        help="show who did what",
        description="Write what people did to standard output, the newest first.",
    )
    parser.add_argument("--actor", metavar="NAME", default="", help="only what this person did")
    parser.add_argument(
        "--act", default="", help="only such acts: account.add, or all of an area: account"
    )
    parser.add_argument("--text", default="", help="only entries that contain this anywhere")
    parser.add_argument("--since", metavar="DAY", default="", help="from this day on: 2026-11-24")
    parser.add_argument("--until", metavar="DAY", default="", help="up to this day")
    parser.add_argument("--format", choices=("csv", "json"), default="csv", help="(csv)")
    parser.add_argument("--data-dir", metavar="DIR", help="the studio's, as for serve")
    parser.set_defaults(run=_audit)


def _audit(options: argparse.Namespace) -> None:
    from studio.audit_search import conditions, csv_lines, json_lines
    from studio.store import Store

    chosen = conditions(
        actor=options.actor,
        act=options.act,
        text=options.text,
        since=options.since,
        until=options.until,
    )
    config = Config.from_environ(data_dir=options.data_dir)
    with Store.beside(config.data_dir) as store:
        entries = store.all_entries(**chosen)
        lines = csv_lines(entries) if options.format == "csv" else json_lines(entries)
        for line in lines:
            sys.stdout.write(line.replace("\r\n", "\n"))
