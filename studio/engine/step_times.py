"""`StepTimes`: how long a forward pass takes by picture size and rows: measured, kept, read off.

Whose times these are (model, device, precision, backend) is the business of whoever keeps them.
Knows no tensors.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from typing import Any

MIN_GAIN = 0.10
"""More rows must make each row this much cheaper to be worth their longer step."""

SECONDS_PER_ROW = 0.01
"""What a row of a square of 128 pixels counts for while nothing was measured: weights, no claim."""


class StepTimes:
    """Seconds of one pass by (height, width) and rows, and of decoding one picture.

    One thread records, any may read: what a reader looks at is replaced, never changed.
    """

    def __init__(self) -> None:
        self._lanes: dict[tuple[int, int], dict[int, float]] = {}
        self._decode: dict[tuple[int, int], float] = {}

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def record(self, height: int, width: int, num_rows: int, seconds: float) -> None:
        known = self._lanes.get((height, width), {})
        self._lanes = {**self._lanes, (height, width): {**known, num_rows: seconds}}

    def record_decode(self, height: int, width: int, seconds: float) -> None:
        self._decode = {**self._decode, (height, width): seconds}

    def measured_rows(self, height: int, width: int) -> tuple[int, ...]:
        """The numbers of rows measured at this size, ascending."""
        return tuple(sorted(self._lanes.get((height, width), ())))

    def seconds(self, height: int, width: int, num_rows: int) -> float:
        """Seconds of a pass: on the line through the measured points next to `num_rows`.

        A size that was not measured is taken to cost what the measured size nearest in area costs,
        times the ratio of their areas; attention makes larger pictures cost a little more.
        """
        if not self._lanes:
            return SECONDS_PER_ROW * num_rows * height * width / 128**2
        near = _nearest(self._lanes, height, width)
        scale = height * width / (near[0] * near[1])
        return scale * _on_the_line(self._lanes[near], num_rows)

    def decode_seconds(self, height: int, width: int) -> float:
        """Seconds of decoding one picture; 0 while not measured."""
        if not self._decode:
            return 0.0
        near = _nearest(self._decode, height, width)
        return self._decode[near] * height * width / (near[0] * near[1])

    def knee(self, height: int, width: int) -> int:
        """The fewest rows beyond which more rows no longer make each row `MIN_GAIN` cheaper.

        Two while nothing was measured.
        """
        if not self._lanes:
            return 2
        measured = self._lanes[_nearest(self._lanes, height, width)]
        chosen, *others = sorted(measured)
        for rows in others:
            if measured[rows] / rows < measured[chosen] / chosen * (1 - MIN_GAIN):
                chosen = rows
        return chosen

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` is its inverse."""
        return {
            "lanes": [
                {"height": height, "width": width, "seconds": {str(r): s for r, s in times.items()}}
                for (height, width), times in self._lanes.items()
            ],
            "decode": [
                {"height": height, "width": width, "seconds": seconds}
                for (height, width), seconds in self._decode.items()
            ],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StepTimes:
        times = cls()
        for lane in values["lanes"]:
            for rows, seconds in lane["seconds"].items():
                times.record(int(lane["height"]), int(lane["width"]), int(rows), float(seconds))
        for one in values.get("decode", ()):
            times.record_decode(int(one["height"]), int(one["width"]), float(one["seconds"]))
        return times


def _nearest(lanes: Mapping[tuple[int, int], object], height: int, width: int) -> tuple[int, int]:
    if (height, width) in lanes:
        return height, width
    return min(lanes, key=lambda lane: abs(lane[0] * lane[1] - height * width))


def _on_the_line(measured: Mapping[int, float], num_rows: int) -> float:
    if num_rows in measured:
        return measured[num_rows]
    rows = sorted(measured)
    if len(rows) == 1:
        return measured[rows[0]] * num_rows / rows[0]
    index = min(max(bisect.bisect_left(rows, num_rows), 1), len(rows) - 1)
    low, high = rows[index - 1], rows[index]
    slope = (measured[high] - measured[low]) / (high - low)
    # Below the fewest rows the line may cross zero: a pass is never free.
    floor = min(seconds / count for count, seconds in measured.items())
    return max(measured[low] + slope * (num_rows - low), floor)
