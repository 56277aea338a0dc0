"""The house: imports point down, heavy libraries stay behind their doors, importing is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "studio"

FLOORS = {
    0: {
        "account",
        "api_key",
        "batch",
        "brief",
        "config",
        "durations",
        "errors",
        "events",
        "hook",
        "image_record",
        "job",
        "model_card",
        "person",
        "readings",
        "request",
        "review",
        "terms",
        "verdict",
        "workload",
    },
    1: {
        "account_rows",
        "adoption_rows",
        "audit",
        "audit_search",
        "batch_rows",
        "clip_vocabulary",
        "compose",
        "control",
        "control_images",
        "data_folder",
        "database",
        "event_rows",
        "example_rows",
        "exchange",
        "failure_rows",
        "file_names",
        "hook_rows",
        "hub",
        "image_rows",
        "job_rows",
        "kept_settings",
        "key_rows",
        "live",
        "logs",
        "loras",
        "metrics",
        "migrations",
        "model_choice",
        "model_registry",
        "moderation_policy",
        "passwords",
        "pictures",
        "presets",
        "prompt_terms",
        "public_network",
        "queue_rows",
        "quota",
        "review_reading",
        "review_rows",
        "review_statements",
        "rows",
        "safetensors_header",
        "shelf",
        "sketch",
        "sketches",
        "statements",
        "store",
        "tables",
        "telemetry",
        "thumbnail_filler",
        "thumbnails",
        "tracing",
        "variants",
        "watch_rows",
        "weights",
    },
    2: {"engine"},
    3: {
        "admission",
        "application",
        "attendance",
        "backup",
        "batches",
        "dispatcher",
        "doctor",
        "drafts",
        "estimates",
        "examples",
        "gallery",
        "groups",
        "hook_sender",
        "hooks",
        "job_acts",
        "job_view",
        "job_views",
        "keys",
        "locks",
        "migrate",
        "model_import",
        "model_on_disk",
        "moderation",
        "people",
        "provider",
        "recorder",
        "reproduction",
        "shrinking",
        "starts",
        "watch",
    },
    4: {
        "access",
        "api",
        "audit_command",
        "backup_command",
        "batch_command",
        "bench",
        "cli",
        "counting",
        "client",
        "create_routes",
        "doctor_command",
        "evaluate",
        "gallery_routes",
        "gate",
        "generate",
        "guard",
        "keys_command",
        "models_command",
        "moderation_command",
        "moderation_routes",
        "pages",
        "plans_command",
        "reproduce_command",
        "server",
        "tabs",
        "shrink_command",
        "ui",
        "users_command",
        "visit",
        "watch_routes",
        "who",
    },
}
FLOOR_OF = {name: floor for floor, names in FLOORS.items() for name in names}

DOORS = {
    "authlib": ["provider.py"],
    "joserfc": ["provider.py"],
    "torch": [
        "engine/",
        "evaluate/classifier.py",
        "evaluate/network.py",
        "evaluate/training.py",
    ],
    "argon2": ["passwords.py"],
    "jinja2": ["pages/"],
    "diffusers": ["engine/"],
    "transformers": ["engine/"],
    "peft": ["engine/lora.py"],
    "tensorrt": ["engine/tensorrt_library.py"],
    "tensorrt_rtx": ["engine/tensorrt_library.py"],
    "matplotlib": ["bench/plots.py"],
    "modelopt": ["engine/quantize.py"],
    "onnx": ["engine/export.py"],
    "onnx_ir": ["engine/export.py"],
    "openvino": ["engine/classifier.py", "engine/openvino_denoiser.py"],
    "opennsfw2": ["engine/classifier.py"],
    "keras": ["engine/classifier.py"],
    "cv2": ["sketch.py"],
    "controlnet_aux": ["sketch.py"],
    "huggingface_hub": ["hub.py"],
    "gradio": ["ui/", "server.py"],
    "httpcore": ["exchange.py", "hook_sender.py"],
    "httpx": ["bench/", "client.py"],
    "openpyxl": ["batches/workbook.py"],
    "zipstream": ["batches/results.py", "gallery_routes.py"],
    "sqlite_utils": [
        "account_rows.py",
        "adoption_rows.py",
        "audit.py",
        "batch_rows.py",
        "example_rows.py",
        "failure_rows.py",
        "image_rows.py",
        "job_rows.py",
        "migrations/",
        "queue_rows.py",
        "quota.py",
        "review_reading.py",
        "review_rows.py",
        "review_statements.py",
        "shelf.py",
        "statements.py",
        "tables.py",
        "watch_rows.py",
    ],
    "pynvml": ["telemetry.py"],
    "prometheus_client": ["metrics.py"],
    "opentelemetry": ["tracing.py"],
    "ray": ["ray_tier.py"],
}

FILES = sorted(PACKAGE.rglob("*.py"))


def _imports(path: Path) -> set[str]:
    """Every module a file imports, anywhere in it, by its full name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _room(path: Path) -> str:
    """The first part of a file's place in the package: `engine`, `store`, …"""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _rooms_imported(path: Path) -> set[str]:
    parts = [name.split(".") for name in _imports(path) if name.startswith("studio.")]
    return {part[1] for part in parts} & FLOOR_OF.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_file_has_a_floor(path: Path) -> None:
    assert _room(path) in {*FLOOR_OF, "__init__", "__main__"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_point_down(path: Path) -> None:
    room = _room(path)
    upward = {other for other in _rooms_imported(path) if FLOOR_OF[other] > FLOOR_OF.get(room, 4)}
    assert not upward


def test_the_engine_knows_values_only() -> None:
    known = {
        other
        for path in FILES
        if _room(path) == "engine"
        for other in _rooms_imported(path)
        if other != "engine"
    }
    assert known <= FLOORS[0]


def test_there_is_no_cycle_between_modules() -> None:
    modules = {
        "studio." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in FILES
    }
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}
    graph = {name: _top_level_imports(path) & modules.keys() for name, path in modules.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join((*trail, name))
        if name in done:
            return
        for other in graph[name]:
            visit(other, (*trail, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def _top_level_imports(path: Path) -> set[str]:
    """What importing the file imports: not what its functions, or type checkers, do."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("library", sorted(DOORS))
def test_a_heavy_library_is_used_behind_its_door(library: str) -> None:
    users = [
        path.relative_to(PACKAGE).as_posix()
        for path in FILES
        if library in {name.split(".")[0] for name in _imports(path)}
    ]
    outside = [user for user in users if not user.startswith(tuple(DOORS[library]))]
    assert not outside


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("studio", ("numpy", "torch", "gradio", "diffusers", "sqlite_utils")),
        ("studio.cli", ("torch", "gradio", "diffusers", "transformers")),
        ("studio.application", ("torch", "gradio", "diffusers", "transformers")),
        ("studio.engine.manager", ("torch", "diffusers", "transformers")),
    ],
)
def test_importing_stays_light(module: str, forbidden: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not set(forbidden) & set(loaded)
