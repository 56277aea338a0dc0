"""`Examples`: finished pictures that whoever is new to the studio finds in their gallery.

They ship with the studio, drawn by the model that ships with it, and are given once to each person
for whom nothing was drawn yet: as pictures of that person's own, to be looked at, used as a start,
drawn again from their record, and deleted. Where another model is served they would promise what it
does not draw, and nobody is given any. `scripts/make_examples.py` makes them.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studio.brief import Brief
from studio.config import asset
from studio.errors import StudioError
from studio.image_record import ImageRecord
from studio.job import Job, JobStatus, new_id
from studio.model_card import ModelCard
from studio.person import Person, Role
from studio.pictures import Pictures
from studio.request import Request
from studio.store import Store
from studio.thumbnails import Thumbnails
from studio.verdict import Release

INDEX_NAME = "examples.json"

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    """One picture as it ships: a file in the folder of examples, and the record it has.

    `request` is of this picture alone, with its seed.
    """

    file: str
    digest: str
    brief: Brief
    request: Request
    model_name: str
    model_digest: str
    backend: str
    precision: str
    screening: str
    seconds: float
    created_at: float

    def to_dict(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return values | {"brief": self.brief.to_dict(), "request": self.request.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Example:
        brief, request = Brief.from_dict(values["brief"]), Request.from_dict(values["request"])
        return cls(**values | {"brief": brief, "request": request})


def examples_dir() -> Path:
    """The folder of the examples that ship."""
    return asset("examples")


def read_examples(folder: Path) -> tuple[Example, ...]:
    """The examples in `folder`, none where it has no list of them."""
    path = folder / INDEX_NAME
    if not path.is_file():
        return ()
    return tuple(Example.from_dict(values) for values in json.loads(path.read_text("utf-8")))


def write_examples(folder: Path, examples: Sequence[Example]) -> None:
    """The inverse of `read_examples`; the pictures themselves lie there already."""
    values = [example.to_dict() for example in examples]
    text = json.dumps(values, indent=1, ensure_ascii=False, sort_keys=True)
    (folder / INDEX_NAME).write_text(f"{text}\n", encoding="utf-8")


class Examples:
    """Gives them. Any thread may call it."""

    def __init__(
        self,
        store: Store,
        pictures: Pictures,
        thumbnails: Thumbnails,
        card: ModelCard,
        folder: Path | None = None,
    ) -> None:
        self._store = store
        self._pictures = pictures
        self._thumbnails = thumbnails
        self._card = card
        self._folder = folder or examples_dir()
        self._lock = threading.Lock()
        self._welcomed: set[str] = set()

    def welcome(self, person: Person) -> bool:
        """Give `person` the examples if they are new here; whether they were.

        A disk without room is no reason to turn anybody away: they come another time.
        """
        if not self._known or not person.has(Role.MERCHANDISER):
            return False
        with self._lock:
            if person.name in self._welcomed:
                return False
            try:
                is_new = self._store.is_newcomer(person.name) and self._give(person.name)
            except StudioError as error:
                log.warning("the examples could not be given: %s", error)
                return False
            self._welcomed.add(person.name)
            return is_new

    @functools.cached_property
    def _known(self) -> tuple[Example, ...]:
        """Those of the model that is served."""
        examples = read_examples(self._folder)
        return tuple(one for one in examples if one.model_name == self._card.name)

    def _give(self, owner: str) -> bool:
        given = [self._copy(example, owner) for example in reversed(self._known)]
        is_new = self._store.add_examples(owner, given)
        if not is_new:  # by another process, meanwhile
            for _, image in given:
                self._pictures.delete(image)
        return is_new

    def _copy(self, example: Example, owner: str) -> tuple[Job, ImageRecord]:
        job = Job(
            id=new_id(),
            owner=owner,
            brief=example.brief,
            request=example.request,
            created_at=example.created_at,
            status=JobStatus.SUCCEEDED,
            started_at=example.created_at,
            finished_at=example.created_at,
        )
        image_id = job.image_id(0)
        source = self._folder / example.file
        path = self._pictures.put(image_id, source.read_bytes())
        self._thumbnails.path(image_id, source)
        return job, ImageRecord(
            id=image_id,
            job_id=job.id,
            owner=owner,
            index=0,
            seed=example.request.seed,
            digest=example.digest,
            path=path,
            height=example.request.height,
            width=example.request.width,
            release=Release.RELEASED,
            screening=example.screening,
            model_name=example.model_name,
            model_digest=example.model_digest,
            backend=example.backend,
            precision=example.precision,
            seconds=example.seconds,
            created_at=example.created_at,
        )
