"""`Registry`: the models, ControlNets, LoRAs and preview decoders by name, kept in one JSON file.

The file is `models.json` in the data folder. It is read anew at every question and replaced whole
at every change, so that a command and a running studio may share it. What weights are is told by
`studio.weights`; this file only remembers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from studio.config import draft_model_dir
from studio.data_folder import storage_error, write_whole
from studio.errors import BadDataFolder, BadInput, BadModel, Conflict, NotFound
from studio.weights import Family, Kind, fits

FILE_NAME = "models.json"
LOCK_NAME = "models.lock"
FOLDER_NAME = "models"
DRAFT = "draft"
VERSION = 1
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing with a name. `is_own`: the studio made the files at `path` and may delete them.

    `control_kind` is set for a ControlNet alone; `source` is what it was added from.
    """

    name: str
    kind: Kind
    family: Family
    path: Path
    control_kind: str | None = None
    source: str = ""
    is_own: bool = False
    added_at: str = ""

    @property
    def is_there(self) -> bool:
        """Whether its files still are where they were."""
        return self.path.is_file() if self.kind is Kind.LORA else self.path.is_dir()

    @property
    def num_bytes(self) -> int:
        """Size on disk; what is gone counts as nothing."""
        if self.path.is_file():
            return self.path.stat().st_size
        return sum(path.stat().st_size for path in self.path.rglob("*") if path.is_file())


class Registry:
    """The names in one data folder. Several may be open on it, in several processes."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = Path(os.path.abspath(data_dir))

    @property
    def folder(self) -> Path:
        """Where the studio keeps the models it made or downloaded itself."""
        return self.data_dir / FOLDER_NAME

    def entries(self) -> list[Entry]:
        """All entries, the draft model first, then in the order they were added.

        Raises:
            BadDataFolder: `models.json` is damaged or cannot be read.
        """
        return [_draft(), *self._read()[0]]

    def get(self, name: str) -> Entry:
        """The entry called `name`.

        Raises:
            NotFound: there is none.
        """
        for entry in self.entries():
            if entry.name == name:
                return entry
        raise NotFound(f"There is no model named {name!r}: `studio models list` shows the names.")

    def path_of(self, name: str) -> Path:
        """Where the files of `name` are; `NotFound` where there is no such name."""
        return self.get(name).path

    def default(self) -> Entry:
        """The model to serve when nobody says otherwise."""
        entries, name = self._read()
        return next((entry for entry in entries if entry.name == name), _draft())

    def controlnets(self, family: Family | str, *, model: Path | None = None) -> dict[str, Path]:
        """Folders of the ControlNets of `family` by kind ("canny", …).

        With `model`, a folder, only those whose files are there and fit it.
        """
        return {
            entry.control_kind or "canny": entry.path
            for entry in self._companions(Kind.CONTROLNET, family, model)
        }

    def loras(self, family: Family | str, *, model: Path | None = None) -> dict[str, Path]:
        """Files of the LoRAs of `family` by name, as `controlnets`."""
        return {entry.name: entry.path for entry in self._companions(Kind.LORA, family, model)}

    def previews(self, family: Family | str, *, model: Path | None = None) -> dict[str, Path]:
        """Folders of the preview decoders of `family` by name, as `controlnets`; one at most."""
        return {entry.name: entry.path for entry in self._companions(Kind.PREVIEW, family, model)}

    def _companions(self, kind: Kind, family: Family | str, model: Path | None) -> list[Entry]:
        return [
            entry
            for entry in self.entries()
            if entry.kind is kind
            and entry.family == family
            and (model is None or (entry.is_there and fits(entry.path, model)))
        ]

    def free_name(self, wanted: str) -> str:
        """`wanted` as a name, with a number behind it where it is taken."""
        stem = as_name(wanted)
        taken = {entry.name for entry in self.entries()}
        names = (f"{stem[:60]}-{number}" if number > 1 else stem for number in range(1, 10_000))
        return next(name for name in names if name not in taken)

    def check_new(self, name: str) -> None:
        """Refuse a name that cannot be added.

        Raises:
            BadInput: it is no name.
            Conflict: it is taken.
        """
        if not NAME.fullmatch(name):
            raise BadInput(
                f"{name!r} cannot be a name: use up to 64 small letters, digits, dots and hyphens, "
                "beginning with a letter or a digit."
            )
        if any(entry.name == name for entry in self.entries()):
            raise Conflict(f"The name {name!r} is taken: choose another with --name.")

    def check_control(self, family: Family, control_kind: str) -> None:
        """Refuse a second ControlNet of one kind, of which pictures could not tell which is meant.

        Raises:
            Conflict: there is one already.
        """
        for entry in self.entries():
            if entry.family is family and entry.control_kind == control_kind:
                raise Conflict(
                    f"{entry.name!r} already is the {control_kind} ControlNet for "
                    f"{family.label}: remove it first, or choose another --control-kind."
                )

    def check_preview(self, family: Family) -> None:
        """Refuse a second preview decoder of one family, of which nobody could say which is used.

        Raises:
            Conflict: there is one already.
        """
        for entry in self.entries():
            if entry.family is family and entry.kind is Kind.PREVIEW:
                raise Conflict(
                    f"{entry.name!r} already is the preview decoder for {family.label}: remove it "
                    "first."
                )

    def add(self, entry: Entry) -> Entry:
        """Remember `entry`; what is kept, with the time it was added.

        Raises:
            BadInput, Conflict: as `check_new`, `check_control` and `check_preview`.
            BadDataFolder, StorageFull: the data folder cannot be written.
        """
        with self._changing() as (entries, default):
            self.check_new(entry.name)
            if entry.control_kind is not None:
                self.check_control(entry.family, entry.control_kind)
            if entry.kind is Kind.PREVIEW:
                self.check_preview(entry.family)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            entry = dataclasses.replace(entry, added_at=entry.added_at or now)
            self._write([*entries, entry], default)
        return entry

    def remove(self, name: str) -> Entry:
        """Forget `name`, and delete its files where the studio itself made them.

        Raises:
            NotFound: there is no such name.
            Conflict: it is the draft model, which is part of the studio.
        """
        if name == DRAFT:
            raise Conflict("The draft model is part of the studio and cannot be removed.")
        with self._changing() as (entries, default):
            entry = self.get(name)
            others = [other for other in entries if other.name != name]
            self._write(others, None if default == name else default)
        # Only below our own folder, whatever the file says.
        path = Path(os.path.normpath(entry.path))
        if entry.is_own and self.folder in path.parents:
            shutil.rmtree(self.folder / path.relative_to(self.folder).parts[0], ignore_errors=True)
        return entry

    def use(self, name: str) -> Entry:
        """Make `name` the model that is served when nobody says otherwise.

        Raises:
            NotFound: there is no such name.
            BadInput: it is a ControlNet or a LoRA.
            BadModel: its files are gone.
        """
        with self._changing() as (entries, _):
            entry = self.get(name)
            if entry.kind is not Kind.MODEL:
                raise BadInput(f"{name!r} is a {entry.kind.label}, which draws nothing by itself.")
            if not entry.is_there:
                raise BadModel(f"The files of {name!r} are gone from {entry.path}: add it again.")
            self._write(entries, None if name == DRAFT else name)
        return entry

    @contextlib.contextmanager
    def _changing(self) -> Iterator[tuple[list[Entry], str | None]]:
        """What the file says, held against other processes until the change is written."""
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise storage_error(error, self.data_dir) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield self._read()
        finally:
            os.close(descriptor)

    def _read(self) -> tuple[list[Entry], str | None]:
        path = self.data_dir / FILE_NAME
        try:
            text = path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return [], None
        except (OSError, ValueError) as error:
            raise _damaged(path, error) from error
        try:
            values = json.loads(text)
            if values["version"] > VERSION:
                raise BadDataFolder(f"{path} was written by a newer studio: update this one.")
            return [self._entry(value) for value in values["entries"]], values["default"]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise _damaged(path, error) from error

    def _write(self, entries: list[Entry], default: str | None) -> None:
        values = {
            "version": VERSION,
            "default": default,
            "entries": [self._values(entry) for entry in entries],
        }
        text = json.dumps(values, indent=1, ensure_ascii=False) + "\n"
        try:
            write_whole(self.data_dir / FILE_NAME, text.encode())
        except OSError as error:
            raise storage_error(error, self.data_dir) from error

    def _values(self, entry: Entry) -> dict[str, Any]:
        values = dataclasses.asdict(entry)
        # Our own files move with the data folder.
        path = entry.path.absolute()
        is_below = entry.is_own and path.is_relative_to(self.data_dir)
        values["path"] = str(path.relative_to(self.data_dir) if is_below else path)
        return values

    def _entry(self, values: dict[str, Any]) -> Entry:
        entry = Entry(
            name=str(values["name"]),
            kind=Kind(values["kind"]),
            family=Family(values["family"]),
            path=self.data_dir / str(values["path"]),
            control_kind=str(values["control_kind"]) if values.get("control_kind") else None,
            source=str(values.get("source", "")),
            is_own=bool(values.get("is_own", False)),
            added_at=str(values.get("added_at", "")),
        )
        if not NAME.fullmatch(entry.name):
            raise ValueError(f"{entry.name!r} is no name")
        return entry


def model_folder(value: str | None, registry: Registry) -> Path:
    """The folder meant by --model: a registered name or a path; the model in use where it is None.

    A name that is registered wins over a folder of that name in the working directory, which can be
    given as `./name`.

    Raises:
        BadModel: a bare word that is neither.
        BadInput: the name of something that draws nothing by itself, such as a LoRA.
    """
    if value is None:
        return registry.default().path
    try:
        path = Path(value).expanduser()
    except RuntimeError as error:  # "~nobody/model"
        raise BadModel(f"{value!r} names no user of this machine.") from error
    if not NAME.fullmatch(value):
        return path
    entry = next((entry for entry in registry.entries() if entry.name == value), None)
    if entry is None:
        if path.is_dir():
            return path
        raise BadModel(
            f"There is no model named {value!r} and no folder {path}: `studio models list` shows "
            "the names."
        )
    if entry.kind is not Kind.MODEL:
        raise BadInput(f"{value!r} is a {entry.kind.label}, which draws nothing by itself.")
    return entry.path


def as_name(text: str) -> str:
    """`text` as a name: small letters and digits, everything else a hyphen; never empty."""
    plain = re.sub(r"[^a-z0-9._]+", "-", text.casefold()).strip("-._")[:64].rstrip("-._")
    return plain or "model"


def _draft() -> Entry:
    return Entry(
        name=DRAFT,
        kind=Kind.MODEL,
        family=Family.SDXL,
        path=draft_model_dir(),
        source="part of the studio",
    )


def _damaged(path: Path, error: Exception) -> BadDataFolder:
    return BadDataFolder(
        f"{path} is damaged ({type(error).__name__}): mend it, or delete it and add the models "
        "again."
    )
