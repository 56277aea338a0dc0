"""The description of the API as a page to read, made here: no script, nothing from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;
color:#1c1c1a;background:#fbfaf8}code,pre{font:14px ui-monospace,monospace}
article{border-top:1px solid #ddd9d2;padding:1rem 0}h3{margin:0;font-size:1rem}
b.m{display:inline-block;min-width:4.5rem}table{border-collapse:collapse;margin:.5rem 0}
td{padding:.1rem 1rem .1rem 0;vertical-align:top}p{margin:.3rem 0}
@media(prefers-color-scheme:dark){body{color:#eee;background:#191918}article{border-color:#444}}
"""


def render_reading(description: dict[str, Any]) -> str:
    """`description` is an OpenAPI document."""
    base = description["servers"][0]["url"]
    body = "".join(
        _operation(base + path, method, operation, description)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    )
    paragraphs = description["info"]["description"].split("\n\n")
    about = "".join(f"<p>{_inline(part)}</p>" for part in paragraphs)
    title = f"{description['info']['title']} {description['info']['version']}"
    schemas = "".join(
        f"<article id='{_text(name)}'><h3>{_text(name)}</h3>"
        f"<p>{_inline(schema.get('description', ''))}</p>{_fields(schema)}</article>"
        for name, schema in sorted(description["components"]["schemas"].items())
    )
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{_text(title)}</title>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<style>{_STYLE}</style><h1>{_text(title)}</h1>{about}"
        f"<p>For programs: <a href='{base}/openapi.json'>openapi.json</a></p>"
        f"<h2>Addresses</h2>{body}<h2>Values</h2>{schemas}</html>"
    )


def _operation(path: str, method: str, operation: dict[str, Any], whole: dict[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{_text(each['name'])}</code><td>{_text(each['in'])}"
        f"<td>{_kind(each.get('schema', {}))}<td>{_inline(each.get('description', ''))}"
        for each in operation.get("parameters", ())
    )
    lines = [f"<p>{_inline(operation['description'])}</p>"] if "description" in operation else []
    if parameters:
        lines.append(f"<table>{parameters}</table>")
    for what, contents in _contents(operation):
        for media_type, content in contents.items():
            kind = _kind(content.get("schema", {}))
            lines.append(f"<p>{what} <code>{_text(media_type)}</code> {kind}</p>")
    return (
        f"<article><h3><b class='m'>{method.upper()}</b><code>{_text(path)}</code></h3>"
        f"<p>{_inline(operation.get('summary', ''))}</p>{''.join(lines)}</article>"
    )


def _contents(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if "requestBody" in operation:
        yield "Takes", operation["requestBody"]["content"]
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            yield f"Gives {status}", response.get("content", {})


def _fields(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return f"<p>{', '.join(f'<code>{_text(each)}</code>' for each in schema['enum'])}</p>"
    rows = "".join(
        f"<tr><td><code>{_text(name)}</code><td>{_kind(field)}"
        f"<td>{_inline(field.get('description', ''))}"
        for name, field in schema.get("properties", {}).items()
    )
    return f"<table>{rows}</table>" if rows else ""


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = _text(schema["$ref"].rpartition("/")[2])
        return f"<a href='#{name}'>{name}</a>"
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"<code>{_text(each)}</code>" for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return _text(schema.get("type", ""))


def _inline(text: str) -> str:
    """Text with `code` in it."""
    parts = _text(text).split("`")
    return "".join(f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(parts))


def _text(text: object) -> str:
    return html.escape(str(text), quote=True)
