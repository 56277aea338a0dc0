"""Small helpers for writing HTML by hand: escaping, addresses of pictures, buttons.

Everything a person typed passes through `escape`; nothing here knows Gradio or the studio.
"""

from __future__ import annotations

import html
from urllib.parse import quote

SHOWN_SIDE = 512
"""The least longer side of a picture shown large, in CSS pixels."""

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


def joined(*parts: str) -> str:
    """The parts that are not empty, with a middle dot between."""
    return " · ".join(part for part in parts if part)


def button(
    label: str,
    act: str,
    *,
    id: str = "",
    index: int = 0,
    kind: str = "quiet",
    name: str | None = None,
    keys: str = "",
) -> str:
    """A button that sends `act` for `id` and `index`; `name` is read out in place of the label.

    `keys` is the shortcut that presses it (see page.js), as in `aria-keyshortcuts`.
    """
    aria = f' aria-label="{escape(name)}"' if name else ""
    if keys:
        title = keys.replace("Control", "Ctrl").replace("Period", ".")
        aria += f' aria-keyshortcuts="{escape(keys)}" title="{escape(title)}"'
    return (
        f'<button type="button" class="v-button v-{kind}" data-act="{escape(act)}" '
        f'data-id="{escape(id)}" data-index="{index}"{aria}>{escape(label)}</button>'
    )


def progress_bar(step: int, num_steps: int, label: str) -> str:
    """A bar filled to `step` of `num_steps`."""
    percent = round(100 * step / num_steps) if num_steps else 0
    return (
        f'<div class="v-bar" role="progressbar" aria-label="{escape(label)}" aria-valuemin="0" '
        f'aria-valuemax="{num_steps}" aria-valuenow="{step}">'
        f'<span style="width:{percent}%"></span></div>'
    )


def shape(width: int, height: int) -> str:
    """The style of a picture shown large: small ones with `SHOWN_SIDE`, scaled smoothly."""
    scale = max(1.0, SHOWN_SIDE / max(width, height))
    return (
        f"--shown-width:{round(width * scale)}px;--ratio:{width / height:.4f};"
        f"aspect-ratio:{width}/{height}"
    )
