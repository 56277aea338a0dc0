"""`History`: ten minutes of what was seen, point by point, for the sparklines of the panel.

A point is a handful of named numbers; a name that was not seen at a moment has a gap there.
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Mapping

HISTORY_SECONDS = 600.0


class History:
    """The last `span_seconds` of points. Safe to use from any thread."""

    def __init__(self, span_seconds: float = HISTORY_SECONDS) -> None:
        self.span_seconds = span_seconds
        self._lock = threading.Lock()
        self._points: collections.deque[tuple[float, Mapping[str, float]]] = collections.deque()

    def add(self, at: float, values: Mapping[str, float]) -> None:
        """Note `values` at `at`, in seconds that never go back; forget what is too old."""
        with self._lock:
            self._points.append((at, values))
            while self._points[0][0] < at - self.span_seconds:
                self._points.popleft()

    def series(self, name: str) -> list[tuple[float, float | None]]:
        """(seconds before the last point, as a number of 0 or less; the value or `None`)."""
        with self._lock:
            points = list(self._points)
        if not points:
            return []
        last = points[-1][0]
        return [(at - last, values.get(name)) for at, values in points]
