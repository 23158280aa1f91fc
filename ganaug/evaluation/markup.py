"""Pieces of a page that stands alone: elements, tables, pictures as data, and its style."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.figure import Figure

STYLE = """
:root { color-scheme: light dark; --line: #d0d4da; --soft: #f3f5f8; --gain: #00694b; --harm: #a63b00; }
body { font: 16px/1.5 system-ui, "Noto Sans", "Noto Sans CJK SC", sans-serif; max-width: 84rem; margin: 2rem auto;
  padding: 0 1rem; color: #1b1f24; background: #fff; }
h1 { font-size: 1.3rem; line-height: 1.45; font-weight: 600; } h2 { margin: 2.6rem 0 .6rem; font-size: 1.25rem; }
h3 { margin: 1.6rem 0 .4rem; font-size: 1.05rem; } p, li { max-width: 52rem; } .eyebrow, small { color: #59626d; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; margin: .4rem 0 1rem; }
th, td { padding: .28rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { background: var(--soft); } td { font-variant-numeric: tabular-nums; } td.n { text-align: right; }
td span, td.n, td small { white-space: nowrap; } td b + small { display: block; }
.gain { color: var(--gain); font-weight: 600; } .harm { color: var(--harm); font-weight: 600; }
img.plot { max-width: min(100%, 68rem); height: auto; background: #fff; border-radius: 4px; }
.gallery { display: flex; flex-wrap: wrap; gap: .7rem; } .gallery figure { margin: 0; text-align: center; }
.gallery img { display: block; width: 64px; height: auto; margin: 0 auto 3px; image-rendering: pixelated; }
.gallery img.smooth { image-rendering: auto; } .gallery svg { display: block; width: 120px; height: 66px; }
.gallery svg { background: var(--soft); } figcaption { font-size: .75rem; max-width: 120px; overflow-wrap: anywhere; }
polyline { fill: none; stroke-width: 1.4; } .nearest { stroke-dasharray: 3 2; opacity: .65; }
summary { cursor: pointer; padding: .3rem 0; } pre { background: var(--soft); padding: .8rem; overflow-x: auto; }
@media (prefers-color-scheme: dark) {
  :root { --line: #3a414a; --soft: #20252b; --gain: #4cc9a0; --harm: #ff9a5c; }
  body { color: #e3e7ec; background: #14171a; } .eyebrow, small { color: #9aa4af; } }
@media print { body { margin: 0; max-width: none; font-size: 11px; } h2, h3 { break-after: avoid; }
  table { font-size: 8px; } th, td { padding: .2rem .35rem; } td span, td small { white-space: normal; }
  figure, tr, img { break-inside: avoid; } .wide { overflow: visible; }
  details::details-content { content-visibility: visible; height: auto; } }
"""


class Html(str):
    """Text that is markup already; all other text is escaped."""


def tag(tag: str, *content: Any, **attributes: str) -> Html:
    """An element; ``class_`` stands for the attribute ``class``, ``aria_label`` for ``aria-label``."""
    given = "".join(f' {k.rstrip("_").replace("_", "-")}="{html.escape(v)}"' for k, v in attributes.items())
    inner = "".join(escaped(item) for item in content)
    return Html(f"<{tag}{given}>" if tag == "img" else f"<{tag}{given}>{inner}</{tag}>")


def escaped(value: Any) -> str:
    """A value as markup: numbers to four digits or a tenth, – for what there is not."""
    if isinstance(value, Html):
        return value
    if isinstance(value, float):
        value = f"{value:.4g}" if abs(value) < 1000 else f"{value:.1f}"
    return html.escape("–" if value is None else str(value))


def page(title: str, parts: Iterable[Html]) -> Html:
    """A page that stands alone."""
    return Html(
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def table_of(head: Sequence[str], body: Iterable[Sequence[Any]]) -> Html:
    """A table; cells that hold numbers stand to the right."""
    top = tag("thead", tag("tr", *(tag("th", item, scope="col") for item in head))) if head else ""
    lines = [
        tag("tr", *(tag("td", c, class_="n") if isinstance(c, int | float) else tag("td", c) for c in line))
        for line in body
    ]
    return tag("div", tag("table", top, tag("tbody", *lines)), class_="wide")


def folded(title: str, *content: Any) -> Html:
    """Content that opens at a click."""
    return tag("details", tag("summary", title), *content)


def data_uri(data: bytes, kind: str) -> str:
    """A picture as an address that holds it."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def plotted(figure: Figure, alt: str) -> Html:
    """A figure as SVG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return tag("img", class_="plot", alt=alt, src=data_uri(buffer.getvalue(), "svg+xml"))
