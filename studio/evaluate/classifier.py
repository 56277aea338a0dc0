"""`Classifier`: the measuring instrument: reads pictures' four fields, features and product masks.

One safetensors file holds its weights, its words, and the `Reference` that held-out renders gave.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from studio.errors import BadInput
from studio.evaluate.frechet import Gaussian
from studio.evaluate.network import SIDE, AttributeNet
from studio.evaluate.readings import Readings
from studio.evaluate.reference import Reference
from studio.evaluate.renders import Labels
from studio.events import Pixels
from studio.presets import FIELDS

FORMAT = "vitrine-attributes-1"
BATCH_SIZE = 32
_NET = "net."

Tell = Callable[[int], None]


def _tell_nobody(num: int) -> None:
    pass


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classifier:
    """`classes` are the ids of each field, in the order of the network's answers.

    `reference` is what held-out renders gave; `made` says how it was trained, for people. Answers
    are of the words in `among`, by field, where that is given: a world that has five materials is
    not asked about eight.
    """

    net: AttributeNet
    classes: Mapping[str, tuple[str, ...]]
    reference: Reference | None = None
    made: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    among: Mapping[str, tuple[str, ...]] | None = None

    @torch.inference_mode()
    def read(self, pictures: Sequence[Pixels], tell: Tell = _tell_nobody) -> Readings:
        """Read pictures of any size, each resized to a square; `tell` hears how many are done.

        A picture and its mirror image are asked together what they show.
        """
        labels: list[Labels] = []
        features, masks = [], []
        self.net.eval()
        for start in range(0, len(pictures), BATCH_SIZE):
            batch = pictures[start : start + BATCH_SIZE]
            tensor = to_tensor([squared(one) for one in batch])
            output, mirrored = self.net(tensor), self.net(tensor.flip(3))
            best = [
                (output.logits[field] + mirrored.logits[field] + self._allowed(field))
                .argmax(dim=1)
                .tolist()
                for field in FIELDS
            ]
            labels += [
                Labels(*(self.classes[field][i] for field, i in zip(FIELDS, one, strict=True)))
                for one in zip(*best, strict=True)
            ]
            features.append(output.features.numpy())
            masks.append((output.mask > 0).numpy())
            tell(len(batch))
        return Readings(tuple(labels), np.concatenate(features), np.concatenate(masks))

    def _allowed(self, field: str) -> torch.Tensor:
        """Zero for the words that may be answered, minus infinity for the others."""
        words = self.classes[field] if self.among is None else self.among[field]
        return torch.tensor([0.0 if id in words else -torch.inf for id in self.classes[field]])

    def save(self, path: Path) -> None:
        """Write everything to one file; weights in half precision."""
        tensors = {
            f"{_NET}{name}": tensor.half() if tensor.is_floating_point() else tensor
            for name, tensor in self.net.state_dict().items()
        }
        about: dict[str, Any] = {
            "classes": {field: list(ids) for field, ids in self.classes.items()},
            "made": dict(self.made),
        }
        if self.reference is not None:
            about["reference"] = self.reference.to_dict()
            about["num_features_of"] = self.reference.features.num
            tensors["mean"] = torch.from_numpy(self.reference.features.mean).float()
            tensors["covariance"] = torch.from_numpy(self.reference.features.covariance).float()
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(tensors, path, metadata={"format": FORMAT, "about": json.dumps(about)})


def load_classifier(path: Path) -> Classifier:
    """What `Classifier.save` wrote.

    Raises:
        BadInput: the file is missing or something else.
    """
    if not path.is_file():
        raise BadInput(
            f"There is no classifier at {path}: make one with `studio evaluate classifier`."
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError("its format is not known")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about = json.loads(metadata["about"])
        classes = {field: tuple(about["classes"][field]) for field in FIELDS}
        net = AttributeNet({field: len(ids) for field, ids in classes.items()})
        net.load_state_dict(
            {
                name.removeprefix(_NET): tensor.float() if tensor.is_floating_point() else tensor
                for name, tensor in tensors.items()
                if name.startswith(_NET)
            }
        )
        reference = None
        if "reference" in about:
            mean, covariance = tensors["mean"].double(), tensors["covariance"].double()
            features = Gaussian(mean.numpy(), covariance.numpy(), int(about["num_features_of"]))
            reference = Reference.from_dict(about["reference"], features)
    except Exception as error:  # safetensors, torch and json raise of every kind
        raise BadInput(
            f"The classifier {path} cannot be read ({error}): make it again with `studio evaluate "
            "classifier`."
        ) from error
    return Classifier(net=net.eval(), classes=classes, reference=reference, made=about["made"])


def squared(pixels: Pixels) -> Pixels:
    """A picture of any size as the network's square, smoothly; its shape is not kept."""
    picture = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def to_tensor(squares: Sequence[Pixels]) -> torch.Tensor:
    """Squares as the network takes them: `[N, 3, SIDE, SIDE]` from -1 to 1."""
    stacked = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)
    return stacked.float() / 127.5 - 1
