"""`Config`: the settings of one studio, from the environment and the command line.

Every setting has a flag and a variable (`VITRINE_` and the field's name in capitals). Nothing is
created or opened here.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from studio.errors import BadConfig
from studio.person import Role

PRECISIONS = ("auto", "float32", "bfloat16", "float16")
BACKENDS = ("auto", "torch", "openvino", "tensorrt")
MAX_DRAIN_SECONDS = 3600
_DEVICE = re.compile(r"auto|cpu|cuda(:[0-9]{1,2})?")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")


def default_data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where pictures and the queue live unless told otherwise (XDG base directories)."""
    base = environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "vitrine"


def default_cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where what can be made again is kept: compiled plans, measured speeds."""
    base = environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "vitrine"


def draft_model_dir() -> Path:
    """The model that ships here."""
    return asset("models/draft")


def asset(name: str) -> Path:
    """A file or folder that ships: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parent
    beside = package.parent / "assets" / name
    return beside if beside.exists() else package / "assets" / name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings. Sizes are in bytes, times in seconds.

    `models_dir` is where the names of models are kept: the data folder where it is left out.
    `classifier_weights` are those that pictures are screened by (in the data folder), and
    `moderation_policy` the file that says how (the one that comes with the studio).
    `device` "auto" is the first NVIDIA card, where there is one; `compile` has torch compile the
    networks at warm-up, which takes minutes and pays on cards.
    `max_rows` of 0 means "measure it at warm-up"; `min_free_bytes` is the room the studio leaves on
    the disk: below it no job is accepted. `max_queued_per_owner` keeps one person from filling the
    queue. The machine is looked at every `watch_seconds`, 0 watches nothing; cards are held against
    `temperature_limit` degrees Celsius. `traces` is where spans go (see `tracing`);
    `log_file` is where log lines do, "-" for standard error, the data folder where it is empty.
    Asked to stop, the server finishes the pictures begun for at most `drain_seconds`.

    `allowed_hosts` are the names, beside the address itself, under which a studio that serves more
    than this machine is opened; `trusted_proxies` the addresses that may say for whom they ask. A
    session ends `session_seconds` after it began, or `session_idle_seconds` after somebody last
    sat at it. `max_pictures_per_day` is for each person whose account says nothing else; 0 sets no
    limit.

    The `oidc_…` settings name a provider of OpenID Connect (see `provider`): its issuer, this
    studio as its client, the name on the button, and which values of a claim (`oidc_roles`, such as
    `studio-admins=admin`) give which role; without those the studio keeps roles itself.

    `webhook_hosts` may be told by webhooks though they lie inside the network. One person, and one
    key, may ask the API so often a minute. `presets_dir` has presets of the house, beside those
    that ship or in their place.
    """

    data_dir: Path = dataclasses.field(default_factory=default_data_dir)
    models_dir: Path | None = None
    model: Path = dataclasses.field(default_factory=draft_model_dir)
    classifier_weights: Path | None = None
    moderation_policy: Path | None = None
    presets_dir: Path | None = None
    host: str = "127.0.0.1"
    port: int = 7860
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    session_seconds: int = 7 * 24 * 3600
    session_idle_seconds: int = 12 * 3600
    precision: str = "auto"
    backend: str = "auto"
    device: str = "auto"
    compile: bool = False
    cache_dir: Path = dataclasses.field(default_factory=default_cache_dir)
    drain_seconds: int = 0
    max_rows: int = 0
    max_queued_jobs: int = 10_000
    max_queued_per_owner: int = 5_000
    max_pictures_per_day: int = 0
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = dataclasses.field(default="", repr=False)
    oidc_name: str = ""
    oidc_scope: str = "openid profile email"
    oidc_roles_claim: str = "roles"
    oidc_roles: tuple[str, ...] = ()
    max_num_images: int = 16
    min_free_bytes: int = 64 * 2**20
    watch_seconds: int = 2
    temperature_limit: int = 85
    traces: str = ""
    log_level: str = "info"
    log_file: str = ""
    webhook_hosts: tuple[str, ...] = ()
    api_requests_per_minute: int = 600

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise BadConfig(
                f"The precision {self.precision!r} is not known: choose one of "
                f"{', '.join(PRECISIONS)}."
            )
        if self.backend not in BACKENDS:
            raise BadConfig(
                f"The backend {self.backend!r} is not known: choose one of {', '.join(BACKENDS)}."
            )
        if not _DEVICE.fullmatch(self.device):
            raise BadConfig(
                f"The device {self.device!r} is not known: choose auto, cpu, cuda, or one of "
                "several cards such as cuda:1."
            )
        if not 0 <= self.drain_seconds <= MAX_DRAIN_SECONDS:
            raise BadConfig(
                f"{self.drain_seconds} seconds to finish pictures in are too many: choose at most "
                f"{MAX_DRAIN_SECONDS:,}."
            )
        if not 0 <= self.port <= 65535:
            raise BadConfig(f"Port {self.port} does not exist: choose one from 1 to 65535.")
        for name in (
            *("max_queued_jobs", "max_queued_per_owner", "max_num_images"),
            "api_requests_per_minute",
        ):
            if getattr(self, name) < 1:
                raise BadConfig(f"VITRINE_{name.upper()} must be 1 or more, not 0.")
        for name in ("session_seconds", "session_idle_seconds"):
            if getattr(self, name) < 60:
                raise BadConfig(f"VITRINE_{name.upper()} must be 60 or more, or nobody stays in.")
        self._check_provider()
        for host in self.allowed_hosts:
            if not _HOST.fullmatch(host):
                raise BadConfig(
                    f"The allowed host {host!r} is no host's name: give it without scheme, port "
                    "and path, such as studio.example.com."
                )

    def _check_provider(self) -> None:
        if not self.oidc_issuer:
            return
        try:
            parts = urlsplit(self.oidc_issuer)
            is_safe = parts.scheme == "https" or _is_loopback(parts.hostname or "")
        except ValueError:
            is_safe = False
        if not is_safe or not self.oidc_issuer.startswith("http"):
            raise BadConfig(
                f"The provider {self.oidc_issuer!r} cannot be used: VITRINE_OIDC_ISSUER is an "
                "address that begins with https://."
            )
        if not self.oidc_client_id:
            raise BadConfig("VITRINE_OIDC_CLIENT_ID is missing: the provider gave the studio one.")
        for pair in self.oidc_roles:
            if pair.rpartition("=")[2] not in list(Role) or not pair.rpartition("=")[0]:
                raise BadConfig(
                    f"The role {pair!r} in VITRINE_OIDC_ROLES cannot be used: write a value of the "
                    f"claim, =, and one of {', '.join(Role)}."
                )

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the studio."""
        return _is_loopback(self.host)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ, **overrides: object) -> Config:
        """Settings from `VITRINE_*` variables; `overrides` that are not `None` win.

        An empty variable counts as not set.

        Raises:
            BadConfig: a value cannot be used, with the variable's name in the message.
        """
        values: dict[str, object] = {}
        for field in dataclasses.fields(cls):
            name = f"VITRINE_{field.name.upper()}"
            if environ.get(name):
                values[field.name] = _parse(name, environ[name], str(field.type))
        values |= {name: value for name, value in overrides.items() if value is not None}
        for name in (
            "data_dir",
            "models_dir",
            "cache_dir",
            "model",
            "classifier_weights",
            "moderation_policy",
            "presets_dir",
        ):
            if name in values:
                values[name] = _path(name, str(values[name]))
        return cls(**values)  # type: ignore[arg-type]  # checked in __post_init__


def _path(name: str, text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # "~nobody/data"
        raise BadConfig(f"The {name} {text!r} names no user of this machine: mend it.") from error


def _parse(name: str, text: str, kind: str) -> str | int | tuple[str, ...]:
    if kind.startswith("tuple"):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if kind == "bool":
        if text.lower() not in ("0", "1", "false", "true"):
            raise BadConfig(f"{name} must be 1 or 0, for yes or no, not {text!r}.")
        return text.lower() in ("1", "true")
    if kind != "int":
        return text
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise BadConfig(f"{name} must be a whole number of 0 or more, not {text!r}.")
    return number


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
