"""`/admin/audit`: who did what, searched and handed out, for admins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated
from urllib.parse import urlencode

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response, StreamingResponse

from studio.application import Studio
from studio.audit_search import conditions, csv_lines, json_lines
from studio.errors import BadInput
from studio.pages.frame import framed
from studio.person import Role
from studio.who import person_of

NUM_SHOWN = 100

Text = Annotated[str, Query(max_length=200)]


def add_audit(app: FastAPI, studio: Studio) -> None:
    """Add the routes to the app."""

    @app.get("/admin/audit")
    def show(
        request: Request,
        actor: Text = "",
        act: Text = "",
        text: Text = "",
        since: Text = "",
        until: Text = "",
        before: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    ) -> Response:
        person_of(request).require(Role.ADMIN)
        asked = {"actor": actor, "act": act, "text": text, "since": since, "until": until}
        query = urlencode({name: value for name, value in asked.items() if value})
        refusal, entries = "", []
        try:
            entries = studio.audit.entries(**conditions(**asked), limit=NUM_SHOWN, before=before)
        except BadInput as error:
            refusal = str(error)
        older = ""
        if len(entries) == NUM_SHOWN:
            older = f"{query}&before={entries[-1].number}"
        return framed(
            request,
            studio,
            "audit",
            "/admin/audit",
            status=422 if refusal else 200,
            refusal=refusal,
            asked=asked,
            entries=entries,
            acts=studio.audit.acts(),
            query=query,
            older=older,
        )

    @app.get("/admin/audit.{kind}")
    def export(
        request: Request,
        kind: str,
        actor: Text = "",
        act: Text = "",
        text: Text = "",
        since: Text = "",
        until: Text = "",
    ) -> Response:
        """Everything that was found, written while it is read."""
        by = person_of(request)
        by.require(Role.ADMIN)
        if kind not in ("csv", "json"):
            raise BadInput("The audit is handed out as audit.csv or audit.json.")
        asked = {"actor": actor, "act": act, "text": text, "since": since, "until": until}
        query = urlencode({name: value for name, value in asked.items() if value})
        chosen = conditions(**asked)
        studio.audit.note(by, "audit.export", kind, asked=query)
        entries = studio.audit.all_entries(**chosen)
        lines: Iterator[str] = csv_lines(entries) if kind == "csv" else json_lines(entries)
        media = "text/csv; charset=utf-8" if kind == "csv" else "application/json"
        headers = {
            "Content-Disposition": f'attachment; filename="vitrine-audit.{kind}"',
            "Cache-Control": "no-store",
        }
        return StreamingResponse(lines, media_type=media, headers=headers)
