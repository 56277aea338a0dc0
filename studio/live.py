"""`LiveBoard`: what the jobs in flight look like right now. Kept in memory, lost without harm.

The store knows which jobs run and which pictures are done; the board adds the steps and previews
in between, which are worth nothing after a restart.
"""

from __future__ import annotations

import dataclasses
import threading

from studio.events import (
    Cancelled,
    Event,
    Failed,
    Finished,
    PictureFinished,
    Pixels,
    Skipped,
    Started,
    Stepped,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LivePicture:
    """One picture in flight. `preview_step` is the step its preview shows, 0 without one."""

    index: int
    step: int
    num_steps: int
    preview_step: int = 0
    preview: Pixels | None = None


class LiveBoard:
    """The latest step and preview of every picture in flight. Safe to use from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._version = 0
        self._jobs: dict[str, dict[int, LivePicture]] = {}
        self._doubted: set[str] = set()

    def update(self, event: Event) -> None:
        """Take in an event of the engine; wake whoever waits, unless it is a mere step."""
        with self._changed:
            if isinstance(event, Stepped):
                self._step(event)
                return  # a row would be read for nothing at every step
            if isinstance(event, Started):
                self._jobs.setdefault(event.job_id, {})
            elif isinstance(event, PictureFinished | Skipped):
                self._jobs.get(event.job_id, {}).pop(event.index, None)
            elif isinstance(event, Finished | Failed | Cancelled):
                self._jobs.pop(event.job_id, None)
                self._doubted.discard(event.job_id)
            self._wake()

    def doubt(self, job_id: str) -> None:
        """Show no preview of a job that was started, neither those there are nor any to come."""
        with self._changed:
            if job_id not in self._jobs:
                return  # over already
            self._doubted.add(job_id)
            pictures = self._jobs[job_id]
            for index, picture in pictures.items():
                pictures[index] = dataclasses.replace(picture, preview=None, preview_step=0)
            self._wake()

    def show(self, event: Stepped) -> None:
        """Show a preview that was judged after its step, if its picture is still drawn."""
        with self._changed:
            picture = self._jobs.get(event.job_id, {}).get(event.index)
            if picture is None or event.job_id in self._doubted:
                return
            if event.step > picture.preview_step:
                self._jobs[event.job_id][event.index] = dataclasses.replace(
                    picture, preview=event.preview, preview_step=event.step
                )

    def notify(self) -> None:
        """Wake whoever waits: something changed in the store."""
        with self._changed:
            self._wake()

    @property
    def version(self) -> int:
        """Grows with every change of a row in the store, and not with mere steps."""
        return self._version

    def wait(self, timeout_seconds: float, *, since: int) -> None:
        """Block until the version is past `since` or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._version > since, timeout_seconds)

    def pictures(self, job_id: str) -> dict[int, LivePicture]:
        """The pictures of a job that are being drawn, by index."""
        with self._changed:
            return dict(self._jobs.get(job_id, {}))

    def _wake(self) -> None:
        self._version += 1
        self._changed.notify_all()

    def _step(self, event: Stepped) -> None:
        pictures = self._jobs.setdefault(event.job_id, {})
        before = pictures.get(event.index)
        has_preview = event.preview is not None and event.job_id not in self._doubted
        pictures[event.index] = LivePicture(
            index=event.index,
            step=event.step,
            num_steps=event.num_steps,
            preview_step=event.step if has_preview else before.preview_step if before else 0,
            preview=event.preview if has_preview else before.preview if before else None,
        )
