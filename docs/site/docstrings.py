"""Docstrings here are written as plain text with code in single backticks; autodoc wants reStructuredText."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Protocol

from sphinx.application import Sphinx

_CODE = re.compile(r"(``.+?``|`[^`]+`)", re.DOTALL)
_SPECIAL = re.compile(r"([\\*|_])")
_INDENTED = re.compile(r" {4}")


def as_rst(lines: Iterable[str]) -> list[str]:
    """Code in backticks becomes literal, everything else means what it says; indented blocks are code."""
    converted: list[str] = []
    for block in re.split(r"\n\s*\n", "\n".join(lines)):
        if _INDENTED.match(block):
            converted += ["::", "", *block.splitlines(), ""]
        else:
            converted += [*_prose(block).splitlines(), ""]
    return converted


def _prose(block: str) -> str:
    pieces = _CODE.split(block)
    for k, piece in enumerate(pieces):
        if k % 2:
            pieces[k] = "``" + " ".join(piece.strip("`").split()) + "``"
        else:
            # code begins and ends beside white space or punctuation; elsewhere an escaped space does for it
            before = "\\ " if k > 0 and piece[:1].isalnum() else ""
            after = "\\ " if k < len(pieces) - 1 and piece[-1:].isalnum() else ""
            pieces[k] = before + _SPECIAL.sub(r"\\\1", piece) + after
    return "".join(pieces)


def _convert(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    if lines:
        lines[:] = as_rst(lines)


def _signature(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str, None] | None:
    """A protocol is not called, so it has no arguments to show."""
    is_protocol = what == "class" and Protocol in thing.__bases__
    return ("", None) if is_protocol else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Convert every docstring before it is parsed."""
    app.connect("autodoc-process-docstring", _convert)
    app.connect("autodoc-process-signature", _signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
