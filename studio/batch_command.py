"""`studio batch`: a table of products checked, or drawn into a folder, without a server.

`run` keeps its own data folder inside `--out`, so that one that was killed goes on when it is run
again with the same file. Light at import.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from studio.batch import BatchStatus, RowState
from studio.errors import BadInput, GenerationFailed
from studio.verdict import Release

if TYPE_CHECKING:
    from studio.application import Studio
    from studio.batch import BatchView
    from studio.config import Config
    from studio.engine.manager import LoadModel
    from studio.model_card import ModelCard

WORK_FOLDER = ".vitrine-batch"
TO_MEND = "to-mend.csv"

_BAD = (RowState.BAD,)
_POLL_SECONDS = 0.2


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Hang `batch` and its own commands under the command line's parser."""
    parser = subparsers.add_parser(
        "batch",
        help="check or draw a table of products",
        description="A CSV or XLSX with a row for each product: see docs/catalogue.md.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    checked = commands.add_parser(
        "check",
        help="say what is wrong with each row",
        description="Check every row and draw nothing. The exit code is 0 when all are good.",
    )
    drawn = commands.add_parser(
        "run",
        help="draw the good rows into a folder",
        description=(
            "Draw the good rows into a folder, named by SKU, with pictures.csv beside them. Run "
            "again after a crash it goes on where it was."
        ),
    )
    for command in (checked, drawn):
        command.add_argument("file", metavar="FILE", help="CSV or XLSX")
        command.add_argument("--model", metavar="MODEL", help="as for generate")
        command.add_argument(
            "--sketches", metavar="DIR", help="where the sketches are that rows name"
        )
    checked.add_argument("--mend", metavar="CSV", help="write the bad rows, with the reason, here")
    checked.set_defaults(run=_check)
    drawn.add_argument("--out", metavar="DIR", required=True, help="folder to write into")
    drawn.add_argument("--precision", metavar="P", help="as for generate (auto)")
    drawn.add_argument("--backend", metavar="B", help="as for generate (auto)")
    drawn.set_defaults(run=_run)


def _check(options: argparse.Namespace) -> int:
    from studio.model_choice import configured

    config = configured(model=options.model)
    mend = Path(options.mend).expanduser() if options.mend else None
    return check(config, Path(options.file), sketches_in(options.sketches), mend=mend)


def _run(options: argparse.Namespace) -> int:
    from studio.model_choice import configured

    config = configured(model=options.model, precision=options.precision, backend=options.backend)
    out = Path(options.out).expanduser()
    return run(config, Path(options.file), out, sketches_in(options.sketches))


def check(
    config: Config,
    file: Path,
    sketches: Mapping[str, bytes],
    *,
    mend: Path | None = None,
    card: ModelCard | None = None,
    load: LoadModel | None = None,
) -> int:
    """Print what is wrong with each row of `file`; 0 when nothing is, else 2."""
    from studio.application import Studio

    with tempfile.TemporaryDirectory(prefix="vitrine-", ignore_cleanup_errors=True) as folder:
        private = dataclasses.replace(
            config, data_dir=Path(folder), models_dir=config.models_dir or config.data_dir
        )
        with Studio.open(private, card=card, load=load, is_started=False) as studio:
            with _bar() as report:
                view = studio.batches.check(
                    file.name, _content(file), sketches=sketches, report=report
                )
            num_bad = _print_bad(studio, view)
            print(
                f"{view.num_good:,} rows can be drawn ({view.num_images_left:,} pictures), "
                f"{num_bad:,} cannot."
            )
            if mend is not None and num_bad:
                _write(mend, studio.batches.bad_rows(view.batch.id))
    return 2 if num_bad else 0


def run(
    config: Config,
    file: Path,
    out: Path,
    sketches: Mapping[str, bytes],
    *,
    card: ModelCard | None = None,
    load: LoadModel | None = None,
) -> int:
    """Draw the good rows of `file` into `out`; 0 when every row was, else 70.

    Raises:
        BadInput: the file cannot be used, or no row of it.
        StudioError: a folder or the model cannot be used.
    """
    from studio.application import Studio

    content = _content(file)
    name = hashlib.sha256(content).hexdigest()[:16]
    models_dir = config.models_dir or config.data_dir
    work = out / WORK_FOLDER / name
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"The folder {out} cannot be written ({error.strerror}).") from error
    private = dataclasses.replace(config, data_dir=work, models_dir=models_dir)
    with Studio.open(private, card=card, load=load) as studio:
        # One without rows was cut short while it was checked.
        known = studio.batches.page(limit=1)
        found = [batch for batch in known if studio.batches.view(batch.id).num_rows()]
        batch_id = found[0].id if found else _begin(studio, file, content, sketches)
        if found:
            print("studio: going on where it was.", file=sys.stderr)
            if studio.batches.view(batch_id).num_rows(RowState.FAILED):
                studio.batches.retry(batch_id)
        if studio.batches.batch(batch_id).status is BatchStatus.READY:
            _print_bad(studio, studio.batches.view(batch_id))
            studio.batches.start(batch_id)
        view = _follow(studio, batch_id)
        num_bad = view.num_rows() - view.num_good
        written = _hand_out(studio, batch_id, out)
        if num_bad:
            _write(out / TO_MEND, studio.batches.bad_rows(batch_id))
    print(f"{written:,} pictures are in {out}; {num_bad:,} rows could not be drawn.")
    if num_failed := view.num_rows(RowState.FAILED):
        raise GenerationFailed(
            f"{num_failed:,} rows failed, and pictures.csv says why: run it again to retry them."
        )
    shutil.rmtree(work, ignore_errors=True)
    with contextlib.suppress(OSError):
        work.parent.rmdir()
    return 0


def sketches_in(folder: str | None) -> dict[str, bytes]:
    """The files of a folder, by name."""
    if folder is None:
        return {}
    try:
        paths = [path for path in Path(folder).expanduser().iterdir() if path.is_file()]
        return {path.name: path.read_bytes() for path in paths}
    except OSError as error:
        raise BadInput(f"The sketches in {folder} cannot be read ({error.strerror}).") from error


def _begin(studio: Studio, file: Path, content: bytes, sketches: Mapping[str, bytes]) -> str:
    studio.wait_until_ready()  # so that rows are judged by the model too
    with _bar() as report:
        view = studio.batches.check(file.name, content, sketches=sketches, report=report)
    return view.batch.id


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[int], object]]:
    """How many rows are checked, on standard error while it lasts."""
    from tqdm import tqdm

    with tqdm(unit="row", desc="checked", leave=False, delay=2.0) as bar:
        yield bar.update


def _follow(studio: Studio, batch_id: str) -> BatchView:
    """A bar on standard error until the batch is over."""
    from tqdm import tqdm

    view = studio.batches.view(batch_id)
    with tqdm(total=view.num_good, unit="row", leave=False) as bar:
        while view.batch.status.is_active:
            bar.update(view.num_over - bar.n)
            bar.set_postfix_str(view.batch.message, refresh=False)
            time.sleep(_POLL_SECONDS)
            view = studio.batches.view(batch_id)
        bar.update(view.num_over - bar.n)
    return view


def _hand_out(studio: Studio, batch_id: str, out: Path) -> int:
    """Copy the released pictures into `out`, named by SKU, and the table beside them."""
    after = number = 0
    while rows := studio.batches.lines(batch_id, after_line=after):
        images = studio.batches.images_of(rows)
        for row in rows:
            for image in images.get(row.job_id, ()):
                if image.release is Release.RELEASED:
                    _copy(studio.picture_path(image), out / row.file_name(image.index))
                    number += 1
        after = rows[-1].line
    _write(out / "pictures.csv", studio.batches.made(batch_id))
    return number


def _print_bad(studio: Studio, view: BatchView) -> int:
    """Every bad row with its reason; how many there are."""
    after = number = 0
    for note in view.batch.notes:
        print(f"studio: {note}", file=sys.stderr)
    while rows := studio.batches.lines(view.batch.id, states=_BAD, after_line=after):
        for row in rows:
            print(f"line {row.line}, {row.sku or 'no SKU'}: {row.error}")
            number += 1
        after = rows[-1].line
    return number


def _content(file: Path) -> bytes:
    from studio.batches import MAX_FILE_BYTES

    try:
        with file.expanduser().open("rb") as opened:
            return opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BadInput(f"The file {file} cannot be read ({error.strerror}): check it.") from error


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as opened:
            for piece in pieces:
                opened.write(piece)
        part.replace(path)
    except OSError as error:
        raise BadInput(f"{path} cannot be written ({error.strerror}).") from error


def _copy(source: Path, target: Path) -> None:
    part = target.with_name(f".{target.name}.part")
    try:
        shutil.copyfile(source, part)
        part.replace(target)
    except OSError as error:
        raise BadInput(f"{target} cannot be written ({error.strerror}).") from error
