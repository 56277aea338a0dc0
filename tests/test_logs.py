"""Log lines: one JSON object per event with the job's id, no prompts, rotated."""

from __future__ import annotations

import dataclasses
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from studio import logs
from studio.brief import Brief
from studio.engine.faults import NAN_WORD
from studio.errors import BadConfig, BadDataFolder, BadInput
from studio.logs import JsonFormatter, logging_to
from tests.conftest import WAIT_SECONDS, OpenStudio
from tests.watch_tools import Troubles

BRIEF = Brief(subject="zanzibar", notes="quokka", color="red")


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_job_is_told_from_the_queue_to_its_end_and_its_words_are_not(
    open_studio: OpenStudio, tmp_path: Path
) -> None:
    path = tmp_path / "logs" / "studio.jsonl"
    model = Troubles().model()
    with logging_to(path):
        studio = open_studio(load=lambda precision, report: model)
        studio.wait_until_ready(WAIT_SECONDS)
        good = studio.submit(dataclasses.replace(BRIEF, num_images=2))
        studio.wait(good.id, WAIT_SECONDS)
        bad = studio.submit(dataclasses.replace(BRIEF, notes=f"quokka {NAN_WORD}"))
        studio.wait(bad.id, WAIT_SECONDS)
        with pytest.raises(BadInput):
            studio.submit(dataclasses.replace(BRIEF, seed="quokka"))
    told = [line["event"] for line in lines(path) if line.get("job_id") == good.id]
    kept = ["picture kept"] * 2
    assert told == ["job queued", "job started", *kept, "job succeeded"]
    events = {line["event"] for line in lines(path) if line.get("job_id") == bad.id}
    assert {"job queued", "job started", "job failed"} <= events
    assert any("not-a-number" in str(line["event"]) for line in lines(path))
    text = path.read_text(encoding="utf-8")
    for word in ("zanzibar", "quokka", NAN_WORD):
        assert word not in text
    assert path.stat().st_mode & 0o077 == 0 or path.parent.stat().st_mode & 0o077 == 0


def test_prompts_are_written_at_the_level_debug_alone(
    open_studio: OpenStudio, tmp_path: Path
) -> None:
    path = tmp_path / "studio.jsonl"
    with logging_to(path, "debug"):
        studio = open_studio()
        studio.submit(BRIEF)
    assert any("zanzibar" in str(line.get("prompt")) for line in lines(path))


def test_a_line_has_time_level_place_and_the_job_a_sentence_speaks_of() -> None:
    record = logging.LogRecord(
        "studio.engine", logging.WARNING, "", 0, "job %s failed", ("0123456789abcdef",), None
    )
    line = json.loads(JsonFormatter().format(record))
    assert line["level"] == "warning"
    assert line["logger"] == "studio.engine"
    assert line["job_id"] == "0123456789abcdef"
    assert line["at"].endswith("Z")


def test_an_error_brings_its_traceback_in_the_same_line() -> None:
    try:
        raise ValueError("no")
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("studio", logging.ERROR, "", 0, "it broke", (), info)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    assert "ValueError: no" in json.loads(text)["error"]


def test_the_file_is_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_FILE_BYTES", 2000)
    path = tmp_path / "studio.jsonl"
    with logging_to(path):
        for number in range(200):
            logging.getLogger("studio.test").info("event %d", number)
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["studio.jsonl", *(f"studio.jsonl.{n}" for n in range(1, 6))]
    assert all(file.stat().st_size <= 2000 for file in tmp_path.iterdir())
    assert lines(path)[-1]["event"] == "event 199"


def test_dash_is_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to("-"):
        logging.getLogger("studio.test").info("hello")
        logging.getLogger("elsewhere").info("not ours")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "hello"


def test_what_cannot_be_used_is_told_with_how_to_mend_it(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="choose one of debug, info"), logging_to("-", "loud"):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(BadDataFolder), logging_to(tmp_path / "file" / "log"):
        pass


def test_a_terminal_is_told_warnings_alone_whatever_a_log_file_is_told(tmp_path: Path) -> None:
    code = (
        "import logging, sys; from studio import cli, logs; cli._set_up_logging()\n"
        "with logs.logging_to(sys.argv[1], 'debug'):\n"
        "    logging.getLogger('studio.x').debug('a prompt')\n"
        "    logging.getLogger('studio.x').warning('a warning')\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "log")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert told == "WARNING studio.x: a warning\n"
    assert [line["event"] for line in lines(tmp_path / "log")] == ["a prompt", "a warning"]
