"""Scenarios, recipes, studies and arguments that are wrong: one message, with place and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import malformed as wrong
from tests.malformed import Case, cases
from tests.study import STUDY

RUN = "run study.toml --out out --controllers uncontrolled"


SCENARIOS = {
    "syntax": Case(
        wrong.scenario("[tariff\n"), RUN, "study.toml … not valid TOML … line 11 … Correct it there"
    ),
    "quotes": Case(
        wrong.scenario("[weather]\nsource = mine.csv\n"), RUN, "study.toml … line 12 … goes in quotes"
    ),
    "key twice": Case(
        wrong.text("study.toml", "seed = 1\nseed = 2\n"), RUN, "study.toml … line 2 … given once"
    ),
    "UTF-16": Case(
        wrong.text("study.toml", STUDY, "utf-16"), RUN, "study.toml … not UTF-8 … save it as UTF-8"
    ),
    "bytes": Case(
        wrong.raw("study.toml", bytes(range(256))), RUN, "study.toml … not UTF-8 … save it as UTF-8"
    ),
    "no day": Case(
        wrong.text("study.toml", "[time]\nstart = 2016-02-30T12:00:00\n"),
        RUN,
        "study.toml … line 2 … written 2016-01-04T12:00:00",
    ),
    "date in words": Case(
        wrong.nothing,
        f"{RUN} --set time.start=winter",
        "study.toml … time.start … 'winter' … 2016-01-04T12:00:00",
    ),
    "with a zone": Case(
        wrong.nothing,
        f"{RUN} --set time.start=2016-01-04T12:00:00Z",
        "study.toml … time.start … without a zone",
    ),
    "hours in words": Case(
        wrong.nothing, f"{RUN} --set time.hours=two", "study.toml … time.hours: got 'two' … a valid number"
    ),
    "negative hours": Case(
        wrong.nothing, f"{RUN} --set time.hours=-3", "study.toml … time.hours: got -3 … greater than 0"
    ),
    "endless": Case(
        wrong.nothing, f"{RUN} --set time.hours=inf", "study.toml … time.hours: got inf … a finite number"
    ),
    "odd steps": Case(
        wrong.nothing, f"{RUN} --set time.step_minutes=7", "study.toml … step_minutes 7 … such as 15"
    ),
    "section": Case(wrong.scenario("[tarif]\n"), RUN, "study.toml … tarif: no such setting … 'tariff'"),
    "in a list": Case(
        wrong.scenario('[[events]]\nkind = "signal"\nelement = "Trafo-0"\nshre = 0.5\n'),
        RUN,
        "study.toml … events.0.shre: no such setting … 'share'",
    ),
    "list as section": Case(
        wrong.scenario("[events]\n"), RUN, "study.toml … events: got {} … headed [[events]]"
    ),
    "no such element": Case(
        wrong.scenario('[[events]]\nkind = "signal"\nelement = "Trafo-9"\nshare = 0.5\n'),
        RUN,
        "study.toml … events.0.element … 'Trafo-9' … Trafo-0",
    ),
    "too late": Case(
        wrong.scenario('[[events]]\nkind = "signal"\nelement = "Trafo-0"\nshare = 0.5\nbegin = 9.0\n'),
        RUN,
        "study.toml … events.0.begin … lengthen time.hours",
    ),
    "device": Case(
        wrong.nothing, f"{RUN} --set devices.heatpump.share=1", "study.toml … devices.heatpump … 'heat_pump'"
    ),
    "own device": Case(
        wrong.nothing, f"{RUN} --set devices.mine:Pump.share=1", "study.toml … mine:Pump … PYTHONPATH"
    ),
    "population": Case(
        wrong.nothing,
        f"{RUN} --set devices.electric_vehicle.population.dayly_kwh=3",
        "study.toml … dayly_kwh … 'daily_kwh'",
    ),
    "controllers": Case(
        wrong.nothing, "run study.toml --controllers ,", "study.toml … controllers … at least 1 item"
    ),
    "results as scenario": Case(
        wrong.text("kpis.json", "{}"), "run kpis.json", "kpis.json … not valid TOML … ends in .toml"
    ),
}

OVERRIDES = {
    "no value": Case(wrong.nothing, f"{RUN} --set seed", "study.toml … --set seed … path.to.field=value"),
    "no name": Case(wrong.nothing, f"{RUN} --set =3", "study.toml … --set =3 … path.to.field=value"),
    "into a value": Case(
        wrong.nothing, f"{RUN} --set time.hours.x=3", "study.toml … 'hours' is a value, not a section"
    ),
    "beyond a list": Case(
        wrong.scenario('[[events]]\nkind = "signal"\nelement = "Trafo-0"\nshare = 0.5\n'),
        f"{RUN} --set events.1.share=0.4",
        "study.toml … 'events' has no entry '1' … only entry 0",
    ),
    "no list": Case(
        wrong.nothing, f"{RUN} --set events.0.share=0.4", "study.toml … 'events' has no entries … write one"
    ),
}

RECIPES = {
    "a scenario": Case(
        wrong.nothing, "train study.toml", "study.toml … device: missing … time: no such setting"
    ),
    "empty": Case(
        wrong.text("mine.toml", ""), "train mine.toml", "mine.toml … device: missing … electric_vehicle"
    ),
    "device": Case(
        wrong.text("mine.toml", 'device = "heatpump"'),
        "train mine.toml",
        "mine.toml … heatpump … 'heat_pump'",
    ),
    "numbers": Case(
        wrong.text("mine.toml", 'device = "pv"\nupdates = "many"\n'),
        "train mine.toml",
        "mine.toml … updates: got 'many' … whole number",
    ),
    "a folder": Case(wrong.a_folder("mine.toml"), "train mine.toml", "mine.toml … this is a folder … TOML"),
    "homes of nowhere": Case(
        wrong.text("mine.toml", 'device = "deferrable"\n'),
        "train mine.toml --homes stdy.toml",
        "stdy.toml … no such file … 'study.toml'",
    ),
}

STUDIES = {
    "name": Case(wrong.nothing, "benchmark rouns", "rouns … no such study … 'rounds'"),
    "file": Case(wrong.nothing, "benchmark nowhere.toml", "nowhere.toml … no such file … rounds"),
    "other name": Case(wrong.text("mine.toml", ""), "benchmark mine.toml", "mine … no such study … Known"),
    "syntax": Case(
        wrong.text("rounds.toml", "[full"),
        "benchmark rounds.toml",
        "rounds.toml … not valid TOML … is shipped",
    ),
    "no section": Case(
        wrong.text("rounds.toml", ""), "benchmark rounds.toml", "rounds.toml … no section [full] … Add one"
    ),
    "no settings": Case(
        wrong.text("rounds.toml", "[full]\n"),
        "benchmark rounds.toml",
        "rounds.toml … it has no setting 'scenarios' … shipped file",
    ),
}

OUTPUTS = {
    "a file": Case(wrong.text("file", "mine"), f"{RUN} --out file", "file … not a results folder … --out"),
    "below a file": Case(
        wrong.text("file", "mine"), f"{RUN} --out file/out", "file … cannot be written … --out"
    ),
    "somebody's": Case(
        wrong.text("notes/thesis.txt", "mine"), f"{RUN} --out notes", "notes … not a results folder … --out"
    ),
    "no folder for claims": Case(
        wrong.text("file", "mine"), "benchmark rounds --quick --out file", "rounds … file is a file … --out"
    ),
    "a folder for a policy": Case(
        wrong.policy_over_a_folder,
        "train mine.toml --out nets.safetensors",
        "nets.safetensors … this is a folder … Name a file with --out",
    ),
    "here": Case(wrong.nothing, f"{RUN} --out .", ". … current folder … --out"),
}

ARGUMENTS = {
    "option": Case(wrong.nothing, f"{RUN} --quite", "--quite … --quiet … grid-cosim run --help"),
    "command": Case(wrong.nothing, "rnu study.toml", "rnu … run … --help"),
    "nothing to run": Case(wrong.nothing, "run", "Missing argument … grid-cosim run --help"),
    "one too many": Case(wrong.nothing, "feeders a", "unexpected extra argument … grid-cosim feeders --help"),
}


@pytest.mark.parametrize(
    "case",
    cases(
        scenario=SCENARIOS,
        override=OVERRIDES,
        recipe=RECIPES,
        study=STUDIES,
        out=OUTPUTS,
        arguments=ARGUMENTS,
    ),
)
def test_what_is_wrong_is_said_once_with_its_place_and_the_remedy(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wrong.is_refused(case, tmp_path)
