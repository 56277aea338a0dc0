"""The runbook cannot rot: each alert has its page, and its commands are commands that exist."""

from __future__ import annotations

import re
import shlex

import pytest

from studio import cli
from tests.prometheus_tools import ROOT, RULES

PAGES = sorted((ROOT / "docs" / "runbook").glob("*.md"))
ALERTS = re.findall(r"- alert: (\w+)", RULES.read_text(encoding="utf-8"))
DOCUMENTS = [*PAGES, ROOT / "docs" / "watching.md"]
COMMANDS = sorted(
    {
        line.strip()
        for page in DOCUMENTS
        for block in re.findall(r"```console\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL)
        for line in block.splitlines()
        if line.strip().startswith("studio ")
    }
)


def test_each_alert_names_a_page_that_names_it_back() -> None:
    rules = RULES.read_text(encoding="utf-8")
    named = re.findall(r"- alert: (\w+)\n(?:.*\n)*?\s+runbook_url: (\S+)", rules)
    assert [alert for alert, _ in named] == ALERTS
    for alert, page in named:
        assert f"`{alert}`" in (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_leads_from_looking_to_mending_and_says_how_it_was_tried(page: object) -> None:
    text = page.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    headings = re.findall(r"^## (.*)$", text, flags=re.M)
    assert headings == ["Look", "Mend", "Tried"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_runbook_is_understood(command: str) -> None:
    _, *arguments = shlex.split(command)
    assert callable(cli.build_parser().parse_args(arguments).run)


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.stem)
def test_a_file_the_documents_point_to_exists(page: object) -> None:
    text = page.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / link).exists(), link  # type: ignore[attr-defined]
