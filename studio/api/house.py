"""What the studio has: presets, models, and how it does."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter, Response

from studio.api.door import Door
from studio.api.schemas.base import Page
from studio.api.schemas.house import HealthOut, ModelOut, PresetsOut, SizeOut, TermOut, WayOut
from studio.application import Studio
from studio.engine.manager import State
from studio.model_card import Way
from studio.person import Person
from studio.presets import Named


def house_router(studio: Studio, door: Door) -> APIRouter:
    router = APIRouter(tags=["studio"])
    anybody = door.may(None)

    @router.get("/presets", summary="Words, what to keep out, styles and sizes")
    def get_presets(person: Person = anybody) -> PresetsOut:
        presets = studio.presets
        return PresetsOut(
            subject=_terms(presets.vocabulary.subject),
            material=_terms(presets.vocabulary.material),
            color=_terms(presets.vocabulary.color),
            scene=_terms(presets.vocabulary.scene),
            negative=_terms(presets.negatives),
            categories=_terms(presets.categories),
            shots=_terms(presets.shots),
            sizes=[
                SizeOut(id=preset.id, en=preset.en, zh=preset.zh, width=width, height=height)
                for preset, height, width in presets.sizes_for(studio.card)
            ],
            quality=_terms(presets.qualities),
        )

    @router.get("/models", summary="The models that draw")
    def list_models(person: Person = anybody) -> Page[ModelOut]:
        card = studio.card
        model = ModelOut(
            name=card.name,
            version=card.version,
            family=card.family,
            is_closed_world=card.is_closed_world,
            loras=sorted(studio.lora_names),
            sizes=[[width, height] for height, width in card.sizes],
            default_num_steps=card.default_num_steps,
            max_num_steps=card.max_num_steps,
            default_guidance_scale=card.default_guidance_scale,
            default_sampler=card.default_sampler,
            control_kind=card.control_kind,
            quick=_way(card.quick),
        )
        return Page(items=[model])

    @router.get("/health", summary="Whether the model is warm, and how much waits")
    def get_health(response: Response, person: Person = anybody) -> HealthOut:
        """Always 200; `/healthz` beside the API is the one for load balancers."""
        health = studio.health
        over = (State.FAILED, State.STOPPED)
        status = "ready" if health.is_ready else "warming"
        if health.state in over:
            status = str(health.state)
        response.headers["Cache-Control"] = "no-store"
        return HealthOut(
            status=status,
            message=health.message or "",
            model=health.model or None,
            backend=health.backend or None,
            precision=health.precision or None,
            step_seconds=health.step_seconds or None,
            num_active_jobs=studio.num_active(),
            seconds_of_work=studio.seconds_of_work(),
        )

    return router


def _terms(terms: Iterable[Named]) -> list[TermOut]:
    return [TermOut(id=term.id, en=term.en, zh=term.zh) for term in terms]


def _way(way: Way | None) -> WayOut | None:
    if way is None:
        return None
    return WayOut(num_steps=way.num_steps, guidance_scale=way.guidance_scale)
