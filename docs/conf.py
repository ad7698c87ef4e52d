"""Configuration of the documentation site: `make docs` builds it into docs/_build."""

import os

os.environ["NUMBA_DISABLE_JIT"] = "1"  # a compiled function has no signature to read

import qhal

project = "qhal"
author = "the qhal authors"
version = release = qhal.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"qhal {release}"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = False
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
