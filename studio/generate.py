"""`generate`: one brief drawn into a folder, without a server.

It opens a studio of its own over a temporary data folder, so that it works while a server runs and
leaves nothing behind but the pictures, each written whole or not at all and never over another
file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from studio.application import Studio
from studio.brief import Brief
from studio.compose import compose
from studio.config import Config
from studio.control import check_kinds, control_settings
from studio.data_folder import storage_error
from studio.durations import about
from studio.engine.layout import check_folder
from studio.engine.manager import LoadModel
from studio.errors import BadConfig, GenerationFailed, StorageFull
from studio.file_names import slug
from studio.image_record import ImageRecord
from studio.job import JobStatus
from studio.job_view import JobView
from studio.loras import chosen_loras
from studio.model_card import ModelCard
from studio.model_on_disk import ModelOnDisk
from studio.moderation.weights import weights_path
from studio.presets import load_presets
from studio.sketch import read_picture_file
from studio.terms import LOCAL_OWNER
from studio.verdict import UNSCREENED, Release

POLL_SECONDS = 0.1


def generate(
    config: Config,
    brief: Brief,
    out: Path,
    *,
    card: ModelCard | None = None,
    load: LoadModel | None = None,
    lines: TextIO | None = None,
    sketch: Path | None = None,
) -> list[Path]:
    """Draw `brief` with `config`'s model into `out`; the files written.

    The outlines of the picture file `sketch`, where there is one, are followed.

    One JSON line per picture goes to `lines` (standard output), a progress bar to standard error.
    `card` and `load` are as in `Studio.open`.

    Raises:
        StudioError: the brief, the model or a folder cannot be used, or the drawing failed. What
            was written before stays.
    """
    lines = lines or sys.stdout
    # A mistake is told at once, before anything is loaded.
    card = card or check_folder(config.model)
    on_disk = ModelOnDisk(config, card) if load is None else None
    compose(brief, load_presets(config.presets_dir), card, max_num_images=config.max_num_images)
    if on_disk is not None:
        chosen_loras(brief, on_disk.lora_names, card.name)
    picture = None
    if sketch is not None:
        control_settings(brief)
        if on_disk is not None:
            check_kinds(on_disk.control_kinds, card.name)
        picture = read_picture_file(sketch)
    _prepare(out)
    with _temporary_folder() as data_dir:
        models_dir = config.models_dir or config.data_dir
        # It is over before a faster backend would be ready.
        backend = "torch" if config.backend == "auto" else config.backend
        private = dataclasses.replace(
            config,
            data_dir=data_dir,
            models_dir=models_dir,
            backend=backend,
            classifier_weights=weights_path(config),
        )
        with Studio.open(private, card=card, load=load) as studio:
            studio.wait_until_ready()
            if picture is not None:
                digest = studio.sketches.keep(LOCAL_OWNER, picture)
                brief = dataclasses.replace(brief, sketch=digest)
            job = studio.submit(brief)
            return _follow(studio, job.id, out, lines)


def _follow(studio: Studio, job_id: str, out: Path, lines: TextIO) -> list[Path]:
    written: dict[int, Path] = {}
    view = studio.view(job_id)
    request = view.job.request
    with tqdm(total=request.num_images * request.num_steps, unit="step", leave=False) as bar:
        while True:
            bar.set_postfix_str(about(view.seconds_left), refresh=False)
            bar.update(_num_steps_done(view) - bar.n)
            for index, image in sorted(view.images.items()):
                if index not in written and image.release is Release.RELEASED:
                    written[index] = _hand_out(studio, image, view.job.brief, out)
                    with bar.external_write_mode():
                        print(_line(image, written[index]), file=lines, flush=True)
            if not view.job.status.is_active:
                break
            view = studio.wait(job_id, POLL_SECONDS)
    if view.job.status is not JobStatus.SUCCEEDED:
        raise GenerationFailed(view.job.error or "The drawing was stopped: start it again.")
    if num_held := len(view.images) - len(written):
        raise GenerationFailed(
            f"{num_held} of {request.num_images} pictures are held back, and only a studio keeps "
            f"such for a reviewer: draw them there. {_why_held(view)}"
        )
    return [written[index] for index in sorted(written)]


def _why_held(view: JobView) -> str:
    if any(hidden.screening == UNSCREENED for hidden in view.hidden.values()):
        return "Nothing could check them: see `studio doctor`."
    return "The safety check or the words of the brief ask for a person's eye."


def _num_steps_done(view: JobView) -> int:
    per_picture = view.job.request.num_steps
    running = sum(live.step for index, live in view.live.items() if index not in view.images)
    return per_picture * len(view.images) + running


def _hand_out(studio: Studio, image: ImageRecord, brief: Brief, out: Path) -> Path:
    """Copy a finished picture into `out` under a name of its own."""
    _, source = studio.image(image.id)
    part = out / f".{image.id}.part"
    try:
        with part.open("wb") as file:
            file.write(source.read_bytes())
            file.flush()
            os.fsync(file.fileno())
        return _link_free(part, out, f"{slug(brief)}-{image.seed}")
    except OSError as error:
        raise _out_error(error, out) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _link_free(part: Path, out: Path, stem: str) -> Path:
    """Give the finished `part` the first free name: another run's picture is never replaced."""
    for number in range(1, 10_000):
        path = out / (f"{stem}.png" if number == 1 else f"{stem}-{number}.png")
        try:
            # Unlike a rename, a hard link fails where the name is taken.
            os.link(part, path)
        except FileExistsError:
            continue
        except OSError:  # a file system without hard links
            if path.exists():
                continue
            part.replace(path)
        return path
    raise BadConfig(f"The folder {out} holds thousands of {stem}.png: choose another with --out.")


def _line(image: ImageRecord, path: Path) -> str:
    values = {
        "path": str(path),
        "seed": image.seed,
        "seconds": round(image.seconds, 3),
        "backend": image.backend,
        "precision": image.precision,
        "model": image.model_name,
    }
    return json.dumps(values, ensure_ascii=False)


def _prepare(out: Path) -> None:
    """Find out now whether `out` can be written, not when the first picture is done."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise _out_error(error, out) from error


def _out_error(error: OSError, out: Path) -> StorageFull | BadConfig:
    full = storage_error(error, out)
    if isinstance(full, StorageFull):
        return full
    return BadConfig(
        f"The folder {out} cannot be written ({error.strerror or error}): choose another with "
        "--out."
    )


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="vitrine-", ignore_cleanup_errors=True)
    except OSError as error:
        raise storage_error(error, Path(tempfile.gettempdir())) from error
    with folder as name:
        yield Path(name)
