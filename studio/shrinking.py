"""Smaller models from a model: quantized to one byte, or with heads and neurons pruned.

Both look at pictures drawn from the presets first. What comes out is a model folder of its own,
with a report beside the weights; the model itself is left as it is. How good the pictures are is
for `studio evaluate` to say.
"""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.brief import Brief
from studio.compose import compose
from studio.config import Config
from studio.engine.layout import check_folder, weight_files
from studio.errors import BadInput
from studio.model_card import ModelCard
from studio.model_choice import additions
from studio.presets import FIELDS, Presets, load_presets
from studio.request import Request

if TYPE_CHECKING:
    from studio.engine.denoiser import Rows
    from studio.engine.model import Model

UNET_FILE = "diffusion_pytorch_model.safetensors"
REPORT_FILE = "shrinking.json"
NUM_COMPARED = 8
MAX_RATIO = 0.9

Report = Callable[[str], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extent:
    """How much to look at: `num_pictures`, of `num_steps` (the model's own), drawn with `seed`."""

    num_pictures: int = 8
    num_steps: int | None = None
    seed: int = 0


def quantize(
    config: Config, form: str, out: Path, extent: Extent, report: Report = lambda _: None
) -> dict[str, Any]:
    """Write `config.model` with its UNet's layers in `form` ("int8", "fp8") to the folder `out`.

    The figures of the report come back.

    Raises:
        BadInput: there is something at `out`.
        SetupError: what is needed is not installed.
    """
    from studio.engine.quantize import quantize_unet
    from studio.engine.quantized import FILE

    _check_out(out)
    model, rows = _look(config, extent, report)
    unet, facts = quantize_unet(model, form, rows, report=report)
    figures = _figures(model, unet, rows, report)
    figures |= {"form": form, "num_layers": len(facts["layers"])}
    _write(config.model, out, unet, {FILE: facts}, f"-{form}", figures)
    return figures | {"bytes": _unet_bytes(out), "bytes_before": _unet_bytes(config.model)}


def prune(
    config: Config, ratio: float, out: Path, extent: Extent, report: Report = lambda _: None
) -> dict[str, Any]:
    """Write `config.model` without the share `ratio` of heads and neurons to the folder `out`.

    The figures of the report come back.

    Raises:
        BadInput: there is something at `out`, or `ratio` is no share.
    """
    import copy

    from studio.engine.pruning import FILE, num_parameters, prune_unet, slim
    from studio.engine.torch_denoiser import TorchDenoiser

    if not 0 < ratio <= MAX_RATIO:
        raise BadInput(f"--ratio must be above 0 and at most {MAX_RATIO}, not {ratio:g}.")
    _check_out(out)
    model, rows = _look(config, extent, report)
    assert isinstance(model.denoiser, TorchDenoiser)
    unet = copy.deepcopy(model.modules[0])
    before = num_parameters(unet)
    denoiser = TorchDenoiser(unet, model.denoiser.controlnets)
    kept = prune_unet(denoiser, unet, rows, ratio, report=report)
    small = copy.deepcopy(unet)
    slim(small, kept)
    figures = _figures(model, small, rows, report)
    after = num_parameters(small)
    figures |= {
        "ratio": ratio,
        "num_parameters": after,
        "num_parameters_before": before,
        "removed_share": round(1 - after / before, 4),
    }
    facts = {"kept": {name: list(groups) for name, groups in kept.items()}}
    _write(config.model, out, unet, {FILE: facts}, "-pruned", figures)
    return figures


def requests_of(card: ModelCard, presets: Presets, extent: Extent) -> list[Request]:
    """Briefs of the vocabulary's words at random, every other with a preset of what to keep out."""
    generator = random.Random(extent.seed)
    negatives = [preset.id for preset in presets.negatives]
    requests = []
    for index in range(extent.num_pictures):
        words: dict[str, Any] = {
            field: generator.choice(getattr(presets.vocabulary, field)).en for field in FIELDS
        }
        brief = Brief(
            **words,
            negative_presets=tuple(generator.sample(negatives, 1)) if index % 2 else (),
            seed=extent.seed + index,
            num_steps=extent.num_steps,
        )
        requests.append(compose(brief, presets, card))
    return requests


def _look(config: Config, extent: Extent, report: Report) -> tuple[Model, list[Rows]]:
    from studio.engine.calibration import record
    from studio.engine.model import load_model

    card = check_folder(config.model)
    requests = requests_of(card, load_presets(config.presets_dir), extent)
    controlnets, _ = additions(config, card.family)
    model = load_model(config.model, precision="float32", report=report, controlnets=controlnets)
    return model, record(model, requests, report=report)


def _figures(model: Model, unet: Any, rows: list[Rows], report: Report) -> dict[str, Any]:
    """How far passes are from the original's, and how long they take."""
    from studio.engine.reference import distance
    from studio.engine.torch_denoiser import TorchDenoiser
    from studio.engine.warmup import measure

    report("comparing")
    assert isinstance(model.denoiser, TorchDenoiser)
    denoiser = TorchDenoiser(unet, model.denoiser.controlnets)
    stride = max(1, len(rows) // NUM_COMPARED)
    apart = [distance(denoiser.denoise(one), model.denoiser.denoise(one)) for one in rows[::stride]]
    small = dataclasses.replace(model, denoiser=denoiser)
    return {
        "model": model.card.name,
        "digest": model.digest,
        "num_passes": len(rows),
        "pass_error_mean": round(sum(apart) / len(apart), 5),
        "pass_error_max": round(max(apart), 5),
        "torch_step_seconds": round(measure(small, num_rows=2), 4),
        "torch_step_seconds_before": round(measure(model, num_rows=2), 4),
    }


def _write(
    source: Path,
    out: Path,
    unet: Any,
    facts: Mapping[str, Any],
    suffix: str,
    figures: Mapping[str, Any],
) -> None:
    """The folder, whole or not at all: the source's files but for the UNet's weights."""
    from safetensors.torch import save_file

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".shrinking-") as name:
        made = Path(name) / "model"
        left = {path.name for path in weight_files(source / "unet")}

        def ignored(folder: str, names: list[str]) -> set[str]:
            if Path(folder) != source / "unet":
                return set()
            return {each for each in names if each in left or ".safetensors" in each}

        shutil.copytree(source, made, ignore=ignored)
        dtype = _dtype_of(source / "unet")
        floats = {key for key, _ in unet.named_parameters()}
        tensors = {
            key: (value.to(dtype) if key in floats else value).contiguous()
            for key, value in unet.state_dict().items()
        }
        save_file(tensors, made / "unet" / UNET_FILE, metadata={"format": "pt"})
        for file, values in facts.items():
            (made / "unet" / file).write_text(json.dumps(values, indent=1), encoding="utf-8")
        (made / REPORT_FILE).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        card = made / "card.json"
        if card.exists():
            values = json.loads(card.read_text(encoding="utf-8"))
            values["name"] = f"{values.get('name', source.name)}{suffix}"
            card.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        made.rename(out)


def _check_out(out: Path) -> None:
    if out.exists():
        raise BadInput(f"{out} exists already: remove it, or choose another folder.")


def _dtype_of(folder: Path) -> Any:
    """What the weights of a component are saved in."""
    from safetensors import safe_open

    with safe_open(weight_files(folder)[0], framework="pt") as opened:
        return opened.get_tensor(next(iter(opened.keys()))).dtype


def _unet_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in weight_files(folder / "unet"))
