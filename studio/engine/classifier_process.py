"""`ClassifierProcess`: the classifier as the studio holds it, in a process of its own.

It is started when it is first needed or told to, restarted when it dies, and killed when it does
not answer in time. What it cannot do is an error here and never an answer: whoever asks holds the
pictures back.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from studio.errors import NotScreened
from studio.events import Pixels

START_SECONDS = 300.0
"""The first start exports the network; on a busy machine that takes a while."""

RETRY_SECONDS = 60.0
"""After a start that died or hung: pictures that come meanwhile are held, and wait for none."""

MAX_FAILURES = 3
"""So many failures in a row are no accident of one picture."""


@dataclasses.dataclass(frozen=True)
class _Refusal:
    """Why the weights of `stamp` could not be started, and until when (monotonic seconds)."""

    sentence: str
    stamp: object
    until: float = math.inf

    def holds(self, stamp: object) -> bool:
        return stamp == self.stamp and time.monotonic() < self.until


class ClassifierProcess:
    """`scores` of pictures by the weights at `weights`; safe to share between threads.

    `worker` is the module that is run; it speaks as `classifier_worker` says.
    """

    def __init__(
        self,
        weights: Path,
        *,
        sha256: str,
        cache_dir: Path | None,
        num_threads: int | None = None,
        start_seconds: float = START_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
        worker: str = "studio.engine.classifier_worker",
    ) -> None:
        self.weights = weights
        self._command = [sys.executable, "-m", worker]
        self._command += ["--weights", str(weights), "--sha256", sha256]
        self._command += ["--threads", str(num_threads or min(2, os.cpu_count() or 1))]
        if cache_dir is not None:
            self._command += ["--cache-dir", str(cache_dir)]
        self._start_seconds = start_seconds
        self._retry_seconds = retry_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._refused: _Refusal | None = None
        self._num_failures = 0
        self._facts: Mapping[str, Any] = {}
        self._is_closed = False

    @property
    def is_installed(self) -> bool:
        """Whether there are weights; without them nothing can be scored."""
        return self.weights.is_file()

    @property
    def is_well(self) -> bool:
        """Whether the next picture will be scored, as far as can be told without trying."""
        refused = self._refused
        if refused is not None and refused.stamp == self._stamp():
            return False
        return self.is_installed and self._num_failures < MAX_FAILURES

    @property
    def backend(self) -> str:
        """What runs the network, "openvino" or "keras"; empty before it is ready."""
        return str(self._facts.get("backend", ""))

    def prepare(self) -> None:
        """Start it now, and wait until it is ready. Raises `NotScreened` when it cannot be."""
        with self._lock:
            self._ready()

    def scores(self, pictures: Sequence[Pixels], *, timeout_seconds: float) -> list[float]:
        """One score for each picture. Starting is not counted in `timeout_seconds`.

        Raises:
            NotScreened: there are no weights, or it failed, or died, or took too long.
        """
        with self._lock:
            try:
                scores = self._scores(pictures, timeout_seconds)
            except NotScreened as error:
                self._num_failures += error.is_installed
                raise
            self._num_failures = 0 if all(map(math.isfinite, scores)) else self._num_failures + 1
            return scores

    def close(self) -> None:
        """End the process, and start none any more."""
        self._is_closed = True
        process = self._process
        if process is not None:
            process.kill()  # whoever waits for it is told that it died
        with self._lock:
            self._end()

    def _scores(self, pictures: Sequence[Pixels], timeout_seconds: float) -> list[float]:
        process = self._ready()
        header = {"shapes": [picture.shape[:2] for picture in pictures]}
        content = json.dumps(header).encode() + b"\n"
        content += b"".join(picture.tobytes() for picture in pictures)
        deadline = time.monotonic() + timeout_seconds
        answer = self._ask(process, content, deadline)
        if "error" in answer:
            raise NotScreened(f"The classifier failed: {answer['error']}")
        scores = [float(score) for score in answer["scores"]]
        if len(scores) != len(pictures):
            raise NotScreened("The classifier gave another number of scores than pictures.")
        return scores

    def _ready(self) -> subprocess.Popen[bytes]:
        if self._is_closed:
            raise NotScreened("The studio is shutting down.")
        if self._process is not None and self._process.poll() is None:
            return self._process
        if not self.is_installed:
            raise NotScreened(
                "The classifier's weights are missing: run `studio doctor`, which fetches them.",
                is_installed=False,
            )
        # What was refused is not tried again, however many pictures come, until the file changes.
        refused = self._refused
        if refused is not None and refused.holds(self._stamp()):
            raise NotScreened(refused.sentence)
        self._end()
        environ = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}  # the cards are the denoiser's
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ
        )
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        if self._is_closed:  # since it was asked above, and did not see this process
            self._process.kill()
        stamp = self._stamp()
        try:
            answer = self._ask(self._process, b"", time.monotonic() + self._start_seconds)
        except NotScreened as error:
            self._refused = _Refusal(str(error), stamp, time.monotonic() + self._retry_seconds)
            raise
        if "error" in answer:
            self._end()
            self._refused = _Refusal(str(answer["error"]), stamp)
            raise NotScreened(self._refused.sentence)
        self._facts, self._refused = answer, None
        return self._process

    def _stamp(self) -> object:
        with contextlib.suppress(OSError):
            status = self.weights.stat()
            return status.st_mtime_ns, status.st_size
        return None

    def _ask(
        self, process: subprocess.Popen[bytes], content: bytes, deadline: float
    ) -> dict[str, Any]:
        """Send `content` and read one line; the process is ended when that does not succeed."""
        assert process.stdin is not None
        assert process.stdout is not None
        line, left = b"", memoryview(content)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                if left:
                    selector.register(process.stdin, selectors.EVENT_WRITE)
                while not line.endswith(b"\n"):
                    seconds = deadline - time.monotonic()
                    events = selector.select(seconds) if seconds > 0 else []
                    if not events:
                        raise NotScreened("The classifier did not answer in time.")
                    for key, _ in events:
                        if key.fileobj is process.stdin:
                            left = left[os.write(process.stdin.fileno(), left[: 2**16]) :]
                            if not left:
                                selector.unregister(process.stdin)
                        else:
                            part = os.read(process.stdout.fileno(), 2**16)
                            if not part:
                                raise NotScreened("The classifier's process died.")
                            line += part
            answer: dict[str, Any] = json.loads(line)
        except (NotScreened, OSError, ValueError) as error:
            self._end()
            if isinstance(error, NotScreened):
                raise
            raise NotScreened(f"The classifier's process died ({error}).") from error
        return answer

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
