"""Export: a model's networks as ONNX graphs for one picture size, for any runtime to compile.

Each graph takes *rows*: its first dimension is free, the timestep a vector, height and width fixed.
Inputs are called as diffusers calls them. All graphs share one file of weights. Knows no runtime:
what compiles them is `openvino_denoiser` and `tensorrt_builder`.

Whatever the precision of the networks, what enters and leaves is float32, but for the residuals
between a ControlNet and the UNet, which are large. The casts are in the graph: a strongly typed
runtime adds none, and the time and size conditions must stay float32 until diffusers casts them.

Tracing holds the interpreter for tens of seconds, so beside a serving engine it belongs in a
process of its own: `python -m studio.engine.export --model FOLDER --height H --width W --out DIR`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import onnx_ir
import torch
from diffusers import AutoencoderKL, ControlNetModel

from studio.engine.decoder import latent_statistics
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

UNET, UNET_CONTROL, DECODER = "unet.onnx", "unet_control.onnx", "decoder.onnx"
WEIGHTS, MANIFEST = "weights.bin", "manifest.json"

PRECISIONS = ("float32", "float16", "bfloat16")

Report = Callable[[str], None]


def controlnet_file(kind: str) -> str:
    """The graph of the ControlNet that follows images of `kind`."""
    return f"controlnet_{kind}.onnx"


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Graph:
    """One graph to write: `module` takes the `inputs` in their order."""

    file: str
    module: torch.nn.Module
    inputs: Mapping[str, torch.Tensor]
    outputs: Sequence[str]
    has_rows: bool = True


def graphs_of(networks: Networks, size: tuple[int, int]) -> Iterator[Graph]:
    """All graphs there are for pictures of `size` (height, width), with inputs of two rows."""
    inputs = example_inputs(networks, networks.latent_shape(*size))
    yield Graph(
        file=UNET, module=_Unet(networks, list(inputs)), inputs=inputs, outputs=["out_sample"]
    )
    residuals: dict[str, torch.Tensor] = {}
    for kind, controlnet in networks.controlnets.items():
        follow = inputs | _controls(len(inputs["sample"]), size)
        module = _ControlNet(controlnet, list(follow))
        residuals = _residuals(module, follow)
        yield Graph(
            file=controlnet_file(kind), module=module, inputs=follow, outputs=list(residuals)
        )
    if residuals:
        inputs = inputs | residuals
        yield Graph(
            file=UNET_CONTROL,
            module=_Unet(networks, list(inputs)),
            inputs=inputs,
            outputs=["out_sample"],
        )
    yield Graph(
        file=DECODER,
        module=_Decoder(networks.vae),
        inputs={"latents": inputs["sample"][:1]},
        outputs=["image"],
        has_rows=False,
    )


def _controls(num_rows: int, size: tuple[int, int]) -> dict[str, torch.Tensor]:
    """What a ControlNet takes besides: images, and how strongly each is followed."""
    generator = torch.Generator("cpu").manual_seed(1)
    return {
        "controlnet_cond": torch.rand((num_rows, 3, *size), generator=generator),
        "conditioning_scale": torch.linspace(1, 0.5, num_rows),
    }


def _residuals(module: _ControlNet, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Noise of the shapes and type that the ControlNet's residuals have, which is not run."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    down, middle = torch.func.functional_call(
        module,
        {name: tensor.to("meta") for name, tensor in tensors.items()},
        tuple(tensor.to("meta") for tensor in inputs.values()),
    )
    generator = torch.Generator("cpu").manual_seed(2)
    names = [f"down_{index}" for index in range(len(down))]
    return {
        name: (torch.randn(like.shape, generator=generator) / 10).to(like.dtype)
        for name, like in zip([*names, "mid"], [*down, middle], strict=True)
    }


def example_inputs(
    networks: Networks, latents: tuple[int, int, int], *, num_rows: int = 2, seed: int = 0
) -> dict[str, torch.Tensor]:
    """Inputs of the UNet by name, `num_rows` of them, each at a timestep of its own; float32."""
    generator = torch.Generator("cpu").manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn((num_rows, *shape), generator=generator)

    config = networks.unet.config
    inputs = {
        "sample": noise(*latents),
        "timestep": torch.linspace(999, 20, num_rows),
        "encoder_hidden_states": noise(77, config.cross_attention_dim),
    }
    if networks.takes_conditions:
        sizes = 6 * config.addition_time_embed_dim
        inputs["text_embeds"] = noise(config.projection_class_embeddings_input_dim - sizes)
        side = 8.0 * max(latents[1:])
        inputs["time_ids"] = torch.tensor([[side, side, 0, 0, side, side]] * num_rows)
    return inputs


class _Unet(torch.nn.Module):
    """The UNet with its inputs in a row; those after the conditions are residuals."""

    def __init__(self, networks: Networks, names: Sequence[str]) -> None:
        super().__init__()
        self.unet = networks.unet
        self._names = tuple(names)

    def forward(self, *args: torch.Tensor) -> torch.Tensor:
        inputs = dict(zip(self._names, args, strict=True))
        down = [inputs[name] for name in self._names if name.startswith("down_")]
        dtype = self.unet.dtype
        output: torch.Tensor = self.unet(
            inputs["sample"].to(dtype),
            inputs["timestep"],
            encoder_hidden_states=inputs["encoder_hidden_states"].to(dtype),
            added_cond_kwargs=_conditions(inputs),
            down_block_additional_residuals=down or None,
            mid_block_additional_residual=inputs.get("mid"),
            return_dict=False,
        )[0]
        return output.float()


class _ControlNet(torch.nn.Module):
    """A ControlNet whose residuals leave it scaled, by row."""

    def __init__(self, controlnet: ControlNetModel, names: Sequence[str]) -> None:
        super().__init__()
        self.controlnet = controlnet
        self._names = tuple(names)

    def forward(self, *args: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        inputs = dict(zip(self._names, args, strict=True))
        dtype = self.controlnet.dtype
        down, middle = self.controlnet(
            inputs["sample"].to(dtype),
            inputs["timestep"],
            encoder_hidden_states=inputs["encoder_hidden_states"].to(dtype),
            controlnet_cond=inputs["controlnet_cond"].to(dtype),
            conditioning_scale=inputs["conditioning_scale"].to(dtype).view(-1, 1, 1, 1),
            added_cond_kwargs=_conditions(inputs),
            return_dict=False,
        )
        return down, middle


class _Decoder(torch.nn.Module):
    """From scaled latents `[1, C, h, w]` to RGB in [-1, 1] `[1, 3, H, W]`."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae
        self.std, self.mean = latent_statistics(vae)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        unscaled = (latents * self.std + self.mean).to(self.vae.dtype)
        image: torch.Tensor = self.vae.decode(unscaled, return_dict=False)[0]
        return image.float()


def _conditions(inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor] | None:
    if "text_embeds" not in inputs:
        return None
    return {name: inputs[name] for name in ("text_embeds", "time_ids")}


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
