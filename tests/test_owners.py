"""No face forgets whose a thing is: what `Studio` takes for the local user is said out loud."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.application import Studio

PACKAGE = Path(__file__).resolve().parent.parent / "studio"
FACES = sorted(
    [
        PACKAGE / "server.py",
        *PACKAGE.glob("*_routes.py"),
        *(PACKAGE / "api").glob("*.py"),
        *(PACKAGE / "pages").glob("*.py"),
        *(PACKAGE / "ui").rglob("*.py"),
    ]
)

# Where `owner` stands among the arguments of each method that takes one.
OWNED = {
    name: list(inspect.signature(method).parameters).index("owner") - 1
    for name, method in inspect.getmembers(Studio, inspect.isfunction)
    if "owner" in inspect.signature(method).parameters and not name.startswith("_")
}
OF_EVERYBODY = {"num_active"}
"""May be asked without an owner on purpose: a count that shows nobody's things."""


def forgetful(path: Path) -> Iterator[str]:
    """Calls of the studio in a file that leave the owner out."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        name, of = node.func.attr, ast.unparse(node.func.value)
        if (
            of.split(".")[-1] not in ("studio", "_studio")
            or name not in OWNED.keys() - OF_EVERYBODY
        ):
            continue
        is_said = len(node.args) > OWNED[name] or any(
            keyword.arg in ("owner", None) for keyword in node.keywords
        )
        if not is_said:
            yield f"line {node.lineno}: {ast.unparse(node)}"


def test_the_methods_are_those_that_show_or_change_things() -> None:
    assert {"submit", "cancel", "skip", "retry", "job", "jobs", "view", "images", "image"} <= set(
        OWNED
    )


@pytest.mark.parametrize("path", FACES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_face_says_whose_it_asks_for(path: Path) -> None:
    assert not list(forgetful(path))
