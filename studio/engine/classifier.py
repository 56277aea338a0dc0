"""`Classifier`: opennsfw2's network and preprocessing, exported once and then run by OpenVINO.

    weights.h5 ─▶ Keras network ─▶ graph ─▶ asked the same as Keras ─▶ serves, and is kept

A plain Keras call takes several times what the graph takes. The graph serves only when its logits
agree with Keras' on a fixed set of pictures; where it does not, Keras serves itself. Which of the
two it is, is told (`backend`). Graphs are kept in the cache folder under a key of the weights and
the libraries, and looked over when they are loaded.

This file is used in a process of its own (`classifier_worker`): importing Keras takes seconds, and
a fault in here must not take the studio along. Nothing is ever downloaded from here.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from studio.errors import BadModel
from studio.events import Pixels

# Read when keras is imported, wherever that is: without them keras looks for tensorflow, and puts
# the network on a card while its inputs stay here.
os.environ["KERAS_BACKEND"] = "torch"
os.environ["KERAS_TORCH_DEVICE"] = "cpu"

FORMAT = 1
SIDE = 224
LOGITS = "fc_nsfw"
GRAPH, FACTS = "classifier.onnx", "facts.json"
MAX_LOGIT_ERROR = 1e-3
"""The largest difference of any logit to Keras', relative to the largest logit there."""

Array = npt.NDArray[np.float32]


def published_address() -> str:
    """Where opennsfw2 fetches its weights from, as the installed package says."""
    found = importlib.util.find_spec("opennsfw2")
    assert found is not None  # a dependency of the studio
    assert found.origin is not None
    # The module alone: its package would bring in Keras.
    path = Path(found.origin).with_name("_download.py")
    spec = importlib.util.spec_from_file_location("opennsfw2_download", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.WEIGHTS_URL)


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal. Raises `BadModel` when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadModel(
            f"The classifier's weights {path} cannot be read ({error.strerror}): fetch them again."
        ) from error


def check_digest(weights: Path, sha256: str) -> str:
    """See that the file has this digest, which is given back. Raises `BadModel` when it has not."""
    digest = digest_of(weights)
    if digest != sha256:
        raise BadModel(
            f"The classifier's weights {weights} are not the ones expected (SHA-256 "
            f"{digest[:12]}… and not {sha256[:12]}…): fetch them again, or name the digest of "
            "your own in the moderation policy."
        )
    return digest


class Classifier:
    """Scores pictures. Made by `load`; called from one thread."""

    def __init__(self, logits: Callable[[Array], Array], *, backend: str, digest: str) -> None:
        self._logits = logits
        self.backend = backend
        self.digest = digest

    @classmethod
    def load(
        cls, weights: Path, *, sha256: str, cache_dir: Path | None, num_threads: int
    ) -> Classifier:
        """The classifier with these weights, whose digest must be `sha256`.

        The first time for these weights and libraries takes half a minute; with a `cache_dir` every
        further time a few seconds.

        Raises:
            BadModel: the file is another, or no weights of this network.
        """
        digest = check_digest(weights, sha256)
        kept = None if cache_dir is None else cache_dir / f"classifier-{_key(digest)}"
        if kept is not None and _is_whole(kept):
            return cls(_compiled(kept / GRAPH, num_threads), backend="openvino", digest=digest)
        network = _keras_network(weights)
        with tempfile.TemporaryDirectory(prefix="vitrine-classifier-") as name:
            folder = Path(name)
            _export(network, folder / GRAPH)
            graph = _compiled(folder / GRAPH, num_threads)
            error = logit_error(graph, network)
            if not error <= MAX_LOGIT_ERROR:  # NaN too
                return cls(network, backend="keras", digest=digest)
            if kept is not None:
                _keep(folder, kept, error)
        return cls(graph, backend="openvino", digest=digest)

    def scores(self, pictures: Sequence[Pixels]) -> list[float]:
        """The probability that each of `pictures` `[height, width, 3]` is not safe for work."""
        scores = softmax(self._logits(preprocess(pictures)))[:, 1]
        return [float(score) for score in scores]


def preprocess(pictures: Sequence[Pixels]) -> Array:
    """`[n, 224, 224, 3]` as the network was trained to see them: opennsfw2's own preparation."""
    import opennsfw2

    ready = [opennsfw2.preprocess_image(Image.fromarray(pixels)) for pixels in pictures]
    return np.stack(ready).astype(np.float32)


def softmax(logits: Array) -> npt.NDArray[np.float64]:
    """exp(z_i) / Σ exp(z_j) of each row, in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    result: npt.NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
    return result


def probes() -> list[Pixels]:
    """Pictures to compare by: flats, slopes, stripes, noise coarse and fine; always the same."""
    chance = np.random.default_rng(7)
    side = 256
    slope = np.linspace(0, 255, side).astype(np.uint8)
    across, down = np.tile(slope, (side, 1)), np.tile(slope[:, None], (1, side))
    stripes = (np.arange(side) // 16 % 2 * 255).astype(np.uint8)
    pictures = [np.full((side, side, 3), color, np.uint8) for color in (20, (235, 180, 150))]
    pictures.append(np.stack([across, down, across], axis=-1))
    pictures.append(np.repeat(np.tile(stripes[:, None], (1, side))[..., None], 3, axis=-1))
    for cells in (256, 32, 8, 2):
        noise = chance.integers(0, 256, (cells, cells, 3)).astype(np.uint8)
        pictures.append(np.repeat(np.repeat(noise, side // cells, 0), side // cells, 1))
    return pictures


def logit_error(graph: Callable[[Array], Array], network: Callable[[Array], Array]) -> float:
    """How far the two are apart on `probes`, asked one by one and several at once."""
    inputs = preprocess(probes())
    wanted = network(inputs)
    alone = np.concatenate([graph(one[None]) for one in inputs])
    apart = max(np.abs(alone - wanted).max(), np.abs(graph(inputs) - wanted).max())
    return float(apart / max(np.abs(wanted).max(), 1e-6))


def _keras_network(weights: Path) -> Any:
    """`[n, 224, 224, 3]` → logits `[n, 2]`, by Keras."""
    import keras
    import opennsfw2
    import torch

    try:
        whole = opennsfw2.make_open_nsfw_model(weights_path=str(weights))
    except Exception as error:  # h5py's and keras' own, of many kinds
        raise BadModel(
            f"The classifier's weights {weights} cannot be loaded ({error}): fetch them again."
        ) from error
    model = keras.Model(whole.input, whole.get_layer(LOGITS).output)
    model.eval()

    class Network(torch.nn.Module):
        """The model, called like the graph and exported as a module."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = self.model(inputs)
            return output

    return _Called(Network().eval())


class _Called:
    """A torch module as a function of arrays."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def __call__(self, inputs: Array) -> Array:
        import torch

        with torch.inference_mode():
            output: Array = self.module(torch.from_numpy(inputs)).numpy()
        return output


def write_untaught_weights(path: Path) -> None:
    """Weights nobody taught anything, in the layout of the published file: to measure time by."""
    import h5py
    import keras
    import opennsfw2
    from keras.src.legacy.saving import legacy_h5_format

    keras.utils.set_random_seed(1)
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(
            file, opennsfw2.make_open_nsfw_model(weights_path=None)
        )


def _export(network: _Called, path: Path) -> None:
    import torch

    example = torch.zeros((2, SIDE, SIDE, 3))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the training flag of a wrapper
        program = torch.onnx.export(
            network.module,
            (example,),
            dynamo=True,
            input_names=["pictures"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("rows", min=1, max=64)},),
            verbose=False,
        )
    assert program is not None
    program.save(path)


def _compiled(path: Path, num_threads: int) -> Callable[[Array], Array]:
    # `import openvino` brings in its converter, and that its telemetry; without it, it is content.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino  # type: ignore[import-untyped]

    # float32 throughout: a score must not depend on what the processor has besides.
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": num_threads,
    }
    request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()

    def logits(inputs: Array) -> Array:
        request.infer([np.ascontiguousarray(inputs)])
        output: Array = request.get_output_tensor(0).data.copy()
        return output

    return logits


def _key(digest: str) -> str:
    versions = [
        f"{name} {importlib.metadata.version(name)}"
        for name in ("opennsfw2", "keras", "torch", "openvino", "onnxscript")
    ]
    return hashlib.sha256("\n".join([str(FORMAT), digest, *versions]).encode()).hexdigest()[:32]


def _keep(folder: Path, kept: Path, error: float) -> None:
    """Move what was made into the cache; another process may have done so meanwhile."""
    files = {path.name: digest_of(path) for path in sorted(folder.iterdir())}
    facts = {"format": FORMAT, "files": files, "logit_error": error}
    (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".classifier-") as name:
        part = Path(name) / kept.name
        shutil.copytree(folder, part)
        shutil.rmtree(kept, ignore_errors=True)
        try:
            part.rename(kept)
        except OSError:
            if not _is_whole(kept):
                raise


def _is_whole(kept: Path) -> bool:
    """Whether a graph that passed is there, and no byte of it changed since."""
    try:
        facts = json.loads((kept / FACTS).read_text(encoding="utf-8"))
        return (
            facts["format"] == FORMAT
            and facts["logit_error"] <= MAX_LOGIT_ERROR
            and GRAPH in facts["files"]
            and all(digest_of(kept / name) == digest for name, digest in facts["files"].items())
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, BadModel):
        return False
