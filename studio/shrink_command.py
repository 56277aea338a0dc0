"""`studio quantize` and `studio prune`: a smaller model from a model, as a folder of its own.

Figures go to standard output, the last line all of them in JSON; progress to standard error. Light
at import.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.errors import BadInput

if TYPE_CHECKING:
    from studio.shrinking import Extent

FORMS = ("int8", "fp8")


def add_parsers(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Hang both commands under the command line's parser."""
    quantize = subparsers.add_parser(
        "quantize",
        help="a model with weights of one byte",
        description=(
            "Draw pictures from the presets, see what the layers of the UNet are given, and write "
            "the model with those layers in one byte, for every backend. Needs NVIDIA ModelOpt."
        ),
    )
    quantize.add_argument("--form", choices=FORMS, default="int8", help="int8 (SmoothQuant) or fp8")
    quantize.set_defaults(run=_quantize)
    prune = subparsers.add_parser(
        "prune",
        help="a model with fewer attention heads and neurons",
        description=(
            "Draw pictures from the presets, take out the attention heads and feed-forward neurons "
            "that matter least to them, and write the model that is left."
        ),
    )
    prune.add_argument(
        "--ratio", metavar="X", type=float, required=True, help="the share to take out, such as 0.2"
    )
    prune.set_defaults(run=_prune)
    for command in (quantize, prune):
        command.add_argument("--model", metavar="MODEL", help="as for serve")
        command.add_argument("--out", metavar="DIR", required=True, help="the folder to write")
        command.add_argument(
            "--pictures", metavar="N", type=int, default=8, help="pictures to draw first (8)"
        )
        command.add_argument("--steps", metavar="N", type=int, help="of each (the model's own)")
        command.add_argument("--seed", metavar="N", type=int, default=0, help="which (0)")
        command.add_argument("--data-dir", metavar="DIR", help="as for serve")


def _quantize(options: argparse.Namespace) -> None:
    from studio.model_choice import configured
    from studio.shrinking import quantize

    config = configured(model=options.model, data_dir=options.data_dir)
    out = Path(options.out).expanduser()
    _print(quantize(config, options.form, out, _extent(options), _tell), out, config.model)


def _prune(options: argparse.Namespace) -> None:
    from studio.model_choice import configured
    from studio.shrinking import prune

    config = configured(model=options.model, data_dir=options.data_dir)
    out = Path(options.out).expanduser()
    _print(prune(config, options.ratio, out, _extent(options), _tell), out, config.model)


def _extent(options: argparse.Namespace) -> Extent:
    from studio.shrinking import Extent

    if options.pictures < 1:
        raise BadInput("--pictures must be 1 or more.")
    return Extent(num_pictures=options.pictures, num_steps=options.steps, seed=options.seed)


def _print(figures: Mapping[str, Any], out: Path, source: Path) -> None:
    for name, value in figures.items():
        print(f"{name:28} {value}")
    print(f"How good it is: studio evaluate --model {out} --against {source}")
    print(json.dumps(dict(figures)))


def _tell(text: str) -> None:
    print(f"{text} …", file=sys.stderr, flush=True)
