"""Every sentence that the source says to a person when it refuses, read out of it.

A sentence is what is given to an error of `studio.errors`, or to `Failed` as its message. Its
values are numbered: "The search is {0} characters long". Sentences put together of others (a
constant, a helper's answer, one of two endings) are followed as far as they stand in the source;
what only passes on another error's words brings no sentence of its own.
"""

from __future__ import annotations

import ast
import functools
import itertools
from collections.abc import Iterator
from pathlib import Path

from studio import errors

PACKAGE = Path(__file__).resolve().parent.parent / "studio"

NOT_ON_THE_PAGE = (
    *("api", "api_key", "hook_rows", "hooks", "public_network"),  # programs
    *("bench", "cli", "client", "doctor", "evaluate", "generate", "migrate"),  # command line
    *("backup", "hub", "model_import", "model_registry", "shrinking"),
    *("clip_vocabulary", "config", "migrations", "model_card", "moderation_policy"),  # the start
    *("prompt_terms", "presets", "safetensors_header", "weights"),
    "tests",
)
"""Rooms whose sentences never come before somebody at the page; and every `…_command`."""

AT_THE_START = {"BadConfig", "BadModel", "PortInUse", "SetupError"}
KINDS = {name for name, kind in vars(errors).items() if isinstance(kind, type)} - AT_THE_START
HELPERS = ("_Problem", "_fail", "_give_up", "fail", "finish", "mark_failed")
"""Functions that are handed the sentence to keep."""
VALUE = "\0"

Sentences = list[str]


def sentences() -> dict[str, str]:
    """Every sentence, and where it is said."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room in NOT_ON_THE_PAGE or room.endswith("_command"):
            continue
        tree = _tree(path)
        for node in ast.walk(tree):
            for message in _messages(node):
                for sentence in _read(message, tree):
                    found[_numbered(sentence)] = f"{path.relative_to(PACKAGE)}:{message.lineno}"
    return {sentence: place for sentence, place in found.items() if " " in sentence}


def _messages(node: ast.AST) -> Iterator[ast.expr]:
    """What a call says to a person, if it does."""
    if not isinstance(node, ast.Call):
        return
    name = getattr(node.func, "id", getattr(node.func, "attr", ""))
    keywords = {keyword.arg: keyword.value for keyword in node.keywords}
    if name in KINDS:
        places = node.args[1:2] if name == "BadBrief" else node.args[:1]
        yield from places
    elif name in HELPERS or ast.unparse(node.func) == "reasons.append":
        yield from node.args
    if name in KINDS | {"Failed"} and "message" in keywords:
        yield keywords["message"]


def _read(node: ast.expr, tree: ast.Module, depth: int = 0) -> Sentences:
    """Every sentence that `node` may be; none where that does not stand in the source."""
    read = functools.partial(_read, tree=tree, depth=depth + 1)
    if depth > 6:
        return []
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            choices = [_part(part, tree, depth) for part in parts]
            return ["".join(choice) for choice in itertools.product(*choices)]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [one + other for one in read(left) for other in read(right)]
        case ast.IfExp(body=one, orelse=other):
            return read(one) + read(other)
        case ast.BoolOp(values=values):
            return [sentence for value in values for sentence in read(value)]
        case ast.Name(id=name):
            return [sentence for value in _assigned(name, tree) for sentence in read(value)]
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
            if name == "str":
                return []
            return [
                sentence
                for answer, home in _answers().get(name, [])
                for sentence in _read(answer, home, depth + 1)
            ]
    return []


def _part(part: ast.expr, tree: ast.Module, depth: int) -> Sentences:
    """One piece of an f-string; a constant of the module is part of the sentence, not a value."""
    if isinstance(part, ast.Constant):
        return [str(part.value)]
    assert isinstance(part, ast.FormattedValue)
    is_constant = isinstance(part.value, ast.Name) and part.value.id.lstrip("_").isupper()
    return (_read(part.value, tree, depth + 1) if is_constant else []) or [VALUE]


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _assigned(name: str, tree: ast.Module) -> Iterator[ast.expr]:
    """What the module, or a function in it, calls by this name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == name for target in node.targets
        ):
            yield node.value


@functools.cache
def _answers() -> dict[str, list[tuple[ast.expr, ast.Module]]]:
    """What the functions of the package that answer with a `str` return, by their names."""
    found: dict[str, list[tuple[ast.expr, ast.Module]]] = {}
    for path in PACKAGE.rglob("*.py"):
        tree = _tree(path)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and getattr(node.returns, "id", "") == "str":
                found.setdefault(node.name, []).extend(
                    (inner.value, tree)
                    for inner in ast.walk(node)
                    if isinstance(inner, ast.Return) and inner.value is not None
                )
    return found


def _numbered(sentence: str) -> str:
    """The values in it as {0}, {1}, …"""
    first, *rest = sentence.split(VALUE)
    return first + "".join(f"{{{number}}}{part}" for number, part in enumerate(rest))
