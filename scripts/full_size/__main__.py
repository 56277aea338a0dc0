"""Full-size SDXL without a card: `write` a model, compare its graphs (`parity`), build plans.

    python -m scripts.full_size write --out .full/sdxl
    python -m scripts.full_size parity --model .full/sdxl
    studio plans build --model .full/sdxl --capability 8.9 --size 1024x1024
    python -m scripts.full_size write --out .full/sdxl-int8 --form int8
    studio plans build --model .full/sdxl-int8 --capability 8.9 --size 1024x1024
    python -m scripts.full_size draft --out .full/draft

The last takes the model that ships instead: its graphs in half precision, INT8 and FP8 become
plans for three generations of cards. Full size takes 8 GB of disk for a model, 11 GB more while
graphs are compared, 16 GB for its graphs and plans of one size, and 21 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.full_size", description=(__doc__ or "").splitlines()[0]
    )
    commands = parser.add_subparsers(required=True)
    write = commands.add_parser("write", help="a model folder with random weights")
    write.add_argument("--out", type=Path, required=True)
    write.add_argument("--form", choices=("int8", "fp8"), default="", help="of the UNet's layers")
    write.add_argument("--seed", type=int, default=0)
    write.set_defaults(run=_write)
    parity = commands.add_parser("parity", help="ONNX Runtime's answers against torch's")
    parity.add_argument("--model", type=Path, required=True)
    parity.add_argument("--size", type=int, default=256, help="pixels (256)")
    parity.add_argument("--graph", action="append", default=[], help="such as decoder (all)")
    parity.set_defaults(run=_parity)
    draft = commands.add_parser("draft", help="plans of the model that ships, quantized too")
    draft.add_argument("--out", type=Path, required=True, help="for quantized models and plans")
    draft.add_argument("--capability", action="append", default=[], help="(8.6, 8.9, 12.0)")
    draft.set_defaults(run=_draft)
    options = parser.parse_args(argv)
    code: int = options.run(options)
    return code


def _write(options: argparse.Namespace) -> int:
    from scripts.full_size.write import write_model

    write_model(options.out, form=options.form, seed=options.seed, report=_tell)
    return 0


def _parity(options: argparse.Namespace) -> int:
    from scripts.full_size.parity import MAX_ERROR, compare_all, summary, table

    rows = compare_all(options.model.resolve(), options.size, options.graph, report=_tell)
    print(table(rows))
    print(json.dumps(summary(rows, options.size)))
    return int(max(row.error for row in rows) > MAX_ERROR)


def _draft(options: argparse.Namespace) -> int:
    from scripts.full_size.builds import CAPABILITIES, build_each, summary, table, with_quantized
    from studio.config import draft_model_dir
    from studio.engine.plans import PlanCache

    builds = build_each(
        with_quantized(draft_model_dir(), options.out, report=_tell),
        PlanCache(options.out / "plans"),
        capabilities=options.capability or CAPABILITIES,
        report=_tell,
    )
    print(table(builds))
    print(json.dumps(summary(builds)))
    return 0


def _tell(text: str) -> None:
    print(f"{text} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
