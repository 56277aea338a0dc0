"""Which model a studio draws with: a folder, a name in the registry, or the registry's default.

Also what the registry has to go with it. What a name stands for is the registry's to say.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from studio.config import Config
from studio.errors import BadModel
from studio.kept_settings import kept_settings
from studio.model_registry import NAME, Registry
from studio.weights import Kind, fits


def configured(environ: Mapping[str, str] = os.environ, **overrides: object) -> Config:
    """`Config.from_environ`, whose model may be a name; without one it is the registry's default.

    What the doctor was asked to keep counts where nothing else is said. A name goes before a
    folder of that name, which is reached as `./name`.

    Raises:
        BadConfig: as `Config.from_environ`.
        BadModel: what was named is no model.
        BadDataFolder: the registry is damaged.
    """
    config = Config.from_environ(environ, **overrides)
    for name, value in kept_settings(config.data_dir).items():
        if overrides.get(name) is None and not environ.get(f"VITRINE_{name.upper()}"):
            overrides[name] = value
    config = Config.from_environ(environ, **overrides)
    given = overrides.get("model") or environ.get("VITRINE_MODEL")
    registry = registry_of(config)
    model = registry.default().path
    if given:
        model = _named(registry, str(given)) or config.model
    return dataclasses.replace(config, model=model)


def registry_of(config: Config) -> Registry:
    """The registry of a studio with these settings."""
    return Registry(config.models_dir or config.data_dir)


def additions(config: Config, family: str) -> tuple[dict[str, Path], dict[str, Path]]:
    """The registry's ControlNets by kind and LoRAs by name that fit `config.model`, of `family`."""
    registry = registry_of(config)

    def fitting(found: Mapping[str, Path]) -> dict[str, Path]:
        return {name: path for name, path in found.items() if fits(path, config.model)}

    return fitting(registry.controlnets(family)), fitting(registry.loras(family))


def preview_decoder(config: Config, family: str) -> Path | None:
    """The registry's preview decoder that reads the latents of `config.model`, of `family`."""
    found = registry_of(config).previews(family, model=config.model)
    return next(iter(found.values()), None)


def _named(registry: Registry, name: str) -> Path | None:
    """Where the model called `name` is; `None` where it must be a folder."""
    for entry in registry.entries():
        if entry.name == name:
            if entry.kind is not Kind.MODEL:
                raise BadModel(
                    f"{name!r} is a {entry.kind.label}, which draws nothing by itself: choose a "
                    "model that `studio models list` shows."
                )
            return entry.path
    if NAME.fullmatch(name) and not Path(name).is_dir():
        raise BadModel(
            f"There is no model named {name!r}, and no folder of that name: `studio models list` "
            "shows the names."
        )
    return None
