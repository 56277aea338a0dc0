"""Export: a model's networks as ONNX graphs for one picture size, for any runtime to compile.

Each graph takes *rows*: its first dimension is free, the timestep a vector, height and width fixed.
All graphs share one file of weights. What each takes and gives is told by `graphs`. Knows no
runtime: what compiles them is `openvino_denoiser` and `tensorrt_builder`.

Tracing holds the interpreter for tens of seconds, so beside a serving engine it belongs in a
process of its own: `python -m studio.engine.export --model FOLDER --height H --width W --out DIR`.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import onnx_ir
import torch

from studio.engine.graphs import UNET, UNET_CONTROL, Graph, graphs_of
from studio.engine.layout import folder_digest
from studio.engine.model import Model
from studio.engine.networks import Networks, load_networks
from studio.engine.torch_denoiser import TorchDenoiser

FORMAT = 1
"""Raised when graphs of the same weights come out different: older ones are made anew."""

OPSET = 20
"""The newest in which GroupNorm stays small operators, which OpenVINO fuses best (measured)."""

MAX_ROWS = 63
"""diffusers upsamples 64 rows and more another way, and a graph has one; told so, the exporter
traces once instead of twice."""

INLINE_BYTES = 1024
"""Smaller constants stay in the graph, where shape inference looks for them."""

WEIGHTS, MANIFEST = "weights.bin", "manifest.json"

PRECISIONS = ("float32", "float16", "bfloat16")

Report = Callable[[str], None]


def networks_of(model: Model) -> Networks:
    """The networks of a model that PyTorch runs."""
    assert isinstance(model.denoiser, TorchDenoiser)
    unet, vae, *_ = model.modules
    return Networks(unet=unet, vae=vae, controlnets=model.denoiser.controlnets)


def export_model(
    model: Model,
    *,
    height: int,
    width: int,
    out: Path,
    report: Report = lambda _: None,
    skip: Collection[str] = (),
) -> None:
    """`export_networks` of a model that PyTorch runs."""
    export_networks(
        networks_of(model),
        digest=model.digest,
        precision=model.precision,
        size=(height, width),
        out=out,
        report=report,
        skip=skip,
    )


def export_networks(
    networks: Networks,
    *,
    digest: str,
    precision: str,
    size: tuple[int, int],
    out: Path,
    report: Report = lambda _: None,
    skip: Collection[str] = (),
) -> None:
    """Write the graphs of `networks` for pictures of `size` (height, width) to a new folder, `out`.

    `unet.onnx`, `decoder.onnx`, and with ControlNets `controlnet_<kind>.onnx` and
    `unet_control.onnx`, which takes their residuals `down_0` … `mid`; but none of `skip`, whose
    networks need no weights. The folder appears whole, or not at all. `digest` is the model's, for
    the manifest, which also tells, by graph, which large constants are the UNet's parameters, and
    whether they lie there transposed.

    Raises:
        FileExistsError: there is something at `out` already.
    """
    if out.exists():
        raise FileExistsError(f"{out} exists already: remove it, or choose another folder.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-") as name:
        folder = Path(name) / "graphs"
        folder.mkdir()
        with (folder / WEIGHTS).open("wb") as file, torch.inference_mode():
            weights = _Weights(file, networks.unet)
            for graph in graphs_of(networks, size):
                if graph.file in skip:
                    continue
                report(f"exporting {graph.file.removesuffix('.onnx')} {size[0]}×{size[1]}")
                weights.write(_trace(graph), folder / graph.file)
        _write_manifest(
            folder,
            {
                "digest": digest,
                "latent_shape": list(networks.latent_shape(*size)),
                "precision": precision,
                "parameters": weights.parameters,
            },
        )
        folder.rename(out)


def _trace(graph: Graph) -> onnx_ir.Model:
    rows = torch.export.Dim("rows", min=1, max=MAX_ROWS)
    shapes = tuple({0: rows} if graph.has_rows else None for _ in graph.inputs)
    with warnings.catch_warnings():
        # Of a wrapper's training flag, and of a dimension that several inputs share, as is meant.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph.module.eval(),
            tuple(graph.inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_shapes=(shapes,) if graph.has_rows else None,
            verbose=False,
        )
    assert program is not None
    return program.model


class _Weights:
    """The one file of weights; the same bytes are written once, whichever graphs use them."""

    def __init__(self, file: BinaryIO, unet: torch.nn.Module) -> None:
        self._file = file
        self._places: dict[bytes, int] = {}
        self._unet = unet
        self._known: dict[bytes, list[tuple[str, bool]]] | None = None
        self.parameters: dict[str, dict[str, tuple[str, bool]]] = {}

    def write(self, model: onnx_ir.Model, path: Path) -> None:
        """Write `model` to `path`, its large constants to this file."""
        for value in model.graph.initializers.values():
            tensor = value.const_value
            if tensor is None or tensor.nbytes < INLINE_BYTES:
                continue
            digest, offset = self._place(tensor.tobytes())
            if path.name in (UNET, UNET_CONTROL) and (known := self._parameter(digest)):
                self.parameters.setdefault(path.name, {})[value.name or ""] = known
            value.const_value = onnx_ir.ExternalTensor(
                location=WEIGHTS,
                offset=offset,
                length=tensor.nbytes,
                dtype=tensor.dtype,
                shape=onnx_ir.Shape(tensor.shape.numpy()),
                name=value.name or "",
                base_dir=path.parent,
            )
        for node in model.graph.all_nodes():
            node.metadata_props.clear()  # where in the source each came from, path and all
            node.doc_string = None
        self._file.flush()
        onnx_ir.save(model, path)

    def _parameter(self, digest: bytes) -> tuple[str, bool] | None:
        """The UNet's parameter of this content; whether transposed. `None` where two have it."""
        if self._known is None:
            self._known = {}
            for name, tensor in self._unet.named_parameters():
                if name.endswith(".weight") and tensor.nbytes >= INLINE_BYTES:
                    forms = (tensor, tensor.T) if tensor.ndim == 2 else (tensor,)
                    for is_transposed, form in enumerate(forms):
                        key = hashlib.sha256(_bytes(form)).digest()
                        self._known.setdefault(key, []).append((name, bool(is_transposed)))
        found = self._known.get(digest, [])
        return found[0] if len(found) == 1 else None

    def _place(self, content: bytes) -> tuple[bytes, int]:
        digest = hashlib.sha256(content).digest()
        if digest not in self._places:
            self._file.seek(0, os.SEEK_END)
            self._file.write(b"\0" * (-self._file.tell() % 64))  # runtimes map it: aligned
            self._places[digest] = self._file.tell()
            self._file.write(content)
        return digest, self._places[digest]


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().view(torch.uint8).numpy().tobytes()


def _write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    files = {path.name: file_digest(path) for path in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(
        json.dumps({"format": FORMAT, **facts, "files": files}, indent=1), encoding="utf-8"
    )


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """What `folder` says it holds, if every file of it is there and unharmed."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = manifest["files"].items()
        is_whole = manifest["format"] == FORMAT and all(
            file_digest(folder / name) == digest for name, digest in files
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return manifest if is_whole else None


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def be_humble() -> None:
    """Leave the machine to whoever serves: one thread, lowest priority."""
    torch.set_num_threads(1)
    with contextlib.suppress(OSError, AttributeError):  # no such thing on this system
        os.nice(19)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its own process."""
    parser = argparse.ArgumentParser(
        prog="python -m studio.engine.export", description=main.__doc__
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--height", type=int, required=True)
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    options = parser.parse_args(arguments)
    be_humble()
    export_networks(
        load_networks(options.model, precision=options.precision, report=print),
        digest=folder_digest(options.model),
        precision=options.precision,
        size=(options.height, options.width),
        out=options.out,
        report=print,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
