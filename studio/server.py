"""The studio over HTTP: the page at `/`, pictures and previews by id, `/healthz`.

Pictures leave through the routes here and nowhere else, so that one place decides who may see
what. Errors of the studio become a status and `{"error": sentence}` here. What goes through
Gradio's own routes is small and short; see `guard` for what is refused before it gets anywhere, and
`gate` and `access` for who gets where.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from types import FrameType

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from studio.access import check_rules
from studio.api import api_mount
from studio.application import Studio
from studio.config import Config
from studio.create_routes import add_create_routes
from studio.engine.manager import State
from studio.errors import BadConfig, NotFound, PortInUse, StudioError, Unavailable
from studio.file_names import slug
from studio.gallery_routes import add_gallery_routes
from studio.gate import Gate
from studio.guard import MAX_BODY_BYTES, Guard
from studio.logs import logging_to
from studio.moderation_routes import add_moderation_routes
from studio.pages.account import add_account
from studio.pages.admin import add_admin
from studio.pages.audit import add_audit
from studio.pages.sign_in import add_sign_in
from studio.ui.page import build_page, page_looks
from studio.ui.speech import say_for
from studio.ui.told import told
from studio.watch_routes import add_watch_routes
from studio.who import is_signed_in, person_of

LOG_FILE = "logs/studio.jsonl"
"""Where log lines go unless told otherwise, in the data folder."""

SHUTDOWN_SECONDS = 2
"""How long open connections are waited for. The page holds one open all the time."""


def create_app(studio: Studio) -> FastAPI:
    """The whole HTTP face over an open studio."""
    app = FastAPI(title="Vitrine", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Gate, people=studio.people)
    app.add_middleware(  # the last one added is the first a request meets
        Guard, allowed_hosts=_own_hosts(studio.config), is_local=studio.config.is_local
    )
    app.add_exception_handler(StudioError, _answer_error)

    # Plain functions: the store and the disk are waited for in a thread, not in the event loop.

    @app.get("/healthz")
    def healthz(request: Request) -> JSONResponse:
        return _health(studio, is_known=is_signed_in(request))

    @app.get("/pictures/{image_id}.png")
    def picture(request: Request, image_id: str, download: bool = False) -> Response:
        owner = person_of(request).name
        record, path = studio.image(image_id, owner)
        if not path.is_file():
            raise NotFound("The file of this picture is gone: draw it again with the same seed.")
        # Kept by the browser, and asked about each time: it may have been hidden since.
        headers = {"Cache-Control": "private, no-cache", "ETag": f'"{record.digest}"'}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        name = None
        if download:
            studio.audit.note(person_of(request), "picture.download", image_id)
            name = f"{slug(studio.job(record.job_id, owner).brief)}-{record.seed}.png"
        return FileResponse(
            path,
            media_type="image/png",
            filename=name,
            headers=headers,
        )

    @app.get("/previews/{job_id}/{index}.png")
    def preview(request: Request, job_id: str, index: str) -> Response:
        owner = person_of(request).name
        if not re.fullmatch(r"[0-9]{1,4}", index):
            raise NotFound("There is no such preview.")
        headers = {"Cache-Control": "no-store"}
        studio.job(job_id, owner)
        try:
            content = studio.preview(job_id, int(index), owner)
        except NotFound:  # not begun, or just finished: no fault of the page that asks
            return Response(status_code=204, headers=headers)
        return Response(content, media_type="image/png", headers=headers)

    add_create_routes(app, studio)
    add_gallery_routes(app, studio)
    add_watch_routes(app, studio)
    app.router.routes.append(api_mount(studio))
    add_moderation_routes(app, studio)

    # Whatever else is asked for below these names must not reach Gradio's file routes.
    @app.get("/pictures/{rest:path}")
    @app.get("/previews/{rest:path}")
    @app.get("/drafts/{rest:path}")
    @app.get("/sketches/{rest:path}")
    @app.get("/api/{rest:path}")
    def nothing(rest: str) -> Response:
        raise NotFound("There is no such picture.")

    add_sign_in(app, studio)
    add_account(app, studio)
    add_admin(app, studio)
    add_audit(app, studio)
    _mounted(app, studio)
    check_rules(app)
    return app


def serve(config: Config, *, tell: Callable[[str], None] | None = None) -> None:
    """Serve until Ctrl-C or SIGTERM. `tell` is given the address once it answers.

    Raises:
        PortInUse: somebody else listens there.
        SetupError: the studio cannot start as configured.
    """
    say = tell or (lambda line: print(line, file=sys.stderr, flush=True))
    with (
        listen(config.host, config.port) as listener,
        _logging(config),
        Studio.open(config, is_started=False) as studio,
    ):
        _check_accounts(studio)
        server = _Server(uvicorn_config(create_app(studio), config.trusted_proxies), studio)
        studio.start()  # after the page is built: loading takes the interpreter from it
        address = f"http://{_in_url(config.host)}:{listener.getsockname()[1]}"
        say(f"Vitrine is at {address} (Ctrl-C stops it).")
        # uvicorn answers both signals by closing its connections, then raises them again: as an
        # exception, so that the studio closes too and puts what was running back in its queue.
        before = signal.signal(signal.SIGTERM, _stop)
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            pass
        finally:
            signal.signal(signal.SIGTERM, before)


def _logging(config: Config) -> AbstractContextManager[None]:
    """Log lines, to where the settings say."""
    if config.log_file:
        return logging_to(config.log_file, config.log_level)
    path = config.data_dir / LOG_FILE
    return logging_to(path, config.log_level, folder=config.data_dir)


def _check_accounts(studio: Studio) -> None:
    """Where others can reach the studio it must know them."""
    if not studio.config.is_local and not studio.people.has_accounts:
        raise BadConfig(
            f"The studio has no accounts, so it serves only this machine, and {studio.config.host} "
            "is not a loopback address: make one with `studio users add NAME`, or use 127.0.0.1."
        )


def _own_hosts(config: Config) -> tuple[str, ...]:
    return (*config.allowed_hosts, config.host)


class _Server(uvicorn.Server):
    """Asked to stop by SIGTERM it first drains the studio, and goes on answering meanwhile.

    A second signal, and Ctrl-C, end it at once.
    """

    def __init__(self, config: uvicorn.Config, studio: Studio) -> None:
        super().__init__(config)
        self._studio = studio
        self._drains: threading.Thread | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig != signal.SIGTERM or self._drains or not self._studio.config.drain_seconds:
            super().handle_exit(sig, frame)
            return

        def drain() -> None:
            try:
                self._studio.drain()
            finally:
                uvicorn.Server.handle_exit(self, sig, frame)

        self._drains = threading.Thread(target=drain, name="drain", daemon=True)
        self._drains.start()


def uvicorn_config(
    app: FastAPI, trusted_proxies: Sequence[str] = ("127.0.0.1", "::1")
) -> uvicorn.Config:
    """How the app is run; the tests run it the same way.

    `trusted_proxies` may say for which address, and by which scheme, they ask.
    """
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=list(trusted_proxies),
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        limit_concurrency=512,
        ws="none",
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on the address; 0 takes any free port.

    Raises:
        PortInUse: another program listens there.
        BadConfig: the address cannot be used on this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise BadConfig(f"The address {host} cannot be used ({error}): use 127.0.0.1.") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)  # now, not when the app is built: two studios must not both go on
    except PermissionError as error:
        listener.close()
        raise BadConfig(
            f"Port {port} is reserved for the system: choose one above 1023 with --port."
        ) from error
    except OSError as error:
        listener.close()
        raise PortInUse(
            f"Port {port} on {host} is in use by another program: stop it, or choose another port "
            "with --port."
        ) from error
    return listener


def _mounted(app: FastAPI, studio: Studio) -> None:
    """Put the page at `/`."""

    async def mount() -> None:
        gr.mount_gradio_app(
            app,
            build_page(studio),
            path="/",
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            show_error=False,
            ssr_mode=False,
            max_file_size=MAX_BODY_BYTES,
            blocked_paths=[str(studio.config.data_dir.absolute())],
            **page_looks(),
        )

    # Outside a running event loop every lock that gradio makes leaves an unclosed loop behind. A
    # thread of its own, as the caller may have a loop that must not be waited for.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(mount())).result()


def _health(studio: Studio, *, is_known: bool) -> JSONResponse:
    """What a watchdog needs; who is signed in is told more."""
    health = studio.health
    headers = {"Cache-Control": "no-store"}
    if health.is_ready and not is_known:
        return JSONResponse({"status": "ready"}, headers=headers)
    if health.is_ready:
        facts: dict[str, object] = {
            "model": health.model,
            "model_digest": health.model_digest,
            "backend": health.backend,
            "precision": health.precision,
            "step_seconds": round(health.step_seconds, 4),
            "num_active_jobs": studio.num_active(),
        }
        if health.no_plan:
            facts["no_plan"] = health.no_plan
        if health.note:
            facts["note"] = health.note
        if (seconds := studio.seconds_of_work()) is not None:
            facts["seconds_of_work"] = round(seconds, 1)
        return JSONResponse({"status": "ready", **facts}, headers=headers)
    over = (State.FAILED, State.STOPPED)
    status = str(health.state) if health.state in over else "warming"
    message = {"message": health.message} if is_known else {}
    return JSONResponse({"status": status, **message}, 503, headers=headers)


async def _answer_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StudioError)
    headers = {"Cache-Control": "no-store"}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(max(1, round(error.retry_after_seconds)))
    return JSONResponse(
        {"error": told(error, say_for(request))}, error.http_status, headers=headers
    )


def _stop(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
