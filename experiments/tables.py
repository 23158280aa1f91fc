"""Rows of figures as Markdown."""

from __future__ import annotations

from typing import Any


def cell(value: Any) -> str:
    """Three digits, and no powers of ten."""
    return (f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}") if isinstance(value, float) else str(value)


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown, a column for each name that any row has."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[cell(row.get(name, "")) for name in names] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in [names, ["---"] * len(names), *cells])
