"""`studio models`: what the studio can draw with, listed, added, removed and chosen.

Results go to standard output, progress to standard error. Light at import: libraries are loaded by
what needs them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

from studio.config import Config

if TYPE_CHECKING:
    from studio.model_import import Progress, Report
    from studio.model_registry import Entry, Registry


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Hang `models` and its own commands under the command line's parser."""
    parser = subparsers.add_parser(
        "models",
        help="list, add, remove and choose models",
        description="What the studio draws with: models, ControlNets, LoRAs and preview decoders, "
        "by name.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    shown = commands.add_parser(
        "list", help="show what there is", description="Show every name; * is the one in use."
    )
    shown.add_argument("--json", action="store_true", help="one line of JSON per name")
    shown.set_defaults(run=_list)
    added = commands.add_parser(
        "add",
        help="add a folder, a file, or a name on the hub",
        description=(
            "Add a folder in diffusers' layout (kept where it is), one .safetensors file (a "
            "checkpoint is converted, a LoRA kept where it is), or owner/name on the hub, which is "
            "downloaded. What it is, is told from its contents; only a preview decoder (TAESD) "
            "does not tell its family."
        ),
    )
    added.add_argument("source", metavar="SOURCE", help="folder, file, or owner/name[@revision]")
    added.add_argument("--name", metavar="NAME", help="what to call it (its own name)")
    added.add_argument("--control-kind", metavar="KIND", help="what a ControlNet follows (canny)")
    added.add_argument(
        "--family", choices=("sdxl", "sd15"), help="what a preview decoder was made for"
    )
    added.set_defaults(run=_add)
    removed = commands.add_parser(
        "remove",
        help="forget a name",
        description="Forget a name; files are deleted only where the studio made them itself.",
    )
    removed.add_argument("name", metavar="NAME")
    removed.set_defaults(run=_remove)
    used = commands.add_parser(
        "use",
        help="choose the model that is served",
        description="Choose the model to serve when neither --model nor VITRINE_MODEL names one.",
    )
    used.add_argument("name", metavar="NAME")
    used.set_defaults(run=_use)
    for command in (shown, added, removed, used):
        command.add_argument("--data-dir", metavar="DIR", help="where names are kept, as for serve")


def _registry(options: argparse.Namespace) -> Registry:
    from studio.model_choice import registry_of

    return registry_of(Config.from_environ(data_dir=options.data_dir))


def _list(options: argparse.Namespace) -> None:
    from studio.model_import import unfinished

    registry = _registry(options)
    print_list(registry, as_json=options.json)
    for repo, num_bytes in unfinished(registry).items():
        print(
            f"studio: {repo} is downloaded in part ({_size(num_bytes)}): add it again to go on, or "
            "remove it by that name.",
            file=sys.stderr,
        )


def _add(options: argparse.Namespace) -> None:
    from studio.model_import import add_model

    with _progress() as report:
        entry = add_model(
            _registry(options),
            options.source,
            name=options.name,
            control_kind=options.control_kind,
            family=options.family,
            report=report,
        )
    print(
        f"Added {entry.name}: a {entry.kind.label} for {entry.family.label}, "
        f"{_size(entry.num_bytes)} at {entry.path}."
    )
    if entry.kind == "model":
        print(f"`studio models use {entry.name}` makes it the one that is served.")


def _remove(options: argparse.Namespace) -> None:
    from studio.model_import import discard, unfinished

    registry = _registry(options)
    if options.name in unfinished(registry):
        discard(registry, options.name)
        print(f"Removed what was downloaded of {options.name}.")
        return
    entry = registry.remove(options.name)
    files = "its files are deleted" if entry.is_own else f"{entry.path} is left as it is"
    print(f"Removed {entry.name}; {files}.")


def _use(options: argparse.Namespace) -> None:
    entry = _registry(options).use(options.name)
    print(f"{entry.name} is the model that is served, from the next start on.")
    _warn_of_environment()


def print_list(registry: Registry, *, as_json: bool = False, lines: TextIO | None = None) -> None:
    """Every entry to `lines` (standard output): a table, or one line of JSON each."""
    lines = lines or sys.stdout
    in_use = registry.default().name
    entries = registry.entries()
    if as_json:
        for entry in entries:
            print(json.dumps(_values(entry, in_use), ensure_ascii=False), file=lines)
        return
    rows = [("", "NAME", "KIND", "FAMILY", "SIZE", "WHERE")]
    for entry in entries:
        kind = entry.kind.label
        rows.append(
            (
                "*" if entry.name == in_use else "",
                entry.name,
                f"{kind} ({entry.control_kind})" if entry.control_kind else kind,
                entry.family,
                _size(entry.num_bytes) if entry.is_there else "gone",
                str(entry.path),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        print("  ".join([*cells, row[-1]]).rstrip(), file=lines)
    _warn_of_environment()


def _values(entry: Entry, in_use: str) -> dict[str, object]:
    return {
        "name": entry.name,
        "kind": entry.kind,
        "control_kind": entry.control_kind,
        "family": entry.family,
        "bytes": entry.num_bytes,
        "path": str(entry.path),
        "source": entry.source,
        "is_in_use": entry.name == in_use,
        "is_there": entry.is_there,
    }


def _warn_of_environment() -> None:
    if model := os.environ.get("VITRINE_MODEL"):
        print(f"studio: VITRINE_MODEL is set to {model} and goes before that.", file=sys.stderr)


def _size(num_bytes: int) -> str:
    """ "6.9 GB": decimal, as disks and hubs count."""
    size, units = float(num_bytes), ["B", "kB", "MB", "GB"]
    while size >= 999.5 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.1f} {units[0]}" if size < 10 and units[0] != "B" else f"{size:.0f} {units[0]}"


@contextlib.contextmanager
def _progress() -> Iterator[Report]:
    """A bar on stderr while bytes come in, a line for everything else."""
    from tqdm import tqdm

    with contextlib.ExitStack() as opened:
        bars: dict[str, Any] = {}

        def report(progress: Progress) -> None:
            if not progress.total_bytes:
                print(f"{progress.what} …", file=sys.stderr, flush=True)
                return
            if progress.what not in bars:
                bar: Any = tqdm(
                    total=progress.total_bytes,
                    desc=progress.what,
                    unit="B",
                    unit_scale=True,
                    leave=False,
                )
                bars[progress.what] = opened.enter_context(bar)
            bar = bars[progress.what]
            bar.update(progress.num_bytes - bar.n)

        yield report
