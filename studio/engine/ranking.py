"""`Ranking`: the order in which jobs are preferred, but for what is overdue."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import NamedTuple

from studio.engine.fairness import OwnerLedger, Share
from studio.engine.line import Line
from studio.engine.policy import Policy
from studio.engine.sample import Bucket


class Tier(enum.IntEnum):
    """The order of preference. A newcomer is `LATER` while newcomers have used up their share."""

    OVERDUE = 1
    NEWCOMER = 2
    URGENT = 3
    ELIGIBLE = 4
    LATER = 5
    AHEAD = 6


Key = tuple[Tier, float, float, float, int]
Ranking = list[tuple[Key, Line]]


class _Pace(NamedTuple):
    """Seconds of a sample's pass when it is alone, when the pass is full, and its share of that."""

    alone: float
    full: float
    share: float


_LaneRows = tuple[Bucket, int]


class Ranker:
    """Ranks lines by the books of both classes; the callables are the scheduler's."""

    def __init__(
        self,
        policy: Policy,
        ledgers: tuple[OwnerLedger, ...],
        newcomer_share: Share,
        *,
        max_rows: Callable[[Bucket], int],
        seconds: Callable[[Bucket, int], float],
    ) -> None:
        self._policy = policy
        self._ledgers = ledgers
        self._newcomer_share = newcomer_share
        self._max_rows = max_rows
        self._seconds = seconds

    def rank(self, lines: Iterable[Line], now: float) -> Ranking:
        """Lines with their order of preference, no two alike; a newcomer's twice, since one of its
        pictures goes ahead. To prefer by what is left less a weight times the seconds waited is to
        prefer by what is left plus that weight times the time of arrival.
        """
        policy = self._policy
        ranking: Ranking = []
        paces: dict[_LaneRows, _Pace] = {}
        floors = [ledger.floor for ledger in self._ledgers]
        is_open = self._newcomer_share.is_open
        for line in lines:
            key, at, number = line.key, line.arrived_at, line.number
            where = (key.lane, key.num_rows)
            pace = paces.get(where)
            if pace is None:
                pace = paces[where] = self._pace(*where)
            lead = line.account.service - floors[key.is_bulk]
            left = line.num_left * pace.share + policy.waiting_weight * at
            if (
                line.deadline is not None
                and lead <= policy.deadline_lead_seconds
                and self._is_urgent(line, pace, line.deadline - now)
            ):
                ranking.append(((Tier.URGENT, line.deadline, left, at, number), line))
            elif lead > policy.quantum_seconds:
                ranking.append(((Tier.AHEAD, lead, left, at, number), line))
            elif key.is_bulk or line.num_steps >= policy.burst_evaluations or is_open:
                ranking.append(((Tier.ELIGIBLE, -key.priority, left, at, number), line))
            else:
                ranking.append(((Tier.LATER, -key.priority, left, at, number), line))
            if (
                is_open
                and not key.is_bulk
                and line.num_steps < policy.burst_evaluations
                and lead <= policy.quantum_seconds
            ):
                ranking.append(((Tier.NEWCOMER, at, 0, 0, number), line))
        return ranking

    def _is_urgent(self, line: Line, pace: _Pace, seconds_left: float) -> bool:
        """Whether a deadline can still be met, but only if the line is preferred from here on."""
        work, longest = line.num_left * pace.share, line.longest
        least = max(work, longest * pace.alone)
        likely = max(work, longest * pace.full)
        return least <= seconds_left <= likely + self._policy.deadline_margin_seconds

    def _pace(self, lane: Bucket, num_rows: int) -> _Pace:
        full_rows = max(self._max_rows(lane), num_rows)
        full = self._seconds(lane, full_rows)
        return _Pace(self._seconds(lane, num_rows), full, full * num_rows / full_rows)

    def holds_up(self, ranking: Ranking) -> bool:
        """Whether work that newcomers hold up was waiting."""
        return any(
            key[0] in (Tier.URGENT, Tier.ELIGIBLE)
            and line.num_steps >= self._policy.burst_evaluations
            for key, line in ranking
        )
