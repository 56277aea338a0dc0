"""What a batch hands back: its bad rows to be mended, what was made, and the pictures in a zip.

Everything is written in pieces while it is read, so that no batch is ever held in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from zipstream import ZIP_STORED, ZipStream

from studio.batch import Batch, BatchRow, RowState
from studio.batches.cells import BYTE_ORDER_MARK, csv_line
from studio.compose import compose_prompt
from studio.errors import NotFound
from studio.image_record import ImageRecord
from studio.presets import Presets
from studio.store import Store
from studio.verdict import Release

REASON = "reason"
MADE_NAME = "pictures.csv"

_COLUMNS = (
    *("line", "sku", "file", "status", "reason", "prompt", "seed", "width", "height", "sha256"),
    *("model", "model_digest", "backend", "precision", "picture", "job"),
)
_PAGE = 200

PicturePath = Callable[[ImageRecord], Path]


def bad_rows_csv(store: Store, batch: Batch) -> Iterator[bytes]:
    """The bad rows under the headers of their file, and a column that says what is wrong."""
    keeps = [index for index, name in enumerate(batch.headers) if name.casefold() != REASON]
    yield BYTE_ORDER_MARK + csv_line([*(batch.headers[index] for index in keeps), REASON])
    for row in _rows(store, batch.id, (RowState.BAD,)):
        cells = [*row.cells, *[""] * len(batch.headers)]
        yield csv_line([*(cells[index] for index in keeps), row.error])


def made_csv(
    store: Store, batch: Batch, presets: Presets, gone: Collection[str] = ()
) -> Iterator[bytes]:
    """A line for each picture, and one for each row that lacks some; `gone` lost their file."""
    yield BYTE_ORDER_MARK + csv_line(_COLUMNS)
    for row, images in _rows_with_images(store, batch.id):
        yield from _made_lines(row, images, presets, gone)


def zipped(store: Store, batch: Batch, presets: Presets, path_of: PicturePath) -> Iterator[bytes]:
    """A zip of the released pictures and of `made_csv`. Pictures are packed already: stored as is.

    A picture whose file is gone is left out, and the table says so.
    """
    archive = ZipStream(compress_type=ZIP_STORED, sized=False)
    gone: set[str] = set()
    for row, images in _rows_with_images(store, batch.id):
        for image in images:
            if image.release is not Release.RELEASED:
                continue
            path = _existing(path_of, image)
            if path is None:
                gone.add(image.id)
                continue
            archive.add_path(str(path), arcname=row.file_name(image.index))
            yield from archive.file()
    archive.add(made_csv(store, batch, presets, gone), arcname=MADE_NAME)
    yield from archive.finalize()


def _made_lines(
    row: BatchRow, images: list[ImageRecord], presets: Presets, gone: Collection[str]
) -> Iterator[bytes]:
    prompt = compose_prompt(row.brief, presets)
    for image in images:
        is_out = image.release is Release.RELEASED and image.id not in gone
        status = str(image.release) if image.id not in gone else "missing"
        yield csv_line(
            [
                *(row.line, row.sku, row.file_name(image.index) if is_out else "", status),
                *("", prompt, image.seed, image.width, image.height, image.digest),
                *(image.model_name, image.model_digest, image.backend, image.precision),
                *(image.id, row.job_id),
            ]
        )
    if len(images) < max(1, row.num_images):
        left = [row.line, row.sku, "", row.state, row.error, prompt]
        yield csv_line([*left, *[""] * (len(_COLUMNS) - len(left) - 1), row.job_id])


def _existing(path_of: PicturePath, image: ImageRecord) -> Path | None:
    try:
        path = path_of(image)
    except NotFound:
        return None
    return path if path.is_file() else None


def _rows_with_images(store: Store, batch_id: str) -> Iterator[tuple[BatchRow, list[ImageRecord]]]:
    after = 0
    while rows := store.batch_lines(batch_id, after_line=after, limit=_PAGE):
        images = store.line_images([row.job_id for row in rows])
        for row in rows:
            yield row, images.get(row.job_id, [])
        after = rows[-1].line


def _rows(store: Store, batch_id: str, states: tuple[RowState, ...]) -> Iterator[BatchRow]:
    after = 0
    while rows := store.batch_lines(batch_id, states=states, after_line=after, limit=_PAGE):
        yield from rows
        after = rows[-1].line
