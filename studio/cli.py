"""The command line: `studio serve`, `studio generate`, `studio evaluate`, `studio bench`.

Light at import: libraries are loaded by the command that needs them, so that `--help` is immediate.
An error of the studio is one sentence on stderr and its exit code; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, cast

from studio import (
    __version__,
    audit_command,
    backup_command,
    batch_command,
    doctor_command,
    keys_command,
    models_command,
    moderation_command,
    plans_command,
    reproduce_command,
    shrink_command,
    users_command,
)
from studio.brief import Brief
from studio.config import BACKENDS, PRECISIONS
from studio.errors import BadConfig, StudioError
from studio.evaluate import command as evaluate_command

EXIT_INTERRUPTED = 130
EXIT_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = build_parser(wants_bench="bench" in arguments)
    options = parser.parse_args(arguments)
    if not hasattr(options, "run"):
        parser.print_help()
        return 0
    _set_up_logging()
    try:
        return int(options.run(options) or 0)
    except StudioError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain("Stopped.")
        return EXIT_INTERRUPTED


def build_parser(*, wants_bench: bool = True) -> argparse.ArgumentParser:
    """The parser of all commands. `bench` brings its own part, imported only where wanted."""
    parser = _Parser(
        prog="studio", description="Vitrine: a browser studio in which product pictures are made."
    )
    parser.add_argument("--version", action="version", version=f"vitrine-studio {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_serve(commands)
    _add_generate(commands)
    plain = cast("argparse._SubParsersAction[argparse.ArgumentParser]", commands)
    batch_command.add_parser(plain)
    models_command.add_parser(plain)
    plans_command.add_parser(plain)
    reproduce_command.add_parser(plain)
    shrink_command.add_parsers(plain)
    evaluate_command.add_parser(plain)
    users_command.add_parser(plain)
    keys_command.add_parser(plain)
    moderation_command.add_parser(plain)
    audit_command.add_parser(plain)
    backup_command.add_parser(plain)
    doctor_command.add_parser(plain)
    if wants_bench:
        from studio import bench

        bench.add_parser(plain)
    else:
        commands.add_parser("bench", help="measure the studio on this machine")
    return parser


# Numbers stay text until the studio judges them, so that one voice speaks of every mistake.


def _add_serve(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = commands.add_parser(
        "serve",
        help="open the page in a browser",
        description=(
            "Serve the page and the pictures until Ctrl-C: to this machine, or with accounts (see "
            "studio users) to others too."
        ),
    )
    parser.add_argument("--host", help="address to listen on (127.0.0.1)")
    parser.add_argument(
        "--allowed-host",
        metavar="NAME",
        action="append",
        help="a name under which others open the studio, such as studio.example.com; may be given "
        "several times",
    )
    parser.add_argument("--port", help="port to listen on (7860); 0 takes a free one")
    parser.add_argument("--data-dir", metavar="DIR", help="where pictures and the queue are kept")
    parser.add_argument(
        "--drain-seconds",
        metavar="N",
        help="asked to stop by SIGTERM, finish the pictures begun for at most N seconds (0) and be "
        "gone at most 15 s later; the rest stays in the queue",
    )
    parser.add_argument(
        "--log-level",
        metavar="L",
        help="what is worth a line in the log: debug, info, warning or error (info); only debug "
        "writes prompts",
    )
    parser.add_argument(
        "--log-file",
        metavar="PATH",
        help="where log lines go, as JSON (logs/studio.jsonl in the data folder); - is standard "
        "error",
    )
    _add_model_options(parser)
    parser.set_defaults(run=_serve)


def _add_generate(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = commands.add_parser(
        "generate",
        help="draw pictures into a folder",
        description=(
            "Draw pictures and write them into a folder. One line of JSON per picture goes to "
            "standard output, progress to standard error."
        ),
    )
    parser.add_argument("--subject", metavar="S", default="", help="the product, such as sofa")
    parser.add_argument("--material", metavar="M", default="", help="such as leather")
    parser.add_argument("--color", metavar="C", default="", help="such as black")
    parser.add_argument("--scene", metavar="SC", default="", help='such as "living room"')
    parser.add_argument("--notes", metavar="TEXT", default="", help="anything else to say")
    parser.add_argument("--category", metavar="ID", help="kind of goods, such as furniture")
    parser.add_argument("--shot", metavar="ID", help="kind of shot, such as packshot")
    parser.add_argument(
        "--negative-preset",
        metavar="P",
        action="append",
        default=[],
        help="what to keep out, such as no_text; may be given several times",
    )
    parser.add_argument(
        "--size", metavar="SIZE", help="such as square or amazon; left out, the model's own"
    )
    parser.add_argument("--quality", metavar="ID", help="full or quick (full)")
    parser.add_argument("--seed", metavar="N", help="the same seed gives the same picture")
    parser.add_argument("--num-images", metavar="N", default="1", help="how many pictures (1)")
    parser.add_argument("--steps", metavar="N", help="denoising steps; left out, the model's own")
    parser.add_argument(
        "--sketch",
        metavar="FILE",
        help="a drawing or a picture whose outlines are followed (PNG, JPEG or WebP)",
    )
    parser.add_argument("--control-strength", metavar="X", help="how strictly, from 0 to 2 (0.8)")
    parser.add_argument(
        "--control-start", metavar="X", help="from which part of the steps, from 0 to 1 (0)"
    )
    parser.add_argument(
        "--control-end", metavar="X", help="until which part of the steps, from 0 to 1 (0.9)"
    )
    parser.add_argument(
        "--canny-low", metavar="N", help="lower threshold of the outlines of a picture (100)"
    )
    parser.add_argument(
        "--canny-high", metavar="N", help="upper threshold of the outlines of a picture (200)"
    )
    parser.add_argument(
        "--lora",
        metavar="NAME[:X]",
        action="append",
        default=[],
        help="a LoRA that `studio models list` shows, with its weight (1); may be given several "
        "times",
    )
    parser.add_argument("--out", metavar="DIR", required=True, help="folder to write into")
    _add_model_options(parser)
    parser.set_defaults(run=_generate)


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="a name that `studio models list` shows, or a folder in diffusers' layout (what "
        "`studio models use` chose)",
    )
    parser.add_argument(
        "--precision", metavar="P", help=f"one of {', '.join(PRECISIONS)} (auto: the fastest)"
    )
    parser.add_argument(
        "--backend", metavar="B", help=f"one of {', '.join(BACKENDS)} (auto: the fastest)"
    )
    parser.add_argument(
        "--device",
        metavar="D",
        help="cpu, cuda, cuda:1 and so on (auto: a card where there is one)",
    )


def _serve(options: argparse.Namespace) -> None:
    from studio.model_choice import configured

    config = configured(
        host=options.host,
        allowed_hosts=tuple(options.allowed_host) if options.allowed_host else None,
        port=_port(options.port),
        data_dir=options.data_dir,
        drain_seconds=_seconds(options.drain_seconds),
        log_level=options.log_level,
        log_file=options.log_file,
        model=options.model,
        precision=options.precision,
        backend=options.backend,
        device=options.device,
    )
    from studio.server import serve

    serve(config)


def _generate(options: argparse.Namespace) -> None:
    from studio.model_choice import configured

    config = configured(
        model=options.model,
        precision=options.precision,
        backend=options.backend,
        device=options.device,
    )
    brief = Brief(
        subject=options.subject,
        material=options.material,
        color=options.color,
        scene=options.scene,
        notes=options.notes,
        category=options.category,
        shot=options.shot,
        negative_presets=tuple(options.negative_preset),
        size=options.size,
        quality=options.quality,
        num_images=options.num_images,
        seed=options.seed,
        num_steps=options.steps,
        control_strength=options.control_strength,
        control_start=options.control_start,
        control_end=options.control_end,
        canny_low=options.canny_low,
        canny_high=options.canny_high,
        loras=tuple(options.lora),
    )
    from studio.generate import generate

    sketch = Path(options.sketch).expanduser() if options.sketch else None
    generate(config, brief, Path(options.out).expanduser(), sketch=sketch)


def _port(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise BadConfig(f"The port {text!r} is no number: choose one from 1 to 65535.")
    return int(text[:6])


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise BadConfig(f"The --drain-seconds {text!r} are no whole number: give one, such as 30.")
    return int(text[:9])


def _complain(sentence: str) -> None:
    print(f"studio: {sentence}", file=sys.stderr, flush=True)


def _set_up_logging() -> None:
    """Warnings to stderr. An error of the studio is its sentence there too, without a traceback."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)  # what a log file is told besides is not for here
    handler.setFormatter(_Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, StudioError):
            return f"{record.levelname} {record.name}: {record.getMessage()}: {error}"
        return super().format(record)


class _Parser(argparse.ArgumentParser):
    """Answers a wrong command line with one sentence, as everything else is answered."""

    def error(self, message: str) -> NoReturn:
        _complain(f"{message}: see {self.prog} --help.")
        sys.exit(EXIT_USAGE)


if __name__ == "__main__":
    sys.exit(main())
