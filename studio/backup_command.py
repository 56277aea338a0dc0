"""`studio backup`, `studio restore` and `studio migrate`. Light at import."""

from __future__ import annotations

import argparse
from pathlib import Path

from studio.config import Config


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Hang the three under the command line's parser."""
    made = subparsers.add_parser(
        "backup",
        help="copy the studio's data, also while it runs",
        description=(
            "Copy database, pictures and everything else of the studio into a new folder in DIR, "
            "with a manifest of digests. Files of the backup before are linked where they are the "
            "same."
        ),
    )
    made.add_argument("target", metavar="DIR", help="where backups are kept")
    made.add_argument(
        "--without-models", action="store_true", help="leave out models in the data folder"
    )
    made.set_defaults(run=_back_up)
    back = subparsers.add_parser(
        "restore",
        help="put a backup into an empty data folder",
        description="Verify every file of a backup, then put it into an empty data folder.",
    )
    back.add_argument("source", metavar="BACKUP", help="a folder that studio backup made")
    back.set_defaults(run=_restore)
    migrated = subparsers.add_parser(
        "migrate",
        help="bring the database of an earlier studio up to date",
        description=(
            "Bring the database up to this studio's schema, as serve does when it starts; a copy "
            "of it as it was is kept beside it."
        ),
    )
    migrated.set_defaults(run=_migrate)
    for command in (made, back, migrated):
        command.add_argument("--data-dir", metavar="DIR", help="the studio's, as for serve")


def _data_dir(options: argparse.Namespace) -> Path:
    return Config.from_environ(data_dir=options.data_dir).data_dir


def _back_up(options: argparse.Namespace) -> None:
    from studio.backup import back_up

    made = back_up(
        _data_dir(options),
        Path(options.target).expanduser(),
        with_models=not options.without_models,
    )
    linked = f", {made.num_linked:,} of them linked" if made.num_linked else ""
    print(f"{made.path}: {made.num_files:,} files{linked}, {made.num_bytes / 1e6:,.1f} MB.")


def _restore(options: argparse.Namespace) -> None:
    from studio.backup import restore

    made = restore(Path(options.source).expanduser(), _data_dir(options))
    print(f"{made.path} is back: {made.num_files:,} files, {made.num_bytes / 1e6:,.1f} MB.")


def _migrate(options: argparse.Namespace) -> None:
    from studio.migrate import migrate_folder

    taken, kept = migrate_folder(_data_dir(options))
    if kept is None:
        print("The database is up to date.")
    else:
        print(f"Took {', '.join(taken)}. The database as it was is {kept}.")
