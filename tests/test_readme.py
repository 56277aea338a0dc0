"""The README cannot rot: every command in it is one that exists, with flags that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from studio import cli

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [line.strip() for block in BLOCKS for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_is_understood(command: str) -> None:
    program, *arguments = shlex.split(command)
    if program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert all(f"\n{target}:" in makefile for target in arguments if "=" not in target)
    else:
        assert program == "studio"
        assert callable(cli.build_parser().parse_args(arguments).run)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_a_file_the_readme_points_to_exists(link: str) -> None:
    assert (ROOT / link).exists()


@pytest.mark.parametrize("flag", sorted(set(re.findall(r"^\| `(--[a-z-]+)`", README, re.M))))
def test_a_flag_in_the_readme_is_a_flag_of_serve(flag: str) -> None:
    value = {"--port": "8000", "--precision": "float32"}.get(flag, "somewhere")
    assert cli.build_parser().parse_args(["serve", flag, value])
