"""A model comes from the hub whole, checked and resumable, or one sentence says why not."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from studio import hub
from studio.errors import BadModel, StorageFull, Unavailable
from tests.hub_tools import TOKEN, Hub, serving_hub

REPO = "someone/tiny"


def weights(num_values: int = 64, seed: int = 0) -> bytes:
    generator = torch.Generator().manual_seed(seed)
    return save({"weight": torch.rand(num_values, generator=generator)})


def model_files(num_values: int = 64) -> dict[str, bytes]:
    parts = ("unet", "vae", "text_encoder", "text_encoder_2")
    files = {"model_index.json": b"{}", "tokenizer/merges.txt": b"#version: 0.2\n"}
    for part in parts:
        stem = "model" if part.startswith("text") else "diffusion_pytorch_model"
        files[f"{part}/config.json"] = json.dumps({"part": part}).encode()
        files[f"{part}/{stem}.safetensors"] = weights(num_values)
    return files


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving_hub(Hub({REPO: model_files()})) as found:
        monkeypatch.setenv("HF_ENDPOINT", found.address)
        monkeypatch.setattr(hub, "CHUNK_BYTES", 10_000)  # small files, many chunks
        yield found


def fetch(folder: Path, name: str = REPO, report: hub.Report = lambda done, total: None) -> None:
    listing = hub.list_model(name)
    hub.download(listing, hub.choose(listing), folder, report=report)


def chosen(served: Hub, files: dict[str, bytes]) -> list[str]:
    served.repos[REPO] = files
    return sorted(file.path for file in hub.choose(hub.list_model(REPO)))


def test_every_file_arrives_as_it_is(served: Hub, tmp_path: Path) -> None:
    fetch(tmp_path / "model")
    for path, content in served.repos[REPO].items():
        assert (tmp_path / "model" / path).read_bytes() == content
    assert not list((tmp_path / "model").rglob(".*"))


def test_progress_counts_every_byte_once(served: Hub, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    fetch(tmp_path, report=lambda done, total: told.append((done, total)))
    size = sum(map(len, served.repos[REPO].values()))
    assert told == sorted(told)
    assert told[-1] == (size, size)
    assert len(told) >= len(served.repos[REPO])


def test_a_version_is_asked_for_by_its_name(served: Hub, tmp_path: Path) -> None:
    fetch(tmp_path, f"{REPO}@v1")
    assert f"/api/models/{REPO}/revision/v1" in [asked.path for asked in served.asked]
    assert (tmp_path / "model_index.json").exists()


def test_a_broken_connection_is_gone_on_with(served: Hub, tmp_path: Path) -> None:
    served.repos[REPO] = {"lora.safetensors": weights(100_000)}
    served.breaks = [150_000]
    fetch(tmp_path)
    assert (tmp_path / "lora.safetensors").read_bytes() == weights(100_000)
    ranges = [asked.headers.get("range") for asked in served.files_asked()]
    assert ranges == [None, "bytes=150000-"]


def test_the_next_run_goes_on_where_the_last_one_stopped(
    served: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    served.repos[REPO] = {"lora.safetensors": weights(100_000)}
    served.breaks = [150_000, *[0] * 6]
    with pytest.raises(Unavailable, match="what has arrived is kept"):
        fetch(tmp_path)
    assert not (tmp_path / "lora.safetensors").exists()
    served.asked.clear()
    served.breaks.clear()
    told: list[int] = []
    fetch(tmp_path, report=lambda done, total: told.append(done))
    assert [asked.headers.get("range") for asked in served.files_asked()] == ["bytes=150000-"]
    assert told[0] == 150_000
    assert (tmp_path / "lora.safetensors").read_bytes() == weights(100_000)


def test_a_file_that_is_here_is_not_fetched_again(served: Hub, tmp_path: Path) -> None:
    fetch(tmp_path)
    served.asked.clear()
    fetch(tmp_path)
    assert served.files_asked() == []


def test_a_part_of_another_version_is_not_gone_on_with(
    served: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    served.repos[REPO] = {"lora.safetensors": weights(100_000, seed=1)}
    served.breaks = [150_000, *[0] * 6]
    with pytest.raises(Unavailable):
        fetch(tmp_path)
    served.breaks.clear()
    served.repos[REPO] = {"lora.safetensors": weights(100_001, seed=2)}
    fetch(tmp_path)
    assert (tmp_path / "lora.safetensors").read_bytes() == weights(100_001, seed=2)


@pytest.mark.parametrize("path", ["unet/diffusion_pytorch_model.safetensors", "unet/config.json"])
def test_a_damaged_file_is_thrown_away(served: Hub, tmp_path: Path, path: str) -> None:
    served.damaged = frozenset({path})
    with pytest.raises(BadModel, match=f"{path} of {REPO} arrived damaged"):
        fetch(tmp_path)
    assert not list((tmp_path / "unet").glob(f"*{Path(path).name}*"))
    served.damaged = frozenset()
    fetch(tmp_path)
    assert (tmp_path / path).read_bytes() == served.repos[REPO][path]


def test_two_downloads_of_one_file_do_not_mix(served: Hub, tmp_path: Path) -> None:
    import fcntl

    fetch(tmp_path)
    file = tmp_path / "vae" / "config.json"
    listing = hub.list_model(REPO)
    blob = next(found.blob_id for found in listing.files if found.path == "vae/config.json")
    file.unlink()
    with (file.parent / f".config.json.{blob[:16]}.part").open("ab") as part:
        fcntl.flock(part, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match="is being downloaded already"):
            fetch(tmp_path)


def test_a_name_the_hub_does_not_know_is_one_sentence(served: Hub) -> None:
    with pytest.raises(BadModel, match="The hub has no model someone/else, or it is private"):
        hub.list_model("someone/else")


def test_a_version_the_hub_does_not_know_is_one_sentence(served: Hub) -> None:
    with pytest.raises(BadModel, match="not the version asked for in someone/tiny@v9"):
        hub.list_model(f"{REPO}@v9")


def test_a_gated_model_is_one_sentence(served: Hub, tmp_path: Path) -> None:
    served.gated = frozenset({REPO})
    with pytest.raises(BadModel, match=f"{REPO} is gated: accept its terms on .* HF_TOKEN"):
        fetch(tmp_path)


def test_a_private_model_is_one_sentence(served: Hub) -> None:
    served.private = frozenset({REPO})
    with pytest.raises(BadModel, match="or it is private: check the name"):
        hub.list_model(REPO)


def test_a_token_opens_a_gated_model(
    served: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.gated = served.private = frozenset({REPO})
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    fetch(tmp_path)
    assert (tmp_path / "model_index.json").exists()


@pytest.mark.parametrize("status", [500, 502])
def test_a_hub_in_trouble_is_one_sentence(
    served: Hub, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.status = status
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    with pytest.raises(Unavailable, match=f"The hub answers {status} for {REPO}: try again later"):
        hub.list_model(REPO)


def test_without_a_network_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", address)
        with pytest.raises(Unavailable, match=f"{address} cannot be reached .*: check the network"):
            hub.list_model(REPO)


def test_offline_mode_is_kept(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(Unavailable, match="HF_HUB_OFFLINE is set"):
        hub.list_model(REPO)


def test_a_disk_without_room_is_told_before_anything_is_fetched(
    served: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "MARGIN_BYTES", 2**62)
    with pytest.raises(StorageFull, match="GiB left: make room"):
        fetch(tmp_path)
    assert served.files_asked() == []


def test_nothing_is_told_about_this_machine(served: Hub, tmp_path: Path) -> None:
    fetch(tmp_path)
    agents = {asked.headers["user-agent"] for asked in served.asked}
    assert len(agents) == 1
    (agent,) = agents
    assert agent.startswith("vitrine-studio/")
    assert "torch" not in agent
    assert "agent/" not in agent


def test_pickles_and_code_are_left_where_they_are(served: Hub) -> None:
    files = model_files()
    others = ("unet/diffusion_pytorch_model.bin", "unet/pipeline.py", "README.md", "model.ckpt",
              "safety_checker/model.safetensors", "sd_xl_base_1.0.safetensors", "unet/model.onnx",
              "vae_1_0/diffusion_pytorch_model.safetensors")  # fmt: skip
    assert chosen(served, files | dict.fromkeys(others, b"x")) == sorted(files)


def test_full_precision_is_taken_where_both_are_there(served: Hub) -> None:
    half = "unet/diffusion_pytorch_model.fp16.safetensors"
    files = chosen(served, model_files() | {half: weights()})
    assert half not in files
    assert "unet/diffusion_pytorch_model.safetensors" in files


def test_half_precision_is_taken_where_there_is_no_other(served: Hub) -> None:
    files = {
        path.replace(".safetensors", ".fp16.safetensors"): content
        for path, content in model_files().items()
    }
    assert chosen(served, files) == sorted(files)


def test_shards_come_with_their_index(served: Hub) -> None:
    files = model_files()
    del files["unet/diffusion_pytorch_model.safetensors"]
    for name in ("-00001-of-00002.safetensors", "-00002-of-00002.safetensors",
                 ".safetensors.index.json"):  # fmt: skip
        files[f"unet/diffusion_pytorch_model{name}"] = weights()
    other = {"unet/diffusion_pytorch_model.fp16-00001-of-00001.safetensors": b"x"}
    assert chosen(served, files | other) == sorted(files)


def test_a_controlnet_is_its_configuration_and_its_weights(served: Hub) -> None:
    wanted = {"config.json": b"{}", "diffusion_pytorch_model.safetensors": weights()}
    others = {"diffusion_pytorch_model.fp16.safetensors": b"x", "canny.safetensors": b"x"}
    assert chosen(served, wanted | others) == sorted(wanted)


def test_a_repository_of_pickles_is_refused(served: Hub) -> None:
    with pytest.raises(BadModel, match="the studio loads safetensors only"):
        chosen(served, {"model_index.json": b"{}", "unet/diffusion_pytorch_model.bin": b"x"})


def test_a_repository_of_many_models_is_refused(served: Hub) -> None:
    with pytest.raises(BadModel, match="holds 2 models in one folder"):
        chosen(served, {"one.safetensors": weights(), "two.safetensors": weights()})


def test_a_file_cannot_leave_its_folder(tmp_path: Path, served: Hub) -> None:
    file = hub.RemoteFile(path="../out.json", num_bytes=1, sha256=None, blob_id="0" * 40)
    listing = hub.Listing(repo=REPO, commit="0" * 40, files=(file,))
    with pytest.raises(BadModel, match="outside its own folder"):
        hub.download(listing, listing.files, tmp_path / "model")


@pytest.mark.parametrize("text", ["owner/name", "owner/name@main", "a-b/c.d_e@refs/pr/1"])
def test_a_name_on_a_hub_is_known_by_its_form(text: str) -> None:
    assert hub.is_name(text)


@pytest.mark.parametrize("text", ["name", "a/b/c", "/a/b", "a/b@", "a b/c", "../x/y", "ä/b"])
def test_what_is_no_name_on_a_hub_is_told_apart(text: str) -> None:
    assert not hub.is_name(text)


def test_the_library_is_loaded_only_when_it_is_asked() -> None:
    code = "import sys, studio.hub; print('huggingface_hub' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_version_that_is_no_hash_is_refused(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hub, "commit", lambda self, repo: "../../../../..")
    with pytest.raises(BadModel, match="names no version"):
        hub.list_model(REPO)
