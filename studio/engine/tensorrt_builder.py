"""One exported graph compiled into one TensorRT plan.

Networks are strongly typed: every type is the graph's own. Height and width are fixed and rows are
free, within *profiles*: for each the library tunes its kernels, and every number of rows lies in
one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from studio.engine import tensorrt_library
from studio.engine.plans import PlanRejected, Profile
from studio.engine.tensorrt_library import TENSORRT, Target

PROFILES: tuple[Profile, ...] = ((1, 2, 4), (5, 8, 16), (17, 24, 32))
"""One guided picture and its like; what a busy studio runs; the most an engine tries."""

MIN_PERCENT = 5
"""Of progress, between two reports."""


def build(
    graph: Path,
    target: Target,
    profiles: Sequence[Profile],
    *,
    timing_cache: Path | None = None,
    report: Callable[[str], None] = lambda _: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> memoryview:
    """The plan of `graph`, an ONNX file, for `target`; minutes for a large one.

    Where the library holds it, as it has gigabytes.

    On the card it is for, its weights can be changed later (a refit): without the card that cannot
    be prepared. `timing_cache` is read and written, and makes the next plan quicker; TensorRT-RTX,
    which times nothing, has no use for it.

    Raises:
        PlanRejected: the graph cannot be read or compiled, or `is_cancelled` came true.
    """
    library = tensorrt_library.load(target.flavour)
    complaints: list[str] = []
    logger = _logger(library, complaints)
    builder = library.Builder(logger)
    network = builder.create_network(0)
    parser = library.OnnxParser(network, logger)
    if not parser.parse_from_file(str(graph)):
        errors = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise PlanRejected(f"TensorRT cannot read {graph.name}: {'; '.join(errors) or 'no reason'}")
    config = builder.create_builder_config()
    # Alive until it is built.
    monitor = _monitor(library, _Progress(graph.stem, report, is_cancelled))
    config.progress_monitor = monitor
    if target.is_here:
        config.set_flag(library.BuilderFlag.REFIT)
    else:
        config.num_compute_capabilities = 1
        name = target.processor.upper()
        config.set_compute_capability(getattr(library.ComputeCapability, name), 0)
    for profile in profiles if has_rows(network) else ():
        config.add_optimization_profile(_profile(builder, network, profile))
    with _timing(config, timing_cache if target.flavour == TENSORRT else None):
        plan = builder.build_serialized_network(network, config)
    if is_cancelled():
        raise PlanRejected("The studio is closing.")
    if plan is None:
        raise PlanRejected(
            f"TensorRT cannot compile {graph.name}: {(complaints or ['no reason given'])[0]}"
        )
    return memoryview(plan)


def has_rows(network: Any) -> bool:
    """Whether its first dimension is free."""
    return any(network.get_input(index).shape[0] == -1 for index in range(network.num_inputs))


def _profile(builder: Any, network: Any, profile: Profile) -> Any:
    made = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        port = network.get_input(index)
        rest = tuple(port.shape)[1:]
        made.set_shape(port.name, *((num_rows, *rest) for num_rows in profile))
    return made


@contextlib.contextmanager
def _timing(config: Any, path: Path | None) -> Iterator[None]:
    """Build with what earlier builds measured, and keep what this one does."""
    if path is None:
        yield
        return
    kept = path.read_bytes() if path.exists() else b""
    cache = config.create_timing_cache(kept) or config.create_timing_cache(b"")
    if cache is not None:
        config.set_timing_cache(cache, False)
    yield
    measured = config.get_timing_cache()
    if measured is not None:
        new = path.with_suffix(".new")
        new.write_bytes(bytes(measured.serialize()))
        new.rename(path)


def _logger(library: Any, complaints: list[str]) -> Any:
    """A logger that keeps errors in `complaints`."""

    def log(_: object, severity: Any, message: str) -> None:
        if severity in (library.Logger.ERROR, library.Logger.INTERNAL_ERROR):
            complaints.append(message.strip())

    return _made(library.ILogger, log=log)


class _Progress:
    """Tells of the outermost phase of a build, and stops it when it is given up."""

    def __init__(
        self, what: str, report: Callable[[str], None], is_cancelled: Callable[[], bool]
    ) -> None:
        self._what, self._report, self._is_cancelled = what, report, is_cancelled
        self._num_steps: dict[str, int] = {}
        self._outermost = ""
        self._told = 0

    def start(self, _: object, phase: str, parent: str | None, num_steps: int) -> None:
        if not parent:
            self._outermost, self._told = phase, 0
            self._report(f"compiling {self._what}")
        self._num_steps[phase] = max(1, num_steps)

    def step(self, _: object, phase: str, step: int) -> bool:
        percent = 100 * (step + 1) // self._num_steps.get(phase, 1)
        if phase == self._outermost and percent >= self._told + MIN_PERCENT:
            self._told = percent
            self._report(f"compiling {self._what}, {min(percent, 100)} %")
        return not self._is_cancelled()

    def finish(self, _: object, phase: str) -> None:
        self._num_steps.pop(phase, None)


def _monitor(library: Any, progress: _Progress) -> Any:
    return _made(
        library.IProgressMonitor,
        phase_start=lambda *told: progress.start(*told),
        step_complete=lambda *told: progress.step(*told),
        phase_finish=lambda *told: progress.finish(*told),
    )


def _made(base: Any, **methods: Callable[..., Any]) -> Any:
    """One object of a class that answers the library's calls with `methods`."""

    def init(this: Any) -> None:
        base.__init__(this)

    return type(base.__name__.removeprefix("I"), (base,), {"__init__": init, **methods})()
