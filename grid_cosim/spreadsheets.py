"""Text files as spreadsheets save them."""

from __future__ import annotations

import codecs
from pathlib import Path

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def text_of(path: Path) -> str:
    """The text of a CSV file: UTF-8, UTF-16 with a mark, or else Windows' Western European code page.

    Excel's plain "CSV" is in the last one. Raises `ValueError` for what is no text, and `OSError`.
    """
    data = path.read_bytes()
    if data.startswith(b"PK\x03\x04"):
        raise ValueError("an Excel workbook and no text; save it as CSV UTF-8")
    try:
        text = data.decode("utf-16" if data.startswith(_UTF16) else "utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = data.decode("cp1252")
        except UnicodeDecodeError as error:
            raise ValueError(f"not UTF-8 text ({error}); save it as CSV UTF-8") from error
    if "\0" in text:
        raise ValueError("not UTF-8 text (it holds zero bytes); save it as CSV UTF-8")
    return text
