"""Compares ONNX Runtime with torch, by the engine's own graphs in float32, one after another.

For each graph two processes: one reads the network, lets torch answer, exports; the next has ONNX
Runtime answer from the graph, when torch's weights are out of memory. A network of SDXL's size is
10 GB, and ONNX Runtime would pack another copy: that is turned off.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_ERROR = 1e-3
NUM_DECODED = 2
"""The decoder takes a picture at a time; so many are compared."""

ANSWERS = "answers.npz"

Report = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Row:
    """What was found of one graph. `error` is relative, of the worst row of any output."""

    graph: str
    num_parameters: int
    error: float
    torch_seconds: float
    runtime_seconds: float
    export_seconds: float
    memory_bytes: int


def compare_all(
    folder: Path, size: int, graphs: Sequence[str], report: Report = print
) -> list[Row]:
    """A row for each of `graphs` (or all there are) of the model in `folder`."""
    rows = []
    for graph in graphs or graph_names(folder):
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".parity-") as scratch:
            report(f"{graph}: torch, export")
            asked = _child("answer", folder, graph, size, Path(scratch))
            report(f"{graph}: ONNX Runtime")
            found = _child("compare", folder, graph, size, Path(scratch))
        memory = max(asked.pop("memory_bytes"), found.pop("memory_bytes"))
        rows.append(Row(graph=graph, memory_bytes=memory, **asked, **found))
    return rows


def graph_names(folder: Path) -> list[str]:
    """The graphs of the model in `folder`, by the names of their files without the ending."""
    from studio.engine.graphs import graphs_of
    from studio.engine.networks import load_networks

    networks = load_networks(folder, precision="float32", parts=())
    side = 8 * networks.vae_scale_factor
    return [Path(graph.file).stem for graph in graphs_of(networks, (side, side))]


def answer(folder: Path, graph: str, size: int, scratch: Path) -> dict[str, Any]:
    """Write the graph and what torch answers to `scratch`; only its network is read."""
    import torch

    from studio.engine.export import export_networks
    from studio.engine.graphs import graphs_of
    from studio.engine.networks import load_networks

    part = "vae" if graph == "decoder" else graph.split("_")[0]
    networks = load_networks(folder, precision="float32", parts=[part])
    (asked,) = [g for g in graphs_of(networks, (size, size)) if Path(g.file).stem == graph]
    batches = [dict(asked.inputs)]
    if not asked.has_rows:
        generator = torch.Generator().manual_seed(3)
        batches += [
            {
                name: torch.randn(like.shape, generator=generator)
                for name, like in batches[0].items()
            }
            for _ in range(NUM_DECODED - 1)
        ]
    started = time.monotonic()
    kept: dict[str, NDArray[Any]] = {}
    with torch.inference_mode():
        for number, batch in enumerate(batches):
            outputs = asked.module(*batch.values())
            kept |= {f"in {number} {name}": tensor.numpy() for name, tensor in batch.items()}
            for name, tensor in zip(asked.outputs, _flat(outputs), strict=True):
                kept[f"out {number} {name}"] = tensor.numpy()
    seconds = time.monotonic() - started
    np.savez(scratch / ANSWERS, **kept)  # type: ignore[arg-type]
    started = time.monotonic()
    skip = {g.file for g in graphs_of(networks, (size, size))} - {asked.file}
    export_networks(
        networks,
        digest="",
        precision="float32",
        size=(size, size),
        out=scratch / "graphs",
        skip=skip,
    )
    return {
        "num_parameters": sum(p.numel() for p in asked.module.parameters() if not p.is_meta),
        "torch_seconds": round(seconds, 2),
        "export_seconds": round(time.monotonic() - started, 2),
    }


def compare(graph: str, scratch: Path) -> dict[str, Any]:
    """What ONNX Runtime answers from the graph in `scratch`, against what torch did."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_prepacking", "1")
    session = onnxruntime.InferenceSession(
        scratch / "graphs" / f"{graph}.onnx", options, providers=["CPUExecutionProvider"]
    )
    kept = np.load(scratch / ANSWERS)
    numbers = sorted({name.split(" ")[1] for name in kept.files})
    names = [port.name for port in session.get_outputs()]
    started = time.monotonic()
    error = 0.0
    for number in numbers:
        inputs = {
            port.name: np.asarray(kept[f"in {number} {port.name}"]) for port in session.get_inputs()
        }
        for name, output in zip(names, session.run(names, inputs), strict=True):
            error = max(error, distance(np.asarray(output), kept[f"out {number} {name}"]))
    return {"error": error, "runtime_seconds": round(time.monotonic() - started, 2)}


def distance(output: NDArray[Any], wanted: NDArray[Any]) -> float:
    """The largest over rows of ‖output - wanted‖ / ‖wanted‖; not-a-number is infinitely far."""
    found, asked = (one.astype(np.float64).reshape(len(one), -1) for one in (output, wanted))
    apart = np.linalg.norm(found - asked, axis=1) / np.linalg.norm(asked, axis=1)
    return float(np.nan_to_num(apart, nan=np.inf).max())


def summary(rows: Sequence[Row], size: int) -> dict[str, Any]:
    """All of it, for the last line."""
    return {
        "size": size,
        "max_error": MAX_ERROR,
        "worst": max(row.error for row in rows),
        "peak_memory_gb": round(max(row.memory_bytes for row in rows) / 1e9, 2),
        "graphs": [dataclasses.asdict(row) for row in rows],
    }


def table(rows: Sequence[Row]) -> str:
    lines = [f"{'graph':<18}{'parameters':>15}{'error':>10}{'torch s':>9}{'ORT s':>8}{'GB':>7}"]
    lines += [
        f"{row.graph:<18}{row.num_parameters:>15,}{row.error:>10.1e}{row.torch_seconds:>9.1f}"
        f"{row.runtime_seconds:>8.1f}{row.memory_bytes / 1e9:>7.1f}"
        for row in rows
    ]
    return "\n".join(lines)


def _flat(outputs: Any) -> list[Any]:
    """A tensor, or those of the down blocks and of the middle one."""
    return [*outputs[0], outputs[1]] if isinstance(outputs, tuple) else [outputs]


def _child(act: str, folder: Path, graph: str, size: int, scratch: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "scripts.full_size.parity", act]
    command += [str(folder), graph, str(size), str(scratch)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(arguments: Sequence[str]) -> int:
    """One process: what was found as a line of JSON, with the most memory it held."""
    act, folder, graph, size, scratch = arguments
    if act == "answer":
        found = answer(Path(folder), graph, int(size), Path(scratch))
    else:
        found = compare(graph, Path(scratch))
    found["memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
