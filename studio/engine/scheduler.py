"""`Scheduler`: chooses which samples take the next denoising step together. Touches no tensors.

The unit of everything is the estimated second of compute. Samples are preferred in this order:

1. *Overdue*: took no step while `ageing_seconds` went to others; longest overdue first.
2. *Newcomer*: the first picture of an interactive job gets its first step, hence its first preview,
   at once, in order of arrival; unless its owner is ahead.
3. *Urgent*: would miss its deadline otherwise; earliest deadline first. A deadline that cannot be
   met even by drawing nothing else is not urgent: to prefer it would only make others late.
4. *Interactive*, of owners within one quantum of the least served: higher priority, then the job
   with the least left to do (which keeps the mean latency low), less a little for each second it
   is here (which keeps the longest waits in bounds); then the picture closest to its end.
5. Of owners further ahead: the least served first.
6. *Bulk*, when nothing interactive waits: as 3 to 5.

The first three name the lane by the sample they prefer; the others choose among the lanes that hold
such samples of the highest priority by deficit round-robin. A pass is then filled from that lane in
the same order. Work that would only lengthen the pass for others (bulk in a pass of interactive
work; owners ahead where an eligible sample is left out) rides along within `max_stretch`.

*Nobody starves*, whatever arrives. Call C the longest pass and N the number of samples waiting when
one becomes overdue. At most N - 1 are longer overdue, each leaves that state with one pass, none
can join ahead (a step makes it due later), and a pass of overdue work is followed by another once
less than `C / ageing_share` went to others. So between two steps of a begun sample, and between two
steps of a job in one lane, at most `ageing_seconds + (N (1 / ageing_share + 1) + 1) C` are handed
out; pictures not begun wait for those of their own job, which end.

*Owners* of one class who both have work left out all along are served alike to within
`quantum_seconds + C` (`OwnerLedger`), beyond what is overdue or urgent; *lanes* to within
`lane_quantum_seconds + C` (`LaneWheel`).
"""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Callable, Iterable

from studio.engine.fairness import Account, LaneWheel, OwnerLedger, Share
from studio.engine.filling import Filling
from studio.engine.line import Entry, Line, LineKey
from studio.engine.policy import Policy
from studio.engine.ranking import Ranker, Ranking, Tier
from studio.engine.sample import Bucket, Sample

__all__ = ["Policy", "Scheduler", "StepBatch"]

_DEFAULT_POLICY = Policy()


@dataclasses.dataclass(frozen=True)
class StepBatch:
    """The samples that share one forward pass, the most preferred first."""

    bucket: Bucket
    samples: tuple[Sample, ...]

    @property
    def num_rows(self) -> int:
        return sum(sample.num_rows for sample in self.samples)


class Scheduler:
    """The samples that still need denoising.

    `max_rows(bucket)`, at least 1, bounds the rows of a pass in that lane and is asked each time; a
    single sample runs even where it takes more. `seconds(bucket, num_rows)`, above zero, estimates
    a pass and must not fall as rows are added. What became of a batch is read from its samples at
    the next call. Bucket, terms and guidance of a sample must not change while it is here.
    """

    def __init__(
        self,
        *,
        max_rows: Callable[[Bucket], int],
        seconds: Callable[[Bucket, int], float],
        policy: Policy = _DEFAULT_POLICY,
    ) -> None:
        self._max_rows = max_rows
        self._seconds = seconds
        self._policy = policy
        self._compute = 0.0
        self._num_lines = 0
        self._entries: dict[Sample, Entry] = {}
        self._lines: dict[LineKey, Line] = {}
        self._lanes: dict[Bucket, dict[Line, None]] = {}
        self._wheel = LaneWheel(policy.lane_quantum_seconds)
        # By class: interactive, bulk.
        self._by_class: tuple[dict[Line, None], ...] = ({}, {})
        self._ledgers = tuple(OwnerLedger(policy.quantum_seconds) for _ in range(2))
        self._ageing: tuple[dict[Entry | Line, None], ...] = ({}, {})
        self._overdue_share = Share(policy.ageing_share)
        self._newcomer_share = Share(policy.burst_share, credit=policy.quantum_seconds)
        self._ranker = Ranker(
            policy, self._ledgers, self._newcomer_share, max_rows=max_rows, seconds=seconds
        )
        self._last: tuple[Entry, ...] = ()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, sample: Sample) -> None:
        """Take a sample in; nothing if it is here already."""
        if sample in self._entries:
            return
        key = LineKey.of(sample)
        account = self._ledgers[key.is_bulk].enter(key.owner)
        line = self._lines.get(key) or self._open(key, account, sample)
        entry = Entry(sample, line, self._compute, sample.evaluation, sample.evaluations_left)
        self._entries[sample] = entry
        line.num_left += entry.num_left
        line.num_steps += entry.evaluation
        if sample.is_begun:
            line.begun[entry] = None
            self._ageing[key.is_bulk][entry] = None
            return
        if not line.fresh:
            line.stepped_at = self._compute
            self._ageing[key.is_bulk][line] = None
        line.fresh[entry] = None

    def remove(self, sample: Sample) -> None:
        """Forget a sample that was denoised, cancelled or failed; nothing if it is not here."""
        entry = self._entries.pop(sample, None)
        if entry is None:
            return
        line = entry.line
        line.num_left -= entry.num_left
        if entry in line.fresh:
            self._drop_fresh(entry)
        else:
            del line.begun[entry]
            del self._ageing[line.key.is_bulk][entry]
        self._ledgers[line.key.is_bulk].leave(line.account)
        if not line.fresh and not line.begun:
            self._close(line)

    def schedule(
        self, now: float, is_ready: Callable[[Sample], bool] = lambda sample: True
    ) -> StepBatch | None:
        """The batch for the next step, or `None` where nothing waits.

        Lane and owners are charged at once. `now`, in seconds of the clock the samples' deadlines
        are on, serves for those only. `is_ready` is asked of the samples of the batch; one that is
        not it must take out of here, and the batch is chosen anew without a charge.
        """
        self._refresh()
        while self._entries:
            interactive, bulk = self._by_class
            ranking = self._ranker.rank(interactive or bulk, now)
            overdue = self._overdue() if self._overdue_share.is_open else []
            lane = overdue[0].line.key.lane if overdue else self._choose(ranking)
            filled = self._fill(lane, overdue, ranking)
            if interactive and bulk:
                lines = [line for line in self._lanes[lane] if line.key.is_bulk]
                self._add_riders(filled, lines, now)
            self._last = tuple(filled.tiers)
            samples = tuple(entry.sample for entry in filled.tiers)
            if all(is_ready(sample) for sample in samples):
                self._charge(lane, filled, ranking)
                return StepBatch(lane, samples)
            self._refresh()  # some of them may have been begun
        return None

    def _open(self, key: LineKey, account: Account, sample: Sample) -> Line:
        if key.lane not in self._lanes:
            self._lanes[key.lane] = {}
            self._wheel.add(key.lane)
        self._num_lines += 1
        line = Line(key, self._num_lines, account, sample.arrived_at, sample.deadline)
        self._lines[key] = line
        self._lanes[key.lane][line] = self._by_class[key.is_bulk][line] = None
        return line

    def _close(self, line: Line) -> None:
        key = line.key
        del self._lines[key], self._by_class[key.is_bulk][line], self._lanes[key.lane][line]
        if not self._lanes[key.lane]:
            del self._lanes[key.lane]
            self._wheel.remove(key.lane)

    def _drop_fresh(self, entry: Entry) -> None:
        line = entry.line
        del line.fresh[entry]
        if not line.fresh:
            del self._ageing[line.key.is_bulk][line]

    def _refresh(self) -> None:
        """See what became of the last batch."""
        for entry in self._last:
            sample, line = entry.sample, entry.line
            if self._entries.get(sample) is not entry:
                continue
            line.num_steps += sample.evaluation - entry.evaluation
            line.num_left += sample.evaluations_left - entry.num_left
            entry.evaluation, entry.num_left = sample.evaluation, sample.evaluations_left
            if sample.is_begun and entry in line.fresh:
                self._drop_fresh(entry)
                line.begun[entry] = None
                self._ageing[line.key.is_bulk][entry] = None
        self._last = ()

    def _overdue(self) -> list[Entry]:
        """What others were served before for too long, the longest overdue first; of the pictures a
        job has not begun, the next.
        """
        spans = (self._policy.ageing_seconds, self._policy.bulk_ageing_seconds)
        found: list[tuple[float, Entry]] = []
        for waiting, span in zip(self._ageing, spans, strict=True):
            for one in waiting:  # in the order of their last steps
                if one.stepped_at + span > self._compute:
                    break
                entry = one if isinstance(one, Entry) else next(iter(one.fresh))
                found.append((one.stepped_at + span, entry))
        found.sort(key=lambda item: item[0])
        return [entry for _, entry in found]

    def _choose(self, ranking: Ranking) -> Bucket:
        """The lane of the next pass, where nothing is overdue."""
        (tier, first, *_), line = min(ranking)
        if tier < Tier.ELIGIBLE:
            return line.key.lane
        if len(self._lanes) == 1:
            return self._wheel.choose(self._lanes)
        return self._wheel.choose(
            {line.key.lane for key, line in ranking if key[0] == tier and key[1] == first}
        )

    def _fill(self, lane: Bucket, overdue: list[Entry], ranking: Ranking) -> Filling:
        filled = Filling(self._max_rows(lane), lambda num_rows: self._seconds(lane, num_rows))
        members = self._lanes[lane]
        for entry in overdue:
            if entry.line in members and filled.has_room(entry.line):
                filled.take(entry, Tier.OVERDUE)
        is_wanted, mine = False, ranking.copy()
        if len(self._lanes) > 1:
            is_wanted = any(key[0] < Tier.AHEAD and line not in members for key, line in ranking)
            mine = [item for item in ranking if item[1] in members]
        heapq.heapify(mine)  # few are looked at
        while mine and not filled.is_full:
            (tier, *_), line = heapq.heappop(mine)
            for entry in line:
                if entry in filled.tiers:
                    continue
                if tier is Tier.AHEAD and is_wanted:
                    if not filled.has_room_for_rider(line, self._policy.max_stretch):
                        return filled
                elif not filled.has_room(line):
                    is_wanted = is_wanted or tier < Tier.AHEAD
                    break
                filled.take(entry, tier)
                if tier is Tier.NEWCOMER:
                    break
        return filled

    def _add_riders(self, filled: Filling, lines: Iterable[Line], now: float) -> None:
        """Let bulk work into a pass while interactive work waits."""
        for (tier, *_), line in sorted(self._ranker.rank(lines, now)):
            for entry in line:
                if entry in filled.tiers:
                    continue
                if not filled.has_room_for_rider(line, self._policy.max_stretch):
                    break
                filled.take(entry, tier)

    def _charge(self, lane: Bucket, filled: Filling, ranking: Ranking) -> None:
        seconds = self._seconds(lane, filled.num_rows)
        self._compute += seconds
        self._wheel.charge(lane, seconds)
        overdue_seconds = newcomer_seconds = 0.0
        charges: dict[Account, tuple[bool, float, float]] = {}
        for entry, tier in filled.tiers.items():
            line = entry.line
            part = seconds * line.key.num_rows / filled.num_rows
            if tier is Tier.OVERDUE:
                overdue_seconds += part
            elif tier in (Tier.NEWCOMER, Tier.LATER):
                newcomer_seconds += part
            is_urgent = tier is Tier.URGENT
            lead = self._policy.deadline_lead_seconds if is_urgent else self._policy.quantum_seconds
            _, charged, longest = charges.get(line.account, (False, 0.0, 0.0))
            charges[line.account] = (line.key.is_bulk, charged + part, max(longest, lead))
            self._mark(entry)
        for account, (is_bulk, charged, lead) in charges.items():
            self._ledgers[is_bulk].charge(account, charged, lead=lead)
        self._overdue_share.book(overdue_seconds, seconds - overdue_seconds)
        if newcomer_seconds and not self._ranker.holds_up(ranking):
            newcomer_seconds, seconds = 0.0, seconds - newcomer_seconds
        self._newcomer_share.book(newcomer_seconds, seconds - newcomer_seconds)

    def _mark(self, entry: Entry) -> None:
        """It steps now: it, and what waits behind it in its line, begin to age anew."""
        ageing = self._ageing[entry.line.key.is_bulk]
        both: tuple[Entry | Line, ...] = (entry, entry.line)
        for one in both:
            one.stepped_at = self._compute
            if one in ageing:
                ageing[one] = ageing.pop(one)
