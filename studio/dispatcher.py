"""`Dispatcher`: decides which waiting jobs the engine holds.

The engine shares its turns between the jobs it holds, and cannot be fair to one it does not see. So
it is given many small interactive jobs and few bulk ones, from as many owners as there are; what
it is not given stays in the store, and can still be put behind others.

Of the jobs that ran when the process died it holds one at a time: the one that kills the process
again is then found out, and the others are not parked with it.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import threading
from collections.abc import Callable, Sequence

from studio.errors import Conflict
from studio.job import Job
from studio.store import Store
from studio.terms import ServiceClass

MAX_HANDED = {ServiceClass.INTERACTIVE: 64, ServiceClass.BULK: 8}
"""Jobs of each class that the engine holds at a time."""

MAX_NEWCOMERS = 32
"""Interactive jobs held beyond that, each the only one of its owner."""

Hand = Callable[[Job, Sequence[int]], None]
"""`hand(job, indices)`: give the engine a job, of which these pictures are to be drawn."""


class Dispatcher:
    """Safe to use from any thread. `hand` is called under its lock, and must return at once."""

    def __init__(self, store: Store, hand: Hand) -> None:
        self._store = store
        self._hand = hand
        self._lock = threading.Lock()
        self._handed: dict[str, Job] = {}
        self._leaving: set[str] = set()
        self._withdrawn: set[str] = set()
        self._is_open = False

    def open(self) -> None:
        """Begin to hand jobs out: the engine is ready."""
        with self._lock:
            self._is_open = True
        self.fill()

    def close(self) -> None:
        """Hand nothing out from now on."""
        with self._lock:
            self._is_open = False

    def fill(self) -> None:
        """Hand out the jobs whose turn it is, while the engine has room."""
        with self._lock:
            while self._is_open and (job := self._next()) is not None:
                indices = self._store.missing_indices(job.id)  # may raise: then it is not held
                self._handed[job.id] = job
                self._hand(job, indices)

    def release(self, job_id: str) -> None:
        """The engine holds the job no more; its place goes to another."""
        with self._lock:
            self._handed.pop(job_id, None)
            self._leaving.discard(job_id)
            is_withdrawn = job_id in self._withdrawn
            self._withdrawn.discard(job_id)
        if is_withdrawn:
            with contextlib.suppress(Conflict):  # it waited, or ended by itself
                self._store.requeue(job_id)
        self.fill()

    def tell(self, job_id: str, message: Callable[[], None], *, is_leaving: bool = False) -> bool:
        """Send the engine a message about a job if it holds it; whether it does.

        One that is told to leave is not to be begun, even if it is queued again before the engine
        has heard of it: it is handed out anew when it is released.
        """
        with self._lock:
            if job_id not in self._handed:
                return False
            if is_leaving:
                self._leaving.add(job_id)
            message()
            return True

    def withdraw(self, owner: str, cancel: Callable[[str], None]) -> None:
        """Have the engine leave every job of `owner`, by `cancel`; see `tell`.

        Each is back in its place in the queue when it is released.
        """
        with self._lock:
            for job in self._handed.values():
                if job.owner == owner:
                    self._leaving.add(job.id)
                    self._withdrawn.add(job.id)
                    cancel(job.id)

    def is_leaving(self, job_id: str) -> bool:
        """Whether the engine was told to leave the job and has not answered yet."""
        with self._lock:
            return job_id in self._leaving

    def _next(self) -> Job | None:
        for service_class in ServiceClass:
            job = self._next_of(service_class)
            if job is not None:
                return job
        return None

    def _next_of(self, service_class: ServiceClass) -> Job | None:
        """The job to hand out next: of an owner with fewest handed, then whose turn it is."""
        num_handed = collections.Counter(
            job.owner for job in self._handed.values() if job.service_class is service_class
        )
        room = MAX_HANDED[service_class] - num_handed.total()
        newcomers = MAX_NEWCOMERS if service_class is ServiceClass.INTERACTIVE else 0
        if room + newcomers <= 0:
            return None
        has_suspect = any(job.attempts for job in self._handed.values())
        ask = functools.partial(
            self._store.next_queued,
            service_class=service_class,
            exclude=self._handed,
            is_suspect=False if has_suspect else None,
        )
        newcomer = ask(exclude_owners=num_handed)
        if newcomer is not None or room <= 0:
            return newcomer
        for _, owners in _by_count(num_handed):
            found = [job for owner in owners if (job := ask(owner=owner))]
            if found:
                return min(found, key=_turn)
        return None


def _by_count(num_handed: collections.Counter[str]) -> list[tuple[int, list[str]]]:
    """The owners, those with fewest jobs first, together where they have as many."""
    groups: dict[int, list[str]] = {}
    for owner, number in num_handed.items():
        groups.setdefault(number, []).append(owner)
    return sorted(groups.items())


def _turn(job: Job) -> tuple[int, float, float]:
    """As the store orders them; between owners the time of arrival stands for the place."""
    deadline_at = float("inf") if job.deadline_at is None else job.deadline_at
    return -job.priority, deadline_at, job.created_at
