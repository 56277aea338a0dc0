"""CLIP's byte pairs come from a package or the hub, and from nowhere unchecked."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.clip_vocabulary import FILE, NUM_MERGES, REPO, clip_merges
from studio.errors import BadModel, Unavailable
from tests.hub_tools import Hub, serving_hub


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The list as the hub has it: a line for the version, then no more than CLIP uses."""
    return "\n".join(["#version: 0.2", *clip_merges(tmp_path_factory.mktemp("none"))]) + "\n"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> Iterator[Hub]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with serving_hub(Hub({REPO: {FILE: text.encode(), "vocab.json": b"{}"}})) as found:
        monkeypatch.setenv("HF_ENDPOINT", found.address)
        yield found


def test_the_package_has_them_without_being_imported(tmp_path: Path) -> None:
    merges = clip_merges(tmp_path)
    assert len(merges) == NUM_MERGES == 48_894
    assert merges[:2] == ("i n", "t h")
    assert list(tmp_path.iterdir()) == []


def test_the_hub_has_them_where_the_package_is_missing(tmp_path: Path, served: Hub) -> None:
    assert clip_merges(tmp_path, package="no_such_package") == clip_merges(tmp_path)
    assert [asked.path.rpartition("/")[2] for asked in served.files_asked()] == [FILE]


def test_another_list_is_refused(tmp_path: Path, served: Hub, text: str) -> None:
    served.repos[REPO] = {FILE: text.replace("i n", "i m", 1).encode()}
    with pytest.raises(BadModel, match="is not CLIP's: install open_clip_torch anew"):
        clip_merges(tmp_path, package="no_such_package")


def test_a_damaged_package_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "clip_of_the_tests"
    package.mkdir()
    (package / "__init__.py").touch()
    with gzip.open(package / "bpe_simple_vocab_16e6.txt.gz", "wt") as file:
        file.write("#version\na b\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BadModel, match="is not CLIP's"):
        clip_merges(tmp_path, package=package.name)


def test_without_either_one_sentence_says_what_to_do(tmp_path: Path, served: Hub) -> None:
    served.repos.clear()
    with pytest.raises(Unavailable, match="pip install open_clip_torch"):
        clip_merges(tmp_path, package="no_such_package")
