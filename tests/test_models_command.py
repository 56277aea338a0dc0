"""`studio models`: what it prints, and its one sentence for every mistake."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from studio import cli
from tests.hub_tools import Hub, folder_files, serving_hub
from tests.tiny_models import write_controlnet, write_lora, write_sd15, write_sdxl

Told = pytest.CaptureFixture[str]
Run = Callable[..., int]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    write_sdxl(folder / "tiny-xl", card=False)
    write_sd15(folder / "tiny-15", card=False)
    write_controlnet(folder / "lines", "sdxl")
    write_lora(folder / "gold.safetensors", "sdxl")
    return folder


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def run(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("VITRINE_MODEL", raising=False)
    return lambda *arguments: cli.main(["models", *arguments, "--data-dir", str(data_dir)])


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, made: Path) -> Iterator[Hub]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with serving_hub(Hub({"someone/tiny": folder_files(made / "tiny-xl")})) as found:
        monkeypatch.setenv("HF_ENDPOINT", found.address)
        yield found


def listed(run: Run, capsys: Told) -> dict[str, dict[str, object]]:
    capsys.readouterr()
    assert run("list", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {line["name"]: line for line in lines}


def test_the_list_begins_with_the_draft_model_in_use(
    run: Run, capsys: Told, data_dir: Path
) -> None:
    assert run("list") == 0
    title, draft = capsys.readouterr().out.splitlines()
    assert title.split() == ["NAME", "KIND", "FAMILY", "SIZE", "WHERE"]
    assert draft.split()[:4] == ["*", "draft", "model", "sdxl"]
    assert not data_dir.exists()


def test_everything_that_was_added_is_listed(run: Run, capsys: Told, made: Path) -> None:
    for name in ("tiny-xl", "tiny-15", "lines", "gold.safetensors"):
        assert run("add", str(made / name)) == 0
    capsys.readouterr()
    assert run("list") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == ["tiny-xl", "tiny-15", "lines", "gold"]
    assert [row[-1] for row in rows] == [
        str(made / name) for name in ("tiny-xl", "tiny-15", "lines", "gold.safetensors")
    ]
    assert rows[2][1:4] == ["ControlNet", "(canny)", "sdxl"]


def test_what_was_added_is_told_in_a_sentence(run: Run, capsys: Told, made: Path) -> None:
    assert run("add", str(made / "tiny-xl"), "--name", "mine") == 0
    told = capsys.readouterr()
    assert told.out.startswith("Added mine: a model for SDXL, ")
    assert "`studio models use mine` makes it the one that is served." in told.out


def test_a_line_of_json_says_all_there_is_to_know(run: Run, capsys: Told, made: Path) -> None:
    run("add", str(made / "lines"), "--control-kind", "lineart")
    line = listed(run, capsys)["lines"]
    assert line.pop("bytes") == sum(len(file) for file in folder_files(made / "lines").values())
    assert line == {
        "name": "lines",
        "kind": "controlnet",
        "control_kind": "lineart",
        "family": "sdxl",
        "path": str(made / "lines"),
        "source": str(made / "lines"),
        "is_in_use": False,
        "is_there": True,
    }


def test_the_chosen_model_is_marked(run: Run, capsys: Told, made: Path) -> None:
    run("add", str(made / "tiny-xl"))
    assert run("use", "tiny-xl") == 0
    assert "tiny-xl is the model that is served" in capsys.readouterr().out
    found = listed(run, capsys)
    assert [name for name, line in found.items() if line["is_in_use"]] == ["tiny-xl"]


def test_a_variable_that_goes_before_is_told(
    run: Run, capsys: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITRINE_MODEL", "/somewhere")
    assert run("use", "draft") == 0
    assert "VITRINE_MODEL is set to /somewhere and goes before that" in capsys.readouterr().err


def test_files_that_are_gone_are_marked(run: Run, capsys: Told, tmp_path: Path) -> None:
    file = write_lora(tmp_path / "lost.safetensors", "sd15")
    run("add", str(file))
    file.unlink()
    assert not listed(run, capsys)["lost"]["is_there"]
    run("list")
    assert capsys.readouterr().out.splitlines()[-1].split()[3] == "gone"


def test_removing_says_what_became_of_the_files(
    run: Run, capsys: Told, made: Path, served: Hub, data_dir: Path
) -> None:
    run("add", str(made / "tiny-15"))
    run("add", "someone/tiny")
    capsys.readouterr()
    assert run("remove", "tiny-15") == 0
    assert f"{made / 'tiny-15'} is left as it is" in capsys.readouterr().out
    assert (made / "tiny-15" / "model_index.json").exists()
    assert run("remove", "tiny") == 0
    assert "its files are deleted" in capsys.readouterr().out
    assert not (data_dir / "models" / "tiny").exists()


def test_a_download_that_stopped_is_told_and_can_be_removed(
    run: Run, capsys: Told, served: Hub, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    served.breaks = [0] * 6
    assert run("add", "someone/tiny") == 75
    capsys.readouterr()
    run("list")
    assert "studio: someone/tiny is downloaded in part (" in capsys.readouterr().err
    assert run("remove", "someone/tiny") == 0
    assert list((data_dir / "models" / ".downloads").iterdir()) == []
    assert run("remove", "someone/tiny") == 2
    assert run("list") == 0
    assert "in part" not in capsys.readouterr().err


def test_a_download_shows_its_progress_on_standard_error(
    run: Run, capsys: Told, served: Hub
) -> None:
    assert run("add", "someone/tiny") == 0
    told = capsys.readouterr()
    assert "downloading someone/tiny:   0%" in told.err
    assert told.out.startswith("Added tiny: a model for SDXL")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["add", "/nowhere"], 78, "There is nothing at /nowhere: the studio takes SDXL"),
        (["add", "x", "--name", "../x"], 2, "'../x' cannot be a name"),
        (["add", "x", "--name", "draft"], 2, "The name 'draft' is taken"),
        (["remove", "draft"], 2, "The draft model is part of the studio"),
        (["remove", "x"], 2, "There is no model named 'x'"),
        (["use", "x"], 2, "There is no model named 'x'"),
        (["add", "someone/else"], 78, "The hub has no model someone/else"),
    ],
)
def test_a_mistake_is_one_sentence(
    run: Run, capsys: Told, served: Hub, arguments: list[str], code: int, sentence: str
) -> None:
    assert run(*arguments) == code
    told = capsys.readouterr()
    assert sentence in told.err
    assert told.err.startswith("studio: ")
    assert len(told.err.splitlines()) == 1
    assert told.out == ""


def test_without_a_network_one_sentence_says_so(
    run: Run, capsys: Told, served: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert run("add", "someone/tiny") == 75
    told = capsys.readouterr().err
    assert "The hub may not be reached" in told
    assert len(told.splitlines()) == 1


def test_a_damaged_list_is_one_sentence(run: Run, capsys: Told, data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "models.json").write_text("{")
    for arguments in (["list"], ["add", "x/y"], ["use", "x"], ["remove", "x"]):
        assert run(*arguments) == 78
        told = capsys.readouterr().err
        assert "models.json is damaged" in told
        assert len(told.splitlines()) == 1


@pytest.mark.parametrize("command", [["models"], ["models", "paint"], ["models", "use"]])
def test_a_wrong_command_line_is_one_sentence(capsys: Told, command: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(command)
    assert stopped.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_help_names_every_command(capsys: Told) -> None:
    with pytest.raises(SystemExit):
        cli.main(["models", "--help"])
    told = capsys.readouterr().out
    assert all(name in told for name in ("list", "add", "remove", "use"))


def test_names_are_kept_where_serve_looks_for_them(
    run: Run, capsys: Told, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITRINE_MODELS_DIR", str(tmp_path / "names"))
    assert run("add", str(made / "tiny-xl")) == 0
    assert (tmp_path / "names" / "models.json").is_file()
    assert "tiny-xl" in listed(run, capsys)
