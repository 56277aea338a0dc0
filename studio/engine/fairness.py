"""The books of the scheduler: what each owner was served, whose turn it is among lanes, how much a
kind of work may take. All in seconds of compute; knows neither samples nor time.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Container

from studio.engine.sample import Bucket

_MANY_ABSENT = 64


@dataclasses.dataclass(eq=False, slots=True)
class Account:
    """What an owner was served, and how many samples it has waiting."""

    owner: str
    service: float = 0.0
    num_samples: int = 0


class OwnerLedger:
    """Service by owner, of one class of work.

    An owner within `quantum` of the least served one is eligible; one further ahead waits, or rides
    along for nothing where no eligible owner wants the rows. Since only eligible owners are
    charged, no owner is ever charged to more than `quantum` plus one pass above the least served.

    Who comes (back) starts at the virtual time, the service of an owner who had had an equal share
    all along (as in weighted fair queueing), held within a quantum of the least served: no credit
    is saved up by staying away, and an endless stream of new owners cannot hold back an old one.
    """

    def __init__(self, quantum: float) -> None:
        self._quantum = quantum
        self._virtual_time = 0.0
        self._active: dict[str, Account] = {}
        self._absent: dict[str, Account] = {}
        self._max_absent = _MANY_ABSENT

    @property
    def floor(self) -> float:
        """The service of the least served owner who has work waiting."""
        return min(
            (account.service for account in self._active.values()), default=self._virtual_time
        )

    def enter(self, owner: str) -> Account:
        """The account of an owner who brings one more sample."""
        account = self._active.get(owner)
        if account is None:
            floor = self.floor
            start = min(max(self._virtual_time, floor), floor + self._quantum)
            account = self._absent.pop(owner, None) or Account(owner)
            account.service = max(account.service, start)
            self._active[owner] = account
        account.num_samples += 1
        return account

    def leave(self, account: Account) -> None:
        """One sample less; an owner without any is remembered while it is ahead of the others."""
        account.num_samples -= 1
        if account.num_samples:
            return
        del self._active[account.owner]
        self._absent[account.owner] = account
        if len(self._absent) > self._max_absent:
            self._absent = {
                owner: absent
                for owner, absent in self._absent.items()
                if absent.service > self._virtual_time
            }
            self._max_absent = 2 * len(self._absent) + _MANY_ABSENT

    def charge(self, account: Account, seconds: float, *, lead: float) -> None:
        """Book a service, unless the owner is more than `lead` ahead already: then it was a ride.

        `account` must have samples waiting.
        """
        floor = self.floor
        if account.service - floor <= lead:
            account.service += seconds
            self._virtual_time += seconds / len(self._active)
            floor = self.floor
        self._virtual_time = min(max(self._virtual_time, floor), floor + self._quantum)


class LaneWheel:
    """Deficit round-robin (Shreedhar and Varghese 1995) between lanes, paid after the pass.

    A lane on its visit is served while its deficit is above zero, then waits behind the others with
    a quantum more. Between two lanes that are both wanted all along, the service handed out differs
    by at most a quantum and one pass. A lane charged for work it got out of turn goes into debt,
    by at most a quantum or that pass, whichever is longer.
    """

    def __init__(self, quantum: float) -> None:
        self._quantum = quantum
        self._deficits: OrderedDict[Bucket, float] = OrderedDict()

    def add(self, lane: Bucket) -> None:
        self._deficits[lane] = self._quantum

    def remove(self, lane: Bucket) -> None:
        del self._deficits[lane]

    def choose(self, wanted: Container[Bucket]) -> Bucket:
        """The lane to serve among those `wanted`, of which at least one must be here."""
        while True:
            for lane in tuple(self._deficits):
                if lane not in wanted:
                    continue
                if self._deficits[lane] > 0:
                    return lane
                self._deficits[lane] += self._quantum
                self._deficits.move_to_end(lane)

    def charge(self, lane: Bucket, seconds: float) -> None:
        most = max(self._quantum, seconds)
        self._deficits[lane] = max(self._deficits[lane] - seconds, -most)


class Share:
    """Holds one kind of work to a `share` of the compute while other work waits.

    Up to `credit` seconds of it may come in a row after a quiet time.
    """

    def __init__(self, share: float, credit: float = 0.0) -> None:
        self._price = (1 - share) / share
        self._credit = credit
        self._debt = -credit

    @property
    def is_open(self) -> bool:
        return self._debt <= 0

    def book(self, seconds: float, other_seconds: float) -> None:
        """One pass: seconds of this kind of work, and of any other."""
        debt = self._debt + seconds * self._price - other_seconds
        self._debt = max(debt, -self._credit)
