"""The page's Gradio theme: our own colours and system fonts. The rest is `page.css`."""

from __future__ import annotations

import gradio as gr

_SANS = ("system-ui", "Segoe UI", "Roboto", "Noto Sans", "Noto Sans CJK SC", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "monospace")


def build_theme() -> gr.themes.Base:
    """A theme whose colours are the variables of `page.css`, so that light and dark live there."""
    theme = gr.themes.Base(
        font=[gr.themes.Font(name) for name in _SANS],
        font_mono=[gr.themes.Font(name) for name in _MONO],
        spacing_size=gr.themes.sizes.spacing_md,
        radius_size=gr.themes.sizes.radius_md,
        text_size=gr.themes.sizes.text_md,
    )
    both = {
        "body_background_fill": "var(--v-ground)",
        "body_text_color": "var(--v-text)",
        "body_text_color_subdued": "var(--v-muted)",
        "background_fill_primary": "var(--v-surface)",
        "background_fill_secondary": "var(--v-ground)",
        "border_color_primary": "var(--v-line)",
        "border_color_accent": "var(--v-accent)",
        "color_accent_soft": "var(--v-accent-soft)",
        "block_background_fill": "transparent",
        "block_border_width": "0px",
        "block_label_text_color": "var(--v-muted)",
        "block_title_text_color": "var(--v-muted)",
        "block_shadow": "none",
        "input_background_fill": "var(--v-surface)",
        "input_background_fill_focus": "var(--v-surface)",
        "input_border_width": "1px",
        "input_border_color": "var(--v-line-strong)",
        "input_border_color_focus": "var(--v-accent)",
        "input_placeholder_color": "var(--v-muted)",
        "input_shadow": "none",
        "input_shadow_focus": "0 0 0 3px var(--v-accent-soft)",
        "button_primary_background_fill": "var(--v-accent)",
        "button_primary_background_fill_hover": "var(--v-accent-strong)",
        "button_primary_border_color": "var(--v-accent)",
        "button_primary_text_color": "var(--v-on-accent)",
        "error_background_fill": "var(--v-surface)",
        "error_border_color": "var(--v-danger)",
        "error_text_color": "var(--v-danger)",
    }
    known = theme.__dict__
    dark = {f"{name}_dark": value for name, value in both.items() if f"{name}_dark" in known}
    return theme.set(**both, **dark, color_accent="var(--v-accent)")
