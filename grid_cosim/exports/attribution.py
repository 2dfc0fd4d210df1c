"""Whose data an export carries, and under which terms: in words and as data packages have it."""

from __future__ import annotations

import re

from grid_cosim.results import StoredResults

ATTRIBUTION_FILE = "ATTRIBUTION.txt"
_KNOWN = {
    "Open Database License": ("ODbL-1.0", "https://opendatacommons.org/licenses/odbl/1-0/"),
    "BSD-3-Clause": ("BSD-3-Clause", "https://opensource.org/license/bsd-3-clause"),
    "GeoNutzV": ("GeoNutzV", "https://www.gesetze-im-internet.de/geonutzv/"),
}
_SHARE_ALIKE = (
    "What is under the Open Database License stays under it: who passes on a database derived from it, such "
    "as this one, keeps this notice and offers it under the same licence."
)


def licences(results: StoredResults) -> list[dict[str, str]]:
    """One entry per data set: `name` and `path` of the licence, `title` the attribution, `about` which."""
    return [_licence(about, text) for about, text in results.licences.items()]


def _licence(about: str, text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for words, (name, path) in _KNOWN.items():
        if words in text:
            found = {"name": name, "path": path}
            break
    else:
        address = re.search(r"https?://[^\s,;)]+", text)
        found = {"name": "other"} | ({"path": address.group().rstrip(".")} if address else {})
    return found | {"title": text, "about": about}


def attribution_lines(results: StoredResults) -> list[str]:
    """The attribution line by line, for comments and attributes."""
    found = licences(results)
    lines = [f"{licence['about']}: {licence['title']}" for licence in found]
    return lines + ([_SHARE_ALIKE] if any(licence["name"] == "ODbL-1.0" for licence in found) else [])


def attribution_text(results: StoredResults) -> str:
    """The file that lies in every export."""
    title = f"{results.basis.title or 'A simulation'}: {results.topology.title}, simulated with grid_cosim"
    return "\n".join([title, "", *attribution_lines(results)]) + "\n"
