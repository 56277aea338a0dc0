"""`examine`: the doctor's round: checks of the machine, symptoms of pictures, remedies when asked.

A report is a list of findings; see `Finding`. Nothing is changed unless a remedy is asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from studio.config import Config
from studio.doctor.finding import Finding, Status
from studio.doctor.machine import machine_findings
from studio.doctor.running import Running
from studio.doctor.symptoms import SYMPTOMS, Symptoms
from studio.errors import StudioError

__all__ = ["SYMPTOMS", "Finding", "Running", "Status", "examine", "render"]

MARKS = {
    Status.GOOD: "ok",
    Status.WARNING: "warning",
    Status.PROBLEM: "PROBLEM",
    Status.SKIPPED: "skipped",
}


def examine(
    config: Config,
    running: Running,
    *,
    symptoms: Collection[str] = (),
    fix: Collection[str] = (),
    out: Path,
    num_steps: int | None = None,
    tell: Callable[[Finding], None] = lambda finding: None,
) -> list[Finding]:
    """Every check of the machine, then `symptoms`; `tell` hears of each as it is done.

    The remedies of the checks named in `fix` are applied, where there is one.
    """

    def round_() -> Iterator[Finding]:
        yield from machine_findings(config, running)
        if symptoms:
            chosen = [name for name in SYMPTOMS if name in symptoms]
            checks = Symptoms(config, running, out=out, num_steps=num_steps)
            yield from checks.findings(chosen)

    found = []
    for finding in round_():
        done = _applied(finding) if finding.check in fix else finding
        found.append(done)
        tell(done)
    return found


def _applied(finding: Finding) -> Finding:
    if finding.apply is None:
        return finding
    try:
        return dataclasses.replace(finding, applied=finding.apply())
    except (StudioError, OSError) as error:
        return dataclasses.replace(finding, applied=f"The remedy could not be applied: {error}")


def render(finding: Finding) -> str:
    """A finding for people: what it is, what was seen, what to do."""
    lines = [f"{MARKS[finding.status]:8} {finding.check:11} {finding.cause}"]
    if finding.applied:
        lines.append(f"{'':20} done: {finding.applied}")
    elif finding.remedy:
        lines.append(f"{'':20} → {finding.remedy}")
        if finding.apply is not None:
            named = f"{finding.check} " if finding.check in SYMPTOMS else ""
            lines.append(f"{'':20}   studio doctor {named}--fix {finding.check}")
    return "\n".join(lines)
