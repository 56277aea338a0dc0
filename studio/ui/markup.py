"""Small helpers for writing HTML by hand: escaping, addresses of pictures, and plain words.

Everything a person typed passes through `escape`; nothing here knows Gradio or the studio.
"""

from __future__ import annotations

import html
import math
from urllib.parse import quote

CLICK_TO_EVENT = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (!button || button.disabled) return;
  const { act, id, index } = button.dataset;
  trigger("click", { act: act, id: id || "", index: Number(index || 0) });
});
"""
"""Run by a panel on load: its HTML's buttons become click events with `act`, `id` and `index`."""


def escape(text: object) -> str:
    """`text` fit for element content and for a quoted attribute."""
    return html.escape(str(text), quote=True)


def picture_address(image_id: str, *, is_download: bool = False) -> str:
    """Where the server hands out a finished picture."""
    return f"/pictures/{quote(image_id, safe='')}.png" + ("?download=1" if is_download else "")


def preview_address(job_id: str, index: int, step: int) -> str:
    """Where the preview of `step` is; the step is in the address so that a new one is fetched."""
    return f"/previews/{quote(job_id, safe='')}/{index}.png?step={step}"


def about(seconds: float | None) -> str:
    """A time to wait in words, coarse enough not to flicker: "about 40 s"; empty for `None`."""
    if seconds is None:
        return ""
    if seconds < 1:
        return "about 1 s"
    if seconds < 10:
        return f"about {math.ceil(seconds)} s"
    if seconds < 90:
        return f"about {math.ceil(seconds / 5) * 5} s"
    if seconds < 5400:
        return f"about {math.ceil(seconds / 60)} min"
    return f"about {seconds / 3600:.1f} h"


def joined(*parts: str) -> str:
    """The parts that are not empty, with a middle dot between."""
    return " · ".join(part for part in parts if part)


def button(
    label: str, act: str, *, id: str = "", kind: str = "quiet", name: str | None = None
) -> str:
    """A button that sends `act` for `id`; `name` is read out in place of the label."""
    aria = f' aria-label="{escape(name)}"' if name else ""
    return (
        f'<button type="button" class="v-button v-{kind}" data-act="{escape(act)}" '
        f'data-id="{escape(id)}"{aria}>{escape(label)}</button>'
    )


def progress_bar(step: int, num_steps: int, label: str) -> str:
    """A bar filled to `step` of `num_steps`."""
    percent = round(100 * step / num_steps) if num_steps else 0
    return (
        f'<div class="v-bar" role="progressbar" aria-label="{escape(label)}" aria-valuemin="0" '
        f'aria-valuemax="{num_steps}" aria-valuenow="{step}">'
        f'<span style="width:{percent}%"></span></div>'
    )
