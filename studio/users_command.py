"""`studio users`: who may sign in, listed, added, disabled, and given passwords and roles.

It works on a running studio too: what it changes holds from the next click on. A password is asked
for, or read from standard input where that is no terminal; never taken from the command line, where
others could see it. Light at import.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from studio.config import Config
from studio.errors import BadInput
from studio.person import CONSOLE_PERSON, Role

if TYPE_CHECKING:
    from studio.account import Account
    from studio.people import People


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Hang `users` and its own commands under the command line's parser."""
    parser = subparsers.add_parser(
        "users",
        help="list, add, disable people, set passwords and roles",
        description="Who may sign in. With the first account everybody must.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    shown = commands.add_parser("list", help="show everybody", description="Show every account.")
    shown.add_argument("--json", action="store_true", help="one line of JSON per account")
    shown.set_defaults(run=_list)
    added = commands.add_parser(
        "add",
        help="add somebody",
        description=(
            "Add an account. The password is asked for, or read from standard input. The first "
            "account has every role unless told otherwise; any other makes pictures."
        ),
    )
    added.add_argument("name", metavar="NAME")
    _add_roles(added)
    added.set_defaults(run=_add)
    for verb, text in (("disable", "let somebody in no more"), ("enable", "let somebody in again")):
        command = commands.add_parser(verb, help=text, description=f"{text.capitalize()}.")
        command.add_argument("name", metavar="NAME")
        command.set_defaults(run=_enable, is_enabled=verb == "enable")
    reset = commands.add_parser(
        "reset",
        help="set somebody's password",
        description="Set a password; the person is signed out everywhere, and a lock-out ends.",
    )
    reset.add_argument("name", metavar="NAME")
    reset.set_defaults(run=_reset)
    role = commands.add_parser(
        "role", help="set somebody's roles", description="Give somebody these roles and no others."
    )
    role.add_argument("name", metavar="NAME")
    role.add_argument("roles", metavar="ROLE", nargs="+", help=f"of {', '.join(Role)}")
    role.set_defaults(run=_role)
    link = commands.add_parser(
        "link",
        help="let somebody sign in by the provider",
        description="Link an account to who the person is at the provider of single sign-on.",
    )
    link.add_argument("name", metavar="NAME")
    link.add_argument("subject", metavar="SUBJECT", help="the provider's id of the person: sub")
    link.set_defaults(run=_link)
    adopt = commands.add_parser(
        "adopt",
        help="give somebody what was made before there were accounts",
        description=(
            "Give an account the jobs, pictures, batches, sketches and webhooks of the local user. "
            "Batches at work are paused. API keys of the local user are revoked."
        ),
    )
    adopt.add_argument("name", metavar="NAME")
    adopt.set_defaults(run=_adopt)
    quota = commands.add_parser(
        "quota",
        help="set somebody's limits",
        description="Set how much somebody may have; none leaves what the studio allows.",
    )
    quota.add_argument("name", metavar="NAME")
    quota.add_argument("--pictures-per-day", metavar="N", required=True, help="a number, or none")
    quota.add_argument(
        "--queue-share", metavar="P", default="none", help="percent of the queue, or none (none)"
    )
    quota.set_defaults(run=_quota)
    for command in commands.choices.values():
        command.add_argument("--data-dir", metavar="DIR", help="the studio's, as for serve")


def _add_roles(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--role",
        metavar="ROLE",
        action="append",
        help=f"one of {', '.join(Role)}; may be given several times",
    )


@contextlib.contextmanager
def opened_people(options: argparse.Namespace) -> Iterator[People]:
    """The people of the studio in `--data-dir`, which may be running."""
    from studio.people import People
    from studio.store import Store

    config = Config.from_environ(data_dir=options.data_dir)
    with Store.beside(config.data_dir) as store:
        people = People(store, config)
        try:
            yield people
        finally:
            people.close()


def _list(options: argparse.Namespace) -> None:
    with opened_people(options) as people:
        print_accounts(people.accounts(), as_json=options.json)


def _add(options: argparse.Namespace) -> None:
    with opened_people(options) as people:
        roles = options.role or (["merchandiser"] if people.has_accounts else list(Role))
        password = read_password(options.name)
        account = people.add(options.name, password, roles, by=CONSOLE_PERSON)
    print(f"Added {account.name}: {', '.join(sorted(account.roles))}.")


def _enable(options: argparse.Namespace) -> None:
    with opened_people(options) as people:
        account = people.set_enabled(options.name, options.is_enabled, by=CONSOLE_PERSON)
    print(f"{account.name} may {'sign in again' if account.is_enabled else 'sign in no more'}.")


def _reset(options: argparse.Namespace) -> None:
    with opened_people(options) as people:
        name = people.account(options.name).name
        people.set_password(name, read_password(name), by=CONSOLE_PERSON)
    print(f"{name} has a new password, and is signed out everywhere.")


def _role(options: argparse.Namespace) -> None:
    with opened_people(options) as people:
        account = people.set_roles(options.name, options.roles, by=CONSOLE_PERSON)
    print(f"{account.name}: {', '.join(sorted(account.roles))}.")


def _link(options: argparse.Namespace) -> None:
    with opened_people(options) as people:
        account = people.link(options.name, options.subject, by=CONSOLE_PERSON)
    print(f"{account.name} signs in by {account.issuer}, as {account.subject}.")


def _adopt(options: argparse.Namespace) -> None:
    with opened_people(options) as people:
        name = people.account(options.name).name
        adopted = people.adopt(name, by=CONSOLE_PERSON)
    print(
        f"{name} has {adopted.num_jobs:,} jobs, {adopted.num_pictures:,} pictures and "
        f"{adopted.num_batches:,} batches more."
    )


def _quota(options: argparse.Namespace) -> None:
    with opened_people(options) as people:
        account = people.set_quota(
            options.name,
            max_pictures_per_day=options.pictures_per_day,
            queue_share=options.queue_share,
            by=CONSOLE_PERSON,
        )
    most, share = account.max_pictures_per_day, account.queue_share
    print(
        f"{account.name} may have {'the usual number of' if most is None else f'{most:,}'} "
        f"pictures a day and {'the usual share' if share is None else f'{share} %'} of the queue."
    )


def read_password(name: str) -> str:
    """Typed twice at a terminal, unseen; else the first line of standard input.

    Raises:
        BadInput: the two differ, or there is none.
    """
    if not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            raise BadInput("There is no password on standard input: write one line.")
        return password
    password = getpass.getpass(f"Password for {name}: ")
    if getpass.getpass("Once more: ") != password:
        raise BadInput("The two passwords differ: try again.")
    return password


def print_accounts(
    accounts: list[Account], *, as_json: bool = False, lines: TextIO | None = None
) -> None:
    """Every account to `lines` (standard output): a table, or one line of JSON each."""
    lines = lines or sys.stdout
    if as_json:
        for account in accounts:
            print(json.dumps(_values(account), ensure_ascii=False), file=lines)
        return
    if not accounts:
        print("There are no accounts: the studio serves this machine alone.", file=lines)
        return
    rows = [("NAME", "ROLES", "STATE", "SIGNS IN BY", "SINCE")]
    for account in accounts:
        rows.append(
            (
                account.name,
                ", ".join(sorted(account.roles)),
                "enabled" if account.is_enabled else "disabled",
                account.issuer or ("password" if account.has_password else "nothing yet"),
                time.strftime("%Y-%m-%d", time.localtime(account.created_at)),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip(), file=lines)


def _values(account: Account) -> dict[str, object]:
    return {
        "name": account.name,
        "roles": sorted(account.roles),
        "is_enabled": account.is_enabled,
        "has_password": account.has_password,
        "issuer": account.issuer,
        "max_pictures_per_day": account.max_pictures_per_day,
        "queue_share": account.queue_share,
        "created_at": account.created_at,
    }
