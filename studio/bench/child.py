"""A system in a process of its own, so that its memory and its threads are its own alone.

    parent ── (method, arguments) ─▶ child ── result, or the sentence of an error ─▶ parent

One child works at a time; the others sleep. The child knows what kind of system it is from a
`Spec`, and plays loads to it.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import psutil

from studio.bench.baselines import PipelineSystem, best_batch
from studio.bench.engine_system import EngineSystem
from studio.bench.loads import Arrival, play_closed, play_open
from studio.bench.trace import Run
from studio.engine.manager import Manager
from studio.errors import GenerationFailed, StudioError
from studio.events import Event, Pixels
from studio.request import Request

if TYPE_CHECKING:
    from studio.engine.model import Model

MEMORY_INTERVAL_SECONDS = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """Which system a child is. `max_batch` 0 makes it the engine, else a pipeline in batches."""

    name: str
    folder: Path
    precision: str
    num_threads: int
    device: str = "cpu"
    max_batch: int = 0
    window_seconds: float = 0.0
    has_previews: bool = False
    backend: str = "torch"
    cache_dir: Path | None = None
    max_rows: int = 0


class ResidentMemory:
    """The peak of this process's resident memory, looked at ten times a second."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None
        self._peak = 0

    def start(self) -> None:
        self._peak = int(self._process.memory_info().rss)
        self._is_over.clear()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        self._is_over.set()
        if self._thread is not None:
            self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._is_over.wait(MEMORY_INTERVAL_SECONDS):
            self._peak = max(self._peak, int(self._process.memory_info().rss))


class Child:
    """The parent's handle; a context. Errors in the child are raised here as `GenerationFailed`."""

    def __init__(self, spec: Spec) -> None:
        context = multiprocessing.get_context("spawn")
        self.spec = spec
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_main, args=(spec, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pipe.close()
        self._process.join(30.0)
        if self._process.is_alive():
            self._process.kill()

    def call(self, method: str, *arguments: object, **options: object) -> Any:
        """The result of a method of `Server` in the child."""
        try:
            self._pipe.send((method, arguments, options))
            is_result, value = self._pipe.recv()
        except (EOFError, ConnectionError) as error:
            raise GenerationFailed(f"The process of {self.spec.name} died.") from error
        if not is_result:
            raise GenerationFailed(f"{self.spec.name}: {value}")
        return value


class Server:
    """What a child can be asked. Built in the child, as its libraries are loaded there."""

    def __init__(self, spec: Spec) -> None:
        from studio.engine.baselines import FieldPipeline, peak_device_bytes

        self._spec = spec
        self._memory = ResidentMemory()
        self._engine: EngineSystem | None = None
        self._pipeline: FieldPipeline | None = None
        if spec.max_batch:
            self._pipeline = FieldPipeline(
                spec.folder, precision=spec.precision, device=spec.device
            )
            self._system: EngineSystem | PipelineSystem = PipelineSystem(
                self._pipeline,
                max_batch=spec.max_batch,
                window_seconds=spec.window_seconds,
                has_previews=spec.has_previews,
                device_bytes=peak_device_bytes,
            )
        else:
            self._engine = EngineSystem(partial(make_manager, spec), device_bytes=peak_device_bytes)
            self._system = self._engine

    def settle(self, timeout_seconds: float) -> dict[str, str | int]:
        """What runs, once the engine has settled on a backend."""
        if self._engine is None:
            return {"backend": "diffusers", "precision": self._spec.precision}
        health = self._engine.wait_until_settled(self._spec.backend, timeout_seconds)
        return {
            "backend": health.backend,
            "precision": health.precision,
            "max_rows": health.max_rows,
        }

    def play_closed(self, requests: Sequence[Request], num_callers: int, timeout: float) -> Run:
        return play_closed(
            self._system,
            requests,
            num_callers=num_callers,
            memory=self._memory,
            timeout_seconds=timeout,
        )

    def play_open(self, arrivals: Sequence[Arrival], timeout: float) -> Run:
        return play_open(self._system, arrivals, memory=self._memory, timeout_seconds=timeout)

    def best_batch(self, request: Request) -> dict[int, float]:
        assert self._pipeline is not None
        return best_batch(self._pipeline, request)

    def draw(self, request: Request) -> Pixels:
        """The picture of a request, to see that all systems draw the same."""
        if self._pipeline is not None:
            return self._pipeline.draw([request])[0]
        assert self._engine is not None
        return self._engine.draw(request)

    def steps_after_cancel(self, request: Request) -> int:
        assert self._engine is not None
        return self._engine.steps_after_cancel(request)

    def close(self) -> None:
        self._system.close()


def make_manager(spec: Spec, on_event: Callable[[Event], None]) -> Manager:
    """A manager that serves the folder of `spec` as `Studio` would."""

    def load(precision: str, report: Callable[[str], None]) -> Model:
        from studio.engine.model import load_model

        return load_model(spec.folder, precision=precision, device=spec.device, report=report)

    return Manager(
        load,
        on_event=on_event,
        precision=spec.precision,
        max_rows=spec.max_rows,
        backend=spec.backend,
        folder=spec.folder,
        cache_dir=spec.cache_dir,
    )


def _main(spec: Spec, pipe: Connection) -> None:
    # Read when the libraries are first imported; the same for every system.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(spec.num_threads)
    server: Server | None = None
    while True:
        try:
            method, arguments, options = pipe.recv()
        except EOFError:
            break
        try:
            if server is None:
                server = Server(spec)
            answer = (True, getattr(server, method)(*arguments, **options))
        except StudioError as error:
            answer = (False, str(error))
        except Exception as error:
            answer = (False, f"{type(error).__name__}: {error}")
        pipe.send(answer)
    if server is not None:
        server.close()
