"""`Tracing`: one span per stage of a job, for whoever collects traces. Off unless asked for.

    job ┬ waiting
        ├ denoising, decoding, screening   (of picture 0)
        └ denoising, decoding, screening   (of picture 1) …

The only door of `opentelemetry`. Where spans go is said by `VITRINE_TRACES`: "otlp" sends them to a
collector (the extra `traces`, and OpenTelemetry's own variables say where), a path appends them to
that file, one JSON object a line. Spans carry ids, sizes and counts; no words a person typed.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import __version__
from studio.errors import BadConfig

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

OTLP = "otlp"

Attributes = Mapping[str, str | int | float | bool]


class Tracing:
    """Spans of jobs, handed to `exporter`. Safe to use from any thread.

    Times are Unix seconds, since a stage is known when it is over.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource = Resource.create({"service.name": "vitrine", "service.version": __version__})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("studio")
        self._lock = threading.Lock()
        self._jobs: dict[str, Any] = {}

    @classmethod
    def to(cls, target: str) -> Tracing | None:
        """Tracing to "otlp" or a file; `None` for an empty target.

        Raises:
            BadConfig: the exporter is not installed, or the file cannot be written.
        """
        return cls(exporter_for(target)) if target else None

    def begin(self, job_id: str, at: float, attributes: Attributes) -> None:
        """A job was queued."""
        span = self._tracer.start_span(
            "job", start_time=_nanoseconds(at), attributes={"job.id": job_id, **attributes}
        )
        with self._lock:
            self._jobs[job_id] = span

    def stage(
        self, job_id: str, name: str, began: float, ended: float, **attributes: str | int | float
    ) -> None:
        """A stage of a job is over; nothing for a job that was not begun here."""
        from opentelemetry import trace

        with self._lock:
            parent = self._jobs.get(job_id)
        if parent is None:
            return
        span = self._tracer.start_span(
            name,
            context=trace.set_span_in_context(parent),
            start_time=_nanoseconds(began),
            attributes={"job.id": job_id, **attributes},
        )
        span.end(_nanoseconds(ended))

    def end(self, job_id: str, outcome: str, message: str = "") -> None:
        """A job is over."""
        from opentelemetry.trace import Status, StatusCode

        with self._lock:
            span = self._jobs.pop(job_id, None)
        if span is None:
            return
        span.set_attribute("job.outcome", outcome)
        if outcome == "failed":
            span.set_status(Status(StatusCode.ERROR, message))
        span.end(_nanoseconds(time.time()))

    def close(self) -> None:
        """Hand over what is finished; what is not is lost."""
        self._provider.shutdown()


def exporter_for(target: str) -> SpanExporter:
    """What carries spans to `target`; see `Tracing.to`."""
    if target != OTLP:
        return _file_exporter(Path(target).expanduser())
    try:
        module = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ImportError as error:
        raise BadConfig(
            "VITRINE_TRACES is otlp, and the exporter is not installed: "
            "`pip install 'vitrine-studio[traces]'`."
        ) from error
    exporter: SpanExporter = module.OTLPSpanExporter()
    return exporter


def _file_exporter(path: Path) -> SpanExporter:
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class FileExporter(SpanExporter):
        """Appends spans to a file, one JSON object a line."""

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            try:
                with path.open("a", encoding="utf-8") as file:
                    file.writelines(_line(span) + "\n" for span in spans)
            except OSError:
                return SpanExportResult.FAILURE
            return SpanExportResult.SUCCESS

    try:
        with path.open("a", encoding="utf-8"):
            pass
    except OSError as error:
        raise BadConfig(
            f"The file {path} of VITRINE_TRACES cannot be written ({error.strerror}): choose "
            "another, or leave it empty."
        ) from error
    return FileExporter()


def _line(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    started, ended = (span.start_time or 0) / 1e9, (span.end_time or 0) / 1e9
    return json.dumps(
        {
            "name": span.name,
            "trace_id": f"{context.trace_id:032x}",
            "span_id": f"{context.span_id:016x}",
            "parent_id": None if span.parent is None else f"{span.parent.span_id:016x}",
            "started_at": started,
            "seconds": round(ended - started, 6),
            "status": span.status.status_code.name.lower(),
            "attributes": dict(span.attributes or {}),
        },
        ensure_ascii=False,
    )


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
