"""The documentation's configuration. ``make docs`` builds it with every warning an error."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

import HAGANCore  # noqa: E402  # found by the line above

project = "HAGANSlicer"
author = "The HAGANSlicer contributors"
copyright = "The HAGANSlicer contributors. Synthetic volumes are not for diagnosis"  # Sphinx wants this name
version = release = HAGANCore.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "hagan_commands"]
exclude_patterns = ["_build"]
suppress_warnings = ["config.cache"]

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 4  # the anchors that GitHub gives headings, so that links work in both places

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "HAGANSlicer"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_logo = "../HAGANSlicer/Resources/Icons/HAGANSlicer.png"
html_copy_source = False
html_show_sphinx = False
