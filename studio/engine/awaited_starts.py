"""`AwaitedStarts`: the jobs whose start the engine's listener is still taking in.

Of a job it knows whether it may begin; that it stands aside meanwhile is the engine's to see to.
"""

from __future__ import annotations

from concurrent.futures import Future

from studio.engine.flight import Flight
from studio.engine.setup import Listener
from studio.events import Started


class AwaitedStarts:
    """Tells `emit` of each start and keeps its word until that is given. Of one thread."""

    def __init__(self, emit: Listener) -> None:
        self._emit = emit
        self._awaited: dict[str, tuple[Flight, Future[None]]] = {}

    @property
    def flights(self) -> tuple[Flight, ...]:
        """Those that are awaited, the first one told first."""
        return tuple(flight for flight, _ in self._awaited.values())

    def settle(self, flight: Flight, *, is_waiting: bool = False) -> bool:
        """Whether a job is started by now; the listener is told when this is first asked.

        Blocks for the listener's word where `is_waiting`.

        Raises:
            Exception: what the listener has against the start, which is awaited no more.
        """
        known = self._awaited.get(flight.job_id)
        word = known[1] if known else self._emit(Started(job_id=flight.job_id))
        if word is None:
            return True
        if not (is_waiting or word.done()):
            self._awaited[flight.job_id] = (flight, word)
            return False
        self._awaited.pop(flight.job_id, None)
        word.result()
        return True

    def forget(self, flight: Flight) -> None:
        """Await a job no more. Blocks for the listener's word: of what follows it hears later."""
        if flight.job_id in self._awaited:
            _, word = self._awaited.pop(flight.job_id)
            word.exception()
