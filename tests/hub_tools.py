"""A small hub: Hugging Face's HTTP protocol over files in memory, on a free port of this machine.

It speaks what a download needs (a model's information, its tree, its files with ranges) and the
hub's ways of refusing. Whatever is asked of it is written down.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_tests"


@dataclasses.dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]


@dataclasses.dataclass
class Hub:
    """`repos`: files by path, by `owner/name`. `breaks`: bytes sent before a connection breaks."""

    repos: dict[str, dict[str, bytes]]
    gated: frozenset[str] = frozenset()
    private: frozenset[str] = frozenset()
    status: int = 0
    breaks: list[int] = dataclasses.field(default_factory=list)
    damaged: frozenset[str] = frozenset()
    asked: list[Asked] = dataclasses.field(default_factory=list)
    address: str = ""

    def commit(self, repo: str) -> str:
        content = json.dumps({path: len(data) for path, data in self.repos[repo].items()})
        return hashlib.sha1(content.encode()).hexdigest()

    def files_asked(self) -> list[Asked]:
        return [asked for asked in self.asked if "/resolve/" in asked.path]


def folder_files(folder: Path) -> dict[str, bytes]:
    """What is in `folder`, as a repository."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@contextlib.contextmanager
def serving_hub(hub: Hub) -> Iterator[Hub]:
    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="hub")
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.hub.asked.append(Asked(self.command, path, headers))
        if self.hub.status:
            self._refuse(self.hub.status, "")
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self._info(match[1], match[2])
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/(.+)", path):
            self._tree(match[1])
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._file(match[1], match[3])
        else:
            self._refuse(404, "")

    do_HEAD = do_GET

    def _allows(self, repo: str) -> bool:
        if repo not in self.hub.repos:
            self._refuse(404, "RepoNotFound")
        elif self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        elif repo in self.hub.private:
            self._refuse(401, "RepoNotFound")
        else:
            return True
        return False

    def _info(self, repo: str, revision: str | None) -> None:
        if not self._allows(repo):
            return
        commit = self.hub.commit(repo)
        if revision not in (None, "main", "v1", commit):
            self._refuse(404, "RevisionNotFound")
            return
        self._answer(json.dumps({"id": repo, "modelId": repo, "sha": commit}).encode())

    def _tree(self, repo: str) -> None:
        if not self._allows(repo):
            return
        entries: list[dict[str, Any]] = [{"type": "directory", "path": "unet", "oid": "0" * 40}]
        for path, data in self.hub.repos[repo].items():
            blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            entry = {"type": "file", "path": path, "size": len(data), "oid": blob}
            if path.endswith(".safetensors"):
                oid = hashlib.sha256(data).hexdigest()
                entry["lfs"] = {"oid": oid, "size": len(data), "pointerSize": 130}
            entries.append(entry)
        self._answer(json.dumps(entries).encode())

    def _file(self, repo: str, path: str) -> None:
        # The hub lists a gated model to everybody, and gives its files to those who agreed.
        is_known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repo in self.hub.gated and not is_known:
            self._refuse(401 if "Authorization" not in self.headers else 403, "GatedRepo")
            return
        if not self._allows(repo):
            return
        if path not in self.hub.repos[repo]:
            self._refuse(404, "EntryNotFound")
            return
        data = self.hub.repos[repo][path]
        if path in self.hub.damaged:
            data = data[:-1] + bytes([data[-1] ^ 1])
        start = 0
        if match := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(match[1])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        body = data[start:]
        if self.hub.breaks and path.endswith(".safetensors"):
            body = body[: self.hub.breaks.pop(0)]
            self.close_connection = True
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: `Hub.asked` is the log."""
