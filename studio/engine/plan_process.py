"""Plans are made by a process of their own: tracing and compiling would hold the interpreter up.

It is given its work as one JSON object, prints lines of progress, leaves what it made in the
cache, and stops as soon as its standard input ends. This file is both ends of that: `run` starts
it, `main` is what it does first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from studio.engine.plans import SCRATCH, Plan, PlanCache, PlanRejected

POLL_SECONDS = 0.1
EXIT_REJECTED = 3


@dataclasses.dataclass(frozen=True)
class Sources:
    """Where a model is read from: its folder, and the ControlNets besides by kind."""

    folder: Path
    controlnets: Mapping[str, Path] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Work:
    """What the process is to do. `scratch` is a folder that is cleaned up, whatever happens."""

    plans: Sequence[Plan]
    sources: Sources
    cache: PlanCache
    scratch: Path
    report: Callable[[str], None]


def run(
    module: str,
    plans: Sequence[Plan],
    sources: Sources,
    cache: PlanCache,
    *,
    report: Callable[[str], None] = lambda _: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> None:
    """Make `plans` by `python -m module`, which leaves them in the cache.

    Raises:
        PlanRejected: one of them may not serve, or could not be made, or `is_cancelled` came true.
    """
    work = {
        "plans": [dataclasses.asdict(plan) for plan in plans],
        "folder": str(sources.folder.resolve()),
        "controlnets": {kind: str(path.resolve()) for kind, path in sources.controlnets.items()},
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
            [sys.executable, "-m", module, json.dumps(work | {"scratch": scratch})],
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


def main(arguments: Sequence[str], do: Callable[[Work], None]) -> int:
    """What the process does: `do` its work, humbly; its exit code."""
    from studio.engine.export import be_humble

    work = json.loads(arguments[0])
    be_humble()
    threading.Thread(target=_stop_when_alone, daemon=True).start()
    with contextlib.redirect_stdout(sys.stderr):  # where libraries talk
        out = sys.__stdout__
        assert out is not None

        def say(kind: str, text: str) -> None:
            print(kind, text.replace("\n", " "), file=out, flush=True)

        try:
            do(
                Work(
                    plans=[Plan.from_dict(facts) for facts in work["plans"]],
                    sources=Sources(
                        Path(work["folder"]),
                        {kind: Path(path) for kind, path in work["controlnets"].items()},
                    ),
                    cache=PlanCache(Path(work["cache"])),
                    scratch=Path(work["scratch"]),
                    report=lambda text: say("report", text),
                )
            )
        except PlanRejected as error:
            say("rejected", str(error))
            return EXIT_REJECTED
    return 0


def _stop_when_alone() -> None:
    sys.stdin.read()
    os._exit(1)


def _lines(process: subprocess.Popen[str], is_cancelled: Callable[[], bool]) -> Iterator[str]:
    """What the process prints, line by line, until it ends."""
    assert process.stdout is not None
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    output = process.stdout

    def read() -> None:
        for line in output:
            lines.put(line.rstrip("\n"))
        lines.put(None)

    reader = threading.Thread(target=read, name="plan", daemon=True)
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
