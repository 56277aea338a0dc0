"""`studio evaluate` on the command line: a model measured, the prompts' experiment, the classifier.

A table and, as the last line, all figures in JSON go to standard output, progress to standard
error. Light at import: libraries are loaded by the command that needs them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.config import Config, asset
from studio.errors import BadInput

if TYPE_CHECKING:
    from studio.evaluate.briefs import Settings
    from studio.evaluate.ground import Ground
    from studio.evaluate.measure import Drawn, Evaluation, Extent
    from studio.evaluate.painter import Painter
    from studio.presets import Presets

MAX_NUM = 100_000


def shipped_classifier() -> Path:
    """The classifier that ships here."""
    return asset("evaluate/attributes.safetensors")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Hang `evaluate` and its own commands under the command line's parser."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure how well a model does what it is asked",
        description=(
            "Draw briefs with a model and measure the pictures: do they show the four fields, "
            "follow the sketch, have the colour; are they like the renders, or copies of them. "
            "Ends with one line of JSON."
        ),
    )
    _add_model_options(parser, is_own=True)
    parser.add_argument(
        "--training", metavar="DIR", help="the renders it learned from, to look for copies of them"
    )
    parser.add_argument(
        "--num-sketches", metavar="N", default="32", help="sketches of each sort (32)"
    )
    parser.add_argument("--against", metavar="MODEL", help="compare with this model, same seeds")
    parser.add_argument("--against-steps", metavar="N", help="compare with so many steps")
    parser.add_argument(
        "--against-quality",
        metavar="ID",
        help="compare with this quality, such as quick, same seeds; the time of one picture too",
    )
    parser.set_defaults(run=_evaluate)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    prompts = commands.add_parser(
        "prompts",
        help="free descriptions against the four fields, same seeds",
        description=(
            "Draw the same combinations with the same seeds twice, from the four fields and from "
            "descriptions as people write them, and compare how often all four are right."
        ),
    )
    _add_model_options(prompts, is_own=False)
    prompts.set_defaults(run=_prompts)
    classifier = commands.add_parser(
        "classifier",
        help="train the classifier that reads the pictures",
        description=(
            "Train the classifier on renders, and let held-out renders say how often it is right."
        ),
    )
    classifier.add_argument("--training", metavar="DIR", required=True, help="renders to learn")
    classifier.add_argument(
        "--renders",
        metavar="DIR",
        default=argparse.SUPPRESS,
        help="held-out renders (those marked so in the training folder)",
    )
    classifier.add_argument("--epochs", metavar="N", default="12", help="passes over them (12)")
    classifier.add_argument(
        "--out",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="the file to write (the one that ships)",
    )
    classifier.set_defaults(run=_classifier)


def _add_model_options(parser: argparse.ArgumentParser, *, is_own: bool) -> None:
    """A command's own command leaves what was said before its name as it is."""

    def add(flag: str, help_text: str, metavar: str, default: str | None = None) -> None:
        kept: Any = default if is_own else argparse.SUPPRESS
        parser.add_argument(flag, metavar=metavar, default=kept, help=help_text)

    add("--model", "a name or a folder, as for serve", "MODEL")
    add("--precision", "as for serve (auto)", "P")
    add("--backend", "torch (unless told otherwise) or openvino", "B")
    add("--classifier", "the classifier to read pictures with (the one that ships)", "FILE")
    add("--renders", "held-out renders; without them its own reference is used", "DIR")
    add("--num-briefs", "pictures to draw (100)", "N", "100")
    add("--seed", "which briefs, and their seeds (0)", "N", "0")
    add("--quality", "full or quick (full)", "ID")
    add("--steps", "denoising steps; left out, the model's own", "N")
    add("--guidance-scale", "left out, the model's own", "G")
    add("--sampler", "left out, the model's own", "S")
    add("--out", "where to put figures.json, report.png and the pictures", "DIR")


def _evaluate(options: argparse.Namespace) -> None:
    from studio.evaluate.measure import evaluate
    from studio.evaluate.painter import Painter
    from studio.evaluate.report import print_table, rows, write_files
    from studio.evaluate.sheet import build_sheet
    from studio.presets import load_presets

    config = _config(options, options.model)
    presets = load_presets(config.presets_dir)
    extent = _extent(options, presets)
    against = _against(options, extent, presets)
    other = _config(options, options.against) if options.against else None
    ground = _ground(options, presets, _path(options.training))
    with Painter.open(config) as painter:
        evaluation = evaluate(painter, ground, extent, _bars)
        if other is None and (options.against_steps or options.against_quality):
            _time(painter, evaluation, _compare(painter, ground, against, evaluation))
    if other is not None:
        with Painter.open(other) as painter:
            _compare(painter, ground, against, evaluation)
    print_table(list(rows(evaluation.figures)))
    if options.out:
        out = Path(options.out).expanduser()
        write_files(out, evaluation.figures, build_sheet(evaluation), evaluation.drawn)
    print(json.dumps(evaluation.figures, ensure_ascii=False))


def _against(options: argparse.Namespace, extent: Extent, presets: Presets) -> Extent:
    """What is drawn for comparison: the same, but for what was said of the other."""
    import dataclasses

    from studio.evaluate.briefs import Settings

    settings = extent.settings
    num_steps = _optional(options.against_steps, "--against-steps", 1)
    if options.against_quality is not None:
        # A quality has steps, guidance and sampler of its own.
        settings = Settings(quality=_quality(options.against_quality, presets))
    if num_steps is not None:
        settings = dataclasses.replace(settings, num_steps=num_steps)
    return dataclasses.replace(extent, settings=settings)


def _time(painter: Painter, evaluation: Evaluation, theirs: Drawn) -> None:
    """Put among the figures what one picture takes of each."""
    from studio.evaluate.pace import pace

    one, other = ([task.request for task in drawn.tasks] for drawn in (evaluation.drawn, theirs))
    evaluation.figures["comparison"]["time"] = pace(painter, one, other, _bars).to_dict()


def _compare(painter: Painter, ground: Ground, extent: Extent, evaluation: Evaluation) -> Drawn:
    """Draw the same briefs as `extent` has it, and put the difference among the figures."""
    from studio.evaluate.match import match
    from studio.evaluate.measure import compare, describe, draw_briefs

    theirs: Drawn = draw_briefs(painter, ground, extent, _bars, "the other")
    evaluation.figures["comparison"] = {
        "model": describe(painter, theirs),
        "match": match(theirs.readings, theirs.wanted, ground.reference.ceiling).to_dict(),
        "difference": compare(evaluation.drawn, theirs),
    }
    return theirs


def _prompts(options: argparse.Namespace) -> None:
    from studio.evaluate.painter import Painter
    from studio.evaluate.prompts import experiment
    from studio.evaluate.prompts_report import build_sheet, rows
    from studio.evaluate.report import print_table, write_files
    from studio.presets import load_presets

    config = _config(options, options.model)
    presets = load_presets(config.presets_dir)
    extent, ground = _extent(options, presets), _ground(options, presets)
    with Painter.open(config) as painter:
        result = experiment(painter, ground, extent, _bars)
    print_table(list(rows(result.figures)))
    if options.out:
        out = Path(options.out).expanduser()
        write_files(out, result.figures, build_sheet(result), None)
    print(json.dumps(result.figures, ensure_ascii=False))


def _classifier(options: argparse.Namespace) -> None:
    from studio.evaluate.ground import held_out_of
    from studio.evaluate.renders import read_renders, split
    from studio.evaluate.training import Passes, train

    passes = Passes(num_epochs=_whole(options.epochs, "--epochs", 1))
    training, held_out = split(read_renders(Path(options.training).expanduser()))
    renders = getattr(options, "renders", None)
    if renders:
        held_out = held_out_of(read_renders(Path(renders).expanduser()))
    if len(held_out) < 2 or not training:
        raise BadInput(
            "A classifier needs renders to learn from and others, held out, to be judged by: give "
            "them with --training and --renders."
        )
    out = Path(getattr(options, "out", None) or shipped_classifier()).expanduser()
    num_steps = passes.num_epochs * max(1, len(training) // passes.batch_size)
    with _bars("training", num_steps) as tell:
        trained = train(training, held_out, passes, lambda step, num_steps, loss: tell(1))
    trained.save(out)
    assert trained.reference is not None
    ceiling = {name: one.to_dict() for name, one in trained.reference.ceiling.items()}
    for name, one in ceiling.items():
        print(f"{name:10} {100 * one['value']:.1f} % of {one['num']} held-out renders")
    print(json.dumps({"path": str(out), **trained.made, "ceiling": ceiling}))


def _config(options: argparse.Namespace, model: str | None) -> Config:
    from studio.model_choice import configured

    return configured(model=model, precision=options.precision, backend=options.backend)


def _extent(options: argparse.Namespace, presets: Presets) -> Extent:
    from studio.evaluate.measure import Extent

    return Extent(
        num_briefs=_whole(options.num_briefs, "--num-briefs", 2),
        num_sketches=_whole(options.num_sketches, "--num-sketches", 1),
        seed=_whole(options.seed, "--seed", 0, 10_000),
        settings=_settings(options, presets),
    )


def _quality(text: str | None, presets: Presets) -> str | None:
    """The id of a preset, which is there."""
    from studio.compose import quality_preset

    preset = quality_preset(text, presets)
    return None if preset is None else preset.id


def _settings(options: argparse.Namespace, presets: Presets) -> Settings:
    from studio.evaluate.briefs import Settings

    scale = None
    if options.guidance_scale is not None:
        try:
            scale = float(options.guidance_scale)
        except ValueError:
            raise BadInput(
                f"--guidance-scale must be a number, not {options.guidance_scale!r}: give one such "
                "as 2.5."
            ) from None
    num_steps = _optional(options.steps, "--steps", 1)
    return Settings(
        quality=_quality(options.quality, presets),
        num_steps=num_steps,
        guidance_scale=scale,
        sampler=options.sampler,
    )


def _ground(options: argparse.Namespace, presets: Presets, training: Path | None = None) -> Ground:
    from studio.evaluate.ground import Ground

    classifier = _path(options.classifier) or shipped_classifier()
    return Ground.prepare(
        classifier,
        presets=presets,
        renders=_path(options.renders),
        training=training,
        bars=_bars,
    )


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser() if text else None


def _optional(text: str | None, flag: str, lowest: int) -> int | None:
    return None if text is None else _whole(text, flag, lowest)


def _whole(text: str, flag: str, lowest: int, highest: int = MAX_NUM) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else -1
    if not lowest <= number <= highest:
        raise BadInput(
            f"{flag} must be a whole number from {lowest} to {highest:,}, not {text!r}: give one "
            f"such as {max(lowest, 10)}."
        )
    return number


@contextlib.contextmanager
def _bars(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr."""
    from tqdm import tqdm

    with tqdm(total=total, desc=label, unit="", leave=False) as bar:

        def tell(num: int) -> None:
            bar.update(num)

        yield tell
