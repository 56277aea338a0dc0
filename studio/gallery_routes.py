"""The gallery over HTTP: pages of it, thumbnails, what is done to pictures, and zips.

Answers are for the page's own script, which draws only what is in sight. A picture that is not the
person's, or not released, is not found: the two are not told apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from fastapi import Body, FastAPI, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, Field
from zipstream import ZIP_STORED, ZipStream

from studio.application import Studio
from studio.errors import BadInput, NotFound
from studio.file_names import slug
from studio.gallery import PAGE_SIZE, Look
from studio.person import Person
from studio.shelf import Shelved
from studio.ui.describe import SayTerms, described
from studio.ui.gallery_view import render_details
from studio.ui.speech import language_of
from studio.who import person_of


class LookQuery(BaseModel):
    """A look as it stands in an address."""

    text: str = Field("", max_length=1000)
    collection: str = Field("", max_length=200)
    sku: str = Field("", max_length=200)
    starred: bool = False
    top: int | None = Field(None, ge=0, lt=2**63)
    offset: int = Field(0, ge=0, lt=2**31)
    limit: int = Field(PAGE_SIZE, ge=1, lt=2**31)
    ids: str = Field("", max_length=25_000)

    @property
    def look(self) -> Look:
        return Look(
            text=self.text,
            collection=self.collection,
            sku=self.sku,
            is_starred=self.starred,
            top=self.top,
        )


Asked = Annotated[LookQuery, Query()]
Ids = Annotated[list[str], Body(embed=True, max_length=10_000)]


def add_gallery_routes(app: FastAPI, studio: Studio) -> None:
    """Add them to `app`."""
    # A value out of bounds is answered by FastAPI, with a status of 422.

    def say_for(request: Request) -> SayTerms:
        return SayTerms(language_of(request), vocabulary=studio.presets.vocabulary)

    @app.get("/thumbs/{image_id}.webp")
    def thumb(request: Request, image_id: str) -> Response:
        record, path = studio.gallery.thumbnail(person_of(request), image_id)
        # Asked again each time, since a release can be taken back; answered without the picture.
        tag = f'"{record.digest[:32]}"'
        headers = {"Cache-Control": "private, no-cache", "ETag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return FileResponse(path, media_type="image/webp", headers=headers)

    @app.get("/gallery/page")
    def page(request: Request, asked: Asked) -> JSONResponse:
        person = person_of(request)
        found = studio.gallery.page(person, asked.look, offset=asked.offset, limit=asked.limit)
        answer = {
            "total": found.total,
            "top": found.top,
            "offset": found.offset,
            "items": [_item(item, say_for(request)) for item in found.items],
        }
        return _fresh(answer)

    @app.get("/gallery/names")
    def names(request: Request) -> JSONResponse:
        person = person_of(request)
        return _fresh(
            {
                "collections": studio.gallery.collections(person),
                "skus": studio.gallery.skus(person),
            }
        )

    @app.get("/gallery/details/{image_id}")
    def details(request: Request, image_id: str) -> HTMLResponse:
        person = person_of(request)
        item = studio.gallery.one(person, image_id)
        job = studio.job(item.image.job_id, person.name)
        html = render_details(item, job, say_for(request))
        return HTMLResponse(html, headers={"Cache-Control": "no-store"})

    @app.post("/gallery/star")
    def star(request: Request, ids: Ids, value: Annotated[bool, Body()]) -> JSONResponse:
        return _done(studio.gallery.star(person_of(request), ids, is_starred=value))

    @app.post("/gallery/move")
    def move(request: Request, ids: Ids, value: Annotated[str, Body()]) -> JSONResponse:
        return _done(studio.gallery.move(person_of(request), ids, value))

    @app.post("/gallery/label")
    def label(request: Request, ids: Ids, value: Annotated[str, Body()]) -> JSONResponse:
        return _done(studio.gallery.label(person_of(request), ids, value))

    @app.post("/gallery/delete")
    def delete(request: Request, ids: Ids) -> JSONResponse:
        return _done(studio.gallery.delete(person_of(request), ids))

    @app.post("/gallery/reproduce/{image_id}")
    def reproduce(request: Request, image_id: str) -> JSONResponse:
        job = studio.reproductions.begin(person_of(request), image_id)
        return _fresh({"job": job.id})

    @app.get("/gallery/reproduce/{image_id}")
    def reproduced(request: Request, image_id: str, job: str) -> JSONResponse:
        how = studio.reproductions.outcome(person_of(request), image_id, job)
        return _fresh({"outcome": how.outcome, "image": how.image_id, "error": how.error})

    @app.get("/gallery/pictures.zip")
    def zipped(request: Request, asked: Asked) -> StreamingResponse:
        person = person_of(request)
        items: Iterable[Shelved]
        if asked.ids:
            items = [studio.gallery.one(person, image_id) for image_id in asked.ids.split(",")]
            num_pictures = len(items)
        else:
            num_pictures, items = studio.gallery.every(person, asked.look)
        if not num_pictures:
            raise BadInput("There is no picture to download: choose some first.")
        headers = {
            "Cache-Control": "no-store",
            "Content-Disposition": 'attachment; filename="vitrine-pictures.zip"',
        }
        studio.audit.note(person, "gallery.download", num_pictures=num_pictures)
        content = _zip(studio, person, items)
        return StreamingResponse(content, media_type="application/zip", headers=headers)

    @app.get("/thumbs/{rest:path}")
    @app.get("/gallery/{rest:path}")
    def nothing(rest: str) -> Response:
        raise NotFound("There is no such picture.")


def _zip(studio: Studio, person: Person, items: Iterable[Shelved]) -> Iterator[bytes]:
    """The pictures as a zip, as they are: read while it is sent, never held in memory."""
    zipped = ZipStream(compress_type=ZIP_STORED)  # a PNG does not get smaller
    taken: set[str] = set()
    for item in items:
        try:
            _, path = studio.gallery.file(person, item.image.id)
        except NotFound:  # deleted or hidden meanwhile
            continue
        if path.is_file():
            zipped.add_path(path, _free_name(item, taken))
            yield from zipped.file()  # now: what is opened only later may be gone by then
    yield from zipped.finalize()


def _free_name(item: Shelved, taken: set[str]) -> str:
    """ "MUG-017/red-ceramic-mug-11.png": the SKU is the folder where there is one."""
    folder = "".join(char if char.isalnum() or char in "-_. " else "-" for char in item.sku)
    folder = folder.strip(". ")
    stem = f"{folder}/" if folder else ""
    stem += f"{slug(item.brief)}-{item.image.seed}"
    name, number = f"{stem}.png", 2
    while name in taken:
        name, number = f"{stem}-{number}.png", number + 1
    taken.add(name)
    return name


def _item(item: Shelved, say: SayTerms) -> dict[str, Any]:
    """What a cell of the grid shows."""
    image = item.image
    return {
        "id": image.id,
        "job": image.job_id,
        "title": described(item.brief, say),
        "seed": image.seed,
        "width": image.width,
        "height": image.height,
        "starred": item.is_starred,
        "collection": item.collection,
        "sku": item.sku,
        "example": item.is_example,
    }


def _done(num: int) -> JSONResponse:
    return _fresh({"num": num})


def _fresh(answer: dict[str, Any]) -> JSONResponse:
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})
