"""Logs: one line of JSON per event, with the job's id, in a file that is rotated.

    {"at": "2026-11-24T19:40:12.345Z", "level": "info", "logger": "studio.watch", "event":
     "job finished", "job_id": "5d0c…", "seconds": 3.2}

What a line says beyond its sentence is given as `extra={"facts": {...}}`. No line has words a
person typed in a form, but those at the level "debug". People at a terminal get sentences instead.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import logging.handlers
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from studio.data_folder import storage_error
from studio.errors import BadConfig

LEVELS = ("debug", "info", "warning", "error")
MAX_FILE_BYTES = 10 * 2**20
NUM_OLD_FILES = 5

_JOB = re.compile(r"\bjob ([0-9a-f]{16})\b")


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        event = record.getMessage()
        values: dict[str, object] = {
            "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": event,
        }
        facts = getattr(record, "facts", {})
        if "job_id" not in facts and (found := _JOB.search(event)):
            values["job_id"] = found[1]
        values |= facts
        if record.exc_info:
            values["error"] = self.formatException(record.exc_info)
        return json.dumps(values, ensure_ascii=False, default=str)


def check_level(level: str) -> str:
    """A level by name, as `logging` spells it.

    Raises:
        BadConfig: there is none of this name.
    """
    if level.lower() not in LEVELS:
        raise BadConfig(f"The log level {level!r} is not known: choose one of {', '.join(LEVELS)}.")
    return level.upper()


@contextlib.contextmanager
def logging_to(
    path: Path | str, level: str = "info", *, folder: Path | None = None
) -> Iterator[None]:
    """Write the studio's log lines of `level` and above to `path`, "-" for standard error.

    The file is rotated at `MAX_FILE_BYTES`; `NUM_OLD_FILES` old ones are kept. Other libraries'
    lines are written from warnings on. `folder` is named where the file cannot be written.

    Raises:
        BadConfig: there is no such level.
        BadDataFolder, StorageFull: the file cannot be written.
    """
    handler = _handler(path, folder)
    handler.setFormatter(JsonFormatter())
    handler.setLevel(check_level(level))
    root, own = logging.getLogger(), logging.getLogger("studio")
    before = own.level
    root.addHandler(handler)
    own.setLevel(check_level(level))
    try:
        yield
    finally:
        own.setLevel(before)
        root.removeHandler(handler)
        handler.close()


def _handler(path: Path | str, folder: Path | None) -> logging.Handler:
    if str(path) == "-":
        return logging.StreamHandler(sys.stderr)
    path = Path(path).expanduser().absolute()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return logging.handlers.RotatingFileHandler(
            path, maxBytes=MAX_FILE_BYTES, backupCount=NUM_OLD_FILES, encoding="utf-8"
        )
    except OSError as error:
        raise storage_error(error, folder or path.parent) from error
