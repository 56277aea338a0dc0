"""`studio reproduce`: a finished picture drawn once more from its record, and the bytes compared.

It reads the record from the data folder, also of a running studio, and draws in a studio of its own
with the backend and the precision of the record. One line of JSON goes to standard output; where
the new file is not the same, that is an error. Light at import.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from studio.config import BACKENDS
from studio.errors import GenerationFailed

if TYPE_CHECKING:
    from studio.application import Studio
    from studio.config import Config
    from studio.engine.manager import LoadModel
    from studio.image_record import ImageRecord
    from studio.job import Job
    from studio.model_card import ModelCard

TIMEOUT_SECONDS = 24 * 3600.0


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Hang `reproduce` under the command line's parser."""
    parser = subparsers.add_parser(
        "reproduce",
        help="draw a finished picture again and compare the bytes",
        description=(
            "Draw a finished picture once more from its record, with the backend and the precision "
            "it was drawn with, and see that the same file comes out, byte for byte. The ID stands "
            "in the gallery and in the name of the file in the data folder."
        ),
    )
    parser.add_argument("image_id", metavar="ID", help="which picture")
    parser.add_argument("--out", metavar="FILE", help="where to write the new picture")
    parser.add_argument("--model", metavar="MODEL", help="as for serve")
    parser.add_argument("--data-dir", metavar="DIR", help="where it is kept, as for serve")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from studio.model_choice import configured

    config = configured(model=options.model, data_dir=options.data_dir)
    reproduce(config, options.image_id, Path(options.out).expanduser() if options.out else None)


def reproduce(
    config: Config,
    image_id: str,
    out: Path | None = None,
    *,
    card: ModelCard | None = None,
    load: LoadModel | None = None,
) -> None:
    """Draw the picture again; `card` and `load` are as in `Studio.open`.

    Raises:
        NotFound: there is no such picture.
        Conflict: another model is served now than then.
        GenerationFailed: it could not be drawn, or came out different.
    """
    import dataclasses
    import tempfile

    from studio.application import Studio
    from studio.control_images import ControlImages
    from studio.store import Store

    with Store.beside(config.data_dir) as store:
        record = store.image(image_id)
        job = store.job(record.job_id)
    with tempfile.TemporaryDirectory(prefix="vitrine-") as folder:
        private = dataclasses.replace(
            config,
            data_dir=Path(folder),
            models_dir=config.models_dir or config.data_dir,
            backend=record.backend if record.backend in BACKENDS else config.backend,
            precision=record.precision,
        )
        with Studio.open(private, card=card, load=load) as studio:
            if job.request.control is not None:
                outlines = ControlImages(config.data_dir).load(job.request.control.image_digest)
                ControlImages(private.data_dir).save(outlines)
            _compare(studio, record, job, out)


def _compare(studio: Studio, record: ImageRecord, job: Job, out: Path | None) -> None:
    import dataclasses

    from studio.reproduction import check_same_backend, request_of

    studio.wait_until_ready()
    check_same_backend(record, studio.health)
    brief = dataclasses.replace(job.brief, seed=record.seed, num_images=1)
    again = studio.redraw(request_of(record, job), brief, record.owner)
    view = studio.wait(again.id, TIMEOUT_SECONDS)
    if not view.images:
        raise GenerationFailed(view.job.error or "The picture could not be drawn: see the log.")
    copy = view.images[0]
    if out is not None:
        out.write_bytes((studio.config.data_dir / copy.path).read_bytes())
    line = {"id": record.id, "digest": copy.digest, "is_same": copy.digest == record.digest}
    print(json.dumps(line), flush=True)
    if copy.digest != record.digest:
        raise GenerationFailed(
            "The new file differs from the one that was kept: the studio, its libraries or the "
            "machine are not the same as then."
        )
