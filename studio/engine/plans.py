"""`Plan`: which graphs are compiled for what, found again by its key; and how one comes to serve.

A plan holds no machine code: compiling takes OpenVINO less time than reading its own cache back
would save. What is kept is what is dear: the graphs, the answers of torch to check them by, and
which precision won on this processor. Everything is looked over when it is loaded; what is damaged
is made anew. The work itself is `trial`'s, in a process of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.util
import json
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from studio.errors import StudioError

if TYPE_CHECKING:
    from studio.engine.model import Model

FORMAT = 1
MAX_CACHE_BYTES = 8 * 2**30
POLL_SECONDS = 0.1
SCRATCH, MAX_TRIAL_SECONDS = ".trial-", 24 * 3600.0

FACTS, REFERENCE = "plan.json", "reference.safetensors"
NONE: Mapping[str, Path] = MappingProxyType({})

Size = tuple[int, int]


class PlanRejected(StudioError):
    """There is no plan to serve with; torch goes on. The message says why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What decides what is compiled. `precision` is the one asked for, or "auto".

    `digest` is the model's; `controlnets` are pairs of kind and digest. `torch_precision` is what
    it has to beat. Nothing in it tells where anything lies on this machine.
    """

    digest: str
    family: str
    height: int
    width: int
    backend: str
    precision: str
    torch_precision: str
    library: str
    processor: str
    controlnets: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """Names it; another for every other plan."""
        return _key(dataclasses.asdict(self))

    @property
    def graphs_key(self) -> str:
        """Names its graphs, which other backends and processors may share."""
        from studio.engine.export import FORMAT as GRAPHS

        facts = (self.digest, self.controlnets, self.height, self.width, GRAPHS)
        return _key({"facts": facts})

    def at(self, size: Size) -> Plan:
        """The same for pictures of another (height, width)."""
        return dataclasses.replace(self, height=size[0], width=size[1])


@dataclasses.dataclass(frozen=True)
class Entry:
    """A plan that passed its trial. `bounds` are what its answers may differ from torch's."""

    precision: str
    bounds: Mapping[str, float]
    graphs: Path
    reference: Path


class PlanCache:
    """The folder plans are kept in; whole entries only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def graphs(self, plan: Plan) -> Path:
        """Where its graphs are, or will be."""
        return self.folder / f"graphs-{plan.graphs_key}"

    def load(self, plan: Plan) -> Entry | None:
        """The entry, if it is there and every file of it unharmed; else it is removed."""
        from studio.engine.export import file_digest

        folder, graphs = self.folder / f"plan-{plan.key}", self.graphs(plan)
        try:
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            is_whole = (
                facts["format"] == FORMAT
                and facts["reference"] == file_digest(folder / REFERENCE)
                and self.has_graphs(plan)
            )
            entry = Entry(str(facts["precision"]), facts["bounds"], graphs, folder / REFERENCE)
        except (OSError, ValueError, TypeError, KeyError):
            is_whole = False
        if not is_whole:
            shutil.rmtree(folder, ignore_errors=True)
            return None
        (folder / FACTS).touch()
        return entry

    def has_graphs(self, plan: Plan) -> bool:
        """Whether its graphs are there and unharmed; harmed ones are removed."""
        from studio.engine.export import read_manifest

        graphs = self.graphs(plan)
        if read_manifest(graphs) is None:
            shutil.rmtree(graphs, ignore_errors=True)
            return False
        return True

    def save(self, plan: Plan, facts: Mapping[str, Any], reference: Path) -> None:
        """Keep what the trial of `plan` found; `reference` is moved in."""
        from studio.engine.export import file_digest

        folder = self.folder / f"plan-{plan.key}"
        with tempfile.TemporaryDirectory(dir=reference.parent) as name:
            made = Path(name) / "plan"
            made.mkdir()
            reference.rename(made / REFERENCE)
            known = {
                "format": FORMAT,
                "plan": dataclasses.asdict(plan),
                "reference": file_digest(made / REFERENCE),
            }
            (made / FACTS).write_text(json.dumps(known | dict(facts), indent=1), encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)

    def prune(self, keep: Sequence[Plan], max_bytes: int = MAX_CACHE_BYTES) -> None:
        """Remove the oldest entries that are none of `keep` until the rest fits `max_bytes`.

        And what a trial left behind whose studio was killed.
        """
        for left in self.folder.glob(f"{SCRATCH}*"):
            if time.time() - left.stat().st_mtime > MAX_TRIAL_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        kept = {f"plan-{plan.key}" for plan in keep} | {self.graphs(plan).name for plan in keep}
        ages: list[tuple[float, int, Path]] = []
        for folder in (*self.folder.glob("plan-*"), *self.folder.glob("graphs-*")):
            stats = [path.stat() for path in folder.iterdir()]
            newest = max((stat.st_mtime for stat in stats), default=0.0)
            ages.append((newest, sum(stat.st_size for stat in stats), folder))
        total = sum(num_bytes for _, num_bytes, _ in ages)
        for _, num_bytes, folder in sorted(ages):
            if total > max_bytes and folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)
                total -= num_bytes


def is_openvino_installed() -> bool:
    """Without importing it."""
    return importlib.util.find_spec("openvino") is not None


def build_openvino(
    model: Model,
    *,
    folder: Path,
    cache_dir: Path,
    sizes: Sequence[Size],
    report: Callable[[str], None] = lambda _: None,
    is_cancelled: Callable[[], bool] = lambda: False,
    precision: str = "auto",
    controlnets: Mapping[str, Path] = NONE,
) -> Model:
    """`model`, which torch runs, as OpenVINO runs it for pictures of `sizes`, ready to serve.

    The model is read from `folder` again (and `controlnets` besides) by another process, which
    makes and tries what `cache_dir` does not hold; `model` itself is left alone. `precision` "auto"
    leaves it to what the processor is fast at; the first of `sizes` decides.

    Raises:
        PlanRejected: OpenVINO's answers differ from torch's, or it is not clearly faster, or
            `is_cancelled` came true.
    """
    import torch

    from studio.engine import openvino_denoiser, trial
    from studio.engine.layout import folder_digest

    if model.device != "cpu":
        raise PlanRejected("OpenVINO serves processors only, and this model is on another device.")
    plan = Plan(
        digest=model.digest,
        family=model.family,
        height=sizes[0][0],
        width=sizes[0][1],
        backend="openvino",
        precision=precision,
        torch_precision=model.precision,
        library=openvino_denoiser.library(),
        processor=openvino_denoiser.processor(),
        controlnets=tuple(
            (kind, folder_digest(path)) for kind, path in sorted(controlnets.items())
        ),
    )
    cache = PlanCache(cache_dir)
    entries: dict[Size, Entry] = {}
    served: list[Plan] = []
    for part in (sizes[:1], sizes[1:]):  # the first decides the precision of the others
        plans = [plan.at(size) for size in part]
        missing = [plan for plan in plans if cache.load(plan) is None]
        if missing:
            # None of the other sizes either: all of them are to serve.
            cache.prune([*served, *(plan.at(size) for size in sizes)])
            _run_trial(missing, folder, controlnets, cache, report, is_cancelled)
        for planned in plans:
            entry = cache.load(planned)
            if entry is None:
                raise PlanRejected("The plan was damaged as soon as it was made: is the disk full?")
            entries[planned.height, planned.width] = entry
            served.append(planned)
        plan = dataclasses.replace(plan, precision=entries[sizes[0]].precision)
    if missing_kinds := model.control_kinds - openvino_denoiser.control_kinds(
        entries[sizes[0]].graphs
    ):
        raise PlanRejected(
            f"The ControlNets for {', '.join(sorted(missing_kinds))} were not read again for the "
            "plan: PyTorch goes on."
        )
    report("compiling")
    folders = {model.latent_shape(*size)[1:]: entry.graphs for size, entry in entries.items()}
    options: dict[str, Any] = {"precision": plan.precision, "num_threads": torch.get_num_threads()}
    denoiser = openvino_denoiser.OpenVinoDenoiser(folders, **options)
    decoder = openvino_denoiser.OpenVinoDecoder(folders, **options)
    denoiser.compile(model.latent_shape(*sizes[0])[1:])  # other sizes when they are first asked for
    # Checked once more where it will serve.
    first = entries[sizes[0]]
    complaint = trial.complaint(
        denoiser, decoder, trial.read_reference(first.reference), first.bounds
    )
    if complaint:
        raise PlanRejected(complaint)
    if is_cancelled():
        raise PlanRejected("The studio is closing.")
    return dataclasses.replace(
        model,
        backend="openvino",
        precision=plan.precision,
        denoiser=denoiser,
        decoder=decoder,
        modules=(),
        plan_sizes=frozenset(sizes),
        takes_loras=False,
    )


def _run_trial(
    plans: Sequence[Plan],
    folder: Path,
    controlnets: Mapping[str, Path],
    cache: PlanCache,
    report: Callable[[str], None],
    is_cancelled: Callable[[], bool],
) -> None:
    """Make and try `plans` in a process of its own, which leaves them in the cache."""
    work = {
        "plans": [dataclasses.asdict(plan) for plan in plans],
        "folder": str(folder.resolve()),
        "controlnets": {kind: str(path.resolve()) for kind, path in controlnets.items()},
        "cache": str(cache.folder.resolve()),
    }
    with contextlib.ExitStack() as opened:
        scratch = opened.enter_context(
            tempfile.TemporaryDirectory(
                dir=cache.folder, prefix=SCRATCH, ignore_cleanup_errors=True
            )
        )
        errors = opened.enter_context((Path(scratch) / "errors").open("w+", encoding="utf-8"))
        process = subprocess.Popen(
            [sys.executable, "-m", "studio.engine.trial", json.dumps(work | {"scratch": scratch})],
            stdin=subprocess.PIPE,  # its end tells the process that nobody waits any more
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
        )
        opened.enter_context(process)
        try:
            rejected = ""
            for line in _lines(process, is_cancelled):
                kind, _, text = line.partition(" ")
                if kind == "rejected":
                    rejected = text
                elif kind == "report":
                    report(text)
        finally:
            process.kill()
            process.wait()
        if rejected:
            raise PlanRejected(rejected)
        if process.returncode:
            errors.seek(0)
            last = (errors.read().strip().splitlines() or ["it was killed"])[-1]
            raise PlanRejected(f"The graphs could not be made: {last}")


def _lines(process: subprocess.Popen[str], is_cancelled: Callable[[], bool]) -> Iterator[str]:
    """What the process prints, line by line, until it ends."""
    assert process.stdout is not None
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    output = process.stdout

    def read() -> None:
        for line in output:
            lines.put(line.rstrip("\n"))
        lines.put(None)

    reader = threading.Thread(target=read, name="trial", daemon=True)
    reader.start()
    try:
        while True:
            if is_cancelled():
                raise PlanRejected("The studio is closing.")
            with contextlib.suppress(queue.Empty):
                line = lines.get(timeout=POLL_SECONDS)
                if line is None:
                    process.wait()
                    return
                yield line
    finally:
        process.kill()  # of no effect where it has ended
        reader.join()


def _key(facts: Mapping[str, Any]) -> str:
    content = json.dumps({"format": FORMAT, **facts}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]
