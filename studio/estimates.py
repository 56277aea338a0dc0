"""`Estimates`: how long people wait, from the work in the queue and the speed of the device.

A job's time has two parts: the work it needs itself, and what the engine gives to others until it
is done. The second follows the scheduler's rules roughly: interactive before bulk, equal turns
between owners, and within an owner higher priority first, then, for interactive work, what is
shortest, and for bulk work, what came first.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator

from studio.engine.policy import Policy
from studio.job import Job, JobStatus
from studio.live import LiveBoard
from studio.request import Request
from studio.rows import bare, request_of_work
from studio.store import Store
from studio.terms import ServiceClass
from studio.workload import WorkLeft

QUANTUM_SECONDS = Policy().quantum_seconds
"""How far the scheduler lets one owner get ahead of another, so that short work goes first."""

PictureSeconds = Callable[[Request], float | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Load:
    """`seconds` of work of one owner. `is_first` goes before the job that is asked about."""

    owner: str
    seconds: float
    is_first: bool


def seconds_for_others(
    owner: str, seconds: float, loads: Iterable[Load], *, quantum_seconds: float = QUANTUM_SECONDS
) -> float:
    """What is given to others until `owner`'s job, with `seconds` of work left, is done.

    `loads` is the other work of its class. The owner's own work that is first is done before it.
    Meanwhile every other owner gets as much as this one, but for a quantum either way: more where
    that one's work is first, less where it is not; and never more than there is.
    """
    first: dict[str, float] = collections.defaultdict(float)
    total: dict[str, float] = collections.defaultdict(float)
    for load in loads:
        total[load.owner] += load.seconds
        if load.is_first:
            first[load.owner] += load.seconds
    own = first.pop(owner, 0.0)
    total.pop(owner, None)
    share = own + seconds
    for other, most in total.items():
        wanted = first.get(other, 0.0)
        given = min(max(wanted, share - quantum_seconds), share + quantum_seconds)
        own += max(0.0, min(given, most))
    return own


class Estimates:
    """Reads the store and the board; cheap enough to be asked by every open page."""

    def __init__(self, store: Store, board: LiveBoard, picture_seconds: PictureSeconds) -> None:
        self._store = store
        self._board = board
        self._picture_seconds = picture_seconds
        self._waiting: tuple[int, list[WorkLeft]] = (-1, [])

    def of(self, job: Job, num_pictures_left: int) -> tuple[float, float] | None:
        """Seconds given to others until the job is done, and seconds of its own work left.

        `None` for a job that is over, and while the speed of the device is not known.
        """
        if not job.status.is_active:
            return None
        own_seconds = self._seconds(job.request, job.request.num_steps * num_pictures_left, job.id)
        if own_seconds is None:
            return None
        classes = [job.service_class]
        if job.service_class is ServiceClass.BULK:
            classes.append(ServiceClass.INTERACTIVE)
        others: dict[ServiceClass, list[tuple[WorkLeft, float]]] = {each: [] for each in classes}
        for left in self._everything():
            if left.service_class in others and left.job_id != job.id:
                seconds = self._seconds_of(left)
                if seconds is None:
                    return None
                others[left.service_class].append((left, seconds))
        loads = list(self._loads(job, own_seconds, others[job.service_class]))
        waiting = seconds_for_others(job.owner, own_seconds, loads)
        if job.service_class is ServiceClass.BULK:
            interactive = others[ServiceClass.INTERACTIVE]
            waiting += sum(left.num_jobs * seconds for left, seconds in interactive)
        return waiting, own_seconds

    def total(self) -> float | None:
        """Seconds of work, of everybody; `None` while the speed of the device is not known."""
        total = 0.0
        for left in self._everything():
            seconds = self._seconds_of(left)
            if seconds is None:
                return None
            total += left.num_jobs * seconds
        return total

    def until_free(self, owner: str | None = None) -> float | None:
        """When to come back to a full queue, or to the full part of it that is `owner`'s.

        A place is free as soon as one job begins, but not for long: so it is said when a tenth of
        what waits is drawn. `None` while the speed of the device is not known.
        """
        everything = self._work_waiting()
        waiting = [left for left in everything if owner in (None, left.owner)]
        total = 0.0
        for left in waiting:
            seconds = self._seconds_of(left)
            if seconds is None:
                return None
            total += left.num_jobs * seconds
        num_jobs = sum(left.num_jobs for left in waiting)
        num_sharing = 1 if owner is None else len({left.owner for left in everything})
        return total * num_sharing / max(1, min(10, num_jobs))

    def _loads(
        self, job: Job, own_seconds: float, others: list[tuple[WorkLeft, float]]
    ) -> Iterator[Load]:
        """The work of the job's class, the job itself left out, told apart by what goes first."""
        is_queued = job.status is JobStatus.QUEUED
        is_bulk = job.service_class is ServiceClass.BULK
        before: dict[tuple[str, int], int] = {}
        if is_queued:
            rows = self._store.work_before(job)
            before = {(left.work, left.num_steps_left): left.num_jobs for left in rows}
        for left, seconds in others:
            num_jobs = left.num_jobs
            is_own = left.owner == job.owner
            is_alike = abs(seconds - own_seconds) < 1e-9
            if is_own and is_alike and is_queued and left.job_id is None:
                is_itself = left.priority == job.priority
                num_jobs -= is_itself and _request_of(left.work) == bare(job.request)
            if left.priority != job.priority:
                num_first = num_jobs if left.priority > job.priority else 0
            elif is_own and left.job_id is None and (is_alike or is_bulk):
                num_first = before.get((left.work, left.num_steps_left), 0)
            elif is_bulk:
                num_first = num_jobs
            elif is_alike:
                num_first = num_jobs if is_queued else 0
            else:
                num_first = num_jobs if seconds < own_seconds else 0
            yield Load(owner=left.owner, seconds=num_first * seconds, is_first=True)
            yield Load(owner=left.owner, seconds=(num_jobs - num_first) * seconds, is_first=False)

    def _everything(self) -> list[WorkLeft]:
        return [*self._work_waiting(), *self._store.work_running()]

    def _work_waiting(self) -> list[WorkLeft]:
        """Read again only when a row has changed since: of ten thousand jobs it takes a while."""
        version = self._board.version
        if self._waiting[0] != version:
            self._waiting = (version, self._store.work_waiting())
        return self._waiting[1]

    def _seconds_of(self, left: WorkLeft) -> float | None:
        return self._seconds(_request_of(left.work), left.num_steps_left, left.job_id)

    def _seconds(self, request: Request, num_steps: int, job_id: str | None) -> float | None:
        """What `num_steps` take, less those that pictures in flight have done."""
        picture_seconds = self._picture_seconds(request)
        if picture_seconds is None:
            return None
        if job_id is not None:
            live = self._board.pictures(job_id).values()
            num_steps = max(1, num_steps - sum(picture.step for picture in live))
        return picture_seconds * num_steps / request.num_steps


@functools.lru_cache(maxsize=1024)
def _request_of(work: str) -> Request:
    return request_of_work(work)
