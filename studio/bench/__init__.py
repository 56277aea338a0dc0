"""`studio bench`: measurements anyone can repeat. Each prints a table and, last, one line of JSON.

What is measured is the product: jobs go through the same `Studio`, or the same server, as
everybody's, in a data folder of their own that is thrown away. This file knows the commands; each
bench has a file of its own, imported when it is run.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module

BACKENDS = ("auto", "torch", "openvino", "tensorrt")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Hang `bench` and its own commands under the command line's parser."""
    bench = subparsers.add_parser(
        "bench", help="measure the studio on this machine", description=__doc__.partition("\n")[0]
    )
    commands = bench.add_subparsers(title="benches", metavar="BENCH", required=True)

    def add(name: str, help_text: str, description: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help_text, description=description)
        command.set_defaults(run=_runner(name))
        return command

    overhead = add(
        "overhead",
        "the share of a generation spent outside the model's forward passes",
        "Draw pictures, one job after another and then four at a time, and compare wall time "
        "with time in the model.",
    )
    overhead.add_argument("--num-images", metavar="N", type=int, default=8, help="pictures (8)")
    overhead.add_argument("--steps", metavar="N", type=int, help="steps (the model's own)")
    start = add(
        "start",
        "seconds until the page answers, the model is warm, the first picture is there",
        "Start the server with one job in its queue, and time what a person waits for.",
    )
    serve = add(
        "serve",
        "throughput and waiting times against the field's usual code",
        "Play the same loads to diffusers' pipeline one call after another, to static batches, "
        "and to the engine.",
    )
    _add_serve_options(serve)
    soak = add(
        "soak",
        "thousands of jobs with cancels, failures and a kill; nothing may be lost",
        "Run many small jobs, cancel some, make some fail, kill the process once, and account "
        "for every job, file and byte.",
    )
    soak.add_argument("--jobs", metavar="N", type=int, default=2000, help="jobs (2000)")
    soak.add_argument("--seed", metavar="N", type=int, default=1, help="what is random (1)")
    soak.add_argument(
        "--closed-form", action="store_true", help="draw with the closed-form model, in seconds"
    )
    screening = add(
        "screening",
        "the time to screen a picture, beside a quick draft",
        "Screen pictures by the classifier, draw quick drafts alone and meanwhile, and compare.",
    )
    screening.add_argument("--weights", metavar="FILE", help="the classifier's (made up)")
    screening.add_argument("--num-drafts", metavar="N", type=int, default=7, help="drafts (7)")
    queue = add(
        "queue",
        "the time to submit and to list when thousands of jobs wait",
        "Fill the queue, and time each submit and each page of the list.",
    )
    queue.add_argument("--num-jobs", metavar="N", type=int, default=10000, help="jobs (10000)")
    gallery = add(
        "gallery",
        "how soon a page of thousands of pictures is on the screen",
        "Put pictures of noise into a gallery, and time its pages, searches and, where there is a "
        "Chromium, the press on its name.",
    )
    gallery.add_argument("--pictures", metavar="N", type=int, default=5000, help="pictures (5000)")
    shop = add(
        "shop",
        "people with quick drafts while a batch runs; nothing may fail, nobody may wait for it",
        "Start a server with people in it, let them draft alone and then beside a batch.",
    )
    shop.add_argument("--people", metavar="N", type=int, default=20, help="people (20)")
    shop.add_argument(
        "--minutes",
        metavar="N",
        type=float,
        default=10.0,
        help="beside the batch (10); alone before it, half of that",
    )
    shop.add_argument("--rows", metavar="N", type=int, default=500, help="of the batch (500)")
    shop.add_argument("--steps", metavar="N", type=int, default=4, help="of a draft (4)")
    shop.add_argument("--backend", choices=BACKENDS, help="as for serve")
    simulate = add(
        "simulate",
        "how the scheduler would serve many people on many devices",
        "Run the scheduler against measured step times; the figures are simulated.",
    )
    simulate.add_argument("--times", metavar="PATH", help="step times, as measured at warm-up")
    simulate.add_argument("--seed", metavar="N", type=int, default=1, help="what is random (1)")
    watch = add(
        "watch",
        "throughput with everything watched against nothing watched",
        "Draw the same pictures in turns with metrics, traces, logs and looks on, and off.",
    )
    watch.add_argument("--num-images", metavar="N", type=int, default=8, help="a turn's (8)")
    watch.add_argument("--rounds", metavar="N", type=int, default=5, help="turns of each (5)")
    watch.add_argument("--steps", metavar="N", type=int, help="steps (the model's own)")
    watch.add_argument("--backend", choices=BACKENDS, help="as for serve")
    overhead.add_argument(
        "--backend", choices=BACKENDS, help="what the engine draws by (as for serve)"
    )
    drawing = add(
        "drawing",
        "from the end of typing or of a stroke to a new draft on the page",
        "Type and draw in a real browser, and time each quick draft until it is seen.",
    )
    drawing.add_argument("--times", metavar="N", type=int, default=12, help="of each (12)")
    drawing.add_argument("--backend", choices=BACKENDS, help="what draws (as for serve)")
    sweep = add(
        "sweep",
        "sizes, pictures at once and precisions: speed, memory, use of the device",
        "Measure passes of a model over sizes, pictures at once and precisions, against the "
        "ceiling of the device, and recommend.",
    )
    _add_sweep_options(sweep)
    card = add(
        "card",
        "all that a card has to show: ceiling, the field's snippet, the engine, memory, telemetry",
        "Measure the ceiling of the device, the engine at 1, 8 and 16 rows and under arrivals, its "
        "recovery when memory runs out, its telemetry, and diffusers' pipeline plain and compiled.",
    )
    _add_card_options(card)
    for command in (overhead, start, serve, soak, queue, screening, shop, drawing, gallery, watch):
        command.add_argument("--model", metavar="DIR", help="model folder (the draft model)")
        command.add_argument("--precision", metavar="P", help="as for serve (auto)")


def _add_sweep_options(sweep: argparse.ArgumentParser) -> None:
    sweep.add_argument("--model", metavar="DIR", help="model folder (the one that is served)")
    sweep.add_argument("--int8", metavar="DIR", help="the same, as `studio quantize` wrote it")
    sweep.add_argument("--fp8", metavar="DIR", help="the same in FP8")
    sweep.add_argument("--sizes", metavar="HxW,…", help="sizes (the model's own)")
    sweep.add_argument(
        "--pictures", metavar="N,…", default="1,4,8", help="pictures at once (1,4,8)"
    )
    sweep.add_argument(
        "--precisions",
        metavar="P,…",
        default="float32,float16,bfloat16,int8,fp8",
        help="precisions (float32,float16,bfloat16,int8,fp8)",
    )
    sweep.add_argument(
        "--control", choices=("both", "with", "without"), default="both", help="ControlNet (both)"
    )
    sweep.add_argument("--steps", metavar="N", type=int, help="of a picture (the model's own)")
    sweep.add_argument("--times", metavar="N", type=int, default=3, help="best of so many (3)")
    sweep.add_argument("--device", metavar="D", help="as for serve")
    sweep.add_argument(
        "--backend",
        choices=("torch", "openvino", "tensorrt"),
        default="torch",
        help="what runs the passes (torch)",
    )
    sweep.add_argument("--out", metavar="DIR", help="where to put CSV, JSON and curves")


def _add_card_options(card: argparse.ArgumentParser) -> None:
    card.add_argument("--model", metavar="DIR", help="model folder (the one that is served)")
    card.add_argument("--device", metavar="D", help="as for serve")
    card.add_argument("--precision", metavar="P", help="of all (bfloat16; float32 without a card)")
    card.add_argument(
        "--backend", choices=BACKENDS, help="the engine's (auto; torch without a card)"
    )
    card.add_argument("--steps", metavar="N", type=int, help="of a picture (20)")
    card.add_argument("--quick", action="store_true", help="4 steps and few pictures")
    card.add_argument("--compile", action="store_true", help="the engine's networks too")
    card.add_argument("--cache-dir", metavar="DIR", help="where plans are kept (thrown away)")
    card.add_argument("--seed", metavar="N", type=int, default=1, help="what is random (1)")


def _add_serve_options(serve: argparse.ArgumentParser) -> None:
    serve.add_argument(
        "--minutes",
        metavar="N",
        type=float,
        default=12.0,
        help="after the start, which takes some itself (12)",
    )
    serve.add_argument("--quick", action="store_true", help="two minutes, fewer loads, half steps")
    serve.add_argument("--out", metavar="DIR", help="where to put plots, as PNG")
    serve.add_argument(
        "--backend",
        choices=BACKENDS,
        default="auto",
        help="what the engine serves by (auto)",
    )
    serve.add_argument(
        "--steps", metavar="N,N", default="10,20,30", help="step counts, equally often (10,20,30)"
    )
    serve.add_argument(
        "--window-ms", metavar="N", type=float, default=50.0, help="window of the batches (50)"
    )
    serve.add_argument("--threads", metavar="N", type=int, default=0, help="of each (all cores)")
    serve.add_argument("--device", metavar="D", default="cpu", help="torch device (cpu)")
    serve.add_argument("--cache-dir", metavar="DIR", help="where plans are kept (thrown away)")
    serve.add_argument("--seed", metavar="N", type=int, default=1, help="what is random (1)")


def _runner(name: str) -> Callable[[argparse.Namespace], int]:
    def run(options: argparse.Namespace) -> int:
        return int(import_module(f"studio.bench.{name}").run(options))

    return run
