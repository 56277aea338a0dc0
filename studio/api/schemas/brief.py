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
    negative_presets: list[str] = Field([], examples=[["no_text"]])
    size: str | None = Field(None, examples=["square"])
    num_images: int = 1
    seed: int | None = None
    num_steps: int | None = None
    sketch: str | None = Field(None, description="digest of a sketch to follow: see /sketches")
    control_strength: float | None = Field(None, description="how closely it is followed, 0 to 2")
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
    negative_presets: list[str]
    size: str | None
    num_images: int | str
    seed: int | str | None
    num_steps: int | str | None
    sketch: str | None
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
