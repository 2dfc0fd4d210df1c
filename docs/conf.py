"""How Sphinx makes the site: `sphinx-build -c docs . build/site`, then open build/site/docs/index.html.

The source folder is the root of the repository, so that the same relative links hold here and on its web
page. The extensions in docs/site are ours.
"""

from __future__ import annotations

import logging
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "site")]

logging.getLogger("pandapower").setLevel(logging.ERROR)  # it tells of packages that it does not find

project = "grid_cosim"
author = "The grid_cosim founders"
project_copyright = author
release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "benchmarks/*.md", "feeders/*/README.md"]
exclude_patterns = [".*", "build", "dist", "runs", "**/__pycache__"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "docstrings",
    "mathml",
    "offline",
    "sources",
]

nitpicky = True
# names in signatures: other packages' inventories would have to be fetched, and of ours not all is public
nitpick_ignore_regex = [("py:class", r".*"), ("py:.*", r"(?!grid_cosim\.).*")]

myst_enable_extensions = ["dollarmath"]
myst_dmath_allow_space = False
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
toc_object_entries_show_parents = "hide"
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"grid_cosim {release}"
html_static_path = ["site/static"]
html_css_files = ["wide.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False
html_last_updated_fmt = None
html_theme_options = {"navigation_with_keys": True}
copybutton_exclude = ".linenos, .gp, .go"
