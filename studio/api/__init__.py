"""The API under `/api/v1`: everything the page can do, for programs.

    Guard ─▶ (who asks) ─▶ Idempotency ─▶ Door: scope, role, pace ─▶ a router ─▶ Studio

An app of its own, mounted by the server, so that every error in it, whoever meets it, leaves as
problem details, and its description is its own. It goes through the same `Studio` as the page.
"""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from starlette.routing import Mount

from studio import __version__
from studio.api.batches import batches_router
from studio.api.door import Door
from studio.api.house import house_router
from studio.api.idempotency import Idempotency
from studio.api.jobs import jobs_router
from studio.api.keys import keys_router
from studio.api.pictures import pictures_router
from studio.api.problems import PROBLEM_RESPONSES, Problem, add_problem_handlers
from studio.api.reading import render_reading
from studio.api.streams import streams_router
from studio.api.webhooks import webhooks_router
from studio.application import Studio

PREFIX = "/api/v1"

_DESCRIPTION = """\
Product pictures from four fields, one at a time or a table of thousands at once.

Ask with `Authorization: Bearer KEY`; on the studio's own machine, while it has no accounts, no key
is needed. Errors are problem details (RFC 9457) whose `detail` says how to mend. A `POST` sent with
an `Idempotency-Key` may be sent again within a day and is carried out once. Lists are paged: send
`next_cursor` back as `cursor`.
"""


def create_api(studio: Studio) -> FastAPI:
    """The API over an open studio, to be mounted at `PREFIX`."""
    api = FastAPI(
        title="Vitrine",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        responses=PROBLEM_RESPONSES,
        servers=[{"url": PREFIX}],
        root_path_in_servers=False,
        redirect_slashes=False,
    )
    door = Door(studio)
    add_problem_handlers(api)
    api.add_middleware(Idempotency, answers=studio.kept_answers, who=door.who)
    for build in (
        jobs_router,
        streams_router,
        pictures_router,
        batches_router,
        house_router,
        keys_router,
        webhooks_router,
    ):
        api.include_router(build(studio, door))

    @api.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(render_reading(api.openapi()))

    api.openapi = lambda: _described(api)  # type: ignore[method-assign]
    return api


def api_mount(studio: Studio) -> Mount:
    """The API under its prefix, whatever stands after it."""
    mount = Mount(PREFIX, create_api(studio))
    # In Starlette's own pattern a line break, which an address may hold, leads past the mount.
    mount.path_regex = re.compile(mount.path_regex.pattern, re.DOTALL)
    return mount


def _described(api: FastAPI) -> dict[str, Any]:
    """The description, with what FastAPI cannot know: problem details, and how keys are shown."""
    if api.openapi_schema is None:
        described = get_openapi(
            title=api.title,
            version=api.version,
            description=api.description,
            routes=api.routes,
            servers=api.servers,
        )
        components = described.setdefault("components", {})
        components.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{"key": []}, {}]
        api.openapi_schema = described
    return api.openapi_schema
