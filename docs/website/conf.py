"""How Sphinx builds the site."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from assigner_pages import on_the_page  # noqa: E402

import assigncore  # noqa: E402

project = "assigncore"
author = "the assigncore authors"
copyright = "the assigncore authors, Apache-2.0"
release = version = assigncore.__version__

extensions = ["sphinx.ext.autodoc", "numpydoc", "myst_nb"]
nitpicky = False

# Class members are listed by autodoc, with what they do; numpydoc would list them once more in tables.
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"

myst_heading_anchors = 4
# Notebooks are shown as they are committed: `make notebooks` executes them, and a test compares.
nb_execution_mode = "off"
nb_merge_streams = True

html_theme = "furo"
html_title = f"assigncore {release}"
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1f6f5c", "color-brand-content": "#1f6f5c"},
    "dark_css_variables": {"color-brand-primary": "#66c7ad", "color-brand-content": "#66c7ad"},
}
pygments_style = "friendly"
pygments_dark_style = "one-dark"


def shorten(app, what, name, obj, options, lines):  # noqa: ARG001
    """Leave out what the page of an assigner shows under its own headings."""
    lines[:] = on_the_page(name, lines)


def setup(app):
    """Let docstrings be shortened before numpydoc reads them."""
    app.connect("autodoc-process-docstring", shorten, priority=100)
