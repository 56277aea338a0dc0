"""The Monitor: one line for everyone, and for admins devices, engine and last errors.

Everything shown was seen by the watch's own thread; a look at the page asks no card and no engine.
A machine without a GPU has processor and memory in the places where a card's figures would be.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from typing import Any

import gradio as gr

from studio.application import Studio
from studio.durations import rounded
from studio.engine.health import State
from studio.job import JobStatus
from studio.person import Person, Role
from studio.ui.area import Area, Frame
from studio.ui.markup import escape, joined
from studio.ui.monitor_texts import words
from studio.ui.monitor_tiles import Tile, card_tiles, engine_tiles, host_tiles, ratio, render_tile
from studio.ui.speech import language_of
from studio.ui.texts import shell
from studio.watch import Trouble
from studio.watch.sampler import Look
from studio.who import person_of

REFRESH_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class MonitorPanel:
    view: gr.HTML
    timer: gr.Timer
    seen: gr.State


def build_monitor(studio: Studio, timer: gr.Timer) -> MonitorPanel:
    return MonitorPanel(
        view=gr.HTML(elem_id="monitor", apply_default_css=False),
        timer=timer,
        seen=gr.State(""),
    )


def bind_monitor(panel: MonitorPanel, studio: Studio, frame: Frame) -> None:
    def look(seen: str, request: gr.Request) -> Any:
        html = render_monitor(studio, person_of(request), language_of(request))
        digest = hashlib.sha256(html.encode()).hexdigest()
        return (gr.skip(), gr.skip()) if digest == seen else (html, digest)

    for event in (frame.on_show, frame.on_speak, panel.timer.tick):
        event(
            look,
            inputs=[panel.seen],
            outputs=[panel.view, panel.seen],
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )


def render_monitor(studio: Studio, person: Person, language: str = "en") -> str:
    """What `person` may see of the studio's state, as HTML."""
    line = f'<p class="v-lead">{escape(render_line(studio, person, language))}</p>'
    if not person.has(Role.ADMIN):
        return f'{line}<p class="v-hint">{escape(words("admins_only", language))}</p>'
    if not studio.watch.is_on:
        return f'{line}<p class="v-hint">{escape(words("off", language))}</p>'
    latest = studio.watch.sampler.latest
    if latest is None:
        return f'{line}<p class="v-hint">{escape(words("first", language))}</p>'
    return "".join(
        (
            line,
            _devices(studio, latest, language),
            _section(words("engine", language), engine_tiles(studio, latest, language), studio),
            _errors(studio.watch.last_errors, language),
            f'<p class="v-note v-foot">{escape(_footer(studio, latest, language))}</p>',
        )
    )


def render_line(studio: Studio, person: Person, language: str = "en") -> str:
    """ "2 jobs ahead, about 40 s": what a newcomer of this moment would wait for."""
    health = studio.health
    if health.state is State.FAILED:
        return words("failed", language)
    if studio.is_stopping or health.state is State.STOPPED:
        return words("stopped", language)
    if not health.is_ready:
        return words("warming", language, message=health.message)
    waiting = studio.jobs(person.name, statuses=[JobStatus.QUEUED, JobStatus.RUNNING], limit=1)
    if waiting and waiting[0].status is JobStatus.QUEUED:
        view = studio.view(waiting[0].id, person.name)
        ahead, seconds = view.num_ahead, (view.seconds_waiting or 0) + (view.seconds_running or 0)
    else:
        ahead, seconds = studio.num_active(), studio.seconds_of_work() or 0
    if ahead == 0:
        return words("ready", language)
    text = words("one_ahead" if ahead == 1 else "ahead", language, count=f"{ahead:,}")
    if seconds < 1:
        return text
    return f"{text}, {words('about', language, time=rounded(seconds))}"


def _devices(studio: Studio, look: Look, language: str) -> str:
    machine = look.machine
    parts = []
    if machine.gpu_trouble:
        parts.append(f'<p class="v-message">{escape(machine.gpu_trouble)}</p>')
    for gpu in machine.gpus:
        title = joined(words("device", language) + f" {gpu.index}", gpu.name)
        if gpu.is_lost:
            note = f'<p class="v-message">{escape(words("lost", language))}</p>'
            parts.append(_section(title, (), studio, note, kind="v-lost"))
            continue
        limit = float(studio.config.temperature_limit)
        parts.append(_section(title, card_tiles(gpu, limit, language), studio))
    if not machine.gpus and not machine.gpu_trouble:
        note = f'<p class="v-hint">{escape(words("no_gpu", language))}</p>'
        title = words("processor", language, cores=machine.host.num_cores)
        parts.append(_section(title, host_tiles(machine.host, studio, language), studio, note))
    return "".join(parts)


def _section(
    title: str, tiles: tuple[Tile, ...], studio: Studio, note: str = "", *, kind: str = ""
) -> str:
    history = studio.watch.sampler.history
    drawn = "".join(render_tile(tile, history) for tile in tiles)
    return (
        f'<section class="v-device {kind}"><h2 class="v-heading">{escape(title)}</h2>{note}'
        f'<dl class="v-tiles">{drawn}</dl></section>'
    )


def _errors(errors: tuple[Trouble, ...], language: str) -> str:
    rows = "".join(
        f'<li><span class="v-note">{time.strftime("%H:%M:%S", time.localtime(one.at))} '
        f"{escape(joined(one.kind, one.job_id))}</span><br>{escape(one.message)}</li>"
        for one in errors
    )
    body = f'<ul class="v-errors">{rows}</ul>' if rows else ""
    none = "" if rows else f'<p class="v-hint">{escape(words("no_errors", language))}</p>'
    return (
        f'<section class="v-device"><h2 class="v-heading">{escape(words("errors", language))}</h2>'
        f"{body}{none}</section>"
    )


def _footer(studio: Studio, look: Look, language: str) -> str:
    interval = studio.config.watch_seconds
    age = time.time() - look.machine.at
    if age > 5 * interval + 5:
        return words("stale", language, age=round(age))
    return words("footer", language, seconds=interval, share=ratio(look.thread_share, digits=2))


def _build(studio: Studio, frame: Frame) -> None:
    bind_monitor(build_monitor(studio, frame.timer(REFRESH_SECONDS)), studio, frame)


MONITOR = Area(id="monitor", title=shell.MONITOR, build=_build, looks=("monitor.css",))
