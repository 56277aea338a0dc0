"""Pictures: what is known of them, and their files. Held ones are there for nobody."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import FileResponse

from studio.api.door import Door
from studio.api.jobs import Cursor, Limit
from studio.api.schemas.base import Page
from studio.api.schemas.picture import PictureOut
from studio.api_key import Scope
from studio.application import Studio
from studio.errors import NotFound
from studio.person import Person


def pictures_router(studio: Studio, door: Door) -> APIRouter:
    router = APIRouter(tags=["pictures"])
    reads = door.may(Scope.PICTURES_READ)

    @router.get("/pictures", summary="Your released pictures, newest first")
    def list_pictures(
        limit: Limit = 20, cursor: Cursor = None, person: Person = reads
    ) -> Page[PictureOut]:
        images = studio.images(person.name, limit=limit + 1, before=cursor)
        following = images[limit - 1].id if len(images) > limit else None
        return Page(items=[PictureOut.of(each) for each in images[:limit]], next_cursor=following)

    @router.get("/pictures/{picture_id}", summary="One picture")
    def get_picture(picture_id: str, person: Person = reads) -> PictureOut:
        return PictureOut.of(studio.image(picture_id, person.name)[0])

    @router.get(
        "/pictures/{picture_id}/file",
        summary="A picture's file",
        response_class=FileResponse,
        responses={
            200: {
                "description": "The PNG, byte for byte as it was made; it says what made it",
                "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )
    def get_picture_file(picture_id: str, person: Person = reads) -> FileResponse:
        record, path = studio.image(picture_id, person.name)
        if not path.is_file():
            raise NotFound("The file of this picture is gone: draw it again with the same seed.")
        studio.audit.note(person, "picture.download", picture_id)
        headers = {"Cache-Control": "private, no-cache", "ETag": f'"{record.digest}"'}
        return FileResponse(path, media_type="image/png", headers=headers)

    return router
