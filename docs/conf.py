"""The site: README, ARCHITECTURE, the results and the pages of ``docs``, where they lie; none is copied.

The sources are the whole repository, so that a link between two pages means the same here and on GitHub.
"""

import sys
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from options import complete, documented, no_signature, options_table  # noqa: E402

project = "ganaug"
author = "the authors of ganaug"
version = release = installed("ganaug")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]

root_doc = "docs/index"
include_patterns = [
    "README.md", "README.zh.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "experiments/README.md",
    "docs/**.md",
]  # fmt: skip
exclude_patterns = [".*", "**/.*", "build", "dist", "lightning_logs", "data", "out", "demo", "site"]
suppress_warnings = ["myst.header"]  # pages that are read on GitHub too begin where they like

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the tables of options say them in words
autodoc_default_options = {"members": True, "undoc-members": True}
napoleon_numpy_docstring = False
python_maximum_signature_line_length = 90

html_theme = "furo"
html_title = "ganaug"
html_extra_path = ["_extra"]
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False


def setup(app: Any) -> None:
    """Tables of options, and what makes an undocumented public name an error."""
    app.connect("autodoc-process-docstring", documented, priority=300)
    app.connect("autodoc-process-docstring", options_table, priority=400)
    app.connect("autodoc-process-signature", no_signature)
    app.connect("env-check-consistency", complete)
