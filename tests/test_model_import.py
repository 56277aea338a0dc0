"""A source becomes an entry, by reference, converted or downloaded, or nothing is left of it."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from studio import hub, model_import
from studio.engine import single_file
from studio.engine.layout import check_controlnet, check_folder
from studio.errors import BadInput, BadModel, Conflict, StorageFull, Unavailable
from studio.model_import import Progress, add_model
from studio.model_registry import Registry
from studio.weights import Kind
from tests.hub_tools import Hub, folder_files, serving_hub
from tests.original_layout import write_original, write_original_controlnet
from tests.tiny_models import (
    MERGES,
    Family,
    write_controlnet,
    write_lora,
    write_model,
    write_preview,
)

FAMILIES: tuple[Family, ...] = ("sdxl", "sd15")
REPO = "someone/tiny-xl"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    for family in FAMILIES:
        write_model(folder / family, family, True, card=False)
        write_original(folder / family, folder / f"{family}.safetensors", family)
    write_controlnet(folder / "lines", "sdxl")
    write_original_controlnet(folder / "lines", folder / "lines.safetensors")
    write_lora(folder / "Gold Rush.safetensors", "sdxl")
    write_preview(folder / "taesd")
    return folder


@pytest.fixture
def registry(tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    # Tiny shapes and a tiny vocabulary stand where the full ones would.
    monkeypatch.setattr(single_file, "FAMILIES", made)
    monkeypatch.setattr(model_import, "clip_merges", lambda folder: MERGES)
    return Registry(tmp_path / "data")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with serving_hub(Hub({})) as found:
        monkeypatch.setenv("HF_ENDPOINT", found.address)
        yield found


def left(registry: Registry) -> list[str]:
    """What lies in the models' folder."""
    folder = registry.folder
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_folder_is_kept_where_it_is(registry: Registry, made: Path, family: str) -> None:
    entry = add_model(registry, str(made / family))
    assert (entry.name, entry.kind, entry.family) == (family, Kind.MODEL, family)
    assert entry.path == made / family
    assert not entry.is_own
    assert left(registry) == []


def test_a_lora_is_kept_where_it_is_under_a_plain_name(registry: Registry, made: Path) -> None:
    entry = add_model(registry, str(made / "Gold Rush.safetensors"))
    assert registry.loras("sdxl") == {"gold-rush": made / "Gold Rush.safetensors"}
    assert entry.kind is Kind.LORA


def test_a_controlnet_folder_is_kept_where_it_is(registry: Registry, made: Path) -> None:
    add_model(registry, str(made / "lines"), name="edges", control_kind="lineart")
    assert registry.controlnets("sdxl") == {"lineart": made / "lines"}


def test_a_preview_decoder_is_kept_for_the_family_it_is_said_to_be_of(
    registry: Registry, made: Path
) -> None:
    entry = add_model(registry, str(made / "taesd"), name="taesdxl", family="sdxl")
    assert (entry.kind, entry.path) == (Kind.PREVIEW, made / "taesd")
    assert registry.previews("sdxl", model=made / "sdxl") == {"taesdxl": made / "taesd"}
    assert registry.previews("sd15") == {}


def test_a_preview_decoder_of_no_said_family_is_refused(registry: Registry, made: Path) -> None:
    with pytest.raises(BadInput, match="made for by --family sdxl or --family sd15"):
        add_model(registry, str(made / "taesd"))


def test_a_family_is_one_preview_decoders(registry: Registry, made: Path) -> None:
    add_model(registry, str(made / "taesd"), name="one", family="sd15")
    write_preview(other := registry.data_dir / "other")
    with pytest.raises(Conflict, match=r"'one' already is the preview decoder for Stable .* 1\.5"):
        add_model(registry, str(other), family="sd15")


def test_what_tells_its_family_is_not_said_to_be_of_another(registry: Registry, made: Path) -> None:
    with pytest.raises(BadInput, match=r"is a model for Stable Diffusion 1\.5: leave out --family"):
        add_model(registry, str(made / "sd15"), family="sdxl")
    assert add_model(registry, str(made / "sdxl"), family="sdxl").family == "sdxl"


def test_a_preview_decoder_reads_no_latents_of_a_models_own(
    registry: Registry, made: Path, tmp_path: Path
) -> None:
    shutil.copytree(made / "sdxl", folder := tmp_path / "own-latents")
    config = folder / "vae" / "config.json"
    config.write_text(config.read_text().replace("0.13025", "1.0"))
    add_model(registry, str(made / "taesd"), family="sdxl")
    assert registry.previews("sdxl", model=folder) == {}


def test_a_relative_path_is_remembered_as_a_whole_one(
    registry: Registry, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made)
    assert add_model(registry, "sdxl").path == made / "sdxl"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_is_converted_into_the_data_folder(
    registry: Registry, made: Path, family: str
) -> None:
    told: list[Progress] = []
    entry = add_model(
        registry, str(made / f"{family}.safetensors"), name="mine", report=told.append
    )
    assert entry.path == registry.folder / "mine"
    assert entry.is_own
    assert check_folder(entry.path).family == family
    assert left(registry) == ["mine"]
    assert [progress.what.rpartition(" ")[2] for progress in told][:2] == ["unet", "vae"]


def test_a_controlnet_file_is_converted_into_the_data_folder(
    registry: Registry, made: Path
) -> None:
    entry = add_model(registry, str(made / "lines.safetensors"))
    check_controlnet(entry.path)
    assert registry.controlnets("sdxl") == {"canny": registry.folder / "lines"}


def test_a_checkpoint_trained_otherwise_says_so_to_its_sampler(
    registry: Registry, made: Path, tmp_path: Path
) -> None:
    import torch

    tensors = load_file(made / "sdxl.safetensors")
    file = tmp_path / "v.safetensors"
    save_file(tensors | {"v_pred": torch.zeros(1), "ztsnr": torch.zeros(1)}, file)
    path = add_model(registry, str(file)).path / "scheduler" / "scheduler_config.json"
    assert '"v_prediction"' in path.read_text()
    assert '"trailing"' in path.read_text()


def test_what_is_removed_can_be_added_again(registry: Registry, made: Path) -> None:
    for _ in range(2):
        entry = add_model(registry, str(made / "sdxl.safetensors"))
        registry.remove(entry.name)
        assert left(registry) == []


def test_the_same_source_is_not_added_twice(registry: Registry, made: Path) -> None:
    add_model(registry, str(made / "sdxl"), name="one")
    with pytest.raises(Conflict, match="is there already, as 'one': `studio models remove one`"):
        add_model(registry, str(made / "sdxl"), name="two")


def test_a_taken_name_is_refused_before_anything_is_read(registry: Registry, made: Path) -> None:
    add_model(registry, str(made / "sdxl"), name="one")
    with pytest.raises(Conflict, match="The name 'one' is taken"):
        add_model(registry, "someone/else", name="one")


def test_a_kind_of_control_is_for_controlnets(registry: Registry, made: Path) -> None:
    with pytest.raises(BadInput, match="is no ControlNet: leave out --control-kind"):
        add_model(registry, str(made / "sdxl"), control_kind="canny")
    with pytest.raises(BadInput, match="'A B' cannot be a kind of control"):
        add_model(registry, str(made / "lines"), control_kind="A B")


@pytest.mark.parametrize("source", ["/nowhere/model.safetensors", "a/b.safetensors", "nothing", ""])
def test_what_is_not_there_is_one_sentence(
    registry: Registry, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadModel, match=r"the studio takes SDXL and Stable Diffusion 1\.5"):
        add_model(registry, source)


def test_a_folder_whose_parts_are_pickles_is_refused(
    registry: Registry, made: Path, tmp_path: Path
) -> None:
    shutil.copytree(made / "sdxl", folder := tmp_path / "model")
    (folder / "vae" / "diffusion_pytorch_model.safetensors").rename(folder / "vae" / "model.bin")
    with pytest.raises(BadModel, match="safetensors only"):
        add_model(registry, str(folder))
    assert len(registry.entries()) == 1


def test_a_conversion_that_fails_leaves_nothing(
    registry: Registry, made: Path, tmp_path: Path
) -> None:
    tensors = load_file(made / "sdxl.safetensors")
    del tensors["first_stage_model.decoder.conv_out.bias"]
    save_file(tensors, tmp_path / "hole.safetensors")
    with pytest.raises(BadModel, match=r"decoder\.conv_out\.bias of the vae is missing"):
        add_model(registry, str(tmp_path / "hole.safetensors"))
    assert left(registry) == []
    assert len(registry.entries()) == 1


def test_a_conversion_that_is_stopped_leaves_nothing(registry: Registry, made: Path) -> None:
    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add_model(registry, str(made / "sdxl.safetensors"), report=stop)
    assert left(registry) == []


def test_a_full_disk_is_told_before_converting(
    registry: Registry, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_import, "MARGIN_BYTES", 2**60)
    with pytest.raises(StorageFull, match=r"Converting needs .* GiB and the disk"):
        add_model(registry, str(made / "sdxl.safetensors"))
    assert left(registry) == []


def test_without_clips_vocabulary_one_sentence_says_where_to_get_it(
    registry: Registry, made: Path, monkeypatch: pytest.MonkeyPatch, served: Hub
) -> None:
    from studio.clip_vocabulary import clip_merges

    def without_package(folder: Path) -> Any:
        return clip_merges(folder, package="no_such_package")

    monkeypatch.setattr(model_import, "clip_merges", without_package)
    with pytest.raises(Unavailable, match="install it with `pip install open_clip_torch`"):
        add_model(registry, str(made / "sdxl.safetensors"))
    assert left(registry) == []


# From the hub.


def test_a_model_is_downloaded_under_its_name(registry: Registry, made: Path, served: Hub) -> None:
    served.repos[REPO] = folder_files(made / "sdxl")
    told: list[Progress] = []
    entry = add_model(registry, REPO, report=told.append)
    assert (entry.name, entry.kind, entry.is_own) == ("tiny-xl", Kind.MODEL, True)
    assert entry.source == REPO
    assert check_folder(entry.path).family == "sdxl"
    assert told[-1].what == f"downloading {REPO}"
    assert told[-1].num_bytes == told[-1].total_bytes > 1_000_000
    assert left(registry) == [".downloads", "tiny-xl"]
    registry.remove("tiny-xl")
    assert left(registry) == [".downloads"]
    assert list((registry.folder / ".downloads").iterdir()) == []


def test_half_precision_from_the_hub_is_a_model_too(
    registry: Registry, made: Path, served: Hub
) -> None:
    served.repos[REPO] = {
        path.replace(".safetensors", ".fp16.safetensors"): content
        for path, content in folder_files(made / "sd15").items()
    }
    assert check_folder(add_model(registry, REPO).path).family == "sd15"


def test_a_preview_decoder_is_downloaded_in_the_form_diffusers_reads(
    registry: Registry, made: Path, served: Hub
) -> None:
    files = folder_files(made / "taesd")
    served.repos["someone/taesdxl"] = files | {
        "taesdxl_decoder.safetensors": files["diffusion_pytorch_model.safetensors"],
        "diffusion_pytorch_model.bin": b"a pickle",
    }
    entry = add_model(registry, "someone/taesdxl", family="sdxl")
    assert sorted(path.name for path in entry.path.iterdir()) == [
        "config.json",
        "diffusion_pytorch_model.safetensors",
    ]
    assert registry.previews("sdxl") == {"taesdxl": entry.path}


def test_a_checkpoint_from_the_hub_is_converted(
    registry: Registry, made: Path, served: Hub
) -> None:
    served.repos[REPO] = {"model_v3.safetensors": (made / "sdxl.safetensors").read_bytes()}
    entry = add_model(registry, REPO, name="mine")
    assert check_folder(entry.path).family == "sdxl"
    assert list((registry.folder / ".downloads").iterdir()) == []


def test_a_lora_from_the_hub_is_a_file_of_our_own(
    registry: Registry, made: Path, served: Hub
) -> None:
    content = (made / "Gold Rush.safetensors").read_bytes()
    served.repos["someone/gold"] = {"pytorch_lora_weights.safetensors": content}
    add_model(registry, "someone/gold")
    path = registry.folder / "gold" / "pytorch_lora_weights.safetensors"
    assert registry.loras("sdxl") == {"gold": path}
    assert path.read_bytes() == content
    registry.remove("gold")
    assert not path.parent.exists()


def test_a_controlnet_from_the_hub_follows_what_is_said(
    registry: Registry, made: Path, served: Hub
) -> None:
    served.repos["someone/depth"] = folder_files(made / "lines")
    add_model(registry, "someone/depth", control_kind="depth")
    assert registry.controlnets("sdxl") == {"depth": registry.folder / "depth"}


def test_a_model_of_another_family_is_refused_before_its_weights_are_fetched(
    registry: Registry, made: Path, served: Hub
) -> None:
    files = folder_files(made / "sd15")
    files["unet/config.json"] = files["unet/config.json"].replace(
        b'"cross_attention_dim": 32', b'"cross_attention_dim": 1024'
    )
    served.repos[REPO] = files
    with pytest.raises(BadModel, match="for Stable Diffusion 2"):
        add_model(registry, REPO)
    assert not any(asked.path.endswith(".safetensors") for asked in served.files_asked())
    assert list((registry.folder / ".downloads").iterdir()) == []


def test_a_download_that_stopped_is_gone_on_with(
    registry: Registry, made: Path, served: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    monkeypatch.setattr(hub, "CHUNK_BYTES", 10_000)
    served.repos[REPO] = {"model.safetensors": (made / "sdxl.safetensors").read_bytes()}
    served.breaks = [50_000, *[0] * 5]
    with pytest.raises(Unavailable, match="what has arrived is kept"):
        add_model(registry, REPO)
    assert len(registry.entries()) == 1
    served.asked.clear()
    served.breaks.clear()
    add_model(registry, REPO)
    assert [asked.headers.get("range") for asked in served.files_asked()] == ["bytes=50000-"]


def test_a_folder_that_is_here_goes_before_the_hub(
    registry: Registry, made: Path, served: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(made / "sdxl", tmp_path / "someone" / "tiny-xl")
    monkeypatch.chdir(tmp_path)
    assert add_model(registry, REPO).path == tmp_path / "someone" / "tiny-xl"
    assert served.asked == []


def test_a_download_of_another_process_is_left_alone(
    registry: Registry, made: Path, served: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.repos[REPO] = {"model.safetensors": (made / "sdxl.safetensors").read_bytes()}
    file = hub.list_model(REPO).files[0]
    name = f"{REPO.replace('/', '--')}-{served.commit(REPO)[: model_import.COMMIT_CHARS]}"
    folder = registry.folder / model_import.DOWNLOADS / name
    folder.mkdir(parents=True)
    part = folder / f".{file.path}.{(file.sha256 or file.blob_id)[:16]}.part"
    with part.open("ab") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match="is being downloaded already"):
            add_model(registry, REPO)
    assert part.exists()
