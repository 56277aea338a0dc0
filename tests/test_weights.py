"""What a file or a folder is, is told from its contents; anything else is refused in a sentence."""

from __future__ import annotations

import contextlib
import json
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from safetensors.torch import load_file, save, save_file

from studio.errors import BadModel
from studio.safetensors_header import read_header
from studio.weights import Family, Kind, recognise
from tests.original_layout import write_original, write_original_controlnet
from tests.tiny_models import Family as FamilyName
from tests.tiny_models import write_controlnet, write_lora, write_model, write_preview

FAMILIES: tuple[FamilyName, ...] = ("sdxl", "sd15")
UNET = "model.diffusion_model."


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of every kind one, under names that say nothing."""
    folder = tmp_path_factory.mktemp("made")
    for family in FAMILIES:
        model = write_model(folder / family, family, card=False)
        write_original(model, folder / f"{family}.dat", family)
        write_controlnet(folder / f"control-{family}", family)
        write_original_controlnet(folder / f"control-{family}", folder / f"control-{family}.dat")
    return folder


def write(path: Path, **shapes: tuple[int, ...]) -> Path:
    """A file of zeros in the given shapes; `__` in a name stands for a dot."""
    tensors = {name.replace("__", "."): torch.zeros(shape) for name, shape in shapes.items()}
    save_file(tensors, path)
    return path


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_folder_is_known(made: Path, family: FamilyName) -> None:
    found = recognise(made / family)
    assert (found.kind, found.family, found.needs_conversion) == (Kind.MODEL, family, False)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_is_known_whatever_its_name(made: Path, family: FamilyName) -> None:
    found = recognise(made / f"{family}.dat")
    assert (found.kind, found.family, found.needs_conversion) == (Kind.MODEL, family, True)
    assert not found.is_v_prediction


def test_a_preview_decoder_is_known_and_does_not_tell_its_family(tmp_path: Path) -> None:
    found = recognise(write_preview(tmp_path))
    assert (found.kind, found.family, found.needs_conversion) == (Kind.PREVIEW, None, False)


def test_a_preview_decoder_of_another_kind_of_latents_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"a preview decoder for another family .16 channels"):
        recognise(write_preview(tmp_path, latent_channels=16))


def test_a_preview_decoders_file_by_itself_is_refused(tmp_path: Path) -> None:
    write_preview(tmp_path)
    with pytest.raises(BadModel, match=r"add its folder, with config\.json"):
        recognise(tmp_path / "diffusion_pytorch_model.safetensors")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_controlnet_is_known_as_a_folder_and_as_a_file(made: Path, family: FamilyName) -> None:
    folder = recognise(made / f"control-{family}")
    assert (folder.kind, folder.family, folder.needs_conversion) == (
        Kind.CONTROLNET,
        family,
        False,
    )
    bare = made / f"control-{family}" / "diffusion_pytorch_model.safetensors"
    for file in (made / f"control-{family}.dat", bare):
        found = recognise(file)
        assert (found.kind, found.family, found.needs_conversion) == (
            Kind.CONTROLNET,
            family,
            True,
        )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("style", ["diffusers", "kohya"])
@pytest.mark.parametrize("text", [True, False])
def test_a_lora_is_known(tmp_path: Path, family: FamilyName, style: str, text: bool) -> None:
    file = write_lora(tmp_path / "x.safetensors", family, style=style, text=text)  # type: ignore[arg-type]
    found = recognise(file)
    assert (found.kind, found.family, found.needs_conversion) == (Kind.LORA, family, False)


@pytest.mark.parametrize(
    ("name", "width", "family"),
    [
        ("lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k", 768, "sd15"),
        ("lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k", 2048, "sdxl"),
        ("lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q", 640, "sdxl"),
        ("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q", 320, "sd15"),
    ],
)
def test_a_lora_of_a_part_is_known_by_what_it_leans_on(
    tmp_path: Path, name: str, width: int, family: str
) -> None:
    file = tmp_path / "x.safetensors"
    save_file({f"{name}.lora_down.weight": torch.zeros(4, width)}, file)
    assert recognise(file).family == family


def test_a_folder_of_one_lora_is_that_lora(tmp_path: Path) -> None:
    file = write_lora(tmp_path / "pytorch_lora_weights.safetensors", "sdxl")
    found = recognise(tmp_path)
    assert (found.kind, found.path) == (Kind.LORA, file)


def test_what_a_checkpoint_says_of_its_training_is_read(made: Path, tmp_path: Path) -> None:
    tensors = load_file(made / "sdxl.dat")
    tensors |= {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}
    save_file(tensors, tmp_path / "x.safetensors")
    found = recognise(tmp_path / "x.safetensors")
    assert found.is_v_prediction
    assert found.is_zero_snr


def test_no_weights_are_read(tmp_path: Path) -> None:
    """A header for 2 TiB of weights is read from a file that is nothing but holes."""
    num_bytes = 2**41
    header = json.dumps(
        {"weight": {"dtype": "F16", "shape": [2**20, 2**20], "data_offsets": [0, num_bytes]}}
    ).encode()
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        try:
            file.truncate(8 + len(header) + num_bytes)
        except OSError:
            pytest.skip("the file system has no files of this length")
    assert read_header(path).shapes == {"weight": (2**20, 2**20)}


# What is refused.


@pytest.mark.parametrize("name", ["model.ckpt", "model.safetensors", "model.bin", "model.pt"])
def test_a_pickle_is_refused_whatever_its_name(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    with pytest.raises(BadModel, match=r"is a pickle, which can run code .* safetensors only"):
        recognise(tmp_path / name)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_bare_pickle_is_refused(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "x.pt").write_bytes(pickle.dumps({"state_dict": {}}, protocol=protocol))
    with pytest.raises(BadModel, match="is a pickle"):
        recognise(tmp_path / "x.pt")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 6938078334\n",
        b"<!doctype html><html>Not found</html>",
        struct.pack("<Q", 10) + b"not a json",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 2**60) + b"{}",
        struct.pack("<Q", 9) + b'{"a": 10}',
        struct.pack("<Q", 23) + b'{"a": {"dtype": "F32"}}',
        struct.pack("<Q", 40_002) + b"{" * 40_002,
    ],
)
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(BadModel, match=r"x\.safetensors is no safetensors file: the studio takes"):
        recognise(tmp_path / "x.safetensors")


@pytest.mark.parametrize("lost", [1, 1000])
def test_a_file_that_is_cut_short_is_refused(made: Path, tmp_path: Path, lost: int) -> None:
    content = (made / "sdxl.dat").read_bytes()
    (tmp_path / "x.safetensors").write_bytes(content[:-lost])
    with pytest.raises(BadModel, match=r"is damaged: it is .* bytes long where its header says"):
        recognise(tmp_path / "x.safetensors")


@settings(deadline=None)
@given(
    at=some.integers(0, 160),
    junk=some.binary(min_size=1, max_size=12) | some.sampled_from([b"Infinity", b"[]", b"{"]),
)
def test_a_damaged_header_is_refused_or_still_a_header(
    tmp_path_factory: pytest.TempPathFactory, at: int, junk: bytes
) -> None:
    content = save({"unet": torch.zeros(2, 3), "vae": torch.zeros(4)}, {"format": "pt"})
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    path.write_bytes(content[:at] + junk + content[at + len(junk) :])
    with contextlib.suppress(BadModel):
        assert read_header(path).shapes


def test_a_file_cut_off_in_its_header_is_refused(made: Path, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes((made / "sdxl.dat").read_bytes()[:500])
    with pytest.raises(BadModel, match="is damaged: it is 500 bytes long; copy or download"):
        recognise(tmp_path / "x.safetensors")


def test_a_file_without_weights_is_refused(tmp_path: Path) -> None:
    save_file({}, tmp_path / "x.safetensors")
    with pytest.raises(BadModel, match="holds no weights"):
        recognise(tmp_path / "x.safetensors")


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="There is nothing at"):
        recognise(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("shapes", "what"),
    [
        ({"double_blocks__0__img_attn__norm__key_norm__scale": (128,)}, "a Flux model"),
        (
            {"model__diffusion_model__double_blocks__0__img_attn__qkv__weight": (4, 4)},
            "a Flux model",
        ),
        ({"model__diffusion_model__joint_blocks__0__x": (4,)}, "a Stable Diffusion 3 model"),
        ({"transformer__blocks__0__attn__to_q__lora_A__weight": (4, 8)}, "for a transformer"),
        ({"lora_unet_double_blocks_0_img_attn_proj__lora_down__weight": (4, 8)}, "a Flux LoRA"),
        ({"lora_unet_mid_block_x__hada_w1_a": (4, 8)}, "a LyCORIS adapter"),
        (
            {
                "lora_te_x__lora_down__weight": (4, 8),
                "lora_unet_up_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
                "__lora_down__weight": (4, 1024),
            },
            "a LoRA for Stable Diffusion 2",
        ),
        (
            {"lora_te_x__lora_down__weight": (4, 8), "lora_te_x__dora_scale": (8,)},
            "a DoRA",
        ),
        ({"lora_unet_elsewhere__lora_down__weight": (4, 8)}, "a LoRA for another model"),
        ({"decoder__conv_in__weight": (4, 4, 3, 3)}, "not a whole model"),
        ({"model__diffusion_model__input_blocks__0__0__weight": (4, 9, 3, 3)}, "for inpainting"),
        (
            {"model__diffusion_model__input_blocks__0__0__weight": (4, 4, 3, 3)},
            "a UNet without its text encoder",
        ),
        (
            {
                "model__diffusion_model__input_blocks__0__0__weight": (4, 4, 3, 3),
                "cond_stage_model__model__token_embedding__weight": (4, 4),
            },
            "a Stable Diffusion 2 model",
        ),
        (
            {
                "model__diffusion_model__input_blocks__0__0__weight": (4, 4, 3, 3),
                "conditioner__embedders__0__model__ln_final__bias": (4,),
            },
            "SDXL's refiner",
        ),
        ({"control_model__input_hint_block__0__weight": (4, 5, 3, 3)}, "not shown pictures"),
    ],
)
def test_weights_of_other_models_are_refused(
    tmp_path: Path, shapes: dict[str, tuple[int, ...]], what: str
) -> None:
    file = write(tmp_path / "x.safetensors", **shapes)
    with pytest.raises(BadModel, match=f"{what}.*: the studio takes SDXL and Stable Diffusion 1.5"):
        recognise(file)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_without_its_autoencoder_is_refused(
    made: Path, tmp_path: Path, family: str
) -> None:
    tensors = load_file(made / f"{family}.dat")
    kept = {name: x for name, x in tensors.items() if not name.startswith("first_stage")}
    save_file(kept, tmp_path / "x.safetensors")
    with pytest.raises(BadModel, match="a model without its autoencoder"):
        recognise(tmp_path / "x.safetensors")


def test_a_folder_of_a_transformer_is_refused(tmp_path: Path) -> None:
    index = {
        "_class_name": "FluxPipeline",
        "transformer": ["diffusers", "FluxTransformer2DModel"],
    }
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(
        BadModel, match=r"of another family \(FluxPipeline with FluxTransformer2DModel\)"
    ):
        recognise(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("in_channels", 9, r"for inpainting or editing \(9 channels\)"),
        ("cross_attention_dim", 1024, "for Stable Diffusion 2"),
        ("addition_embed_type", None, "do not go together"),
    ],
)
def test_a_folder_is_judged_by_its_configuration(
    tmp_path: Path, key: str, value: object, what: str
) -> None:
    folder = write_model(tmp_path / "model", "sdxl")
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(BadModel, match=what):
        recognise(folder)


def test_a_folder_can_be_judged_before_its_weights_are_there(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", "sd15")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert recognise(folder, has_weights=False).family is Family.SD15
    with pytest.raises(BadModel, match=r"holds no \.safetensors file"):
        recognise(folder)


@pytest.mark.parametrize("name", ["model.bin", "unet/model.ckpt"])
def test_a_folder_of_pickles_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(BadModel, match="it loads safetensors only"):
        recognise(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="is no model folder: the studio takes"):
        recognise(tmp_path)


def test_a_folder_of_many_files_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_lora(tmp_path / f"{name}.safetensors", "sdxl")
    with pytest.raises(BadModel, match=r"holds 2 \.safetensors files: name the one to add"):
        recognise(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_broken_index_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "model_index.json").write_text(text)
    with pytest.raises(BadModel, match=r"model_index\.json (cannot be read|is not a config)"):
        recognise(tmp_path)
