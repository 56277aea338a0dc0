"""`Client`: the API from Python, in a few lines.

    with Client("http://127.0.0.1:7860", key="vitrine_…") as studio:
        job = studio.draw(subject="mug", color="red")
        studio.wait(job["id"])
        studio.save_pictures(job["id"], Path("pictures"))

Values are the JSON of the API as it is described at `/api/v1/openapi.json`. A POST is sent with an
idempotency key and, where the connection fails, sent again: it is carried out once. One that makes
a secret (a key, a webhook) is not sent again: see the list for whether it was made.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import httpx

Json = dict[str, Any]

LOOK_SECONDS = 0.5
"""How often a batch that is being checked is asked about."""

_TRIES = 4
_OVER = ("succeeded", "failed", "cancelled")


class ApiError(Exception):
    """The studio refused: `status`, and `problem`, whose `detail` says how to mend it."""

    def __init__(self, status: int, problem: Json) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or status))
        self.status = status
        self.problem = problem


class Client:
    """A connection to one studio. Not to be shared between threads."""

    def __init__(
        self,
        address: str,
        *,
        key: str | None = None,
        timeout_seconds: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(
            base_url=address.rstrip("/") + "/api/v1",
            headers=headers,
            timeout=timeout_seconds,
            transport=transport,
            trust_env=False,
        )

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Jobs

    def compose(self, **brief: Any) -> Json:
        """The prompt a brief becomes."""
        return self._post("/briefs/compose", brief)

    def check(self, **brief: Any) -> Json:
        """The request a brief asks for; `ApiError` where it cannot be drawn."""
        return self._post("/briefs/check", brief)

    def keep_sketch(self, picture: Path) -> str:
        """Send a sketch; the digest to name it by: `draw(subject="mug", sketch=digest)`."""
        files = [("file", (picture.name, picture.read_bytes()))]
        return str(self._post("/sketches", files=files)["sketch"])

    def draw(
        self,
        *,
        service_class: Literal["interactive", "bulk"] = "interactive",
        idempotency_key: str | None = None,
        **brief: Any,
    ) -> Json:
        """Queue a job: `draw(subject="mug", num_images=2)`."""
        sent = {"brief": brief, "service_class": service_class}
        return self._post("/jobs", sent, idempotency_key=idempotency_key)

    def job(self, job_id: str) -> Json:
        return self._get(f"/jobs/{job_id}")

    def jobs(self, *, status: Sequence[str] = (), limit: int = 100) -> Iterator[Json]:
        """All your jobs, newest first, page by page."""
        return self._pages("/jobs", {"status": list(status), "limit": limit})

    def cancel(
        self,
        job_id: str,
        mode: Literal["now", "after_picture", "skip"] = "now",
        *,
        index: int | None = None,
    ) -> Json:
        return self._post(f"/jobs/{job_id}/cancel", {"mode": mode, "index": index})

    def retry(self, job_id: str) -> Json:
        return self._post(f"/jobs/{job_id}/retry")

    def wait(self, job_id: str, timeout_seconds: float = 600.0) -> Json:
        """The job when it is over. Raises `TimeoutError`."""
        deadline = time.monotonic() + timeout_seconds
        while (job := self.job(job_id))["status"] not in _OVER:
            if time.monotonic() > deadline:
                raise TimeoutError(f"Job {job_id} is {job['status']} after {timeout_seconds:g} s.")
            time.sleep(0.2)
        return job

    def events(
        self, job_id: str | None = None, *, last_event_id: int | None = None
    ) -> Iterator[tuple[int | None, str, Json]]:
        """(id, name, data) of what happens, as it happens; of all jobs where none is named."""
        path = "/events" if job_id is None else f"/jobs/{job_id}/events"
        headers = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
        timeout = httpx.Timeout(30.0, read=60.0)
        with self._http.stream("GET", path, headers=headers, timeout=timeout) as answer:
            if answer.status_code >= 400:
                answer.read()
                raise _error(answer)
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if line and name in ("id", "event", "data"):
                    fields[name] = value
                elif not line and "event" in fields:
                    number = int(fields["id"]) if "id" in fields else None
                    yield number, fields["event"], json.loads(fields.get("data", "{}"))
                    fields = {}

    # Pictures

    def pictures(self, *, limit: int = 100) -> Iterator[Json]:
        """All your released pictures, newest first, page by page."""
        return self._pages("/pictures", {"limit": limit})

    def picture(self, picture_id: str) -> Json:
        return self._get(f"/pictures/{picture_id}")

    def picture_file(self, picture_id: str) -> bytes:
        """The PNG, byte for byte."""
        return self._sent("GET", f"/pictures/{picture_id}/file").content

    def save_pictures(self, job_id: str, folder: Path) -> list[Path]:
        """Write a job's released pictures into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for picture in self.job(job_id)["pictures"]:
            if picture["release"] == "released":
                path = folder / f"{picture['id']}.png"
                path.write_bytes(self.picture_file(picture["id"]))
                written.append(path)
        return written

    # Batches

    def upload_batch(
        self,
        table: Path,
        sketches: Sequence[Path] = (),
        *,
        idempotency_key: str | None = None,
        timeout_seconds: float = 600.0,
    ) -> Json:
        """Hand over a CSV or XLSX; the batch, checked and not started.

        Raises:
            TimeoutError: it is not checked by then; `batch` says how it stands.
        """
        files = [("file", (table.name, table.read_bytes()))]
        files += [("sketches", (each.name, each.read_bytes())) for each in sketches]
        batch = self._post("/batches", files=files, idempotency_key=idempotency_key)
        deadline = time.monotonic() + timeout_seconds
        while batch["status"] == "checking":
            if time.monotonic() > deadline:
                raise TimeoutError(f"The batch {batch['id']} is still being checked.")
            time.sleep(LOOK_SECONDS)
            batch = self.batch(batch["id"])
        return batch

    def batch(self, batch_id: str) -> Json:
        return self._get(f"/batches/{batch_id}")

    def batches(self, *, limit: int = 100) -> Iterator[Json]:
        return self._pages("/batches", {"limit": limit})

    def batch_rows(
        self, batch_id: str, *, state: Sequence[str] = (), limit: int = 100
    ) -> Iterator[Json]:
        """The rows of a batch in the order of the file."""
        return self._pages(f"/batches/{batch_id}/rows", {"state": list(state), "limit": limit})

    def do(
        self, batch_id: str, act: Literal["start", "pause", "resume", "cancel", "retry"]
    ) -> Json:
        """Start, pause, … a batch."""
        return self._post(f"/batches/{batch_id}/{act}")

    def delete_batch(self, batch_id: str) -> None:
        self._sent("DELETE", f"/batches/{batch_id}")

    def save_results(
        self,
        batch_id: str,
        path: Path,
        *,
        what: Literal["results.zip", "made.csv", "bad-rows.csv"] = "results.zip",
    ) -> Path:
        """Write the pictures, named by SKU, as a zip, or one of the tables."""
        with self._http.stream("GET", f"/batches/{batch_id}/{what}") as answer:
            if answer.status_code >= 400:
                answer.read()
                raise _error(answer)
            with path.open("wb") as file:
                for piece in answer.iter_bytes():
                    file.write(piece)
        return path

    # The rest

    def presets(self) -> Json:
        return self._get("/presets")

    def models(self) -> list[Json]:
        items: list[Json] = self._get("/models")["items"]
        return items

    def health(self) -> Json:
        return self._get("/health")

    def create_key(self, name: str, scopes: Sequence[str], *, days: int | None = 90) -> Json:
        """A new key; its `key` is told this once."""
        sent = {"name": name, "scopes": list(scopes), "days": days}
        return self._post("/keys", sent, makes_secret=True)

    def keys(self) -> list[Json]:
        items: list[Json] = self._get("/keys")["items"]
        return items

    def revoke_key(self, key_id: str) -> Json:
        found: Json = self._sent("DELETE", f"/keys/{key_id}").json()
        return found

    def create_webhook(self, url: str, events: Sequence[str]) -> Json:
        """A new webhook; its `secret` is told this once."""
        return self._post("/webhooks", {"url": url, "events": list(events)}, makes_secret=True)

    def webhooks(self) -> list[Json]:
        items: list[Json] = self._get("/webhooks")["items"]
        return items

    def delete_webhook(self, webhook_id: str) -> None:
        self._sent("DELETE", f"/webhooks/{webhook_id}")

    # How it is sent

    def _get(self, path: str, parameters: Mapping[str, Any] | None = None) -> Json:
        found: Json = self._sent("GET", path, params=parameters).json()
        return found

    def _post(
        self,
        path: str,
        sent: Json | None = None,
        *,
        files: Any = None,
        idempotency_key: str | None = None,
        makes_secret: bool = False,
    ) -> Json:
        headers = {"Idempotency-Key": idempotency_key or secrets.token_hex(16)}
        request = {"json": sent, "files": files, "headers": headers}
        found: Json = self._sent("POST", path, is_once=makes_secret, **request).json()
        return found

    def _pages(self, path: str, parameters: Json) -> Iterator[Json]:
        while True:
            page = self._get(path, parameters)
            yield from page["items"]
            if page["next_cursor"] is None:
                return
            parameters = parameters | {"cursor": page["next_cursor"]}

    def _sent(
        self, method: str, path: str, *, is_once: bool = False, **request: Any
    ) -> httpx.Response:
        """The answer; what fails on the way is sent again, unless it must go out once alone."""
        for attempt in range(1, _TRIES + 1):
            try:
                answer = self._http.request(method, path, **request)
            except httpx.TransportError:
                if attempt == _TRIES or is_once:
                    raise
                time.sleep(0.2 * 2**attempt)
                continue
            if answer.status_code != 429 or attempt == _TRIES:
                break
            time.sleep(min(10.0, float(answer.headers.get("Retry-After", 1))))
        if answer.status_code >= 400:
            raise _error(answer)
        return answer


def _error(answer: httpx.Response) -> ApiError:
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    return ApiError(answer.status_code, problem if isinstance(problem, dict) else {})
