"""What the studio has, and how it does."""

from __future__ import annotations

from pydantic import BaseModel, Field


class TermOut(BaseModel):
    id: str
    en: str
    zh: str


class SizeOut(TermOut):
    width: int
    height: int


class PresetsOut(BaseModel):
    """The words the model knows, what can be kept out, and the sizes. Other words work too."""

    subject: list[TermOut]
    material: list[TermOut]
    color: list[TermOut]
    scene: list[TermOut]
    negative: list[TermOut]
    sizes: list[SizeOut]


class ModelOut(BaseModel):
    name: str
    version: str
    family: str
    is_closed_world: bool
    loras: list[str] = Field(description="LoRAs that a brief may name")
    sizes: list[list[int]] = Field(description="[width, height] in pixels")
    default_num_steps: int
    max_num_steps: int
    default_guidance_scale: float
    default_sampler: str
    control_kind: str | None


class HealthOut(BaseModel):
    """`status` is "ready", "warming", "failed" or "stopped"."""

    status: str
    message: str
    model: str | None
    backend: str | None
    precision: str | None
    step_seconds: float | None
    num_active_jobs: int
    seconds_of_work: float | None
