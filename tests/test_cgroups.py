"""A container's limit is the memory there is, in either version of Linux's control groups."""

from __future__ import annotations

from pathlib import Path

from studio.engine.cgroups import memory_limits


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def limits(tmp_path: Path, own: str) -> list[tuple[int, int]]:
    (tmp_path / "own").write_text(own)
    return list(memory_limits(tmp_path / "own", tmp_path / "groups"))


def test_version_two_has_one_tree(tmp_path: Path) -> None:
    write(
        tmp_path / "groups" / "shop" / "studio",
        memory__max="1000\n",
        memory__current="300\n",
        memory__stat="anon 200\ninactive_file 60\n",
    )
    assert limits(tmp_path, "0::/shop/studio\n") == [(1000, 240)]


def test_a_group_above_limits_too(tmp_path: Path) -> None:
    groups = tmp_path / "groups"
    for folder, limit in ((groups / "shop" / "studio", "1000"), (groups / "shop", "700")):
        write(folder, memory__max=limit, memory__current="10", memory__stat="")
    assert limits(tmp_path, "0::/shop/studio") == [(1000, 10), (700, 10)]


def test_version_one_has_a_tree_for_memory(tmp_path: Path) -> None:
    write(
        tmp_path / "groups" / "memory" / "studio",
        memory__limit_in_bytes="500",
        memory__usage_in_bytes="400",
        memory__stat="total_inactive_file 100",
    )
    assert limits(tmp_path, "5:cpu,cpuacct:/studio\n4:memory:/studio\n") == [(500, 300)]


def test_in_a_container_its_own_group_is_the_root(tmp_path: Path) -> None:
    write(tmp_path / "groups", memory__max="900", memory__current="100", memory__stat="anon 1")
    assert limits(tmp_path, "0::/somewhere/else") == [(900, 100)]


def test_no_limit_is_none(tmp_path: Path) -> None:
    write(tmp_path / "groups", memory__max="max", memory__current="100", memory__stat="anon 1")
    assert limits(tmp_path, "0::/") == []


def test_where_there_are_no_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert list(memory_limits(tmp_path / "nothing", tmp_path)) == []
