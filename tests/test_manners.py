"""How the command line behaves: for people, for machines, in silence, and on odd consoles."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command

from grid_cosim import Results, kpis
from grid_cosim.cli import app, completion
from grid_cosim.cli.run import default_folder
from grid_cosim.cli.screen import plain
from grid_cosim.errors import GridCosimError
from tests.results.builders import street_topology, synthetic_results
from tests.study import grid_cosim, lay_out, runs, study

COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
every_command = pytest.mark.parametrize("name", COMMANDS)


def examples(name: str) -> list[str]:
    return [line.replace("\\[", "[") for line in COMMANDS[name].epilog.split("\n\n")[1:]]


# help


@every_command
def test_every_command_speaks_to_machines_or_hardly_at_all(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert {"--json", "--quiet", "--debug"} <= options


@every_command
def test_help_fits_80_columns_and_shows_examples_that_could_be_typed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    shown = grid_cosim(name, "--help").stdout
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert not re.search(r"\.\.\.\W+\.\.\.", shown)  # typer adds the dots of what may be given several times
    assert examples(name)
    for example in examples(name):
        assert re.search(f"^ {re.escape(example)} *$", shown, re.MULTILINE), example
        program, command, *words = shlex.split(example.partition(" > ")[0])
        assert (program, command) == ("grid-cosim", name)
        assert {word for word in words if word.startswith("-")} <= options, example


# documents


@pytest.fixture(scope="module")
def a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a short run lies that was asked for its document, with what it said in `said.json`."""
    folder = tmp_path_factory.mktemp("manners")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        lay_out(folder)
        changes = ["--set", "time.hours=0.5", "--controllers", "uncontrolled", "--out", "out", "--json"]
        shown = grid_cosim("run", "study.toml", *changes)
    assert runs(shown) == ""  # no bars where nobody sees them, no word of a library
    (folder / "said.json").write_text(shown.stdout, encoding="utf-8")
    return folder


def test_a_run_for_machines_is_one_document(a_run: Path) -> None:
    said = json.loads((a_run / "said.json").read_text("utf-8"))
    kept = json.loads((a_run / "out" / "kpis.json").read_text("utf-8"))
    assert said["runs"] == {"uncontrolled": {"status": "complete", "message": ""}}
    assert (said["folder"], said["report"], said["complete"]) == ("out", str(Path("out/report.html")), True)
    computed = kpis(Results.load(a_run / "out"))["uncontrolled"]
    assert set(said["kpis"]["uncontrolled"]) == set(computed) == set(kept["uncontrolled"])
    for name, value in computed.items():
        assert said["kpis"]["uncontrolled"][name] == (value if np.isfinite(value) else None), name
    assert None in said["kpis"]["uncontrolled"].values()  # else nothing was shown about null


def test_a_report_tells_the_same(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(a_run)
    said = json.loads((a_run / "said.json").read_text("utf-8"))
    assert json.loads(grid_cosim("report", "out", "--json").stdout) == said
    assert grid_cosim("report", "out", "--quiet").stdout == f"{Path('out/report.html')}\n"
    assert "peak_loading_percent" in grid_cosim("report", "out").stdout


def test_warnings_are_for_people_on_stderr_and_for_machines_in_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = synthetic_results(street_topology(1, 3), ("uncontrolled",), n_steps=4)
    type(made)(
        made.scenario, made.provenance, made.basis, made.topology, made.runs, warnings=("Mind the gap.",)
    ).save("old")
    assert "warning: Mind the gap." in grid_cosim("report", "old").stderr
    for_machines = grid_cosim("report", "old", "--json")
    assert (json.loads(for_machines.stdout)["warnings"], for_machines.stderr) == (["Mind the gap."], "")
    assert grid_cosim("report", "old", "--quiet").stderr == ""


def test_lists_are_documents_or_names() -> None:
    listed = json.loads(grid_cosim("feeders", "--json").stdout)
    names = [feeder["name"] for feeder in listed["feeders"]]
    assert "schutterwald:2" in names
    quiet = grid_cosim("feeders", "--quiet").stdout.splitlines()
    assert quiet == names + [f"simbench:{code}" for code in listed["simbench_codes"]]
    versions = json.loads(grid_cosim("version", "--json").stdout)["versions"]
    assert grid_cosim("version", "--quiet").stdout.strip() == versions["grid-cosim"]
    assert {"python", "pandapower", "mosaik", "torch"} <= set(versions)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ("run nowhere.toml", "ScenarioError", "no such file"),
        ("report nowhere", "ResultsError", "no such folder"),
        ("run nowhere.toml --quite", "NoSuchOption", "--quiet"),
        ("run", "MissingParameter", "Missing argument"),
    ],
)
def test_errors_are_documents_too(arguments: str, kind: str, message: str) -> None:
    shown = grid_cosim(*arguments.split(), "--json")
    said = json.loads(shown.stdout)
    assert (shown.exit_code, said["exit_code"], said["error"]["kind"]) == (2, 2, kind)
    assert message in said["error"]["message"]
    assert message in " ".join(shown.stderr.split())


def test_a_mistake_of_ours_says_so_and_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("grid_cosim.feeder.catalogue.list_feeders", broken)
    shown = grid_cosim("feeders", "--json")
    said = json.loads(shown.stdout)["error"]
    assert (shown.exit_code, said["kind"]) == (1, "ZeroDivisionError")
    assert "This is a mistake of ours; --debug shows where" in said["notes"][0]
    assert "division by zero" in shown.stderr


def test_an_interruption_ends_with_130_and_its_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        stop = KeyboardInterrupt()
        stop.add_note("the rest lies there")
        raise stop

    monkeypatch.setattr("grid_cosim.feeder.catalogue.list_feeders", interrupted)
    shown = grid_cosim("feeders", "--json")
    assert (shown.exit_code, json.loads(shown.stdout)["error"]["notes"]) == (130, ["the rest lies there"])
    assert shown.stderr.split("\n")[:2] == ["Interrupted.", "the rest lies there"]


def test_values_are_told_as_json_can_say_them() -> None:
    assert plain(
        {
            "nan": float("nan"),
            "inf": np.float64("inf"),
            "count": np.int64(3),
            "whole": 2.0,
            "row": np.array([0.5, np.nan]),
            "pair": (True, None),
            "where": Path("a"),
            "when": date(2016, 1, 4),
        }
    ) == {
        "nan": None,
        "inf": None,
        "count": 3,
        "whole": 2.0,
        "row": [0.5, None],
        "pair": [True, None],
        "where": "a",
        "when": "2016-01-04",
    }


def test_quiet_leaves_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    shown = grid_cosim(
        "run", "study.toml", "--set", "time.hours=0.25", "--controllers", "uncontrolled", "--quiet"
    )
    assert (shown.stdout, shown.stderr) == (f"{Path('runs/study')}\n", "")
    assert Results.load(shown.stdout.strip()).complete


# consoles


def process(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "grid_cosim", *arguments],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_signs_that_a_console_does_not_have_are_question_marks() -> None:
    said, erred = process("run", "nåmbda-λ.toml", PYTHONIOENCODING="cp1252", COLUMNS="80").communicate()
    assert said == b""
    assert "nåmbda-?.toml: 1 problem".encode("cp1252") in erred


def test_a_reader_that_goes_away_is_no_error() -> None:
    running = process("feeders", "--quiet")
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    assert (running.stderr.read(), running.wait()) == (b"", 0)
    running.stderr.close()


def test_without_colour_there_is_none() -> None:
    coloured, _ = process("run", "--help", FORCE_COLOR="1", TERM="xterm-256color").communicate()
    plain_text, _ = process(
        "run", "--help", FORCE_COLOR="1", NO_COLOR="1", TERM="xterm-256color"
    ).communicate()
    colour = re.compile(rb"\x1b\[[\d;]*3\d")
    assert colour.search(coloured)
    assert not colour.search(plain_text)


# what is imported when

FRUGAL = """
import sys
import grid_cosim
grid_cosim.load_scenario("cold_evening", ["seed=2"])
import grid_cosim.cli
grid_cosim.cli.completion.settings("feeder.source=s")
try:
    grid_cosim.load_scenario("cold_evening", ["sed=2"])
except grid_cosim.GridCosimError as error:
    assert "seed" in str(error)
heavy = "bokeh cvxpy matplotlib mosaik networkx numba numpy pandapower pandas scipy simbench torch"
print(sorted(set(heavy.split()) & set(sys.modules)))
"""


def test_reading_a_scenario_loads_neither_torch_nor_pandapower_nor_any_other_heavy_library() -> None:
    ran = subprocess.run([sys.executable, "-c", FRUGAL], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("[]\n", "")


# completion


@pytest.mark.parametrize(
    ("offer", "typed", "offered"),
    [
        (completion.scenarios, "cold", ["cold_evening"]),
        (completion.controllers, "uncontrolled,c", ["uncontrolled,consensus", "uncontrolled,centralised"]),
        (completion.studies, "ro", ["rounds"]),
        (completion.settings, "time.st", ["time.start=", "time.step_minutes="]),
        (completion.settings, "coordination.graph=r", ["ring", "random_regular"]),
        (completion.settings, "limits.transformers=", ["true", "false"]),
        (completion.settings, "feeder.source=schutterwald:13", ["schutterwald:13"]),
        (completion.settings, "feeder.source=simbench:1-LV-rural3--2-n", ["simbench:1-LV-rural3--2-no_sw"]),
        (completion.settings, "feeder.source=pandapower:mv", ["pandapower:mv_oberrhein"]),
        (completion.settings, "nothing.like=", []),
        (completion.sources, "simbench:1-LV-rural3--2-n", ["simbench:1-LV-rural3--2-no_sw"]),
        (completion.sources, "pandapower:mv", ["pandapower:mv_oberrhein"]),
        (completion.sources, "schutterwald:13", ["schutterwald:13"]),
        (completion.formats, "pan", ["pandapower", "pandapower-series"]),
    ],
)
def test_tab_offers_what_may_follow(offer, typed: str, offered: list[str], tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = typed.rpartition("=")[0] + "=" if "=" in typed and offer is completion.settings else ""
    values = [before + value if before else value for value in offered]
    assert [word for word in offer(typed) if word.startswith(typed)] == values


def test_tab_offers_files_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for name in ("a.toml", "a.txt", "mine/b.toml"):
        (tmp_path / name).touch()
    assert completion.recipes("") == ["a.toml", "mine/"]
    assert completion.recipes("mine/b") == ["mine/b.toml"]
    assert completion.runs("") == ["mine"]
    for name in ("net.json", "mine/net.xlsx"):
        (tmp_path / name).touch()
    assert completion.sources("ne") == ["net.json"]
    assert completion.sources("mine/") == ["mine/net.xlsx"]
    monkeypatch.setenv("_GRID_COSIM_HEAD", "pandapower:")
    assert completion.sources("mv") == ["mv_oberrhein"]


@pytest.mark.parametrize(
    ("words", "typed", "at", "left"),
    [
        ("run x --set feeder.source = schutterwald : 1", "feeder.source=schutterwald:", 4, "1"),
        ("run x --set feeder.source =", "feeder.source=", 4, ""),
        ("run x --set fee", None, 4, "fee"),
    ],
)
def test_words_that_bash_has_split_are_one_again(words: str, typed: str | None, at: int, left: str) -> None:
    split = ["grid-cosim", *words.split()]
    environ = {
        "_GRID_COSIM_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(split),
        "COMP_CWORD": str(len(split) - 1),
    }
    completion.join_bash_words(environ)
    assert environ.get("_GRID_COSIM_HEAD") == typed
    assert (int(environ["COMP_CWORD"]), environ["COMP_WORDS"].split("\n")[at:]) == (at, [left])


def test_scenarios_of_one_name_get_results_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [default_folder(Path(name)) for name in ("a/scenario.toml", "b/scenario.toml", "c/mine.toml")]
    assert folders == [Path("runs/a"), Path("runs/b"), Path("runs/mine")]
    assert default_folder(Path("scenario.toml")) == Path("runs") / tmp_path.name
    assert default_folder(Path("cold_evening")) == Path("runs/cold_evening")
    kept = tmp_path / "runs" / "a" / "scenario.toml"
    kept.parent.mkdir(parents=True)
    kept.touch()
    with pytest.raises(GridCosimError, match="is that of the results in"):
        default_folder(kept)


def test_no_arguments_show_the_help_and_end_with_2() -> None:
    shown = grid_cosim()
    assert shown.exit_code == 2
    assert "grid-cosim run cold_evening" in shown.stdout


def test_people_see_tables_and_where_the_results_lie(a_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(a_run)
    shown = study("time.hours=0.25", controllers="uncontrolled", out="second")
    assert "peak_loading_percent" in shown.stdout
    assert f"Results in second, report in {Path('second/report.html')}" in shown.stdout
