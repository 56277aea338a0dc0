"""`studio bench`: measurements anyone can repeat. Each prints a table and, last, one line of JSON.

What is measured is the product: jobs go through the same `Studio`, or the same server, as
everybody's, in a data folder of their own that is thrown away. This file knows the commands; each
bench has a file of its own, imported when it is run.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Hang `bench` and its own commands under the command line's parser."""
    bench = subparsers.add_parser(
        "bench", help="measure the studio on this machine", description=__doc__.partition("\n")[0]
    )
    commands = bench.add_subparsers(title="benches", metavar="BENCH", required=True)
    overhead = commands.add_parser(
        "overhead",
        help="the share of a generation spent outside the model's forward passes",
        description="Draw pictures, one job each, and compare wall time with time in the model.",
    )
    overhead.add_argument("--num-images", metavar="N", type=int, default=8, help="pictures (8)")
    overhead.add_argument("--steps", metavar="N", type=int, help="steps (the model's own)")
    overhead.set_defaults(run=_runner("overhead"))
    start = commands.add_parser(
        "start",
        help="seconds until the page answers, the model is warm, the first picture is there",
        description="Start the server with one job in its queue, and time what a person waits for.",
    )
    start.set_defaults(run=_runner("start"))
    for command in (overhead, start):
        command.add_argument("--model", metavar="DIR", help="model folder (the draft model)")
        command.add_argument("--precision", metavar="P", help="as for serve (auto)")


def _runner(name: str) -> Callable[[argparse.Namespace], int]:
    def run(options: argparse.Namespace) -> int:
        return int(import_module(f"studio.bench.{name}").run(options))

    return run
