"""Settings the doctor was asked to keep: a small JSON file in the data folder.

They count where neither the command line nor the environment says otherwise, so that a studio that
was mended stays mended after a restart. Each is kept with the reason it was kept for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.data_folder import storage_error, write_whole

FILE_NAME = "kept_settings.json"
NAMES = frozenset({"precision", "backend"})
"""What may be kept; anything else in the file is passed over."""


def kept_settings(data_dir: Path) -> Mapping[str, str]:
    """The settings kept in `data_dir`, by name; empty where the file is missing or damaged."""
    return {
        name: str(entry["value"])
        for name, entry in _read(data_dir).items()
        if name in NAMES and isinstance(entry, dict) and "value" in entry
    }


def keep_setting(data_dir: Path, name: str, value: str, reason: str) -> None:
    """Keep `value` for the setting `name`, an empty one to forget it.

    Raises:
        StorageFull, BadDataFolder: it cannot be written.
    """
    assert name in NAMES
    entries = {key: entry for key, entry in _read(data_dir).items() if key != name}
    if value:
        entries[name] = {"value": value, "reason": reason}
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = json.dumps(entries, indent=1, ensure_ascii=False)
        write_whole(data_dir / FILE_NAME, text.encode())
    except OSError as error:
        raise storage_error(error, data_dir) from error


def _read(data_dir: Path) -> dict[str, Any]:
    try:
        values = json.loads((data_dir / FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
