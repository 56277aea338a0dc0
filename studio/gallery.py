"""`Gallery`: a person's finished pictures: found, put in order, compared, used again, deleted.

    studio.gallery.page(person, Look(text="red mug"), offset=0)

Everything is asked on behalf of a person and told of that person's released pictures alone. What is
typed into the search is looked for in everything that was typed and recorded of a picture, in
either language: who looks for 马克杯 finds what was asked for as "mug".
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from studio.audit import entry
from studio.errors import BadInput, NotFound
from studio.image_record import ImageRecord
from studio.person import Person, Role
from studio.pictures import Pictures
from studio.presets import FIELDS, Presets, Term
from studio.shelf import Shelved, Wanted, Word
from studio.store import Store
from studio.thumbnails import Thumbnails

PAGE_SIZE = 60
MAX_PAGE_SIZE = 200
MAX_SEARCH_CHARS = 200
MAX_NAME_CHARS = 60
MAX_AT_ONCE = 1000
"""The most pictures one act may be about."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """What a person looks for in their gallery. Empty means everything; `top` is of `Wanted`."""

    text: str = ""
    collection: str = ""
    sku: str = ""
    is_starred: bool = False
    top: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class GalleryPage:
    """Some of the `total` pictures a look finds, from `offset`; `top` keeps later pages in step."""

    items: tuple[Shelved, ...]
    offset: int
    total: int
    top: int


class Gallery:
    """The pictures of every person of one studio; any thread may call it.

    `welcome` is told of whoever looks into an empty gallery, and may put something there.
    """

    def __init__(
        self,
        store: Store,
        pictures: Pictures,
        thumbnails: Thumbnails,
        presets: Presets,
        *,
        welcome: Callable[[Person], bool] = lambda person: False,
    ) -> None:
        self._store = store
        self._pictures = pictures
        self._thumbnails = thumbnails
        self._presets = presets
        self._welcome = welcome

    def page(
        self, person: Person, look: Look, *, offset: int = 0, limit: int = PAGE_SIZE
    ) -> GalleryPage:
        """Pictures `offset` to `offset + limit` of what the look finds, the newest first.

        Raises:
            BadInput: the search is too long.
        """
        wanted = self._wanted(person, look)
        total, newest = self._store.count_shelved(wanted)
        if not total and look == Look() and self._welcome(person):
            total, newest = self._store.count_shelved(wanted)
        limit = max(1, min(limit, MAX_PAGE_SIZE))
        items = self._store.shelved(wanted, limit=limit, offset=max(0, offset)) if total else []
        return GalleryPage(
            items=tuple(items),
            offset=max(0, offset),
            total=total,
            top=newest if look.top is None else look.top,
        )

    def every(self, person: Person, look: Look) -> tuple[int, Iterator[Shelved]]:
        """How many pictures a look finds, and all of them, read a page at a time.

        Raises:
            BadInput: the search is too long.
        """
        wanted = self._wanted(person, look)
        total, newest = self._store.count_shelved(wanted)
        top = newest if look.top is None else look.top
        return total, self._pages(dataclasses.replace(wanted, top=top))

    def one(self, person: Person, image_id: str) -> Shelved:
        """A picture; `NotFound` where it is not the person's, or not released."""
        return self._store.one_shelved(image_id, person.name)

    def collections(self, person: Person) -> list[tuple[str, int]]:
        """Name and number of pictures of each."""
        return self._store.shelf_names(person.name, "collection")

    def skus(self, person: Person) -> list[tuple[str, int]]:
        return self._store.shelf_names(person.name, "sku")

    def thumbnail(self, person: Person, image_id: str) -> tuple[ImageRecord, Path]:
        """The picture's row and the file of its thumbnail."""
        item = self.one(person, image_id)
        return item.image, self._thumbnails.path(image_id, self._pictures.absolute(item.image))

    def file(self, person: Person, image_id: str) -> tuple[Shelved, Path]:
        """The picture and its file. `NotFound` where the file is gone."""
        item = self.one(person, image_id)
        path = self._pictures.absolute(item.image)
        if not path.is_file():
            raise NotFound("The file of this picture is gone: draw it again with the same seed.")
        return item, path

    def star(self, person: Person, image_ids: Sequence[str], *, is_starred: bool) -> int:
        """Mark pictures, or take the mark away; how many there were."""
        return self._shelve(person, image_ids, is_starred=int(is_starred))

    def move(self, person: Person, image_ids: Sequence[str], collection: str) -> int:
        """Put pictures in a collection, which is there as long as a picture is in it; "" is none.

        Raises:
            BadInput: the name is too long.
        """
        return self._shelve(person, image_ids, collection=_name(collection, "collection"))

    def label(self, person: Person, image_ids: Sequence[str], sku: str) -> int:
        """Say which product the pictures show; "" takes that away."""
        return self._shelve(person, image_ids, sku=_name(sku, "SKU"))

    def delete(self, person: Person, image_ids: Sequence[str]) -> int:
        """Delete pictures, their files too; a death in between is made good at the next start.

        Their rows stay without them, for the audit and so that no retry draws them again. Returns
        how many there were; those that are not the person's, or not released, are none.
        """
        person.require(Role.MERCHANDISER)
        num_deleted = 0
        for image_id in _checked(image_ids):
            try:
                image = self.one(person, image_id).image
                made = entry(person, "picture.delete", image_id, digest=image.digest)
                self._store.forget_image(image_id, person.name, made)
            except NotFound:
                continue
            self._remove(image)
            num_deleted += 1
        return num_deleted

    def finish_deleting(self) -> None:
        """Remove files of pictures that were being deleted when the process died."""
        for image in self._store.half_deleted():
            self._remove(image)

    def _pages(self, wanted: Wanted) -> Iterator[Shelved]:
        """From the newest on; those that are deleted meanwhile push no other out."""
        while items := self._store.shelved(wanted, limit=MAX_PAGE_SIZE):
            yield from items
            wanted = dataclasses.replace(wanted, top=items[-1].number - 1)

    def _remove(self, image: ImageRecord) -> None:
        self._pictures.delete(image)
        self._store.clear_path(image.id)

    def _shelve(self, person: Person, image_ids: Sequence[str], **changes: str | int) -> int:
        person.require(Role.MERCHANDISER)
        return self._store.shelve(_checked(image_ids), person.name, **changes)

    def _wanted(self, person: Person, look: Look) -> Wanted:
        text = unicodedata.normalize("NFKC", look.text)
        if len(text) > MAX_SEARCH_CHARS:
            raise BadInput(
                f"The search is {len(text):,} characters long: shorten it to {MAX_SEARCH_CHARS}."
            )
        return Wanted(
            owner=person.name,
            words=tuple(self._names(word) for word in text.replace("\0", " ").split()),
            collection=look.collection or None,
            sku=look.sku or None,
            is_starred=look.is_starred,
            top=look.top,
        )

    def _names(self, word: str) -> Word:
        """The word, and what the vocabulary calls the same thing in the other language."""
        key = word.casefold()
        names = {word: None}
        for field in FIELDS:
            terms: tuple[Term, ...] = getattr(self._presets.vocabulary, field)
            for term in terms:
                for name, other in ((term.en, term.zh), (term.zh, term.en)):
                    if name and other and key in name.casefold():
                        names[other] = None
        return tuple(names)


def _name(text: str, what: str) -> str:
    """A name a person gave, tidied."""
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if len(name) > MAX_NAME_CHARS:
        raise BadInput(
            f"The name of the {what} is {len(name):,} characters long: shorten it to "
            f"{MAX_NAME_CHARS}."
        )
    if not name.isprintable():
        raise BadInput(f"The name of the {what} has a character that cannot be seen: remove it.")
    return name


def _checked(image_ids: Sequence[str]) -> Sequence[str]:
    if len(image_ids) > MAX_AT_ONCE:
        raise BadInput(f"That is more than {MAX_AT_ONCE:,} pictures at once: choose fewer.")
    return image_ids
