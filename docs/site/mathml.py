"""Formulas as MathML, which browsers draw by themselves: no script, no font, nothing to fetch."""

from __future__ import annotations

import re

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

_NOT_UNDERSTOOD = re.compile(r"<m\w+[^>]*>\s*(?:&(?!#|amp;|lt;|gt;)|\\)|linebreak=")
"""What is left of a command or an environment that the converter does not know."""


def mathml(tex: str, *, display: str) -> str:
    """A formula, as `inline` or `block`. Raises ValueError where a part of it was not understood."""
    # the same environment, by the name that the converter knows
    converted = convert(tex.replace("{aligned}", "{align*}"), display=display)
    if _NOT_UNDERSTOOD.search(converted):
        raise ValueError(f"a part of the formula is not understood: {' '.join(tex.split())}")
    return converted


def _converted(node: nodes.Element, *, display: str) -> str:
    try:
        return mathml(node.astext(), display=display)
    except Exception as error:
        logging.getLogger(__name__).warning("%s", error, location=node, type="mathml")
        return f"<code>{nodes.unescape(node.astext())}</code>"


def _inline(writer: HTML5Translator, node: nodes.math) -> None:
    writer.body.append(_converted(node, display="inline"))
    raise nodes.SkipNode


def _block(writer: HTML5Translator, node: nodes.math_block) -> None:
    number = f'<span class="eqno">({get_node_equation_number(writer, node)})</span>' if node["number"] else ""
    writer.body.append(f'<div class="math">{number}{_converted(node, display="block")}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
