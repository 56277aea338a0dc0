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
from studio.engine.health import State
from studio.job import JobStatus
from studio.person import Person, Role
from studio.ui.area import Area, Frame
from studio.ui.markup import escape, joined
from studio.ui.monitor_tiles import Tile, card_tiles, engine_tiles, host_tiles, ratio, render_tile
from studio.ui.speech import Say, say_for
from studio.ui.texts import monitor as texts
from studio.ui.texts import shell
from studio.ui.times import about
from studio.ui.told import told
from studio.watch import Trouble
from studio.watch.exposition import stale_after_seconds
from studio.watch.sampler import Look
from studio.who import person_of

REFRESH_SECONDS = 2.0
ENGLISH = Say()


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
        html = render_monitor(studio, person_of(request), say_for(request))
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


def render_monitor(studio: Studio, person: Person, say: Say = ENGLISH) -> str:
    """What `person` may see of the studio's state, as HTML."""
    line = f'<p class="v-lead">{escape(render_line(studio, person, say))}</p>'
    if not person.has(Role.ADMIN):
        return f'{line}<p class="v-hint">{escape(say(texts.ADMINS_ONLY))}</p>'
    if not studio.watch.is_on:
        return f'{line}<p class="v-hint">{escape(say(texts.OFF))}</p>'
    latest = studio.watch.sampler.latest
    if latest is None:
        return f'{line}<p class="v-hint">{escape(say(texts.FIRST))}</p>'
    return "".join(
        (
            line,
            _devices(studio, latest, say),
            _section(say(texts.ENGINE), engine_tiles(studio, latest, say), studio),
            _errors(studio.watch.last_errors, say),
            f'<p class="v-note v-foot">{escape(_footer(studio, latest, say))}</p>',
        )
    )


def render_line(studio: Studio, person: Person, say: Say = ENGLISH) -> str:
    """ "2 jobs ahead, about 40 s": what a newcomer of this moment would wait for."""
    health = studio.health
    if health.state is State.FAILED:
        return say(texts.FAILED)
    if studio.is_stopping or health.state is State.STOPPED:
        return say(texts.STOPPED)
    if not health.is_ready:
        return say(texts.WARMING, message=told(health.message, say))
    waiting = studio.jobs(person.name, statuses=[JobStatus.QUEUED, JobStatus.RUNNING], limit=1)
    if waiting and waiting[0].status is JobStatus.QUEUED:
        view = studio.view(waiting[0].id, person.name)
        ahead, seconds = view.num_ahead, (view.seconds_waiting or 0) + (view.seconds_running or 0)
    else:
        ahead, seconds = studio.num_active(), studio.seconds_of_work() or 0
    if ahead == 0:
        return say(texts.READY)
    text = say(texts.ONE_AHEAD if ahead == 1 else texts.AHEAD, count=f"{ahead:,}")
    return text if seconds < 1 else f"{text}, {about(seconds, say)}"


def _devices(studio: Studio, look: Look, say: Say) -> str:
    machine = look.machine
    parts = []
    if machine.gpu_trouble:
        parts.append(f'<p class="v-message">{escape(machine.gpu_trouble)}</p>')
    for gpu in machine.gpus:
        title = joined(say(texts.DEVICE) + f" {gpu.index}", gpu.name)
        if gpu.is_lost:
            note = f'<p class="v-message">{escape(say(texts.LOST))}</p>'
            parts.append(_section(title, (), studio, note, kind="v-lost"))
            continue
        limit = float(studio.config.temperature_limit)
        parts.append(_section(title, card_tiles(gpu, limit, say), studio))
    if not machine.gpus and not machine.gpu_trouble:
        note = f'<p class="v-hint">{escape(say(texts.NO_GPU))}</p>'
        title = say(texts.PROCESSOR, cores=machine.host.num_cores)
        parts.append(_section(title, host_tiles(machine.host, studio, say), studio, note))
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


def _errors(errors: tuple[Trouble, ...], say: Say) -> str:
    rows = "".join(
        f'<li><span class="v-note">{time.strftime("%H:%M:%S", time.localtime(one.at))} '
        f"{escape(joined(one.kind, one.job_id))}</span><br>{escape(told(one.message, say))}</li>"
        for one in errors
    )
    body = f'<ul class="v-errors">{rows}</ul>' if rows else ""
    none = "" if rows else f'<p class="v-hint">{escape(say(texts.NO_ERRORS))}</p>'
    return (
        f'<section class="v-device"><h2 class="v-heading">{escape(say(texts.ERRORS))}</h2>'
        f"{body}{none}</section>"
    )


def _footer(studio: Studio, look: Look, say: Say) -> str:
    interval = studio.config.watch_seconds
    age = time.time() - look.machine.at
    if age > stale_after_seconds(interval):
        return say(texts.STALE, age=round(age))
    return say(texts.FOOTER, seconds=interval, share=ratio(look.thread_share, digits=2))


def _build(studio: Studio, frame: Frame) -> None:
    bind_monitor(build_monitor(studio, frame.timer(REFRESH_SECONDS)), studio, frame)


MONITOR = Area(id="monitor", title=shell.MONITOR, build=_build, looks=("monitor.css",))
