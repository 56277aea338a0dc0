"""`Batches`: tables of products as people handle them: check, start, pause, resume, cancel, retry.

    file ──read_table──▶ lines ──LineChecker──▶ rows ──Feeder──▶ jobs of the bulk class
                        (long ones in `Checking`)
                                      │                              │
                     bad ones, with the reason, as a CSV      pictures named by SKU, in a zip

It uses the studio as every face does, by its public verbs, and knows nothing of engines.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from studio.batch import IN_HAND, Batch, BatchRow, BatchStatus, BatchView, RowState
from studio.batches.checking import Checking, Lines
from studio.batches.feeder import Feeder
from studio.batches.line_check import LineChecker
from studio.batches.results import bad_rows_csv, made_csv, zipped
from studio.batches.table import MAX_FILE_BYTES, MAX_ROWS, read_table
from studio.errors import BadInput, Conflict, StudioError
from studio.image_record import ImageRecord
from studio.job import new_id
from studio.sketch import read_picture
from studio.store import Store
from studio.terms import LOCAL_OWNER

if TYPE_CHECKING:
    from studio.application import Studio

__all__ = ["MAX_FILE_BYTES", "MAX_ROWS", "Batches"]

MAX_AT_ONCE = 2_000
"""Rows that are checked while a request waits; more are checked behind it."""

_PAGE = 200
NO_SKETCHES: Mapping[str, bytes] = {}


class Batches:
    """The batches of a studio. Every method may be called from any thread."""

    def __init__(self, studio: Studio, store: Store) -> None:
        self._studio = studio
        self._store = store
        self._feeder = Feeder(studio, store)
        self._checking = Checking(store)

    def begin(self) -> None:
        """Go on with what was at work when the studio was last closed, or killed."""
        self._checking.begin()
        self._feeder.start()

    def close(self) -> None:
        """Give out nothing more."""
        self._checking.close()
        self._feeder.close()

    # From a file to a batch

    def check(
        self,
        name: str,
        content: bytes,
        owner: str = LOCAL_OWNER,
        *,
        sketches: Mapping[str, bytes] = NO_SKETCHES,
        batch_id: str | None = None,
        report: Callable[[int], object] = lambda number: None,
    ) -> BatchView:
        """Read a table and judge every line of it; nothing is drawn before `start`.

        `sketches` are files the lines may name; `report` is told how many rows more are done.

        Raises:
            BadInput: the file as a whole cannot be used. A bad line is no reason: it becomes a bad
                row.
            Conflict: there is a batch with this id.
        """
        batch, lines, checker = self._read(name, content, owner, sketches, batch_id)
        self._checking.check(batch, lines, checker, report)
        return self.view(batch.id, owner)

    def hand_over(
        self,
        name: str,
        content: bytes,
        owner: str = LOCAL_OWNER,
        *,
        sketches: Mapping[str, bytes] = NO_SKETCHES,
        batch_id: str | None = None,
    ) -> BatchView:
        """As `check`, for who cannot wait: a long table is checked behind, and says how far it is.

        Raises:
            LimitReached: other long tables are being checked.
        """
        batch, lines, checker = self._read(name, content, owner, sketches, batch_id)
        first = list(itertools.islice(lines, MAX_AT_ONCE + 1))
        if len(first) > MAX_AT_ONCE:
            self._checking.hand_over(batch, itertools.chain(first, lines), checker)
        else:  # at once, with all its rows or not at all
            rows = [checker.row(*line) for line in first]
            notes = (*batch.notes, *checker.notes)
            checked = dataclasses.replace(batch, notes=notes, work=checker.work)
            self._store.add_batch(checked, rows)
        return self.view(batch.id, owner)

    def _read(
        self,
        name: str,
        content: bytes,
        owner: str,
        sketches: Mapping[str, bytes],
        batch_id: str | None,
    ) -> tuple[Batch, Lines, LineChecker]:
        """What is known of a table before its lines are judged."""
        table = read_table(content)
        checker = LineChecker(
            table.headers,
            self._studio.presets,
            check=lambda brief: self._studio.check(brief, owner),
            find_sketch=self._finder(sketches, owner),
        )
        first = next(table.lines, None)
        if first is None:
            raise BadInput("The table has headers and no rows: add a row for each product.")
        batch = Batch(
            id=batch_id or new_id(),
            owner=owner,
            name=_shown_name(name),
            headers=table.headers,
            notes=table.notes,
            work=(),
            created_at=time.time(),
        )
        return batch, itertools.chain([first], table.lines), checker

    # What is known of a batch

    def batch(self, batch_id: str, owner: str = LOCAL_OWNER) -> Batch:
        return self._store.batch(batch_id, owner=owner)

    def page(
        self, owner: str = LOCAL_OWNER, *, limit: int = 20, before: str | None = None
    ) -> list[Batch]:
        """A person's batches, newest first; `before` is the last id of the page before this one."""
        return self._store.batches(owner=owner, limit=limit, before=before)

    def view(self, batch_id: str, owner: str = LOCAL_OWNER) -> BatchView:
        """A batch with how far it is, and how long it still takes."""
        batch = self._store.batch(batch_id, owner=owner)
        rows, images, num_held = self._store.batch_counts(batch_id)
        total = sum(portion.num_images for portion in batch.work)
        left = sum(count for state, count in images.items() if not state.is_over)
        share = left / total if total else 0.0
        device_seconds = self._device_seconds(batch, share)
        others = self._studio.seconds_of_work()
        in_hand = sum(count for state, count in images.items() if state in IN_HAND)
        seconds_left = None
        if device_seconds is not None and others is not None:
            own = device_seconds * in_hand / left if left else 0.0  # in the queue already
            seconds_left = device_seconds + max(0.0, others - own)
        return BatchView(
            batch=batch,
            rows=rows,
            images=images,
            num_steps_left=round(
                share * sum(part.num_images * part.request.num_steps for part in batch.work)
            ),
            num_held=num_held,
            device_seconds=device_seconds,
            seconds_left=seconds_left,
        )

    def lines(
        self,
        batch_id: str,
        owner: str = LOCAL_OWNER,
        *,
        states: Collection[RowState] | None = None,
        after_line: int = 0,
        limit: int = 100,
    ) -> list[BatchRow]:
        """A page of the batch's rows, in the order of the file."""
        self._store.batch(batch_id, owner=owner)
        return self._store.batch_lines(batch_id, states=states, after_line=after_line, limit=limit)

    def images_of(self, rows: Collection[BatchRow]) -> dict[str, list[ImageRecord]]:
        """The pictures of rows that `lines` gave, by the id of their job; held ones too."""
        return self._store.line_images([row.job_id for row in rows])

    # What a person does with it

    def start(self, batch_id: str, owner: str = LOCAL_OWNER) -> BatchView:
        """Begin to draw the good rows, or go on where the batch was paused."""
        if self._store.batch(batch_id, owner=owner).status is BatchStatus.CHECKING:
            raise Conflict("The table is still being checked: start it when that is done.")
        if not self._store.batch_lines(batch_id, states=_GOOD, limit=1):
            raise BadInput("No row of this batch can be drawn: mend the table and send it again.")
        return self._move(
            batch_id, owner, (BatchStatus.READY, BatchStatus.PAUSED), BatchStatus.RUNNING
        )

    resume = start

    def pause(self, batch_id: str, owner: str = LOCAL_OWNER) -> BatchView:
        """Give out no more rows; the few that are in the queue already are drawn."""
        return self._move(batch_id, owner, (BatchStatus.RUNNING,), BatchStatus.PAUSED)

    def cancel(self, batch_id: str, owner: str = LOCAL_OWNER) -> BatchView:
        """Draw nothing more of it. Pictures already finished stay.

        Of a table that is still being checked no row is kept.
        """
        self._store.batch(batch_id, owner=owner)
        if self._store.give_up_check(batch_id, "It was cancelled while it was checked."):
            return self.view(batch_id, owner)
        sources = (BatchStatus.READY, BatchStatus.RUNNING, BatchStatus.PAUSED)
        self._store.move_batch(batch_id, sources, BatchStatus.CANCELLED, owner=owner)
        with self._feeder.resting():  # no row is given out behind our back
            self._store.cancel_waiting_lines(batch_id)
        for row in self._store.batch_lines(batch_id, states=IN_HAND, limit=_PAGE):
            with contextlib.suppress(StudioError):
                self._studio.cancel(row.job_id, owner)
        return self.view(batch_id, owner)

    def retry(self, batch_id: str, owner: str = LOCAL_OWNER) -> BatchView:
        """Draw the rows that failed or were cancelled once more; bad rows stay bad.

        Raises:
            Conflict: there is no such row, or the batch was never started.
        """
        batch = self._store.batch(batch_id, owner=owner)
        if batch.status is BatchStatus.READY:
            raise Conflict("The batch was never started: start it.")
        with self._feeder.resting():
            if not self._store.let_lines_wait_again(batch_id):
                raise Conflict("No row of this batch failed: there is nothing to draw again.")
        return self._move(batch_id, owner, tuple(BatchStatus), BatchStatus.RUNNING)

    def delete(self, batch_id: str, owner: str = LOCAL_OWNER) -> None:
        """Forget a batch that is not at work. Its jobs and pictures stay."""
        self._store.delete_batch(batch_id, owner=owner)

    # What a person takes away

    def bad_rows(self, batch_id: str, owner: str = LOCAL_OWNER) -> Iterator[bytes]:
        """The bad rows as a CSV file, with the reason in a column more: to be mended and sent."""
        return bad_rows_csv(self._store, self._store.batch(batch_id, owner=owner))

    def made(self, batch_id: str, owner: str = LOCAL_OWNER) -> Iterator[bytes]:
        """What was made of each row, as a CSV file."""
        batch = self._store.batch(batch_id, owner=owner)
        return made_csv(self._store, batch, self._studio.presets)

    def zipped(self, batch_id: str, owner: str = LOCAL_OWNER) -> Iterator[bytes]:
        """The released pictures, named by SKU, and what was made as a CSV: a zip, in pieces."""
        batch = self._store.batch(batch_id, owner=owner)
        studio = self._studio

        def path_of(image: ImageRecord) -> Path:
            # Asked when its turn comes: it may have been hidden since the table was begun.
            return studio.image(image.id, owner)[1]

        return zipped(self._store, batch, studio.presets, path_of)

    def _move(
        self, batch_id: str, owner: str, sources: Collection[BatchStatus], target: BatchStatus
    ) -> BatchView:
        self._store.move_batch(batch_id, sources, target, owner=owner)
        self._feeder.wake()
        return self.view(batch_id, owner)

    def _finder(self, sketches: Mapping[str, bytes], owner: str) -> Callable[[str], str]:
        """Finds a sketch by the name a row has for it, and keeps it, once."""

        @functools.cache
        def find(name: str) -> str:
            content = sketches.get(name)
            if content is None:
                raise BadInput(f"The sketch {name[:60]!r} was not sent along: add the file.")
            return self._studio.sketches.keep(owner, read_picture(content), is_durable=True)

        return find

    def _device_seconds(self, batch: Batch, share: float) -> float | None:
        if batch.status is BatchStatus.CHECKING:
            return None
        seconds = 0.0
        for portion in batch.work:
            picture_seconds = self._studio.picture_seconds(portion.request)
            if picture_seconds is None:
                return None
            seconds += portion.num_images * picture_seconds
        return share * seconds


_GOOD = tuple(state for state in RowState if state is not RowState.BAD)


def _shown_name(name: str) -> str:
    """The file's own name, without what browsers or programs put before it."""
    last = PurePosixPath(name.replace("\\", "/")).name
    kept = "".join(each for each in last if each.isprintable())
    return kept[:100] or "table"
