"""Attribute match: how often a picture shows what its brief asked, by field and in all four.

The classifier errs too. How often it is right on held-out renders, which show what they say, is the
ceiling: no model can be seen to do better, so a match is also given as a share of it.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from studio.evaluate.intervals import Estimate, share
from studio.evaluate.readings import Readings
from studio.evaluate.renders import Labels
from studio.presets import FIELDS

MATCHED = (*FIELDS, "all")
"""What a match is given for."""


@dataclasses.dataclass(frozen=True)
class Match:
    """Shares of pictures by field and for "all", and the ceiling of each, where it is known."""

    shares: Mapping[str, Estimate]
    ceiling: Mapping[str, Estimate]

    def of_ceiling(self, name: str) -> Estimate:
        """The share divided by the ceiling, its interval too; the ceiling's own is left aside."""
        one, ceiling = self.shares[name], self.ceiling[name].value
        return Estimate(one.value / ceiling, one.low / ceiling, one.high / ceiling, one.num)

    def to_dict(self) -> dict[str, Any]:
        return {
            name: {
                **self.shares[name].to_dict(),
                "ceiling": self.ceiling[name].to_dict(),
                "of_ceiling": self.of_ceiling(name).to_dict(),
            }
            for name in MATCHED
        }


def match(readings: Readings, wanted: Sequence[Labels], ceiling: Mapping[str, Estimate]) -> Match:
    """What the classifier saw against what was asked."""
    return Match(
        {name: share(hits) for name, hits in readings.hits(wanted).items()},
        {name: ceiling[name] for name in MATCHED},
    )


def confusion(readings: Readings, wanted: Sequence[Labels]) -> dict[str, dict[str, dict[str, int]]]:
    """By field, then by what was asked, how often what was seen."""
    table: dict[str, dict[str, dict[str, int]]] = {}
    for index, field in enumerate(FIELDS):
        counts: dict[str, collections.Counter[str]] = {}
        for asked, seen in zip(wanted, readings.labels, strict=True):
            counts.setdefault(asked[index], collections.Counter())[seen[index]] += 1
        table[field] = {name: dict(counts[name].most_common()) for name in sorted(counts)}
    return table


def worst(readings: Readings, wanted: Sequence[Labels], num: int) -> list[int]:
    """The indices of at most `num` pictures that fail, most fields wrong first."""
    num_wrong = [
        sum(a != b for a, b in zip(asked, seen, strict=True))
        for asked, seen in zip(wanted, readings.labels, strict=True)
    ]
    failed = [index for index, wrong in enumerate(num_wrong) if wrong]
    return sorted(failed, key=lambda index: (-num_wrong[index], index))[:num]
