"""`studio keys`: API keys made, listed and revoked; on a running studio too. Light at import."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from studio.api_key import Scope
from studio.config import Config
from studio.errors import BadInput
from studio.person import CONSOLE_PERSON
from studio.terms import LOCAL_OWNER

if TYPE_CHECKING:
    from studio.api_key import ApiKey
    from studio.keys import Keys
    from studio.people import People
    from studio.store import Store


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Hang `keys` and its own commands under the command line's parser."""
    parser = subparsers.add_parser(
        "keys",
        help="make, list and revoke API keys",
        description="What lets programs in: keys that act for a person, as far as they are made.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    made = commands.add_parser(
        "create",
        help="make a key",
        description="Make a key. It is shown this once, on standard output.",
    )
    made.add_argument("name", metavar="NAME", help="the program's name")
    made.add_argument("--owner", metavar="PERSON", help="for whom it acts")
    made.add_argument(
        "--scope",
        metavar="SCOPE",
        action="append",
        required=True,
        help=f"one of {', '.join(Scope)}; may be given several times",
    )
    made.add_argument("--days", metavar="N", default="90", help="how long it is good (90)")
    made.set_defaults(run=_create)
    shown = commands.add_parser("list", help="show keys", description="Show every key.")
    shown.add_argument("--json", action="store_true", help="one line of JSON per key")
    shown.set_defaults(run=_list)
    revoked = commands.add_parser(
        "revoke", help="make a key good for nothing", description="Revoke a key at once."
    )
    revoked.add_argument("id", metavar="ID", help="as `studio keys list` shows it")
    revoked.set_defaults(run=_revoke)
    for command in commands.choices.values():
        command.add_argument("--data-dir", metavar="DIR", help="the studio's, as for serve")


@contextlib.contextmanager
def _opened(options: argparse.Namespace) -> Iterator[tuple[Keys, People, Store]]:
    """The keys of the studio in `--data-dir`, which may be running."""
    from studio.keys import Keys
    from studio.people import People
    from studio.store import Store

    config = Config.from_environ(data_dir=options.data_dir)
    with Store.beside(config.data_dir) as store:
        people = People(store, config)
        try:
            yield Keys(store, people.person_named), people, store
        finally:
            people.close()


def _create(options: argparse.Namespace) -> None:
    if not (options.days.isascii() and options.days.isdigit()):
        raise BadInput(f"The --days {options.days!r} are no whole number: give one, such as 90.")
    with _opened(options) as (keys, people, store):
        owner = options.owner or LOCAL_OWNER
        if people.person_named(owner) is None:
            raise BadInput("Say for whom the key acts: --owner and the name of an account.")
        key, secret = keys.create(owner, options.name, options.scope, days=int(options.days[:6]))
        store.note(CONSOLE_PERSON, "key.create", key.id, owner=owner, scopes=sorted(key.scopes))
    print(secret)
    _tell(f"The key {key.id} for {key.owner} is good until {_day(key.expires_at)}: keep it now.")


def _list(options: argparse.Namespace) -> None:
    with _opened(options) as (keys, _, _):
        found = keys.list()
    if options.json:
        for key in found:
            print(json.dumps(_values(key), ensure_ascii=False))
        return
    rows = [("ID", "OWNER", "NAME", "STATE", "EXPIRES", "USED", "SCOPES")]
    for key in found:
        state = "revoked" if key.revoked_at else "expired" if key.is_expired else "good"
        days = (_day(key.expires_at), _day(key.used_at))
        rows.append((key.id, key.owner, key.name, state, *days, " ".join(sorted(key.scopes))))
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        print("  ".join([*cells, row[-1]]).rstrip())


def _revoke(options: argparse.Namespace) -> None:
    with _opened(options) as (keys, _, store):
        key = keys.revoke(options.id)
        store.note(CONSOLE_PERSON, "key.revoke", key.id)
    print(f"The key {key.id} ({key.name}) opens nothing any more.")


def _values(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "owner": key.owner,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "is_good": key.is_good,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "used_at": key.used_at,
    }


def _day(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    return datetime.datetime.fromtimestamp(seconds).date().isoformat()


def _tell(sentence: str) -> None:
    import sys

    print(f"studio: {sentence}", file=sys.stderr, flush=True)
