"""Briefs and sketches, and the request a brief becomes."""

from __future__ import annotations

from pydantic import BaseModel, Field

from studio.api.schemas.base import Sent
from studio.brief import Brief
from studio.loras import as_text
from studio.request import Request


class BriefIn(Sent):
    """The form. Only the subject is needed; words in English or Chinese."""

    subject: str = Field("", examples=["mug"])
    material: str = Field("", examples=["ceramic"])
    color: str = Field("", examples=["red"])
    scene: str = Field("", examples=["wooden table"])
    notes: str = ""
    category: str | None = Field(None, examples=["furniture"])
    shot: str | None = Field(None, examples=["packshot"])
    negative_presets: list[str] = Field([], examples=[["no_text"]])
    size: str | None = Field(None, examples=["square"])
    quality: str | None = Field(None, examples=["quick"])
    num_images: int = 1
    seed: int | None = None
    num_steps: int | None = None
    sketch: str | None = Field(None, description="digest of a sketch to follow: see /sketches")
    control_strength: float | None = Field(None, description="how closely it is followed, 0 to 2")
    control_start: float | None = Field(None, description="from which share of the steps on")
    control_end: float | None = Field(None, description="up to which share of the steps")
    canny_low: float | None = Field(None, description="what continues an edge, 0 to 500")
    canny_high: float | None = Field(None, description="what begins an edge, 0 to 500")
    loras: list[str] = Field(
        [],
        description="LoRAs by name, with a weight behind a colon or at 1",
        examples=[["linen:0.8"]],
    )

    def brief(self) -> Brief:
        values = self.model_dump()
        return Brief.from_dict(values)


class BriefOut(BaseModel):
    subject: str
    material: str
    color: str
    scene: str
    notes: str
    category: str | None
    shot: str | None
    negative_presets: list[str]
    size: str | None
    quality: str | None
    num_images: int | str
    seed: int | str | None
    num_steps: int | str | None
    sketch: str | None
    control_strength: float | str | None
    control_start: float | str | None
    control_end: float | str | None
    canny_low: float | str | None
    canny_high: float | str | None
    loras: list[str]

    @classmethod
    def of(cls, brief: Brief) -> BriefOut:
        return cls(**{name: brief.to_dict()[name] for name in cls.model_fields})


class RequestOut(BaseModel):
    """Everything a picture follows from."""

    prompt: str
    negative_prompt: str
    height: int
    width: int
    num_steps: int
    guidance_scale: float
    seed: int
    num_images: int
    loras: list[str]
    sampler: str
    model: str
    crops_coords_top_left: tuple[int, int]

    @classmethod
    def of(cls, request: Request) -> RequestOut:
        values = {name: getattr(request, name) for name in cls.model_fields}
        return cls(**values | {"loras": [as_text(lora) for lora in request.loras]})


class SketchOut(BaseModel):
    """A sketch that is kept, by its digest."""

    sketch: str
    height: int
    width: int


class PromptOut(BaseModel):
    prompt: str
    num_tokens: int | None = None
    max_tokens: int | None = None


class CheckOut(BaseModel):
    """A brief that can be drawn: what it becomes, and how long the device takes for it."""

    request: RequestOut
    device_seconds: float | None
