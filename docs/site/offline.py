"""The site is read from files, without a network: nothing comes from elsewhere, and no link is dead."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.application import Sphinx
from sphinx.util import logging

_LOADS = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "script": "src",
    "source": "src",
    "video": "src",
}
_LOADING_RELATIONS = {"stylesheet", "preload", "modulepreload", "icon", "manifest", "preconnect"}


class _Page(HTMLParser):
    """What a page loads, where it links to, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what this tag loads, links to and can be linked by."""
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag in _LOADS and given.get(_LOADS[tag]):
            self.loads.append(given[_LOADS[tag]])
        elif tag == "link" and _LOADING_RELATIONS & set(given.get("rel", "").split()):
            self.loads.append(given.get("href", ""))
        elif tag == "a" and given.get("href"):
            self.links.append(given["href"])


def problems(folder: Path) -> list[str]:
    """What is wrong with the pages of a folder: things from elsewhere, files and anchors that are missing."""
    files = sorted(folder.rglob("*.html"))
    pages = {path.resolve(): _Page(path.read_text(encoding="utf-8")) for path in files}
    found = []
    for path, page in pages.items():
        where = path.relative_to(folder.resolve()).as_posix()
        found += [f"{where} loads {url} from elsewhere" for url in page.loads if _elsewhere(url)]
        for url in page.links + page.loads:
            if not _elsewhere(url) and not _leads_somewhere(url, path, pages):
                found.append(f"{where}: {url} leads nowhere")
    for sheet in sorted(folder.rglob("*.css")):
        if any(mark in sheet.read_text(encoding="utf-8") for mark in ("url(http", "url(//", "@import")):
            found.append(f"{sheet.relative_to(folder).as_posix()} loads from elsewhere")
    return found


def _elsewhere(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.netloc) or parts.scheme not in ("", "data")


def _leads_somewhere(url: str, path: Path, pages: dict[Path, _Page]) -> bool:
    parts = urlsplit(url)
    if parts.scheme == "data":
        return True
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_file():
        return False
    anchor = unquote(parts.fragment)
    return not anchor or target not in pages or anchor in pages[target].anchors


def _check(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.name == "html":
        for problem in problems(Path(app.outdir)):
            logging.getLogger(__name__).warning(problem, type="offline")


def setup(app: Sphinx) -> dict[str, bool]:
    """Check the pages once they are written; each problem is a warning of the build."""
    app.connect("build-finished", _check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
