"""Results → one self-contained HTML file that needs no network: answers, map, figures, and what was assumed.

`write_report` takes the results of one folder, or of several by name, which the page then compares.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from bokeh.embed import components
from bokeh.resources import Resources
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from grid_cosim.errors import GridCosimError
from grid_cosim.plots.style import on_colour
from grid_cosim.report import words
from grid_cosim.report.answers import card, headline
from grid_cosim.report.cases import side_by_side
from grid_cosim.report.drawing import CURVES, draw
from grid_cosim.results import StoredResults

__all__ = ["build_report", "write_report"]


def write_report(results: StoredResults | Mapping[str, StoredResults], path: Path | str) -> Path:
    """Write the report under a temporary name that replaces `path` in one go.

    Raises `GridCosimError` where it cannot be written.
    """
    final = Path(path)
    page = build_report(results)
    partial = final.with_name(final.name + ".partial")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(page, encoding="utf-8")
        partial.replace(final)
    except OSError as error:
        raise GridCosimError(
            f"{final}: cannot be written ({error.strerror}). Choose another file."
        ) from error
    return final


def build_report(results: StoredResults | Mapping[str, StoredResults]) -> str:
    """The whole page as text; of several results, by the names that they are called by on it."""
    cases = side_by_side(results)
    drawing = draw(cases)
    script, divs = components(drawing.figures, wrap_script=False) if drawing.figures else ("", {})
    told = words.of(cases)
    page = _environment().get_template("report.html.jinja")
    return page.render(
        cases=cases,
        drawing=drawing,
        told=told,
        card=card,
        headline=headline,
        on_colour=on_colour,
        divs=dict.fromkeys(CURVES) | {name: Markup(div) for name, div in divs.items()},
        bokeh=Markup(_bokeh()),
        figures_script=Markup(_inside_script(script)),
        payload=Markup(json.dumps(drawing.payload).replace("<", "\\u003c")),
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("grid_cosim.report", "."),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["significant"] = words.significant
    return environment


def _bokeh() -> str:
    """Bokeh's own script, core component only."""
    return "\n".join(Resources(mode="inline", components=["bokeh"], minified=True).js_raw)


def _inside_script(text: str) -> str:
    """Text that cannot end the script element around it."""
    return text.replace("</", "<\\/").replace("<!--", "<\\!--")
