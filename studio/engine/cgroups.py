"""Control groups: the memory Linux lets this process have, which may be less than the machine's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

OWN, ROOT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def memory_limits(own: Path = OWN, root: Path = ROOT) -> Iterator[tuple[int, int]]:
    """(limit, used) in bytes of the control groups this process is in, where they have a limit.

    Files that were read and could be dropped again do not count as used. Both versions of Linux's
    control groups; a container often sees its own group as the root.
    """
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, names = root, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            base = root / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = base / path.strip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(base):
                break
            if (found := _limit(folder, *names)) is not None:
                yield found


def _limit(folder: Path, limit: str, used: str, droppable: str) -> tuple[int, int] | None:
    try:
        limit_bytes = int((folder / limit).read_text())  # "max" where there is none
        used_bytes = int((folder / used).read_text())
        stat = (folder / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):
        return None
    counts = dict(line.split(" ", 1) for line in stat if " " in line)
    return limit_bytes, max(0, used_bytes - int(counts.get(droppable, 0)))
