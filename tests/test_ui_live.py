"""Generate, the buttons of the cards, and the timer, as plain functions."""

from __future__ import annotations

import threading
from typing import Any

import gradio as gr
import pytest

from studio.application import Studio
from studio.brief import Brief
from studio.errors import BadModel
from studio.job import JobStatus
from studio.ui.create_acts import press_button, press_generate, take_draft, take_sketch
from studio.ui.live import BUSY_SECONDS, IDLE_SECONDS, refresh
from studio.ui.live_panel import LivePanel
from studio.ui.snapshot import Chosen
from tests.conftest import WAIT_SECONDS, OpenStudio
from tests.test_sketch import drawing
from tests.ui_tools import build_panels, typed, visit


def panels(studio: Studio) -> LivePanel:
    return build_panels(studio)


def press(panel: LivePanel, studio: Studio, act: object, job_id: object = "") -> dict[Any, Any]:
    return press_button(visit(panel, studio), {"act": act, "id": job_id, "index": 0})


def test_generate_answers_at_once_with_the_job_in_the_middle(open_studio: OpenStudio) -> None:
    studio = open_studio(step_seconds=0.05)
    panel = panels(studio)
    updates = press_generate(visit(panel, studio, typed(panel)))
    (job,) = studio.jobs()
    assert updates[panel.chosen] == Chosen(job_id=job.id)
    assert updates[panel.brief.message] == ""
    assert job.id in updates[panel.result.view]
    assert job.id in updates[panel.progress.cards]


LONG = "x" * 10_000


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("subject", None, "The subject is empty"),
        ("subject", "   ", "The subject is empty"),
        ("subject", LONG, "10,000 characters long: shorten it to 80"),
        ("material", LONG, "10,000 characters long: shorten it to 80"),
        ("color", LONG, "10,000 characters long: shorten it to 80"),
        ("scene", LONG, "10,000 characters long: shorten it to 80"),
        ("notes", LONG, "10,000 characters long: shorten it to 200"),
        ("notes", "soft\x00light", "a character that cannot be seen (U+0000)"),
        ("negative_presets", ["no_such"], "There is no negative preset &#x27;no_such&#x27;"),
        ("size", "77x99", "The size &#x27;77x99&#x27; is not offered"),
        ("num_images", 0, "a whole number from 1 to 16, not 0"),
        ("num_images", 1000, "a whole number from 1 to 16, not 1000"),
        ("num_images", 1.5, "a whole number from 1 to 16, not 1.5"),
        ("seed", "twelve", "The seed must be a whole number"),
        ("seed", "-1", "The seed must be a whole number"),
    ],
)
def test_bad_input_is_one_sentence_that_names_its_field_and_takes_nothing_away(
    studio: Studio, field: str, value: object, sentence: str
) -> None:
    panel = panels(studio)
    updates = press_generate(visit(panel, studio, typed(panel, **{field: value})))
    message = updates[panel.brief.message]
    assert sentence in message
    assert 'role="alert"' in message
    assert f'data-field="{field}"' in message
    assert not set(updates) & set(panel.brief.fields.values()), "the form is left as it is"
    assert studio.jobs() == []


def test_a_full_queue_is_one_sentence(open_studio: OpenStudio) -> None:
    from studio.engine.gaussian import gaussian_model

    may_load = threading.Event()

    def load(precision: str, report: object) -> Any:
        assert may_load.wait(WAIT_SECONDS)
        return gaussian_model()

    studio = open_studio(load=load, max_queued_jobs=1)
    panel = panels(studio)
    press_generate(visit(panel, studio, typed(panel)))
    updates = press_generate(visit(panel, studio, typed(panel)))
    may_load.set()
    assert (
        "The queue is full (1 waiting): try again in a few minutes." in updates[panel.brief.message]
    )
    assert len(studio.jobs()) == 1


def test_a_full_disk_is_one_sentence(open_studio: OpenStudio) -> None:
    studio = open_studio(min_free_bytes=2**62)
    panel = panels(studio)
    updates = press_generate(visit(panel, studio, typed(panel)))
    assert "MiB are free on the disk" in updates[panel.brief.message]
    assert studio.jobs() == []


def test_a_look_at_an_unchanged_studio_changes_nothing(studio: Studio) -> None:
    panel = panels(studio)
    first = refresh(visit(panel, studio))
    assert panel.result.view in first
    assert refresh(visit(panel, studio, seen=first[panel.seen])) == {}


def test_the_prompt_is_drawn_again_once_its_tokens_can_be_counted(studio: Studio) -> None:
    panel = panels(studio)
    values = typed(panel, subject="mug", material="", color="", scene="")
    before = refresh(visit(panel, studio, values))[panel.seen]
    updates = refresh(visit(panel, studio, values, seen=before), with_form=True)
    assert "2 of 75 tokens" in updates[panel.brief.prompt]
    seen = updates[panel.seen]
    assert refresh(visit(panel, studio, values, seen=seen), with_form=True) == {}


def test_the_page_looks_often_while_something_runs_and_seldom_when_idle(
    open_studio: OpenStudio,
) -> None:
    studio = open_studio(step_seconds=0.1)
    panel = panels(studio)
    studio.wait_until_ready(WAIT_SECONDS)
    idle = refresh(visit(panel, studio))
    assert idle[panel.timer].value == IDLE_SECONDS
    values = typed(panel) | {panel.seen: idle[panel.seen]}
    updates = press_generate(visit(panel, studio, values))
    assert updates[panel.timer].value == BUSY_SECONDS


def test_a_draft_alone_does_not_make_the_page_look_often(open_studio: OpenStudio) -> None:
    studio = open_studio(step_seconds=0.3)
    studio.wait_until_ready(WAIT_SECONDS)
    studio.drafts.begin(Brief(subject="mug"), "local")
    assert studio.num_active() == studio.drafts.num_active == 1
    panel = panels(studio)
    assert refresh(visit(panel, studio))[panel.timer].value == IDLE_SECONDS


def test_stop_and_retry_act_on_the_job_of_the_card(open_studio: OpenStudio) -> None:
    studio = open_studio(step_seconds=0.05)
    panel = panels(studio)
    press_generate(visit(panel, studio, typed(panel)))
    (job,) = studio.jobs()
    stopped = press(panel, studio, "stop", job.id)
    assert studio.job(job.id).status is JobStatus.CANCELLED
    assert "Stopped" in stopped[panel.progress.cards]
    again = press(panel, studio, "retry", job.id)
    assert studio.job(job.id).status.is_active
    assert again[panel.chosen] == Chosen(job_id=job.id)


@pytest.mark.parametrize("act", ["stop", "stop-after", "skip", "retry", "show", "picture"])
def test_a_button_for_a_job_that_is_gone_is_one_sentence(studio: Studio, act: str) -> None:
    with pytest.raises(gr.Error, match="There is no such job"):
        press(panels(studio), studio, act, "0123456789abcdef")


def test_a_picture_is_skipped_and_the_job_stopped_after_the_next(open_studio: OpenStudio) -> None:
    studio = open_studio(step_seconds=0.05)
    panel = panels(studio)
    press_generate(visit(panel, studio, typed(panel, num_images=4)))
    (job,) = studio.jobs()
    data = {"act": "skip", "id": job.id, "index": 2}
    press_button(visit(panel, studio, typed(panel)), data)
    assert studio.job(job.id).skipped == (2,)
    press(panel, studio, "stop-after", job.id)
    view = studio.wait(job.id, WAIT_SECONDS)
    assert view.job.status is JobStatus.CANCELLED
    assert 2 not in view.images


@pytest.mark.parametrize("data", [None, {}, [], {"act": 3, "id": ["x"], "index": "y"}])
def test_what_no_button_sends_is_refused(studio: Studio, data: object) -> None:
    panel = panels(studio)
    with pytest.raises(gr.Error):
        press_button(visit(panel, studio, typed(panel)), data)


def test_a_retry_of_a_finished_job_is_refused(studio: Studio) -> None:
    panel = panels(studio)
    press_generate(visit(panel, studio, typed(panel)))
    (job,) = studio.jobs()
    studio.wait(job.id, WAIT_SECONDS)
    with pytest.raises(gr.Error, match="A job marked “succeeded”"):
        press(panel, studio, "retry", job.id)


def test_generate_is_not_offered_when_the_model_failed(open_studio: OpenStudio) -> None:
    def load(precision: str, report: object) -> Any:
        raise BadModel("The weights in <unet> are cut short: copy the folder again.")

    studio = open_studio(load=load)
    with pytest.raises(Exception, match="cut short"):
        studio.wait_until_ready(WAIT_SECONDS)
    panel = panels(studio)
    updates = refresh(visit(panel, studio))
    assert updates[panel.brief.generate].interactive is False
    assert "The weights in &lt;unet&gt; are cut short" in updates[panel.result.view]
    refused = press_generate(visit(panel, studio, typed(panel)))
    assert "cut short" in refused[panel.brief.message]


def test_the_first_sketch_is_followed_at_once_and_an_emptied_canvas_no_more(
    studio: Studio,
) -> None:
    panel = panels(studio)
    digest = studio.sketches.keep("local", drawing())

    def hand(values: dict[Any, Any], name: str) -> dict[Any, Any]:
        data = {"act": "sketch", "id": name}
        return take_sketch(visit(panel, studio, values), data)

    updates = hand(typed(panel), digest)
    assert updates[panel.sketch.digest] == digest
    assert updates[panel.sketch.follows] is True
    assert updates[panel.brief.saved]["sketch"] == digest
    assert panel.sketch.follows not in hand(typed(panel, digest=digest), digest)
    emptied = hand(typed(panel, digest=digest, follows=True), "")
    assert emptied[panel.sketch.follows] is False
    assert emptied[panel.brief.saved]["sketch"] is None
    nothing = take_sketch(visit(panel, studio, typed(panel)), None)
    assert nothing[panel.sketch.digest] == ""


def test_a_tab_that_was_forgotten_tells_of_its_sketch_again_and_of_nothing_else(
    studio: Studio,
) -> None:
    panel = panels(studio)
    event = visit(panel, studio, typed(panel, live=True))
    told = take_sketch(event, {"act": "sketch-again", "id": "f" * 64})
    assert told[panel.form.digest] == "f" * 64
    assert panel.form.follows not in told, "who switched that off did so on purpose"
    assert panel.draft.view not in told


def test_a_canvas_with_nothing_on_it_is_refused_beside_the_form(studio: Studio) -> None:
    panel = panels(studio)
    updates = press_generate(visit(panel, studio, typed(panel, follows=True)))
    assert "Nothing is drawn yet" in updates[panel.brief.message]
    assert 'data-field="sketch"' in updates[panel.brief.message]


def test_a_model_that_follows_nothing_says_so_and_switches_nothing_on(
    open_studio: OpenStudio,
) -> None:
    from studio.engine.gaussian import gaussian_model

    plain = gaussian_model(follows_sketches=False)
    studio = open_studio(load=lambda precision, report: plain)
    studio.wait_until_ready(WAIT_SECONDS)
    panel = panels(studio)
    updates = take_sketch(visit(panel, studio, typed(panel)), {"id": "a" * 64})
    assert panel.sketch.follows not in updates
    assert "follows no sketches yet" in updates[panel.sketch.facts]
    assert 'data-can="0"' in updates[panel.sketch.facts]


def test_a_draft_is_begun_of_what_stands_in_the_fields_and_not_twice(studio: Studio) -> None:
    panel = panels(studio)
    data = {"act": "draft", "texts": {"subject": "kettle", "notes": 3}}
    updates = take_draft(visit(panel, studio, typed(panel)), data)
    drafted = updates[panel.draft.drafted]
    assert drafted.brief.subject == "kettle"
    assert "Draft of 6 steps" in updates[panel.draft.view]
    values = typed(panel) | {panel.draft.drafted: drafted}
    assert panel.draft.view not in take_draft(visit(panel, studio, values), data)
    assert studio.jobs() == []
    again = take_draft(visit(panel, studio, values), {"act": "another-draft"})
    another = again[panel.draft.drafted]
    assert another.seed != drafted.seed


def test_a_draft_that_cannot_be_drawn_says_why_in_its_place(studio: Studio) -> None:
    panel = panels(studio)
    updates = take_draft(visit(panel, studio, typed(panel, subject="")), {})
    assert "The subject is empty" in updates[panel.draft.view]


def test_generate_draws_the_draft_on_show_in_full_and_only_once(studio: Studio) -> None:
    panel = panels(studio)
    drafted = take_draft(visit(panel, studio, typed(panel)), {})[panel.draft.drafted]
    values = typed(panel) | {panel.draft.drafted: drafted}
    updates = press_generate(visit(panel, studio, values))
    assert updates[panel.draft.view] == ""
    (job,) = studio.jobs()
    assert job.request.seed == drafted.seed
    assert job.request.num_steps == 8
    values[panel.draft.drafted] = updates[panel.draft.drafted]
    press_generate(visit(panel, studio, values))
    assert studio.jobs()[0].request.seed != drafted.seed


def test_variants_are_one_grid_one_card_and_stopped_by_one_button(open_studio: OpenStudio) -> None:
    studio = open_studio(step_seconds=0.05)
    panel = panels(studio)
    values = typed(panel, vary_color=["red", "blue"], vary_scene=["garden", "studio"], seed="5")
    updates = press_generate(visit(panel, studio, values))
    group_id = updates[panel.chosen].group_id
    jobs = studio.groups.jobs(group_id, "local")
    assert len(jobs) == 4
    assert {job.request.seed for job in jobs} == {5}
    grid = updates[panel.result.view]
    assert "repeat(2," in grid
    assert "red · garden" in grid
    assert updates[panel.progress.cards].count("<li") == 1
    assert "0 of 4 drawn" in updates[panel.progress.cards]
    stopped = press(panel, studio, "stop-group", group_id)
    assert not any(job.status.is_active for job in studio.groups.jobs(group_id, "local"))
    assert "Stopped" in stopped[panel.progress.cards]
    press(panel, studio, "retry-group", group_id)
    for job in jobs:
        assert studio.wait(job.id, WAIT_SECONDS).job.status is JobStatus.SUCCEEDED
    done = press(panel, studio, "group", group_id)[panel.result.view]
    assert done.count("<img") == 4
    one = press(panel, studio, "show", jobs[2].id)[panel.result.view]
    assert f'data-act="group" data-id="{group_id}"' in one


def test_what_made_a_picture_goes_back_into_the_form(studio: Studio) -> None:
    panel = panels(studio)
    digest = studio.sketches.keep("local", drawing())
    values = typed(panel, subject="sofa", follows=True, digest=digest)
    press_generate(visit(panel, studio, values))
    (job,) = studio.jobs()
    seed = press(panel, studio, "reuse-seed", job.id)
    assert seed == {panel.form.fields["seed"]: str(job.request.seed)}
    form = press(panel, studio, "edit-brief", job.id)
    assert form[panel.form.fields["subject"]] == "sofa"
    assert form[panel.form.digest] == digest
    assert f'data-opens="{digest}"' in form[panel.sketch.facts]


def test_a_brief_without_a_sketch_leaves_the_canvas_as_it_is(studio: Studio) -> None:
    panel = panels(studio)
    press_generate(visit(panel, studio, typed(panel, subject="sofa")))
    (job,) = studio.jobs()
    event = visit(panel, studio, {panel.form.digest: "f" * 64})
    form = press_button(event, {"act": "edit-brief", "id": job.id})
    assert form[panel.form.follows] is False
    assert panel.form.digest not in form, "what is drawn can be followed by a switch"
    assert f'data-digest="{"f" * 64}"' in form[panel.sketch.facts]


def test_nobody_fills_a_form_with_a_job_that_is_not_there(studio: Studio) -> None:
    panel = panels(studio)
    with pytest.raises(gr.Error, match="There is no such job"):
        press(panel, studio, "edit-brief", "0" * 16)
