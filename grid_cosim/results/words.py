"""What results are, in a few lines: which study, which days, which homes, how it ended."""

from __future__ import annotations

from html import escape

import pandas as pd

from grid_cosim.results.store import Run, StoredResults


def facts(results: StoredResults) -> dict[str, str]:
    """Heading → words, in the order of reading."""
    topology = results.topology
    feeder = topology.title or topology.source
    counts = f"{count(topology.homes, 'home')}, {count(topology.limits, 'limit')}"
    version = results.provenance.get("versions", {}).get("grid-cosim", "")
    told = {
        "period": period_in_words(results),
        "feeder": f"{feeder} ({topology.source}), {counts}"
        if topology.source != feeder
        else f"{feeder}, {counts}",
        "controllers": ", ".join(results.runs),
        "status": _status(results),
        "made": ", ".join(
            words
            for words in (
                str(results.provenance.get("created", "")),
                f"seed {results.provenance['seed']}" if "seed" in results.provenance else "",
                f"grid_cosim {version}" if version else "",
            )
            if words
        ),
    }
    if results.warnings:
        more = f" (and {len(results.warnings) - 1} more)" if results.warnings[1:] else ""
        told["warning"] = results.warnings[0] + more
    return {heading: words for heading, words in told.items() if words}


def as_text(results: StoredResults) -> str:
    """For a console."""
    lines = [f"  {heading:<12} {words}" for heading, words in facts(results).items()]
    return "\n".join([f"Results: {results.basis.title}", *lines])


def as_html(results: StoredResults) -> str:
    """For a notebook."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(heading)}</th>"
        f"<td style='text-align:left'>{escape(words)}</td></tr>"
        for heading, words in facts(results).items()
    )
    return f"<div><strong>{escape(results.basis.title)}</strong><table>{rows}</table></div>"


def times_of(results: StoredResults) -> pd.DatetimeIndex:
    """The steps of the run that reached furthest."""
    every = [run.table("totals", ["time"])["time"] for run in results.runs.values()]
    return pd.DatetimeIndex(max(every, key=len) if every else [], name="time")


def period_in_words(results: StoredResults) -> str:
    """From the first step to the end of the last; empty without any."""
    times = times_of(results)
    if not len(times):
        return "no step was reached"
    dt = pd.Timedelta(hours=results.basis.dt_h)
    step = (
        f"{round(60 * results.basis.dt_h):g} min" if results.basis.dt_h < 1.0 else f"{results.basis.dt_h:g} h"
    )
    form = "%a %d %b %Y %H:%M"
    return f"{times[0]:{form}} to {times[-1] + dt:{form}}, {len(times):,} steps of {step}"


def _status(results: StoredResults) -> str:
    if results.complete:
        return "complete"
    return "; ".join(
        f"{name} {_ended(run)}" for name, run in results.runs.items() if run.status != "complete"
    )


def _ended(run: Run) -> str:
    return f"{run.status} ({run.message})" if run.message else str(run.status)


def count(rows: pd.DataFrame, what: str) -> str:
    """So many of something."""
    return f"{len(rows):,} {what}{'s' if len(rows) != 1 else ''}"
