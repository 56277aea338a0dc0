"""A pretended NVIDIA driver: `fake_nvml.c`, built here and found by pynvml's own loader.

pynvml opens "libnvidia-ml.so.1", and the system gives it the library of that name that is open
already.
"""

from __future__ import annotations

import _ctypes
import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pynvml
import pytest

SOURCE = Path(__file__).with_name("fake_nvml.c")


class FakeNvml:
    """The state the two cards are in; `set(**{"gpu0.temperature": 92})` changes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state: dict[str, float] = {}
        self._write()

    def set(self, **values: float) -> None:
        self._state |= values
        self._write()

    def reset(self) -> None:
        self._state = {}
        self._write()

    def _write(self) -> None:
        part = self._path.with_suffix(".part")
        part.write_text("".join(f"{key} {value}\n" for key, value in self._state.items()))
        part.replace(self._path)


@contextlib.contextmanager
def fake_nvml(folder: Path) -> Iterator[FakeNvml]:
    """The driver, while this is open; afterwards there is none again."""
    compiler = shutil.which("gcc")
    if compiler is None:
        reason = "gcc is missing: run scripts/install_debian_packages.sh"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    library = folder / "libnvidia-ml.so.1"
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-Wl,-soname,libnvidia-ml.so.1"]
    subprocess.run([compiler, *flags, "-o", str(library), str(SOURCE)], check=True)
    fake = FakeNvml(folder / "cards")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAKE_NVML", str(folder / "cards"))
        opened = ctypes.CDLL(str(library))
        _forget()
        try:
            yield fake
        finally:
            handle: Any = pynvml.nvmlLib
            _forget()
            for one in (handle, opened):
                if one is not None:
                    _ctypes.dlclose(one._handle)


def _forget() -> None:
    """pynvml looks for its library, and for what is in it, anew."""
    pynvml.nvmlLib = None
    pynvml._nvmlGetFunctionPointer_cache.clear()
