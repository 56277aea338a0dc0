"""`Config`: where settings come from, and which are refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from studio.config import Config, default_cache_dir, default_data_dir, draft_model_dir
from studio.errors import BadConfig
from tests.store_tools import ROOT


def test_the_studio_serves_this_machine_unless_told_otherwise() -> None:
    config = Config.from_environ({})
    assert (config.host, config.port) == ("127.0.0.1", 7860)
    assert config.model == draft_model_dir()


def test_every_setting_can_come_from_the_environment() -> None:
    values: dict[str, object] = {
        "data_dir": Path("/tmp/data"),
        "model": Path("/tmp/model"),
        "models_dir": Path("/tmp/models"),
        "host": "::1",
        "allowed_hosts": ("studio.example.com", "studio"),
        "trusted_proxies": ("10.0.0.1",),
        "session_seconds": 3600,
        "session_idle_seconds": 600,
        "port": 8000,
        "precision": "float32",
        "max_rows": 4,
        "backend": "torch",
        "device": "cuda:1",
        "compile": True,
        "cache_dir": Path("/tmp/cache"),
        "drain_seconds": 30,
        "max_queued_per_owner": 3,
        "max_queued_jobs": 5,
        "max_num_images": 6,
        "max_pictures_per_day": 200,
        "oidc_issuer": "https://id.example.com",
        "oidc_client_id": "vitrine",
        "oidc_client_secret": "secret",
        "oidc_name": "Example",
        "oidc_scope": "openid",
        "oidc_roles_claim": "groups",
        "oidc_roles": ("studio-admins=admin",),
        "min_free_bytes": 7,
        "classifier_weights": Path("/tmp/weights.h5"),
        "moderation_policy": Path("/tmp/policy.toml"),
        "presets_dir": Path("/tmp/presets"),
        "watch_seconds": 8,
        "temperature_limit": 80,
        "traces": "spans.jsonl",
        "log_level": "debug",
        "log_file": "-",
        "webhook_hosts": ("inside.example", "10.0.0.7"),
        "api_requests_per_minute": 8,
    }
    assert set(values) == {field.name for field in dataclasses.fields(Config)}
    environ = {
        f"VITRINE_{name.upper()}": ",".join(value) if isinstance(value, tuple) else str(value)
        for name, value in values.items()
    }
    assert dataclasses.asdict(Config.from_environ(environ)) == values


def test_the_command_line_wins_where_it_says_something() -> None:
    environ = {"VITRINE_PORT": "8000", "VITRINE_PRECISION": "float32"}
    config = Config.from_environ(environ, port=9000, precision=None)
    assert (config.port, config.precision) == (9000, "float32")


def test_an_empty_variable_counts_as_not_set() -> None:
    config = Config.from_environ({"VITRINE_DATA_DIR": "", "VITRINE_PORT": ""})
    assert config == Config()


def test_a_tilde_means_home() -> None:
    config = Config.from_environ({}, data_dir="~/vitrine")
    assert config.data_dir == Path.home() / "vitrine"


def test_the_data_folder_follows_xdg() -> None:
    assert default_data_dir({"XDG_DATA_HOME": "/srv"}) == Path("/srv/vitrine")
    assert default_data_dir({}) == Path.home() / ".local/share/vitrine"


def test_the_cache_follows_xdg() -> None:
    assert default_cache_dir({"XDG_CACHE_HOME": "/var/tmp"}) == Path("/var/tmp/vitrine")
    assert default_cache_dir({}) == Path.home() / ".cache/vitrine"


def test_the_draft_model_of_a_checkout_is_its_own() -> None:
    assert ROOT in draft_model_dir().parents


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PORT", "http"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "9" * 5000),
        ("MAX_ROWS", "2.5"),
        ("MIN_FREE_BYTES", "64MB"),
        ("MAX_QUEUED_JOBS", "0"),
        ("MAX_NUM_IMAGES", "0"),
        ("PRECISION", "int3"),
        ("BACKEND", "abacus"),
        ("DEVICE", "abacus"),
        ("COMPILE", "perhaps"),
        ("DRAIN_SECONDS", "3601"),
        ("DRAIN_SECONDS", "a while"),
        ("MAX_QUEUED_PER_OWNER", "0"),
        ("SESSION_SECONDS", "59"),
        ("SESSION_IDLE_SECONDS", "0"),
        ("ALLOWED_HOSTS", "studio,https://studio.example.com"),
        ("DATA_DIR", "~nobody-of-that-name/data"),
    ],
    ids=lambda value: value[:20],
)
def test_a_setting_that_cannot_be_used_is_refused(name: str, text: str) -> None:
    with pytest.raises(BadConfig, match=r".*: .*|.*must be.*"):
        Config.from_environ({f"VITRINE_{name}": text})


def test_a_number_that_is_none_is_refused_with_its_variable() -> None:
    with pytest.raises(BadConfig, match="VITRINE_MAX_ROWS must be a whole number"):
        Config.from_environ({"VITRINE_MAX_ROWS": "many"})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_addresses_are_for_this_machine_alone(host: str) -> None:
    assert Config(host=host).is_local


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", ""])
def test_any_other_address_is_for_others_too(host: str) -> None:
    assert not Config(host=host).is_local


@pytest.mark.parametrize("host", ["https://studio.example.com", "studio:80", "a/b", "*", ""])
def test_an_allowed_host_is_a_bare_name(host: str) -> None:
    with pytest.raises(BadConfig, match=r"such as studio\.example\.com"):
        Config(allowed_hosts=(host,))
