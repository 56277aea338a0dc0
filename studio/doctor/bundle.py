"""The support bundle: what somebody else needs to help, and nothing that is nobody's business.

Left out: prompts and everything else people typed, names, keys, pictures. Paths lose the home
folder and what else names a person; of a log line the facts stay, and sentences as they are, which
hold no words of a form at the default level.
"""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import importlib.metadata
import io
import json
import platform
import re
import sqlite3
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.config import Config
from studio.doctor.running import Running

MAX_LOG_LINES = 2000

SECRET_KEYS = re.compile(
    r"prompt|brief|owner|person|user|name|mail|pass|token|secret|key|cookie|session|authoriz",
    re.IGNORECASE,
)
KEPT_KEYS = frozenset({"model_name", "backend", "precision", "logger"})
REDACTED = "[left out]"

_SECRET_TEXT = (
    re.compile(r"(?i)\b(bearer|basic)\s+[\w.+/=-]+"),
    re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+"),
    re.compile(r"(?i)\b(\w*(?:token|secret|password|key))(\s*[=:]\s*)\S+"),
)


def write_bundle(
    path: Path, report: Mapping[str, Any], config: Config, running: Running, log_file: Path
) -> Path:
    """Write the bundle to `path`, a .tar.gz; the path."""
    parts = {
        "report.json": json.dumps(redacted(report), indent=1, ensure_ascii=False),
        "versions.txt": versions(),
        "settings.json": json.dumps(redacted(settings(config)), indent=1),
        "health.json": json.dumps(redacted(running.health() or {}), indent=1),
        "metrics.txt": running.metrics(),
        "database.json": json.dumps(database_counts(config.data_dir), indent=1),
        "log.jsonl": log_tail(log_file),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, text in parts.items():
            content = text.encode()
            entry = tarfile.TarInfo(f"vitrine-support/{name}")
            entry.size, entry.mtime, entry.mode = len(content), int(time.time()), 0o600
            archive.addfile(entry, io.BytesIO(content))
    path.chmod(0o600)
    return path


def redacted(value: Any, key: str = "") -> Any:
    """`value` without what is nobody's business, by the names of its keys and by how it looks."""
    if key and key not in KEPT_KEYS and SECRET_KEYS.search(key) and not isinstance(value, bool):
        return REDACTED
    if isinstance(value, Mapping):
        return {str(name): redacted(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(inner) for inner in value]
    if isinstance(value, Path | str):
        return redacted_text(str(value))
    return value


def redacted_text(text: str) -> str:
    """A sentence or a path without the home folder, the user's name, addresses and keys."""
    text = text.replace(str(Path.home()), "~")
    with contextlib.suppress(OSError, KeyError):
        user = getpass.getuser()
        if len(user) > 2 and user != "root":
            text = re.sub(rf"\b{re.escape(user)}\b", "[user]", text)
    node = platform.node()
    if len(node) > 2:
        text = text.replace(node, "[machine]")
    text = _SECRET_TEXT[0].sub(r"\1 " + REDACTED, text)
    text = _SECRET_TEXT[1].sub("[address]", text)
    return _SECRET_TEXT[2].sub(r"\1\2" + REDACTED, text)


def settings(config: Config) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in dataclasses.asdict(config).items()
    }


def versions() -> str:
    """Python, the system, and every package, a line each."""
    found = {
        f"{distribution.metadata['Name']}=={distribution.version}"
        for distribution in importlib.metadata.distributions()
    }
    head = [f"python {platform.python_version()}", f"{platform.system()} {platform.release()}"]
    return "\n".join([*head, *sorted(found, key=str.lower)]) + "\n"


def database_counts(data_dir: Path) -> dict[str, Any]:
    """How many rows of what; never a row."""
    path = data_dir / "studio.db"
    if not path.is_file():
        return {}
    counts: dict[str, Any] = {"bytes": path.stat().st_size}
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection,
    ):
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            quoted = '"' + table.replace('"', '""') + '"'
            counts[table] = connection.execute(f"SELECT COUNT(*) FROM {quoted}").fetchone()[0]
        states = connection.execute("SELECT status, COUNT(*) FROM jobs GROUP BY status")
        counts["jobs_by_status"] = dict(states.fetchall())
    return counts


def log_tail(path: Path) -> str:
    """The end of the log, each line redacted; a line that is no JSON is left out."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()[-MAX_LOG_LINES:]
    except (OSError, ValueError):
        return ""
    kept = []
    for line in lines:
        try:
            values = json.loads(line)
        except ValueError:
            continue
        kept.append(json.dumps(redacted(values), ensure_ascii=False))
    return "\n".join(kept) + "\n" if kept else ""
