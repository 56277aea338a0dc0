"""Tiny models with their graphs, exported once for all test files: each export takes seconds."""

from __future__ import annotations

import dataclasses
import functools
import subprocess
import sys
import tempfile
from pathlib import Path

from studio.engine.export import export_model
from studio.engine.graphs import UNET
from studio.engine.model import Model, load_model
from tests.tiny_models import HEIGHT, WIDTH, Family, write_model

LATENT = (HEIGHT // 8, WIDTH // 8)


@dataclasses.dataclass(frozen=True)
class Exported:
    """A tiny model with a ControlNet, in float32, its folder and the folder of its graphs."""

    model: Model
    folder: Path
    graphs: Path


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends


@functools.cache
def exported_half() -> Path:
    """The graphs of SDXL's tiny model in half precision, as TensorRT takes them."""
    model = load_model(exported("sdxl").folder, precision="float16")
    out = exported("sdxl").folder.parent / "half"
    export_model(model, height=HEIGHT, width=WIDTH, out=out, skip=[UNET])
    return out


@functools.cache
def exported(family: Family) -> Exported:
    """SDXL's by this process, SD 1.5's by one of its own, so that both ways are gone."""
    _FOLDERS.append(tempfile.TemporaryDirectory(prefix="exported-"))
    folder, out = Path(_FOLDERS[-1].name) / "model", Path(_FOLDERS[-1].name) / "graphs"
    model = load_model(write_model(folder, family, True), precision="float32")
    if family == "sdxl":
        export_model(model, height=HEIGHT, width=WIDTH, out=out)
    else:
        command = [sys.executable, "-m", "studio.engine.export", "--model", str(folder)]
        command += ["--height", str(HEIGHT), "--width", str(WIDTH), "--out", str(out)]
        subprocess.run(command, check=True, capture_output=True)
    return Exported(model, folder, out)
