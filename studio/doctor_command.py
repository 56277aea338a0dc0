"""`studio doctor`: is this machine well, and what ails the pictures; findings, remedies, a bundle.

The report goes to standard output; the exit code is 1 where there is a problem. Light at import.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from studio import __version__
from studio.config import Config
from studio.errors import BadInput

SYMPTOMS = ("stalls", "colours", "structure", "black", "slow")
ALL = "all"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Hang `doctor` under the command line's parser."""
    parser = subparsers.add_parser(
        "doctor",
        help="check this machine, and what ails the pictures",
        description=(
            "Check the machine; with symptoms, load the model and measure what may cause them: "
            "stalls (generation stalls), colours (wrong colours), structure (distorted), black "
            "(black pictures), slow, or all. A studio that runs here is asked too."
        ),
    )
    parser.add_argument("symptoms", metavar="SYMPTOM", nargs="*", help=", ".join((*SYMPTOMS, ALL)))
    parser.add_argument(
        "--fix", metavar="CHECK", action="append", default=[], help="apply the remedy of this check"
    )
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")
    parser.add_argument(
        "--bundle", metavar="FILE", help="write a redacted support bundle (.tar.gz)"
    )
    parser.add_argument("--out", metavar="DIR", default=".", help="where pictures are put (here)")
    parser.add_argument("--steps", metavar="N", type=int, help="steps of a picture (the model's)")
    parser.add_argument("--port", metavar="N", type=int, help="of the studio that runs here (7860)")
    parser.add_argument("--data-dir", metavar="DIR", help="its data folder, as for serve")
    parser.add_argument("--model", metavar="MODEL", help="as for serve")
    parser.add_argument("--precision", metavar="P", help="as for serve")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from studio.doctor import Finding, Running, Status, examine, render
    from studio.model_choice import configured

    symptoms = SYMPTOMS if ALL in options.symptoms else _checked(options.symptoms)
    config = configured(
        port=options.port,
        data_dir=options.data_dir,
        model=options.model,
        precision=options.precision,
    )
    host = f"[{config.host}]" if ":" in config.host else config.host
    running = Running(f"http://{host}:{config.port}")

    def tell(finding: Finding) -> None:
        if not options.json:
            print(render(finding), flush=True)

    findings = examine(
        config,
        running,
        symptoms=symptoms,
        fix=options.fix,
        out=Path(options.out).expanduser(),
        num_steps=options.steps,
        tell=tell,
    )
    report = {
        "version": __version__,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "findings": [finding.to_dict() for finding in findings],
    }
    if options.json:
        print(json.dumps(report, ensure_ascii=False))
    if options.bundle:
        from studio.doctor.bundle import write_bundle

        path = Path(options.bundle).expanduser()
        write_bundle(path, report, config, running, log_file(config))
        print(f"Wrote {path}: look through it before you send it.", file=sys.stderr)
    return int(any(finding.status is Status.PROBLEM for finding in findings))


def log_file(config: Config) -> Path:
    """Where the studio of these settings writes its log."""
    given = config.log_file
    return Path(given) if given not in ("", "-") else config.data_dir / "logs" / "studio.jsonl"


def _checked(symptoms: list[str]) -> list[str]:
    for symptom in symptoms:
        if symptom not in SYMPTOMS:
            raise BadInput(
                f"There is no symptom {symptom!r}: choose from {', '.join((*SYMPTOMS, ALL))}."
            )
    return symptoms
