"""Backup and restore of a data folder, also while a studio runs on it.

    DIR/vitrine-2026-11-24T193000/manifest.json     every file with its size and SHA-256
                                 /studio.db         one state of the database
                                 /pictures/, …      everything else but thumbnails and logs

Files that stand in the backup before, byte for byte, are linked rather than copied: pictures never
change. A backup is whole or not there: it is made under another name, and renamed when every file
that its database names has been found to have the digest written there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from studio import __version__
from studio.data_folder import LOCK_NAME, PART, FolderLock, storage_error, sync_folder, write_whole
from studio.errors import BadDataFolder, BadInput, Conflict
from studio.migrations import STEPS
from studio.pictures import THUMBS_FOLDER
from studio.store import DATABASE_NAME

MANIFEST = "manifest.json"
PREFIX = "vitrine-"
MAX_TRIES = 3
"""Pictures are moved and deleted while a backup is made: then it looks again."""

_FORMAT = 1
_NOT_KEPT = ("logs", THUMBS_FOLDER)  # thumbnails are made again where they are missing
_BLOCK = 2**20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backup:
    """A backup that is whole."""

    path: Path
    num_files: int
    num_bytes: int
    num_linked: int = 0


def back_up(data_dir: Path, target: Path, *, with_models: bool = True) -> Backup:
    """Copy the studio in `data_dir` into a new folder in `target`.

    Raises:
        BadDataFolder: there is no studio in it, a picture in it is damaged, or `target` cannot be
            written.
        StorageFull: the disk of `target` has no room.
        BadInput: `target` lies in the data folder itself.
        Conflict: the pictures changed faster than they could be copied.
    """
    data_dir, target = data_dir.absolute(), target.absolute()
    if not (data_dir / DATABASE_NAME).is_file():
        raise BadDataFolder(f"There is no studio in {data_dir}: name its folder with --data-dir.")
    if target.resolve().is_relative_to(data_dir.resolve()):
        raise BadInput(f"{target} lies in the data folder itself: choose a folder elsewhere.")
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = _latest(target)
        made = target / f"{PREFIX}{time.strftime('%Y-%m-%dT%H%M%S')}"
        if made.exists():
            raise Conflict(f"There is a backup {made} of this second: try again.")
        with _making(made) as part:
            copy_database(data_dir / DATABASE_NAME, part / DATABASE_NAME)
            files = _copy_files(data_dir, part, before, with_models=with_models)
            files[DATABASE_NAME] = _facts(part / DATABASE_NAME)
            manifest = {
                "format": _FORMAT,
                "studio": __version__,
                "made_at": time.time(),
                "steps": [step.__name__ for step in STEPS],
                "files": files,
            }
            content = json.dumps(manifest, ensure_ascii=False, indent=1).encode()
            write_whole(part / MANIFEST, content)
    except OSError as error:
        raise storage_error(error, target) from error
    return _summary(made, files)


def restore(source: Path, data_dir: Path) -> Backup:
    """Put the backup `source` into `data_dir`, which must be empty, or not there.

    Raises:
        BadInput: `source` is no backup, or one of its files is damaged or missing.
        BadDataFolder: the folder is in use, not empty, or cannot be written.
        StorageFull: its disk has no room.
    """
    source, data_dir = source.absolute(), data_dir.absolute()
    files = verify(source)
    lock = FolderLock.take(data_dir)
    try:
        there = [path.name for path in data_dir.iterdir() if path.name != LOCK_NAME]
        if there:
            raise BadDataFolder(
                f"{data_dir} is not empty (it has {sorted(there)[0]}): move what is there away, or "
                "choose another folder with --data-dir."
            )
        # The database last: without it the folder is no studio, however far this got.
        for name in sorted(files, key=lambda name: name == DATABASE_NAME):
            path = data_dir / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}{PART}")
            digest = _copy(source / name, part)
            if digest != files[name]["sha256"]:
                raise BadInput(f"{source / name} changed while it was read: try again.")
            part.replace(path)
            sync_folder(path.parent)
    except OSError as error:
        raise storage_error(error, data_dir) from error
    finally:
        lock.release()
    return _summary(data_dir, files)


def verify(source: Path) -> dict[str, dict[str, object]]:
    """Read every file of a backup; what the manifest says of them, by name.

    Raises:
        BadInput: it is no backup, or one of its files is damaged or missing.
    """
    try:
        manifest = json.loads((source / MANIFEST).read_bytes())
        files: dict[str, dict[str, object]] = manifest["files"]
        is_known = manifest["format"] == _FORMAT and DATABASE_NAME in files
        names = [Path(name) for name in files]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(
            f"{source} is no backup: name a folder that `studio backup` made, {PREFIX}…"
        ) from error
    if not is_known:
        raise BadInput(f"{source} is a backup of another format: use the studio that made it.")
    if any(name.is_absolute() or ".." in name.parts or not name.parts for name in names):
        raise BadInput(f"The manifest of {source} names files outside of it: it is not restored.")
    damaged = []
    for name, facts in files.items():
        path = source / name
        if path.is_symlink() or not path.is_file() or _facts(path) != facts:
            damaged.append(name)
    if damaged:
        raise BadInput(
            f"{len(damaged)} of {len(files)} files of the backup {source} are damaged or missing, "
            f"such as {damaged[0]}: use another backup."
        )
    return files


@contextlib.contextmanager
def _making(made: Path) -> Iterator[Path]:
    """A folder under another name, renamed to `made` at the end, or removed."""
    part = made.with_name(f".{made.name}{PART}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    try:
        yield part
        part.replace(made)
        sync_folder(made.parent)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def copy_database(path: Path, copy: Path) -> None:
    """One state of the database, while others write to it."""
    copy.unlink(missing_ok=True)
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
            (found,) = target.execute("PRAGMA integrity_check").fetchone()
            target.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.DatabaseError as error:
        raise BadDataFolder(f"The database {path} cannot be copied ({error}): mend it.") from error
    if found != "ok":
        raise BadDataFolder(f"The database {path} is damaged ({found}): put a copy of it back.")


def _copy_files(
    data_dir: Path, part: Path, before: Path | None, *, with_models: bool
) -> dict[str, dict[str, object]]:
    """Copy everything but the database; then see that every picture it names is there, whole."""
    files: dict[str, dict[str, object]] = {}
    for _ in range(MAX_TRIES):
        for path in _files_of(data_dir, with_models=with_models):
            name = path.relative_to(data_dir).as_posix()
            if name not in files:
                with contextlib.suppress(FileNotFoundError):  # moved or deleted since it was listed
                    files[name] = _copy_or_link(path, part / name, before and before / name)
        missing = _missing_pictures(part, files)
        if not missing:
            return files
        for name in missing:
            if (data_dir / name).is_file():
                raise BadDataFolder(
                    f"The picture {name} in {data_dir} is damaged: put a copy of it back, or "
                    "delete it."
                )
        # They were moved (a picture that was released) or deleted: the database as it is now knows.
        copy_database(data_dir / DATABASE_NAME, part / DATABASE_NAME)
    raise Conflict("The pictures change faster than they are copied: try again in a quiet hour.")


def _missing_pictures(part: Path, files: dict[str, dict[str, object]]) -> list[str]:
    """The pictures that the copied database names and that were not copied as it knows them."""
    with contextlib.closing(sqlite3.connect(part / DATABASE_NAME)) as db:
        # Of a deleted picture only the row is left, or soon will be.
        sql = "SELECT path, digest FROM images WHERE path <> '' AND release <> 'deleted'"
        rows = db.execute(sql).fetchall()
    return [path for path, digest in rows if files.get(path, {}).get("sha256") != digest]


def _files_of(data_dir: Path, *, with_models: bool) -> Iterator[Path]:
    left_out = {*_NOT_KEPT, *(() if with_models else ("models",))}
    for folder, folders, names in os.walk(data_dir):
        if Path(folder) == data_dir:
            folders[:] = [name for name in folders if name not in left_out]
        for name in sorted(names):
            path = Path(folder, name)
            is_ours = name.startswith(DATABASE_NAME) and path.parent == data_dir
            if not (is_ours or name == LOCK_NAME or name.endswith(PART) or path.is_symlink()):
                yield path


def _copy_or_link(path: Path, copy: Path, before: Path | None) -> dict[str, object]:
    """Copy a file, or link it to the same one in the backup before."""
    copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = _facts(path)
    if before is not None and before.is_file() and _facts(before) == facts:
        with contextlib.suppress(OSError):  # a disk without links
            os.link(before, copy)
            return facts
    if _copy(path, copy) != facts["sha256"]:
        facts = _facts(copy)
    return facts


def _copy(path: Path, copy: Path) -> str:
    """Copy a file onto the disk; the SHA-256 of what was written."""
    digest = hashlib.sha256()
    with path.open("rb") as source, copy.open("wb") as target:
        while block := source.read(_BLOCK):
            digest.update(block)
            target.write(block)
        target.flush()
        os.fsync(target.fileno())
    return digest.hexdigest()


def _facts(path: Path) -> dict[str, object]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def _latest(target: Path) -> Path | None:
    made = sorted(path for path in target.glob(f"{PREFIX}*") if (path / MANIFEST).is_file())
    return made[-1] if made else None


def _summary(path: Path, files: dict[str, dict[str, object]]) -> Backup:
    num_linked = sum((path / name).stat().st_nlink > 1 for name in files if (path / name).is_file())
    num_bytes = sum(int(str(facts["bytes"])) for facts in files.values())
    return Backup(path=path, num_files=len(files), num_bytes=num_bytes, num_linked=num_linked)
