"""`People`: who may come in: accounts, passwords, sessions.

A studio without accounts has one user, who sits at its machine. From the first account on everybody
signs in. Whether a person may do a thing is asked where the thing is done; who may change accounts
is asked here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from studio.account import (
    Account,
    Session,
    checked_limit,
    checked_name,
    checked_password,
    checked_roles,
    plain_name,
)
from studio.adoption_rows import Adopted
from studio.audit import entry
from studio.config import Config
from studio.errors import BadInput, Conflict, LimitReached, NotFound, Unauthenticated
from studio.locks import Locks, say_locked
from studio.passwords import hash_password, is_outdated, is_password
from studio.person import LOCAL_PERSON, Person, Role
from studio.provider import Identity, Provider
from studio.sketches import Sketches
from studio.store import Store

MAX_AT_THE_DOOR = 16
"""So many passwords wait to be checked; each takes a tenth of a second of one core."""

_TOUCH_SECONDS = 60.0
_WRONG = "The name or the password is wrong: try again, or ask an admin to set a new password."

KeyLookup = Callable[[str], Person | None]


class People:
    """The accounts of one studio. Any thread may call it."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store = store
        self._config = config
        self._locks = Locks(store)
        # Passwords are checked one at a time: a flood of them takes one core at most, and two
        # guesses can never both be the last free one.
        self._door = ThreadPoolExecutor(1, thread_name_prefix="sign-in")
        self._places = threading.Semaphore(MAX_AT_THE_DOOR)
        self.provider = Provider(config)
        self.find_key: KeyLookup = lambda key: None
        """Whose API key this is; put here by who keeps the keys."""

    def close(self) -> None:
        self._door.shutdown()

    # Who asks

    @property
    def has_accounts(self) -> bool:
        return self._store.has_accounts()

    def visitor(self, token: str | None, address: str) -> Person | None:
        """Who holds this session token; the local user where the studio has no accounts."""
        if token:
            found = self._store.find_session(_hashed(token))
            if found and found[1].is_enabled and not self._is_over(found[0]):
                return found[1].person(address)
        if self._store.has_accounts():
            return None
        return Person(name=LOCAL_PERSON.name, roles=LOCAL_PERSON.roles, address=address)

    def person_named(self, name: str) -> Person | None:
        """Who has this name and may come in; `None` for nobody."""
        if not self._store.has_accounts():
            return LOCAL_PERSON if name == LOCAL_PERSON.name else None
        try:
            account = self._store.account(name)
        except NotFound:
            return None
        return account.person() if account.is_enabled else None

    def key_holder(self, key: str, address: str) -> Person | None:
        """Who holds this API key."""
        person = self.find_key(key)
        return person and dataclasses.replace(person, address=address)

    def keep_alive(self, token: str) -> None:
        """Note that somebody sits at the browser with this token, once a minute at most."""
        found = self._store.find_session(_hashed(token))
        if found and time.time() - found[0].seen_at > _TOUCH_SECONDS:
            self._store.touch_session(_hashed(token))

    # Coming and going

    def sign_in(self, name: str, password: str, *, address: str, agent: str = "") -> str:
        """The token of a new session. Takes a tenth of a second, and longer in a crowd.

        Raises:
            Unauthenticated: wrong, or the account is disabled.
            LimitReached: too many were wrong, or too many come at once; says when to come back.
        """
        name = plain_name(name)
        self._locks.check(name, address)
        if not self._places.acquire(blocking=False):
            raise LimitReached("Many people are signing in just now: try again in a moment.")
        try:
            return self._door.submit(self._sign_in, name, password, address, agent).result()
        finally:
            self._places.release()

    def _sign_in(self, name: str, password: str, address: str, agent: str) -> str:
        self._locks.check(name, address)  # again: others were wrong meanwhile
        hashed = self._store.password_hash(name)
        if not is_password(password[:2000], hashed):
            self._refuse(name, address)
        assert hashed is not None
        account = self._store.account(name)
        by = account.person(address)
        if not account.is_enabled:
            self._store.note(by, "session.refuse", name, reason="disabled")
            raise Unauthenticated("This account is disabled: ask an admin to enable it.")
        self._locks.open(name)
        if is_outdated(hashed):
            made = entry(by, "account.rehash", name)
            self._store.change_account(name, made, password_hash=hash_password(password))
        return self.open_session(account, address=address, agent=agent, how="password")

    def open_session(self, account: Account, *, address: str, agent: str, how: str) -> str:
        """The token of a new session of somebody who has shown who they are."""
        now = time.time()
        self._store.remove_sessions(
            created_before=now - self._config.session_seconds,
            seen_before=now - self._config.session_idle_seconds,
        )
        token = secrets.token_urlsafe(32)
        session = Session(
            id=secrets.token_hex(8),
            name=account.name,
            created_at=now,
            seen_at=now,
            address=address,
            agent=agent[:200],
        )
        made = entry(account.person(address), "session.begin", session.id, how=how)
        self._store.add_session(session, _hashed(token), made)
        return token

    def sign_in_by_provider(self, identity: Identity, *, address: str, agent: str = "") -> str:
        """The token of a new session of somebody whom the provider knows.

        Who comes for the first time has an account from then on: with the roles the provider gives,
        or a merchandiser's. Where the provider gives roles, they are set anew each time.

        Raises:
            Conflict: somebody else has an account of this name, who did not come this way.
            Unauthenticated: the account is disabled.
            BadInput: the provider's name cannot be one here.
        """
        account = self._store.linked_account(identity.issuer, identity.subject)
        if account is None:
            account = self._add_linked(identity, address)
        by = account.person(address)
        if not account.is_enabled:
            self._store.note(by, "session.refuse", account.name, reason="disabled")
            raise Unauthenticated("This account is disabled: ask an admin to enable it.")
        if identity.roles is not None and identity.roles != account.roles:
            roles = sorted(identity.roles)
            made = entry(by, "account.roles", account.name, roles=roles, issuer=identity.issuer)
            account = self._store.change_account(account.name, made, roles=json.dumps(roles))
        return self.open_session(account, address=address, agent=agent, how="provider")

    def _add_linked(self, identity: Identity, address: str) -> Account:
        account = Account(
            name=checked_name(identity.name),
            roles=identity.roles or frozenset({Role.MERCHANDISER}),
            issuer=identity.issuer,
            subject=identity.subject,
            created_at=time.time(),
        )
        made = entry(account.person(address), "account.add", account.name, issuer=identity.issuer)
        try:
            self._store.add_account(account, None, made)
        except Conflict as error:
            raise Conflict(
                f"There is an account {account.name!r} already that signs in otherwise: ask an "
                f"admin to link it (studio users link {account.name} {identity.subject})."
            ) from error
        return account

    def link(self, name: str, subject: str, *, by: Person) -> Account:
        """Let somebody who has an account sign in by the provider, where they are `subject`."""
        by.require(Role.ADMIN)
        issuer, name = self._config.oidc_issuer, plain_name(name)
        if not issuer:
            raise BadInput("The studio has no provider: set VITRINE_OIDC_ISSUER first.")
        made = entry(by, "account.link", name, issuer=issuer, subject=subject)
        return self._store.change_account(name, made, issuer=issuer, subject=subject)

    def sign_out(self, token: str, by: Person) -> None:
        """End the session of this token; a token that is over already is no fault."""
        found = self._store.find_session(_hashed(token))
        if found:
            self._store.end_session(found[0].id, entry(by, "session.end", found[0].id))

    def sessions(self, name: str | None = None) -> list[Session]:
        """Where a person, or everybody, is signed in, the newest first."""
        return [each for each in self._store.sessions(name) if not self._is_over(each)]

    def session_id(self, token: str) -> str | None:
        """Which of the sessions a browser's own is."""
        found = self._store.find_session(_hashed(token))
        return found[0].id if found else None

    def end_session(self, session_id: str, by: Person) -> None:
        """End one of one's own sessions; an admin ends anybody's.

        Raises:
            NotFound: there is none, or it is somebody else's.
        """
        name = None if by.has(Role.ADMIN) else by.name
        self._store.end_session(session_id, entry(by, "session.end", session_id), name=name)

    def change_password(
        self, by: Person, old: str, new: str, *, keep_token: str | None = None
    ) -> None:
        """Set one's own password. Every other session of this person ends.

        Raises:
            Unauthenticated: the old one is wrong.
            LimitReached: it was wrong too often.
            BadInput: the new one is too easy.
        """
        checked_password(new, by.name)
        self._locks.check(by.name, by.address)
        hashed = self._store.password_hash(by.name)
        if not self._door.submit(is_password, old[:2000], hashed).result():
            self._refuse(by.name, by.address)
        keep = self.session_id(keep_token) if keep_token else None
        self._store.change_account(
            by.name,
            entry(by, "account.password", by.name),
            password_hash=hash_password(new),
            ends_sessions=True,
            keep=keep,
        )

    # Accounts

    def accounts(self) -> list[Account]:
        return self._store.accounts()

    def account(self, name: str) -> Account:
        """Raises `NotFound` where there is none of this name."""
        return self._store.account(plain_name(name))

    def add(
        self, name: object, password: object | None, roles: Iterable[object], *, by: Person
    ) -> Account:
        """A new account; without a password for one who comes through the provider.

        Raises:
            BadInput: the name, the password or a role cannot be used.
            Conflict: there is one of this name, or the first would not be an admin.
        """
        by.require(Role.ADMIN)
        name = checked_name(name)
        chosen = checked_roles(roles)
        if not self.has_accounts and Role.ADMIN not in chosen:
            raise BadInput("The first account must be an admin: add --role admin.")
        hashed = None if password is None else hash_password(checked_password(password, name))
        account = Account(
            name=name, roles=chosen, has_password=hashed is not None, created_at=time.time()
        )
        made = entry(by, "account.add", name, roles=sorted(chosen))
        self._store.add_account(account, hashed, made)
        return account

    def set_password(self, name: str, password: object, *, by: Person) -> None:
        """Set somebody's password: every session of theirs ends, and a lock on them opens."""
        by.require(Role.ADMIN)
        name = self.account(name).name
        hashed = hash_password(checked_password(password, name))
        self._store.change_account(
            name, entry(by, "account.reset", name), password_hash=hashed, ends_sessions=True
        )
        self._locks.open(name)

    def set_roles(self, name: str, roles: Iterable[object], *, by: Person) -> Account:
        """Give somebody these roles and no others. `Conflict` for the last admin."""
        by.require(Role.ADMIN)
        chosen = sorted(checked_roles(roles))
        made = entry(by, "account.roles", plain_name(name), roles=chosen)
        return self._store.change_account(plain_name(name), made, roles=json.dumps(chosen))

    def set_enabled(self, name: str, is_enabled: bool, *, by: Person) -> Account:
        """Let somebody in again, or not any more: then their sessions end at once."""
        by.require(Role.ADMIN)
        name = plain_name(name)
        made = entry(by, "account.enable" if is_enabled else "account.disable", name)
        account = self._store.change_account(
            name, made, is_enabled=is_enabled, ends_sessions=not is_enabled
        )
        self._locks.open(name)
        return account

    def set_quota(
        self, name: str, *, max_pictures_per_day: object, queue_share: object, by: Person
    ) -> Account:
        """Set somebody's limits; `None` or nothing typed leaves the studio's own.

        Raises:
            BadInput: one of them is no number that could be.
        """
        by.require(Role.ADMIN)
        pictures = checked_limit(max_pictures_per_day, "pictures per day", 0, 1_000_000)
        share = checked_limit(queue_share, "share of the queue in percent", 1, 100)
        name = plain_name(name)
        made = entry(by, "account.quota", name, max_pictures_per_day=pictures, queue_share=share)
        return self._store.change_account(
            name, made, max_pictures_per_day=pictures, queue_share=share
        )

    def adopt(self, name: str, *, by: Person) -> Adopted:
        """Give somebody what the local user made before there were accounts.

        Done again, it gives what has come since.

        Raises:
            Conflict: there is a local user still.
        """
        by.require(Role.ADMIN)
        if not self.has_accounts:
            raise Conflict("The studio has no accounts: add one first.")
        name = self.account(name).name
        Sketches(self._config.data_dir).hand_over(LOCAL_PERSON.name, name)
        made = entry(by, "account.adopt", name, adopted=LOCAL_PERSON.name)
        return self._store.adopt(LOCAL_PERSON.name, name, made)

    def usage(self, name: str) -> tuple[int, int | None]:
        """How many pictures of today a person has had or asked for, and how many they may have."""
        used = self._store.pictures_of_today(plain_name(name))
        most = None
        with contextlib.suppress(NotFound):  # the local user has no account
            most = self._store.account(plain_name(name)).max_pictures_per_day
        return used, self._config.max_pictures_per_day or None if most is None else most

    # Inside

    def _is_over(self, session: Session) -> bool:
        now = time.time()
        return (
            now - session.created_at > self._config.session_seconds
            or now - session.seen_at > self._config.session_idle_seconds
        )

    def _refuse(self, name: str, address: str) -> None:
        """Count a wrong password, and say so."""
        seconds = self._locks.count(name, address)
        # The name stays out of the audit unless it is one: people type their password there.
        is_known = self._store.password_hash(name) is not None
        nobody = Person(name=name if is_known else "nobody", roles=frozenset(), address=address)
        self._store.note(nobody, "session.refuse", nobody.name, locked_seconds=round(seconds))
        say_locked(seconds)
        raise Unauthenticated(_WRONG)


def _hashed(token: str) -> str:
    """A session token as it is kept. It is random and long, so a fast hash is enough."""
    return hashlib.sha256(token.encode()).hexdigest()
