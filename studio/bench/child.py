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
    """Which system a child is. `max_batch` 0 makes it the engine, else a pipeline in batches.

    `controlnets` are folders by kind, besides the engine's own; a pipeline with any follows the
    first. Whatever digest a control image has, it is `outline(*outline_size)`. With a
    `compile_backend` torch compiles the networks.
    """

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
    controlnets: dict[str, Path] = dataclasses.field(default_factory=dict)
    outline_size: tuple[int, int] = (0, 0)
    compile_backend: str = ""

    def load_control(self, digest: str) -> Pixels:
        """The control image of this name."""
        return outline(*self.outline_size)


def outline(height: int, width: int) -> Pixels:
    """A rectangle and what stands in it, white on black: `[height, width, 3]`."""
    import numpy as np

    image = np.zeros((height, width, 3), dtype=np.uint8)
    for inset in (8, 4):
        top, left, line = height // inset, width // inset, max(1, height // 128)
        image[top:-top, left:-left] = 255
        image[top + line : -top - line, left + line : -left - line] = 0
    return image


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
                spec.folder,
                precision=spec.precision,
                device=spec.device,
                controlnet=next(iter(spec.controlnets.values()), None),
                load_control=spec.load_control,
                compile_backend=spec.compile_backend,
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

    def arithmetic(
        self, size: tuple[int, int], num_steps: int, kinds: Sequence[str | None]
    ) -> dict[str, Any]:
        """The name of the `card`, the `ceiling` of the device in the engine's precision, in
        operations a second, and the `flops` of one picture by the kind of control image, `None`
        being none.
        """
        from studio.engine import ceiling

        model = self._model()
        limit = ceiling.ceiling(model.device, model.precision)
        known = [kind for kind in kinds if kind is None or kind in model.control_kinds]
        flops = {kind: ceiling.picture_flops(model, size, num_steps, kind) for kind in known}
        return {"card": ceiling.device_name(model.device), "ceiling": limit, "flops": flops}

    def recover(
        self, requests: Sequence[Request], num_callers: int, timeout: float
    ) -> dict[str, Any]:
        """What becomes of `requests` while memory is taken up to what one picture needs: the
        `run`, `taken_bytes` and `num_out_of_memory`.
        """
        from studio.engine.ballast import Ballast, bytes_to_leave

        assert self._engine is not None
        model, first = self._model(), requests[0]
        leave = bytes_to_leave(model, (first.height, first.width))
        before = self._engine.num_out_of_memory()
        ballast = Ballast(model.device)
        try:
            taken = ballast.fill(leave)
            run = self.play_closed(requests, num_callers, timeout)
        finally:
            ballast.drop()
        return {
            "run": run,
            "taken_bytes": taken,
            "num_out_of_memory": self._engine.num_out_of_memory() - before,
        }

    def _model(self) -> Model:
        """The engine's model, as torch runs it."""
        assert self._engine is not None
        model = self._engine.model
        assert model is not None
        return model

    def close(self) -> None:
        self._system.close()


def make_manager(spec: Spec, on_event: Callable[[Event], None]) -> Manager:
    """A manager that serves the folder of `spec` as `Studio` would."""

    def load(precision: str, report: Callable[[str], None]) -> Model:
        from studio.engine.model import load_model

        return load_model(
            spec.folder,
            precision=precision,
            device=spec.device,
            report=report,
            controlnets=spec.controlnets,
            is_compiled=bool(spec.compile_backend),
        )

    return Manager(
        load,
        on_event=on_event,
        precision=spec.precision,
        max_rows=spec.max_rows,
        load_control=spec.load_control,
        controlnets=spec.controlnets,
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
