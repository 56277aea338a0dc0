"""`LivePanel`: the panels of the Create area as one, and `TabEvent`: one event there.

What a tab last showed, and which picture it has in front of it, is that tab's own state and may be
lost without harm: everything is then drawn once more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr

from studio.application import Studio
from studio.brief import Brief
from studio.person import Person
from studio.ui.brief_form import BriefPanel
from studio.ui.draft_view import Drafted, DraftPanel
from studio.ui.form import Form
from studio.ui.progress import ProgressPanel, render_progress
from studio.ui.recent import RecentPanel, render_recent
from studio.ui.result import ResultPanel, render_result
from studio.ui.sketch_pad import SketchPanel
from studio.ui.snapshot import Chosen, Snapshot
from studio.ui.speech import Say

Updates = dict[Any, Any]


@dataclasses.dataclass(frozen=True)
class LivePanel:
    """The panels that follow the studio, and what one tab remembers between two looks."""

    form: Form
    brief: BriefPanel
    sketch: SketchPanel
    draft: DraftPanel
    result: ResultPanel
    progress: ProgressPanel
    recent: RecentPanel
    timer: gr.Timer
    chosen: gr.State
    seen: gr.State

    @property
    def outputs(self) -> list[Any]:
        """Everything a look may change."""
        return [*self.renderers, self.brief.generate, self.timer, self.chosen, self.seen]

    @property
    def form_outputs(self) -> list[Any]:
        """What follows from the form, the form itself left alone."""
        brief = self.brief
        return [brief.prompt, brief.vary_hint, brief.saved, self.sketch.facts]

    @property
    def draft_outputs(self) -> list[Any]:
        return [self.draft.view, self.draft.drafted]

    @property
    def tab(self) -> set[Any]:
        """What the tab remembers."""
        return {self.chosen, self.seen, self.draft.drafted}

    @property
    def renderers(self) -> dict[gr.HTML, Callable[[Snapshot], str]]:
        return {
            self.result.view: render_result,
            self.progress.cards: render_progress,
            self.recent.thumbs: render_recent,
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class TabEvent:
    """One event of a tab: who caused it, in which language, and the `values` that came along.

    They come from a browser and may be anything.
    """

    panel: LivePanel
    studio: Studio
    person: Person
    say: Say
    values: Mapping[Any, Any]

    @property
    def brief(self) -> Brief:
        """The form as typed."""
        return self.panel.form.read(self.values)

    @property
    def digest(self) -> object:
        """The sketch on the canvas."""
        return self.values.get(self.panel.form.digest)

    @property
    def chosen(self) -> Chosen:
        """What the tab has in the middle; an event that does not say follows the newest."""
        chosen = self.values.get(self.panel.chosen)
        return chosen if isinstance(chosen, Chosen) else Chosen()

    @property
    def seen(self) -> Mapping[str, str]:
        """What the tab shows already."""
        return self.values.get(self.panel.seen) or {}

    @property
    def drafted(self) -> Drafted | None:
        drafted = self.values.get(self.panel.draft.drafted)
        return drafted if isinstance(drafted, Drafted) else None

    def having(self, values: Mapping[Any, Any]) -> TabEvent:
        """The same with other values in the places of `values`."""
        return dataclasses.replace(self, values={**self.values, **values})


def build_live(
    brief: BriefPanel,
    sketch: SketchPanel,
    draft: DraftPanel,
    result: ResultPanel,
    progress: ProgressPanel,
    recent: RecentPanel,
    timer: gr.Timer,
) -> LivePanel:
    form = Form(
        fields=brief.fields | sketch.fields,
        vary=brief.vary,
        follows=sketch.follows,
        digest=sketch.digest,
        live=brief.live,
    )
    return LivePanel(
        form=form,
        brief=brief,
        sketch=sketch,
        draft=draft,
        result=result,
        progress=progress,
        recent=recent,
        timer=timer,
        chosen=gr.State(Chosen()),
        seen=gr.State({}),
    )
