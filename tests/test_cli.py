"""The command line: its commands, its one sentence for every mistake, its exit codes."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from studio import cli
from studio.brief import Brief
from studio.config import Config
from studio.engine.layout import COMPONENTS
from studio.errors import BadConfig, GenerationFailed
from studio.generate import generate
from studio.server import listen
from tests.conftest import WAIT_SECONDS
from tests.test_sketch import drawing

BRIEF = Brief(subject="mug", material="ceramic", color="red", seed="7")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder in the right layout, good enough for whatever is refused before weights are read."""
    folder = tmp_path / "model"
    folder.mkdir()
    index = {name: ["a library", cls] for name, cls in COMPONENTS.items()}
    (folder / "model_index.json").write_text(json.dumps(index))
    for name in COMPONENTS:
        (folder / name).mkdir()
        (folder / name / "model.safetensors").touch()
    return folder


def closed_form(step_seconds: float = 0.0) -> dict[str, Any]:
    from studio.engine.gaussian import gaussian_model

    model = gaussian_model(step_seconds=step_seconds)
    return {"card": model.card, "load": lambda precision, report: model}


def test_help_is_immediate() -> None:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "studio.cli", "--help"], capture_output=True, text=True, check=True
    )
    # 0.3 s on a quiet machine; the bound is for a busy one, and still far below an import of torch.
    assert time.monotonic() - started < 1.5
    assert "serve" in done.stdout
    assert "generate" in done.stdout


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    assert "generate" in capsys.readouterr().out


def test_generate_writes_telling_files_and_a_line_for_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    brief = Brief(subject="mug", material="ceramic", color="red", seed="7", num_images="2")
    written = generate(Config(), brief, tmp_path / "out", **closed_form())
    assert [path.name for path in written] == ["red-ceramic-mug-7.png", "red-ceramic-mug-8.png"]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["path"] for line in lines] == [str(path) for path in written]
    assert [line["seed"] for line in lines] == [7, 8]
    for line in lines:
        assert (line["backend"], line["precision"], line["model"]) == (
            "closed-form",
            "float32",
            "gaussian",
        )
        assert line["seconds"] >= 0
    with Image.open(written[0]) as picture:
        assert picture.size == (64, 64)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        path.name for path in written
    ]


def test_generate_never_writes_over_another_picture(tmp_path: Path) -> None:
    (first,) = generate(Config(), BRIEF, tmp_path, **closed_form())
    before = first.read_bytes()
    (second,) = generate(Config(), BRIEF, tmp_path, **closed_form())
    assert second.name == "red-ceramic-mug-7-2.png"
    assert first.read_bytes() == before


def test_generate_leaves_no_data_folder_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    generate(Config(), BRIEF, tmp_path / "out", **closed_form())
    assert list((tmp_path / "tmp").iterdir()) == []


def test_generate_tells_of_pictures_that_are_held_back(tmp_path: Path) -> None:
    stand_in = closed_form()
    stand_in["card"] = dataclasses.replace(stand_in["card"], is_closed_world=False)
    with pytest.raises(GenerationFailed, match="1 of 1 pictures are held back"):
        generate(Config(), BRIEF, tmp_path / "out", **stand_in)
    assert list((tmp_path / "out").iterdir()) == []


def test_generate_asks_the_classifier_of_the_data_folder(tmp_path: Path) -> None:
    weights = tmp_path / "data" / "classifier" / "open_nsfw_weights.h5"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"not what was published")
    with pytest.raises(GenerationFailed, match=r"held back.* Nothing could check them"):
        generate(Config(data_dir=tmp_path / "data"), BRIEF, tmp_path / "out", **closed_form())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "The subject is empty"),
        (["--subject", " "], "The subject is empty"),
        (["--subject", "x" * 10_000], "10,000 characters long: shorten it to 80"),
        (["--subject", "mug", "--notes", "x" * 10_000], "10,000 characters long: shorten it"),
        (["--subject", "mu\x07g"], "holds a character that cannot be seen (U+0007)"),
        (["--subject", "mug", "--negative-preset", "none"], "There is no negative preset 'none'"),
        (["--subject", "mug", "--size", "77x99"], "The size '77x99' is not offered: choose one of"),
        (["--subject", "mug", "--num-images", "0"], "a whole number from 1 to 16, not '0'"),
        (["--subject", "mug", "--num-images", "1000"], "a whole number from 1 to 16, not '1000'"),
        (["--subject", "mug", "--seed", "twelve"], "The seed must be a whole number"),
        (["--subject", "mug", "--steps", "many"], "The number of steps must be a whole number"),
    ],
)
def test_a_bad_brief_is_one_sentence_and_exit_code_2(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    out = tmp_path / "out"
    assert cli.main(["generate", *arguments, "--model", str(model), "--out", str(out)]) == 2
    told = capsys.readouterr()
    assert sentence in told.err
    assert told.err.startswith("studio: ")
    assert len(told.err.splitlines()) == 1
    assert told.out == ""
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["serve", "--model", "/nowhere"], 78, "There is no model folder at /nowhere"),
        (["serve", "--model", "nobody"], 78, "There is no model named 'nobody'"),
        (["serve", "--port", "http"], 78, "The port 'http' is no number"),
        (["serve", "--port", "99999"], 78, "Port 99999 does not exist"),
        (
            ["serve", "--host", "0.0.0.0"],
            78,
            "is not a loopback address: make one with `studio users",
        ),
        (["serve", "--precision", "int1"], 78, "The precision 'int1' is not known"),
        (["serve", "--backend", "abacus"], 78, "The backend 'abacus' is not known"),
        (["serve", "--drain-seconds", "1.5"], 78, "'1.5' are no whole number"),
        (["serve", "--drain-seconds", "9999"], 78, "choose at most 3,600"),
        (["generate", "--subject", "mug", "--model", "/nowhere", "--out", "o"], 78, "no model"),
        (["paint"], 2, "invalid choice: 'paint'"),
        (["generate", "--subject", "mug"], 2, "required: --out"),
    ],
)
def test_a_wrong_setting_is_one_sentence(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    code: int,
    sentence: str,
) -> None:
    monkeypatch.setenv("VITRINE_DATA_DIR", str(tmp_path))
    if arguments[0] == "serve" and "--port" not in arguments:
        arguments = [*arguments, "--port", "0"]
    try:
        found = cli.main(arguments)
    except SystemExit as stop:  # argparse leaves so
        found = int(str(stop.code))
    told = capsys.readouterr().err
    assert found == code
    assert sentence in told
    assert len(told.splitlines()) == 1


def test_generate_follows_the_sketch_in_a_file(tmp_path: Path) -> None:
    Image.fromarray(drawing()).save(tmp_path / "sketch.png")
    brief = dataclasses.replace(BRIEF, control_strength="1")
    (free,) = generate(Config(), BRIEF, tmp_path / "free", **closed_form())
    sketch = tmp_path / "sketch.png"
    (led,) = generate(Config(), brief, tmp_path / "led", sketch=sketch, **closed_form())
    assert free.read_bytes() != led.read_bytes()
    with Image.open(led) as picture:
        assert isinstance(picture, PngImageFile)
        control = json.loads(str(picture.text["request"]))["control"]
    assert control["conditioning_scale"] == 1


@pytest.mark.parametrize(
    ("has_controlnet", "arguments", "sentence"),
    [
        (False, [], "The model model has no ControlNet, so it cannot follow a sketch"),
        (True, ["--control-strength", "9"], "a number from 0 to 2, not 9: 0.8 suits most"),
        (True, ["--canny-low", "300"], "is above the upper one"),
        (True, [], "The file is no picture that the studio reads, whatever its name says"),
        (True, ["--sketch", "missing.png"], "The picture missing.png cannot be read"),
    ],
)
def test_a_sketch_that_cannot_be_followed_is_one_sentence(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    has_controlnet: bool,
    arguments: list[str],
    sentence: str,
) -> None:
    if has_controlnet:
        (model / "controlnet").mkdir()
        (model / "controlnet" / "config.json").write_text('{"_class_name": "ControlNetModel"}')
        (model / "controlnet" / "model.safetensors").touch()
    (tmp_path / "note.png").write_text("only text")
    out = tmp_path / "out"
    command = ["generate", "--subject", "mug", "--model", str(model), "--out", str(out)]
    command += ["--sketch", str(tmp_path / "note.png"), *arguments]
    assert cli.main(command) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert len(told.splitlines()) == 1
    assert not out.exists()


def test_a_model_that_is_not_safetensors_is_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / "unet" / "model.safetensors").rename(model / "unet" / "model.bin")
    code = cli.main(
        ["generate", "--subject", "mug", "--model", str(model), "--out", str(tmp_path / "out")]
    )
    assert code == 78
    assert "the studio loads safetensors only" in capsys.readouterr().err


def test_a_port_in_use_is_one_sentence(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        assert cli.main(["serve", "--port", port, "--model", str(model)]) == 78
    assert f"Port {port} on 127.0.0.1 is in use by another program" in capsys.readouterr().err


def test_a_data_folder_that_cannot_be_made_is_one_sentence(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    folder = str(tmp_path / "file" / "data")
    assert cli.main(["serve", "--port", "0", "--model", str(model), "--data-dir", folder]) == 78
    told = capsys.readouterr().err
    assert f"The data folder {folder} cannot be written" in told
    assert "--data-dir" in told
    assert len(told.splitlines()) == 1


def test_an_out_folder_that_cannot_be_made_is_one_sentence(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    out = str(tmp_path / "file" / "out")
    assert cli.main(["generate", "--subject", "mug", "--model", str(model), "--out", out]) == 78
    assert "choose another with --out" in capsys.readouterr().err


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    from studio.errors import StorageFull

    with pytest.raises(StorageFull, match="MiB are free"):
        generate(Config(min_free_bytes=2**62), BRIEF, tmp_path, **closed_form())
    assert list(tmp_path.iterdir()) == []


def test_a_failing_model_is_one_sentence_with_nothing_written(tmp_path: Path) -> None:
    from studio.errors import BadModel, NotReady

    def load(precision: str, report: object) -> Any:
        raise BadModel("The weights in unet are cut short: copy the folder again.")

    stand_in = closed_form() | {"load": load}
    with pytest.raises(NotReady, match="The weights in unet are cut short"):
        generate(Config(), BRIEF, tmp_path, **stand_in)


def test_ctrl_c_stops_generate_with_130_and_keeps_what_is_finished(tmp_path: Path) -> None:
    script = f"""
import functools, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background ignores it
from studio import cli, generate
from studio.engine.gaussian import gaussian_model
model = gaussian_model(step_seconds=0.15)
generate.generate = functools.partial(
    generate.generate, card=model.card, load=lambda precision, report: model
)
sys.exit(cli.main(["generate", "--subject", "mug", "--seed", "7", "--num-images", "16",
                   "--out", {str(tmp_path)!r}]))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "VITRINE_MAX_ROWS": "2"},  # one picture after the other
    )
    assert process.stdout
    first = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 130
    assert err.splitlines()[-1].strip().endswith("studio: Stopped.")
    assert "Traceback" not in err
    assert os.path.exists(first["path"])
    assert not list(tmp_path.glob(".*"))


def test_a_number_as_port_is_read_and_nothing_else_is() -> None:
    assert cli._port("7861") == 7861
    for text in ("", "-1", "7 8", "٧٨"):
        with pytest.raises(BadConfig):
            cli._port(text)
