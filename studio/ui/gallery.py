"""Gallery: the area. Its frame is drawn here, in the person's language; `gallery.js` fills it."""

from __future__ import annotations

import gradio as gr

from studio.application import Studio
from studio.person import Role
from studio.ui.area import Area, Frame, Shortcut
from studio.ui.gallery_view import render_gallery
from studio.ui.speech import Language, Say, say_for
from studio.ui.texts import gallery as words
from studio.ui.texts import shell


def build_gallery(studio: Studio, frame: Frame) -> None:
    # English from the start, so that it is there at once; whoever speaks otherwise gets it anew.
    english = Say(Language.EN)
    view = gr.HTML(render_gallery(english), elem_id="gallery", apply_default_css=False)
    seen = gr.State(english.language.value)
    quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

    def show(language: str, request: gr.Request) -> tuple[object, object]:
        say = say_for(request)
        if say.language == language:  # drawn already; what is typed and selected stays
            return gr.skip(), gr.skip()
        return render_gallery(say), say.language.value

    for event in (frame.on_show, frame.on_speak):
        event(show, inputs=[seen], outputs=[view, seen], **quiet)


GALLERY = Area(
    id="gallery",
    title=shell.GALLERY,
    build=build_gallery,
    roles=frozenset({Role.MERCHANDISER}),
    looks=("gallery.css", "gallery.js"),
    shortcuts=(
        Shortcut(keys="/", does=words.DOES_SEARCH),
        Shortcut(keys="← → ↑ ↓", does=words.DOES_MOVE),
        Shortcut(keys="Enter", does=words.DOES_OPEN),
        Shortcut(keys="X", does=words.DOES_CHOOSE),
        Shortcut(keys="S", does=words.DOES_STAR),
        Shortcut(keys="C", does=words.DOES_COMPARE),
        Shortcut(keys="Delete", does=words.DOES_DELETE),
        Shortcut(keys="N / P", does=words.DOES_NEXT),
    ),
)
