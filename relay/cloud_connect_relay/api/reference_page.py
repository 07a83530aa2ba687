"""Renders an OpenAPI document as one self-contained HTML page."""

import re
from html import escape
from typing import Any, Final

__all__ = ["STYLE", "render"]

STYLE: Final = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--line:#dfe4ea;--page:#fff;
--card:#f7f9fb;--accent:#0b63ce;--get:#0b6b3a;--post:#0b63ce;--put:#8a5a00;--patch:#8a5a00;--delete:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa6b5;--line:#2c3644;--page:#12171e;
--card:#19202a;--accent:#6fb1ff;--get:#6fd3a0;--post:#6fb1ff;--put:#f0c060;--patch:#f0c060;
--delete:#ff8a80}}
*{box-sizing:border-box}html{scroll-behavior:smooth;scroll-padding-top:1rem}
body{margin:0;font:16px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--page)}
.skip{position:absolute;left:-999px}.skip:focus{left:1rem;top:1rem;background:var(--page)}
.shell{display:grid;grid-template-columns:17rem minmax(0,1fr);max-width:80rem;margin:auto}
nav{position:sticky;top:0;align-self:start;max-height:100vh;overflow:auto;padding:1.5rem 1rem;
border-right:1px solid var(--line);font-size:.85rem}
nav h2{font-size:.75rem;letter-spacing:.06em;text-transform:uppercase;color:var(--soft);
margin:1.2rem 0 .3rem}nav ul{list-style:none;margin:0;padding:0}
nav a{display:block;padding:.15rem .3rem;color:inherit;text-decoration:none;border-radius:.3rem;
overflow-wrap:anywhere}nav a:hover,nav a:focus-visible{background:var(--card);color:var(--accent)}
main{padding:1.5rem 2rem 6rem;min-width:0}h1{margin:.2rem 0 .5rem;font-size:1.7rem}
main h2{margin:2.5rem 0 .5rem;font-size:1.25rem;border-bottom:1px solid var(--line)}
article{border:1px solid var(--line);border-radius:.6rem;background:var(--card);margin:1rem 0;
padding:1rem 1.2rem}article h3{margin:0;font-size:1rem;font-weight:600}
.sign{display:flex;gap:.6rem;align-items:baseline;flex-wrap:wrap}
.sign code{font-size:.95rem;overflow-wrap:anywhere;background:none;padding:0}
.verb{font:700 .75rem ui-monospace,monospace;min-width:3.6rem;color:var(--post)}
.get,.head{color:var(--get)}.put,.patch{color:var(--put)}.delete{color:var(--delete)}
.meta,.soft{color:var(--soft);font-size:.85rem}code{font-family:ui-monospace,monospace;
background:color-mix(in srgb,var(--soft) 14%,transparent);padding:.05em .3em;border-radius:.25em;
font-size:.9em}table{border-collapse:collapse;width:100%;font-size:.88rem;margin:.4rem 0}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;
border-bottom:1px solid var(--line)}th{font-weight:600;color:var(--soft)}
h4{margin:.9rem 0 .1rem;font-size:.85rem}p{margin:.4rem 0}a{color:var(--accent)}
@media(max-width:52rem){.shell{display:block}nav{position:static;max-height:none;border-right:0;
border-bottom:1px solid var(--line)}main{padding:1rem}article{padding:.8rem}
code,td{overflow-wrap:anywhere}}
"""

_CODE: Final = re.compile(r"`([^`]+)`")
_MAX_FIELDS_DEPTH: Final = 2  # how deep nested bodies are spelt out


def render(document: dict[str, Any]) -> str:
    """Return the page of an OpenAPI document."""
    info = document["info"]
    groups: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, operations in document["paths"].items():
        for verb, operation in operations.items():
            tag = (operation.get("tags") or ["Other"])[0]
            groups.setdefault(tag, []).append((verb, path, operation))
    schemas = document.get("components", {}).get("schemas", {})
    sections = "".join(
        f'<section aria-label="{escape(tag)}"><h2>{escape(tag)}</h2>'
        + "".join(_operation(*entry, schemas) for entry in entries)
        + "</section>"
        for tag, entries in groups.items()
    )
    title = f"{escape(info['title'])} {escape(info['version'])}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}: API</title><style>{STYLE}</style></head><body>"
        '<a class="skip" href="#content">Skip to the content</a><div class="shell">'
        f'<nav aria-label="Endpoints">{_navigation(groups)}</nav><main id="content">'
        f"<h1>{title}</h1>{_prose(info.get('description', ''))}"
        '<p class="soft">The same for programs: <a href="openapi.json">openapi.json</a></p>'
        f"{sections}</main></div></body></html>"
    )


def _navigation(groups: dict[str, list[tuple[str, str, dict[str, Any]]]]) -> str:
    return "".join(
        f"<h2>{escape(tag)}</h2><ul>"
        + "".join(
            f'<li><a href="#{_anchor(verb, path)}"><span class="verb {verb}">{verb.upper()}</span>'
            f" {escape(operation.get('summary', path))}</a></li>"
            for verb, path, operation in entries
        )
        + "</ul>"
        for tag, entries in groups.items()
    )


def _operation(verb: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    open_to_all = "" if operation.get("security") else " · no token needed"
    parts = [
        (
            f'<article id="{_anchor(verb, path)}"><div class="sign">'
            f'<span class="verb {verb}">{verb.upper()}</span><code>{escape(path)}</code></div>'
            f"<h3>{escape(operation.get('summary', ''))}</h3>"
            f"{_prose(operation.get('description', ''))}"
        )
    ]
    if parameters := operation.get("parameters"):
        parts.append("<h4>Parameters</h4>" + _rows(_parameter(item) for item in parameters))
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        fields = _fields(content.get("schema", {}), schemas)
        parts.append(f'<h4>Body <span class="soft">{escape(media)}</span></h4>{fields}')
    answers = ", ".join(
        f"<code>{escape(status)}</code>" for status in operation["responses"] if status.isdigit()
    )
    parts.append(f'<p class="meta">Answers {answers} or a problem{open_to_all}</p></article>')
    return "".join(parts)


def _parameter(item: dict[str, Any]) -> tuple[str, str, str]:
    needed = "" if item.get("required") else ", optional"
    kind = f"{_kind(item.get('schema', {}))} in {item['in']}{needed}"
    return item["name"], kind, item.get("description", "")


def _fields(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    rows = list(_properties(schema, schemas, prefix="", depth=0))
    if rows:
        return _rows(rows)
    return f'<p class="meta">{escape(_kind(schema))}</p>'


def _properties(
    schema: dict[str, Any], schemas: dict[str, Any], *, prefix: str, depth: int
) -> list[tuple[str, str, str]]:
    found = _resolve(schema, schemas)
    needed = set(found.get("required", ()))
    rows = []
    for name, member in found.get("properties", {}).items():
        inner = _resolve(member, schemas)
        kind = _kind(inner) + ("" if name in needed else ", optional")
        rows.append(
            (prefix + name, kind, member.get("description") or inner.get("description", ""))
        )
        if depth < _MAX_FIELDS_DEPTH:
            rows += _properties(inner, schemas, prefix=f"{prefix}{name}.", depth=depth + 1)
    return rows


def _resolve(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference, and of alternatives with ``null`` take the other one."""
    if "$ref" in schema:
        named: dict[str, Any] = schemas.get(schema["$ref"].rpartition("/")[2], {})
        return named
    others = [item for item in schema.get("anyOf", ()) if item.get("type") != "null"]
    return _resolve(others[0], schemas) if len(others) == 1 else schema


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_kind(item) for item in schema["anyOf"]))
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " | ".join(kind)
    return f"list of {_kind(schema.get('items', {}))}" if kind == "array" else str(kind)


def _rows(rows: Any) -> str:
    body = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(kind)}</td>"
        f"<td>{_inline(text)}</td></tr>"
        for name, kind, text in rows
    )
    head = '<tr><th scope="col">Name</th><th scope="col">Type</th><th scope="col">Meaning</th></tr>'
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


def _anchor(verb: str, path: str) -> str:
    return f"{verb}-" + re.sub(r"[^A-Za-z0-9]+", "-", path).strip("-").lower()


def _prose(text: str) -> str:
    return "".join(f"<p>{_inline(part)}</p>" for part in text.split("\n\n") if part.strip())


def _inline(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text))
