"""How the documentation is built: `sphinx-build -W docs docs/_build`. Nothing is downloaded."""

import re
from typing import Any

from easyvae import __version__

project = "easyvae"
author = "The easyvae developers"
copyright = "The easyvae developers"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "benchmarks"]  # tables that a page includes
default_role = "code"  # docstrings have names in single backticks
smartquotes_action = "D"  # dashes only: "silu" is to be typed as it stands
highlight_language = "python"

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Reference", "notes_style")]
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"easyvae {version}"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False

SECTION = re.compile(r"^[A-Z][a-z]+:$")
CODE = re.compile(r"`[^`]*`")


def plain_docstring(
    app: object, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Makes reStructuredText of a docstring that was written to be read as it is.

    Formulas, which stand on indented lines of their own, become literal blocks; elsewhere stars
    and bars, as in (N, C, *spatial) and |a|, stand for themselves.
    """
    if what == "property" and lines:
        lines[0] = lines[0].replace(": ", " \N{EM DASH} ")  # napoleon takes it for "type: text"
    result: list[str] = []
    in_prose, in_code = True, False  # before the first section; in a formula or an example
    for line in lines:
        indented = line.startswith("    ")
        if SECTION.match(line):
            in_prose, in_code = False, line == "Example:"
        elif in_prose and indented and not in_code and not (result and result[-1].strip()):
            result += ["::", ""]
            in_code = True
        elif in_prose and in_code and line.strip() and not indented:
            in_code = False
        result.append(line if in_code else _escape(line))
    lines[:] = result


def _escape(line: str) -> str:
    """Escapes stars and bars outside backticks, and an initial that would number a list."""
    line = re.sub(r"^( *)([A-Z]\. )", r"\1\\\2", line)
    pieces, end = [], 0
    for code in CODE.finditer(line):
        pieces += [re.sub(r"([*|])", r"\\\1", line[end : code.start()]), code.group()]
        end = code.end()
    return "".join([*pieces, re.sub(r"([*|])", r"\\\1", line[end:])])


def setup(app: Any) -> None:
    """Puts `plain_docstring` before napoleon, which reads the sections."""
    app.connect("autodoc-process-docstring", plain_docstring, priority=100)
