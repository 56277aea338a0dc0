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
    """The words the model knows, what can be kept out, kinds of goods and shots, sizes, qualities.

    Other words work too.
    """

    subject: list[TermOut]
    material: list[TermOut]
    color: list[TermOut]
    scene: list[TermOut]
    negative: list[TermOut]
    categories: list[TermOut]
    shots: list[TermOut]
    sizes: list[SizeOut]
    quality: list[TermOut]


class WayOut(BaseModel):
    num_steps: int
    guidance_scale: float


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
    quick: WayOut | None = Field(description="the quick way it was taught; null where it has none")


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
