"""The registry remembers by name, changes its file as a whole, and deletes only its own."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest

from studio.config import draft_model_dir
from studio.errors import BadDataFolder, BadInput, BadModel, Conflict, NotFound, StudioError
from studio.model_registry import DRAFT, Entry, Registry, as_name, model_folder
from studio.weights import Family, Kind
from tests.tiny_models import write_controlnet, write_lora, write_sdxl


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "data")


def model(tmp_path: Path, name: str = "one", **values: object) -> Entry:
    folder = tmp_path / "elsewhere" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights").write_bytes(b"12345")
    known: dict[str, object] = {"kind": Kind.MODEL, "family": Family.SDXL, "path": folder}
    return Entry(name=name, **(known | values))  # type: ignore[arg-type]


def own(registry: Registry, name: str = "mine", **values: object) -> Entry:
    folder = registry.folder / name
    folder.mkdir(parents=True)
    (folder / "weights").write_bytes(b"12345")
    known: dict[str, object] = {"kind": Kind.MODEL, "family": Family.SDXL, "is_own": True}
    return Entry(name=name, path=folder, **(known | values))  # type: ignore[arg-type]


def lora(tmp_path: Path, name: str, family: Family = Family.SDXL) -> Entry:
    path = tmp_path / f"{name}.safetensors"
    path.write_bytes(b"123")
    return Entry(name=name, kind=Kind.LORA, family=family, path=path)


def controlnet(tmp_path: Path, name: str, family: Family, kind: str = "canny") -> Entry:
    return model(tmp_path, name, kind=Kind.CONTROLNET, family=family, control_kind=kind)


def test_the_draft_model_is_always_there(registry: Registry) -> None:
    (draft,) = registry.entries()
    assert (draft.name, draft.kind, draft.path) == (DRAFT, Kind.MODEL, draft_model_dir())
    assert registry.default() == draft
    assert draft.is_there
    assert not registry.data_dir.exists()


def test_what_is_added_is_remembered(registry: Registry, tmp_path: Path) -> None:
    added = registry.add(model(tmp_path, source="somewhere"))
    assert Registry(registry.data_dir).get("one") == added
    assert added.added_at
    assert registry.path_of("one") == added.path
    assert added.num_bytes == 5


def test_files_that_are_gone_are_told(registry: Registry, tmp_path: Path) -> None:
    for entry in (model(tmp_path), lora(tmp_path, "two")):
        registry.add(entry)
        assert registry.get(entry.name).is_there
        shutil.rmtree(entry.path) if entry.path.is_dir() else entry.path.unlink()
        assert not registry.get(entry.name).is_there
        assert registry.get(entry.name).num_bytes == 0


def test_an_unknown_name_is_one_sentence(registry: Registry) -> None:
    for ask in (registry.get, registry.path_of, registry.remove, registry.use):
        with pytest.raises(NotFound, match=r"no model named 'x': `studio models list` shows"):
            ask("x")


@pytest.mark.parametrize(
    "name", ["", "A", "a b", "../x", "a/b", ".x", "-x", "x" * 65, "ä", "a\n", "a\\b", "~", "."]
)
def test_what_cannot_be_a_name_is_refused(registry: Registry, tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="cannot be a name"):
        registry.add(_named(tmp_path, name))
    assert len(registry.entries()) == 1


def _named(tmp_path: Path, name: str) -> Entry:
    return Entry(name=name, kind=Kind.MODEL, family=Family.SDXL, path=tmp_path)


@pytest.mark.parametrize("name", [DRAFT, "one"])
def test_a_name_is_given_once(registry: Registry, tmp_path: Path, name: str) -> None:
    registry.add(model(tmp_path))
    with pytest.raises(Conflict, match=f"The name '{name}' is taken: choose another with --name"):
        registry.add(_named(tmp_path, name))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Juggernaut XL (v9)", "juggernaut-xl-v9"),
        ("sd_xl_base_1.0", "sd_xl_base_1.0"),
        ("../..", "model"),
        ("样式", "model"),
        ("x" * 100, "x" * 64),
        (".hidden-", "hidden"),
    ],
)
def test_any_text_becomes_a_name(text: str, name: str) -> None:
    assert as_name(text) == name


def test_a_taken_name_gets_a_number(registry: Registry, tmp_path: Path) -> None:
    assert registry.free_name("Draft") == "draft-2"
    registry.add(model(tmp_path, "draft-2"))
    assert registry.free_name("draft") == "draft-3"
    assert registry.free_name("x" * 64) == "x" * 64


def test_a_model_is_chosen_and_stays_chosen(registry: Registry, tmp_path: Path) -> None:
    registry.add(model(tmp_path))
    registry.use("one")
    assert Registry(registry.data_dir).default().name == "one"
    registry.use(DRAFT)
    assert registry.default().name == DRAFT


def test_removing_the_chosen_model_leaves_the_draft(registry: Registry, tmp_path: Path) -> None:
    registry.add(model(tmp_path))
    registry.use("one")
    registry.remove("one")
    assert registry.default().name == DRAFT


def test_only_a_model_can_be_chosen(registry: Registry, tmp_path: Path) -> None:
    registry.add(lora(tmp_path, "gold"))
    registry.add(controlnet(tmp_path, "lines", Family.SDXL))
    with pytest.raises(BadInput, match="'gold' is a LoRA, which draws nothing by itself"):
        registry.use("gold")
    with pytest.raises(BadInput, match="'lines' is a ControlNet"):
        registry.use("lines")


def test_a_model_whose_files_are_gone_cannot_be_chosen(registry: Registry, tmp_path: Path) -> None:
    shutil.rmtree(registry.add(model(tmp_path)).path)
    with pytest.raises(BadModel, match="The files of 'one' are gone from"):
        registry.use("one")


def test_the_draft_model_cannot_be_removed(registry: Registry) -> None:
    with pytest.raises(Conflict, match="The draft model is part of the studio"):
        registry.remove(DRAFT)
    assert draft_model_dir().is_dir()


def test_files_of_others_are_left_as_they_are(registry: Registry, tmp_path: Path) -> None:
    entry = registry.add(model(tmp_path))
    registry.remove("one")
    assert (entry.path / "weights").exists()
    assert len(registry.entries()) == 1


def test_files_of_our_own_are_deleted(registry: Registry) -> None:
    entry = registry.add(own(registry))
    assert registry.get("mine").path == entry.path
    registry.remove("mine")
    assert not entry.path.exists()
    assert registry.folder.exists()


def test_of_a_lora_of_our_own_the_folder_is_deleted(registry: Registry) -> None:
    folder = own(registry).path
    (folder / "gold.safetensors").touch()
    file = folder / "gold.safetensors"
    registry.add(own_file := Entry(
        name="gold", kind=Kind.LORA, family=Family.SDXL, path=file, is_own=True
    ))  # fmt: skip
    registry.remove(own_file.name)
    assert not folder.exists()


@pytest.mark.parametrize("path", ["..", "../elsewhere", "models", "models/..", "/"])
def test_a_file_that_was_tampered_with_deletes_nothing_else(
    registry: Registry, tmp_path: Path, path: str
) -> None:
    kept = model(tmp_path).path
    entry = registry.add(own(registry))
    file = registry.data_dir / "models.json"
    values = json.loads(file.read_text())
    values["entries"][0]["path"] = path
    file.write_text(json.dumps(values))
    registry.add(other := _named(tmp_path, "other"))
    registry.remove("mine")
    registry.remove(other.name)
    assert kept.exists()
    assert entry.path.exists()


def test_our_own_files_move_with_the_data_folder(registry: Registry, tmp_path: Path) -> None:
    registry.add(own(registry))
    registry.data_dir.rename(tmp_path / "moved")
    moved = Registry(tmp_path / "moved")
    assert moved.get("mine").is_there
    assert moved.path_of("mine") == tmp_path / "moved" / "models" / "mine"


def test_adapters_are_given_by_family(registry: Registry, tmp_path: Path) -> None:
    gold = registry.add(lora(tmp_path, "gold", Family.SDXL))
    registry.add(lora(tmp_path, "silver", Family.SD15))
    lines = registry.add(controlnet(tmp_path, "lines", Family.SDXL))
    depth = registry.add(controlnet(tmp_path, "depth", Family.SDXL, "depth"))
    registry.add(controlnet(tmp_path, "old", Family.SD15))
    assert registry.loras("sdxl") == {"gold": gold.path}
    assert registry.controlnets(Family.SDXL) == {"canny": lines.path, "depth": depth.path}


def test_only_adapters_that_fit_are_given_to_a_model(registry: Registry, tmp_path: Path) -> None:
    tiny = write_sdxl(tmp_path / "tiny")
    net = write_controlnet(tmp_path / "net", "sdxl")
    file = write_lora(tmp_path / "gold.safetensors", "sdxl")
    registry.add(controlnet(tmp_path, "lines", Family.SDXL, "canny"))
    registry.add(controlnet(tmp_path, "depth", Family.SDXL, "depth"))
    registry.add(lora(tmp_path, "lost"))
    edges = Entry(
        name="edges", kind=Kind.CONTROLNET, family=Family.SDXL, path=net, control_kind="edges"
    )
    registry.add(edges)
    registry.add(Entry(name="gold", kind=Kind.LORA, family=Family.SDXL, path=file))
    shutil.rmtree(registry.path_of("depth"))
    registry.path_of("lost").unlink()
    assert registry.controlnets("sdxl", model=tiny) == {"edges": net}
    assert registry.loras("sdxl", model=tiny) == {"gold": file}
    draft = registry.get(DRAFT)
    assert registry.controlnets(draft.family, model=draft.path) == {}
    assert registry.loras(draft.family, model=draft.path) == {}


def test_one_kind_of_control_has_one_controlnet(registry: Registry, tmp_path: Path) -> None:
    registry.add(controlnet(tmp_path, "lines", Family.SDXL))
    with pytest.raises(Conflict, match="'lines' already is the canny ControlNet for SDXL"):
        registry.add(controlnet(tmp_path, "more", Family.SDXL))


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "3", '{"version": 1}', '{"version": "x", "entries": []}',
        '{"version": 1, "entries": {}, "default": null, "x": [' ,
        '{"version": 1, "entries": [{}], "default": null}',
        '{"version": 1, "entries": [3], "default": null}',
        '{"version": 1, "default": null, "entries": [{"name": "../x", "kind": "model",'
        ' "family": "sdxl", "path": "/"}]}',
        '{"version": 1, "default": null, "entries": [{"name": "x", "kind": "audio",'
        ' "family": "sdxl", "path": "/"}]}',
        "\udcff",
    ],
)  # fmt: skip
def test_a_damaged_file_is_one_sentence(registry: Registry, tmp_path: Path, text: str) -> None:
    registry.data_dir.mkdir()
    file = registry.data_dir / "models.json"
    file.write_bytes(text.encode(errors="surrogateescape"))
    before = file.read_bytes()
    for act in (
        registry.entries,
        registry.default,
        lambda: registry.get("x"),
        lambda: registry.add(model(tmp_path)),
        lambda: registry.remove("x"),
        lambda: registry.use("x"),
        lambda: model_folder(None, registry),
    ):
        with pytest.raises(BadDataFolder, match=r"models\.json is damaged .*: mend it, or delete"):
            act()
    assert file.read_bytes() == before


def test_the_file_of_a_newer_studio_is_left_alone(registry: Registry) -> None:
    registry.data_dir.mkdir()
    text = '{"version": 2, "entries": [], "default": null}'
    (registry.data_dir / "models.json").write_text(text)
    with pytest.raises(BadDataFolder, match="written by a newer studio: update this one"):
        registry.entries()


def test_a_failing_disk_leaves_the_file_as_it_was(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add(model(tmp_path))
    before = (registry.data_dir / "models.json").read_bytes()

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StudioError, match="has no room left"):
        registry.add(model(tmp_path, "two"))
    assert (registry.data_dir / "models.json").read_bytes() == before
    names = {path.name for path in registry.data_dir.iterdir()}
    assert names == {"models.json", "models.lock"}


def test_a_data_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadDataFolder, match="cannot be written"):
        Registry(tmp_path / "file" / "data").add(model(tmp_path))


def _add_some(data_dir: Path, folder: Path, start: int) -> None:
    for number in range(start, start + 8):
        Registry(data_dir).add(_named(folder, f"model-{number}"))


def test_processes_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_add_some, args=(tmp_path / "data", tmp_path, start))
        for start in (0, 8, 16)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    names = {entry.name for entry in Registry(tmp_path / "data").entries()}
    assert names == {DRAFT, *(f"model-{number}" for number in range(24))}


def test_a_model_is_meant_by_name_by_path_or_by_default(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = registry.add(model(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "one").mkdir()
    assert model_folder(None, registry) == draft_model_dir()
    assert model_folder(DRAFT, registry) == draft_model_dir()
    assert model_folder("one", registry) == entry.path
    assert model_folder("./one", registry) == Path("./one")
    assert model_folder("here", registry) == Path("here")
    assert model_folder("/nowhere", registry) == Path("/nowhere")
    registry.use("one")
    assert model_folder(None, registry) == entry.path


def test_a_word_that_means_nothing_is_one_sentence(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="no model named 'nothing' and no folder nothing"):
        model_folder("nothing", registry)
    registry.add(lora(tmp_path, "gold"))
    with pytest.raises(BadInput, match="'gold' is a LoRA"):
        model_folder("gold", registry)
