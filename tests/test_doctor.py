"""The doctor: every check finds its cause where it is provoked, mends it when asked, and tells."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import http.server
import json
import shutil
import socket
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image

from studio import cli
from studio.brief import Brief
from studio.config import Config, draft_model_dir
from studio.doctor import Running, Status, examine, machine, render
from studio.doctor.bundle import REDACTED, redacted, redacted_text, write_bundle
from studio.doctor.running import samples
from studio.doctor.symptoms import Symptoms
from studio.engine.denoiser import Rows
from studio.engine.gaussian import gaussian_model
from studio.engine.kept_times import KeptTimes
from studio.engine.model import Model, load_model
from studio.engine.probe import agreement, box_outlines, clipped_share
from studio.engine.step_times import StepTimes
from studio.errors import BadConfig, BadModel, Unavailable
from studio.kept_settings import keep_setting, kept_settings
from studio.logs import logging_to
from studio.model_choice import configured
from studio.moderation.weights import ClassifierWeights
from tests.conftest import WAIT_SECONDS, OpenStudio, Serve
from tests.nvml_tools import fake_nvml
from tests.tiny_models import write_sdxl

NOBODY = Running("http://127.0.0.1:1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sdxl(tmp_path_factory.mktemp("tiny"), controlnet=True)


@pytest.fixture
def model(folder: Path) -> Model:
    return load_model(folder, precision="float32")


@pytest.fixture
def config(tmp_path: Path, folder: Path) -> Config:
    return Config(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache", model=folder, port=1)


def symptoms(config: Config, model: Model, out: Path, running: Running = NOBODY) -> Symptoms:
    return Symptoms(config, running, out=out, num_steps=2, load=lambda: model)


# Symptoms


def test_a_model_that_is_well_has_no_symptom(config: Config, tmp_path: Path) -> None:
    model = dataclasses.replace(gaussian_model(), control_kinds=frozenset())
    checks = symptoms(config, model, tmp_path)
    for name in ("stalls", "colours", "slow"):
        assert getattr(checks, name)().status is Status.GOOD
    assert checks.structure().status is Status.SKIPPED


def test_a_black_picture_is_traced_to_the_pass_that_gave_no_number(
    config: Config, model: Model, tmp_path: Path
) -> None:
    class Breaking:
        num_passes = 0

        def denoise(self, rows: Rows) -> torch.Tensor:
            self.num_passes += 1
            return rows.latents * (float("nan") if self.num_passes == 2 else 1.0)

    broken = dataclasses.replace(model, denoiser=Breaking(), precision="bfloat16")
    finding = symptoms(config, broken, tmp_path).black()
    assert finding.status is Status.PROBLEM
    assert finding.figures["bad_pass"] == 2
    assert finding.figures["bad_share"] == 1
    assert "Pass 2 gave 100% that is no number, in bfloat16" in finding.cause
    assert finding.apply is not None
    assert finding.apply() == "From the next start on, precision is float32."
    again = configured({}, data_dir=str(config.data_dir), model=str(config.model))
    assert again.precision == "float32"


def test_without_a_better_precision_the_weights_are_blamed(
    config: Config, model: Model, tmp_path: Path
) -> None:
    for parameter in model.modules[0].parameters():
        parameter.data.fill_(torch.nan)
        break
    finding = symptoms(config, model, tmp_path).black()
    assert finding.status is Status.PROBLEM
    assert finding.figures["bad_pass"] == 1
    assert "damaged" in finding.remedy
    assert finding.apply is None


def test_a_decoder_that_half_precision_cannot_hold_is_measured(
    config: Config, model: Model, tmp_path: Path
) -> None:
    (vae,) = (module for module in model.modules if isinstance(module, AutoencoderKL))
    with torch.no_grad():
        vae.decoder.conv_in.weight *= 1e6
    finding = symptoms(config, dataclasses.replace(model, precision="float16"), tmp_path).colours()
    assert finding.status is Status.PROBLEM
    assert finding.figures["decoder_peak"] > 65504
    assert finding.figures["half_bad_share"] > 0
    assert "half precision ends at 65,504" in finding.cause
    assert finding.apply is not None
    finding.apply()
    assert kept_settings(config.data_dir) == {"precision": "bfloat16"}
    warned = symptoms(config, model, tmp_path).colours()
    assert warned.status is not Status.PROBLEM or "Latents" in warned.cause


def test_latents_out_of_range_are_told(config: Config, tmp_path: Path) -> None:
    model = gaussian_model()

    class Loud:
        def denoise(self, rows: Rows) -> torch.Tensor:
            return 40 * model.denoiser.denoise(rows)

    finding = symptoms(config, dataclasses.replace(model, denoiser=Loud()), tmp_path).colours()
    assert finding.status is Status.PROBLEM
    assert finding.figures["latent_peak"] > 12
    assert "guidance scale is too high" in finding.cause


def test_control_is_swept_and_the_pictures_stand_side_by_side(
    config: Config, model: Model, tmp_path: Path
) -> None:
    finding = symptoms(config, model, tmp_path).structure()
    assert finding.status in (Status.GOOD, Status.WARNING)
    sweep = finding.figures["sweep"]
    assert [one["strength"] for one in sweep] == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2]
    height, width = model.card.default_size
    with Image.open(finding.figures["sheet"]) as sheet:
        assert sheet.size == (9 * (width + 8) - 8, height)


def test_outlines_that_are_there_agree_and_those_that_are_not_do_not() -> None:
    outlines = box_outlines(64, 64)
    assert agreement(outlines, outlines) > 0.95
    generator = np.random.default_rng(0)
    flat = np.full((64, 64, 3), 128, np.uint8)
    assert agreement(outlines, flat) == 0
    noise = generator.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    assert agreement(outlines, noise) < 1
    assert clipped_share(outlines) == 1
    assert clipped_share(flat) == 0


def test_a_pass_that_became_slow_is_told_and_measured_anew_when_asked(
    config: Config, model: Model, tmp_path: Path
) -> None:
    height, width = model.card.default_size
    times = StepTimes()
    for rows in (1, 2, 4, 8):
        times.record(height, width, rows, 1e-7)
    KeptTimes(config.cache_dir).keep(model, times)
    finding = symptoms(config, model, tmp_path).slow()
    assert finding.status is Status.WARNING
    assert "times what was kept" in finding.cause
    assert finding.figures["kept_knee"] == 8
    assert finding.apply is not None
    assert "measured anew" in finding.apply()
    assert KeptTimes(config.cache_dir).times(model) is None


def test_a_device_that_is_held_back_is_slow_for_that(config: Config, tmp_path: Path) -> None:
    with fake_nvml(tmp_path) as cards:
        cards.set(**{"gpu0.reasons": 0x40})
        finding = symptoms(config, gaussian_model(), tmp_path).slow()
    assert finding.status is Status.PROBLEM
    assert "heat (hardware)" in finding.cause


def test_a_backend_that_was_not_asked_for_is_told(config: Config, tmp_path: Path) -> None:
    class Serving(Running):
        def health(self) -> dict[str, object]:
            return {"status": "ready", "backend": "torch"}

        def metrics(self) -> str:
            return ""

    wanted = dataclasses.replace(config, backend="openvino")
    (config.cache_dir / "plans" / "old").mkdir(parents=True)
    finding = symptoms(wanted, gaussian_model(), tmp_path, Serving("")).slow()
    assert finding.status is Status.PROBLEM
    assert finding.cause == "openvino was asked for and torch draws."
    assert finding.apply is not None
    finding.apply()
    assert not (config.cache_dir / "plans").exists()


def test_symptoms_are_measured_on_the_device_that_draws(config: Config, tmp_path: Path) -> None:
    elsewhere = dataclasses.replace(config, device="cuda:99")
    with pytest.raises(BadConfig, match="cuda:99"):
        Symptoms(elsewhere, NOBODY, out=tmp_path).black()


def test_a_faster_backend_that_was_given_up_is_told_with_its_reason(
    config: Config, tmp_path: Path
) -> None:
    class Serving(Running):
        def health(self) -> dict[str, object]:
            return {"status": "ready", "backend": "torch", "no_plan": "Its answers differ."}

        def metrics(self) -> str:
            return ""

    finding = symptoms(config, gaussian_model(), tmp_path, Serving("")).slow()
    assert finding.status is Status.WARNING
    assert finding.cause == "torch draws, as nothing faster serves here: Its answers differ."


def test_memory_of_a_running_studio_is_told_before_and_after_it_is_given_back(
    open_studio: OpenStudio, serve: Serve, config: Config, tmp_path: Path
) -> None:
    studio = open_studio()
    studio.wait_until_ready(WAIT_SECONDS)
    running = Running(serve(studio).address)
    finding = symptoms(config, gaussian_model(), tmp_path, running).stalls()
    assert finding.figures["resident_bytes"] > 0
    assert finding.apply is not None
    assert "held before" in finding.apply()
    assert "given back" in finding.apply()


def test_memory_is_given_back_in_its_own_process_where_no_studio_runs(
    config: Config, tmp_path: Path
) -> None:
    finding = symptoms(config, gaussian_model(), tmp_path).stalls()
    figures = finding.figures
    assert figures["before"] - figures["after"] == figures["freed"]


# The machine


def test_this_machine_is_examined_without_loading_a_model(config: Config, tmp_path: Path) -> None:
    found = {finding.check: finding for finding in examine(config, NOBODY, out=tmp_path)}
    assert list(found) == [
        "driver", "cuda", "tensorrt", "model", "disk", "port", "classifier", "clock",
    ]  # fmt: skip
    assert found["model"].status is Status.GOOD
    assert found["clock"].status is Status.GOOD
    assert "ok       clock" in render(found["clock"])
    assert "  studio doctor --fix classifier" in render(found["classifier"])


def test_cards_that_are_there_and_a_driver_that_is_not_are_told(tmp_path: Path) -> None:
    with fake_nvml(tmp_path) as cards:
        finding = machine.driver()
        assert finding.cause == "Driver 580.95.05, 2 cards."
        cards.set(**{"gpu1.reasons": 0x20})
        assert machine.driver().status is Status.WARNING
        cards.set(down=1)
        assert machine.driver().status is Status.PROBLEM
        assert "does not answer" in machine.driver().cause


def test_torch_that_cannot_use_the_card_is_told(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with fake_nvml(tmp_path):
        finding = machine.cuda()
    assert finding.status is Status.PROBLEM
    assert "13.0" in finding.cause


def test_two_flavours_of_tensorrt_are_one_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"tensorrt": "11.4.1", "tensorrt_rtx": "1.7.0"}
    monkeypatch.setattr(machine, "_version", lambda name: there.get(name, ""))
    assert machine.tensorrt().status is Status.WARNING
    del there["tensorrt"]
    assert machine.tensorrt().cause == "Installed: tensorrt_rtx 1.7.0."


def test_damaged_weights_are_told(config: Config, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (weights,) = (copy / "unet").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])
    finding = machine.model(dataclasses.replace(config, model=copy), NOBODY)
    assert finding.status is Status.PROBLEM
    assert "unet" in finding.cause


def test_weights_that_are_not_those_served_are_told(config: Config) -> None:
    class Serving(Running):
        def health(self) -> dict[str, object]:
            return {"status": "ready", "model_digest": "f" * 64}

    finding = machine.model(config, Serving(""))
    assert finding.status is Status.WARNING
    assert "not those being served" in finding.cause


def test_a_disk_without_room_is_told(config: Config) -> None:
    finding = machine.disk(dataclasses.replace(config, min_free_bytes=2**62))
    assert finding.status is Status.PROBLEM


def test_a_port_that_another_program_holds_is_told(config: Config) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        finding = machine.port(dataclasses.replace(config, port=port), NOBODY)
    assert finding.status is Status.PROBLEM
    assert "--port" in finding.remedy


def test_a_missing_classifier_is_a_problem_where_pictures_must_be_screened(config: Config) -> None:
    closed = dataclasses.replace(config, model=draft_model_dir())
    assert machine.classifier(closed).status is Status.WARNING
    gone = dataclasses.replace(config, model=config.model / "gone")
    assert machine.classifier(gone).status is Status.PROBLEM


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[str]:
    """A server of this machine that hands out a file of weights; its address."""
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "weights.h5").write_bytes(b"weights")
    handler = functools.partial(Quiet, directory=str(tmp_path / "public"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/weights.h5"
        server.shutdown()
        thread.join()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_weights_of_the_classifier_are_fetched_when_asked_and_only_the_right_ones(
    config: Config, publisher: str, tmp_path: Path
) -> None:
    weights = ClassifierWeights(
        path=tmp_path / "classifier" / "weights.h5",
        sha256=hashlib.sha256(b"weights").hexdigest(),
        num_bytes=7,
        address=publisher,
    )
    finding = machine.classifier(config, weights)
    assert finding.apply is not None
    wrong = dataclasses.replace(weights, sha256="0" * 64)
    with pytest.raises(BadModel, match="something else"):
        machine.fetch(wrong)
    assert not weights.path.exists()
    with pytest.raises(Unavailable, match="could not be fetched"):
        machine.fetch(dataclasses.replace(weights, address=f"{publisher}.gone"))
    assert "Fetched 7 bytes" in finding.apply()
    assert machine.classifier(config, weights).status is Status.GOOD
    weights.path.write_bytes(b"others")
    assert "not the ones expected" in machine.classifier(config, weights).cause


def test_a_clock_that_was_never_set_or_ran_back_is_told(tmp_path: Path) -> None:
    assert machine.clock(tmp_path, now=lambda: 86_400.0).status is Status.PROBLEM
    behind = tmp_path.stat().st_mtime - 3600
    assert "before" in machine.clock(tmp_path, now=lambda: behind).cause


# What is kept, told and sent


def test_what_was_kept_yields_to_the_command_line_and_the_environment(tmp_path: Path) -> None:
    keep_setting(tmp_path, "precision", "bfloat16", "a reason")
    given = {"data_dir": str(tmp_path)}
    assert configured({}, **given).precision == "bfloat16"
    assert configured({}, precision="float32", **given).precision == "float32"
    environ = {"VITRINE_PRECISION": "float32"}
    assert configured(environ, **given).precision == "float32"
    keep_setting(tmp_path, "precision", "", "")
    assert configured({}, **given).precision == "auto"


def test_the_report_is_one_object_and_the_exit_code_says_whether_all_is_well(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--json", "--data-dir", str(config.data_dir), "--port", str(free_port())]
    assert cli.main(["doctor", *options]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {"check", "status", "cause", "figures", "remedy", "can_apply", "applied"} <= set(
        report["findings"][0]
    )
    assert cli.main(["doctor", "--model", str(config.data_dir / "gone"), *options]) != 0
    assert cli.main(["doctor", "headache", *options]) == 2
    assert "choose from stalls" in capsys.readouterr().err


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def bundle(
    open_studio: OpenStudio, serve: Serve, config: Config, tmp_path: Path
) -> Iterator[dict[str, str]]:
    log_file = tmp_path / "studio.jsonl"
    with logging_to(log_file, "debug"):
        studio = open_studio()
        studio.wait_until_ready(WAIT_SECONDS)
        brief = Brief(subject="zanzibar", notes="quokka")
        studio.wait(studio.submit(brief, "mia.tanner").id, WAIT_SECONDS)
        running = Running(serve(studio).address)
        report = {"findings": [], "path": str(Path.home() / "secret-project")}
        used = dataclasses.replace(config, data_dir=studio.config.data_dir)
        path = write_bundle(tmp_path / "b.tar.gz", report, used, running, log_file)
    assert path.stat().st_mode & 0o077 == 0
    with tarfile.open(path) as archive:
        yield {
            member.name.partition("/")[2]: (archive.extractfile(member) or exit()).read().decode()
            for member in archive.getmembers()
        }


def test_a_support_bundle_holds_what_helps_and_no_words_or_names(bundle: dict[str, str]) -> None:
    assert "torch==" in bundle["versions.txt"]
    assert json.loads(bundle["health.json"])["backend"] == "closed-form"
    assert "vitrine_stage_duration_seconds" in bundle["metrics.txt"]
    assert json.loads(bundle["database.json"])["jobs_by_status"] == {"succeeded": 1}
    assert "job succeeded" in bundle["log.jsonl"]
    everything = "\n".join(bundle.values())
    for word in ("zanzibar", "quokka", "mia.tanner", str(Path.home()) + "/"):
        assert word not in everything


def test_what_looks_like_a_secret_is_left_out() -> None:
    values = {"api_key": "abc", "nested": [{"Owner": "mia", "steps": 4}], "backend": "torch"}
    assert redacted(values) == {
        "api_key": REDACTED,
        "nested": [{"Owner": REDACTED, "steps": 4}],
        "backend": "torch",
    }
    text = redacted_text("Bearer abc.def password=hunter2 mia@example.org token: xyz fine")
    for word in ("abc.def", "hunter2", "mia@", "xyz"):
        assert word not in text
    assert text.endswith("fine")


def test_a_scrape_is_read_with_its_labels() -> None:
    text = '# HELP a b\na{b="c",d="e \\"f\\""} 2\ng 1.5\n'
    assert samples(text) == [("a", {"b": "c", "d": 'e \\"f\\"'}, 2.0), ("g", {}, 1.5)]
