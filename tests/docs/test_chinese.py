"""The Chinese pages have the commands and the Python of the English ones."""

import pytest

from tests.docs.pages import ROOT, blocks

DOCS = ROOT / "docs"
PAIRS = {
    DOCS / "zh" / "start.md": DOCS / "start.md",
    **{DOCS / "zh" / f"{name}.md": DOCS / "tutorials" / f"{name}.md" for name in ("pictures", "text", "series")},
    ROOT / "README.zh.md": ROOT / "README.md",
}


@pytest.mark.parametrize("page", PAIRS, ids=lambda page: page.name)
def test_same_blocks(page) -> None:
    for language in ("bash", "python"):
        ours, theirs = ([code(b) for b in blocks(p, language)] for p in (page, PAIRS[page]))
        assert ours == theirs
    assert "{literalinclude}" not in page.read_text(encoding="utf-8") or len(blocks(page, "{literalinclude}")) == len(
        blocks(PAIRS[page], "{literalinclude}")
    )


def code(block: str) -> list[str]:
    """Its lines without comments, which are translated."""
    return [line.split("   #")[0].rstrip() for line in block.splitlines()]
