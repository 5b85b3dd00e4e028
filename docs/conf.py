"""How Sphinx makes the site of ``make docs``. Sources stay where GitHub shows them; nothing is fetched."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for the extension `site_reference`

project = "i2i"
release = metadata.version("i2i-core")
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "site_reference"]

# The source folder is the root of the repository, so that links between README, docs and packages are as on GitHub.
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "docs/**.md",
    "docs/notebooks/*.ipynb",
    "packages/*/README.md",
    "packages/*/CHANGELOG.md",
    "examples/*/README.md",
]
exclude_patterns = [".*", "build", "dist", "runs", "benchmarks", "tests", "packages/*/src"]
templates_path = ["_templates"]
nitpicky = True
smartquotes = False  # they would make a dash of --data

myst_heading_anchors = 4
nb_execution_mode = "off"

default_role = "py:obj"  # `name` in a docstring is a link
autodoc_default_options = {"members": True, "member-order": "bysource", "special-members": "__call__"}
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
maximum_signature_line_length = 88
python_use_unqualified_type_names = True
napoleon_custom_sections = ["Differs"]
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_attr_annotations = False

html_theme = "furo"
html_title = f"i2i {release}"
html_additional_pages = {"index": "site_start.html"}
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
