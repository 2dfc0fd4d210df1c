"""The documentation is true: generated parts up to date, examples that run, links and commands that exist."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import io
import json
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.main import get_command

from grid_cosim import Results
from grid_cosim.cli import app, main
from grid_cosim.scenario import load_scenario, parse_scenario
from tests.builders import street

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
]
SHORT = ["feeder.source=schutterwald:13", "time.hours=0.5"]  # 15 homes, two steps

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in a language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def the_block(page: Path, language: str, with_text: str) -> str:
    (found,) = [block for block in blocks(page, language) if with_text in block]
    return found


def prose(page: Path) -> str:
    """A page without its code blocks and comments."""
    return re.sub(r"^```.*?^```|<!--.*?-->", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_reference", ROOT / "docs" / "build_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# generated parts


@every_page
def test_generated_parts_are_up_to_date(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == builder().up_to_date(text), "run: python docs/build_reference.py"


def test_every_generated_part_stands_somewhere_and_once() -> None:
    used = [
        name for page in PAGES for name in re.findall(r"generated:([\w-]+):begin", page.read_text("utf-8"))
    ]
    assert sorted(used) == sorted(builder().PARTS)


def test_nothing_is_left_to_be_filled_in() -> None:
    left = [f"{page.name}: {text}" for page in PAGES for text in re.findall("TBD.*", page.read_text("utf-8"))]
    assert not left


# examples


@pytest.fixture(scope="module")
def readme_example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Where the README's Python example ran, shortened, and what it printed."""
    folder = tmp_path_factory.mktemp("readme")
    code = the_block(ROOT / "README.md", "python", "load_scenario")
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.chdir(folder)
        patch.setattr(
            "grid_cosim.load_scenario", lambda path, given=(): load_scenario(path, [*given, *SHORT])
        )
        exec(compile(code, "README.md", "exec"), {})
        yield folder, printed.getvalue()


def test_the_readmes_example_runs(readme_example: tuple[Path, str]) -> None:
    folder, printed = readme_example
    assert re.findall(r"^(\w+) +\d+\.\d % of the limit", printed, re.MULTILINE) == [
        "uncontrolled",
        "independent",
        "consensus",
    ]
    assert "price_mean_eur_per_kwh" in printed
    assert (folder / "runs" / "area_12" / "report.html").is_file()


def test_the_readmes_example_is_about_ten_lines() -> None:
    assert len(the_block(ROOT / "README.md", "python", "load_scenario").splitlines()) <= 10


def test_the_examples_about_results_run(readme_example: tuple[Path, str]) -> None:
    folder, _ = readme_example
    shutil.copytree(folder / "runs" / "area_12", folder / "runs" / "cold_evening", dirs_exist_ok=True)
    printed = io.StringIO()
    with redirect_stdout(printed):
        for code in blocks(ROOT / "docs" / "results.md", "python"):
            exec(compile(code, "results.md", "exec"), {})
    assert printed.getvalue().startswith("True ()")
    assert "b'unit': b'kW'" in printed.getvalue()


def test_the_examples_about_analysis_run(readme_example: tuple[Path, str]) -> None:
    folder, _ = readme_example
    shutil.copytree(folder / "runs" / "area_12", folder / "runs" / "cold_evening", dirs_exist_ok=True)
    limit = str(Results.load("runs/cold_evening").topology.limits["limit"].iloc[0])
    names: dict[str, Any] = {}
    printed = io.StringIO()
    with redirect_stdout(printed):
        for code in blocks(ROOT / "docs" / "analysis.md", "python"):
            exec(compile(code.replace("Trafo-3", limit), "analysis.md", "exec"), names)
    assert names["found"].warnings == ()
    assert set(names["peaks"]["controller"]) == set(names["results"].controllers)
    wide = names["results"].series("households", "p_kw").T.groupby("controller").sum().T
    assert names["peaks"].set_index("controller")["peak_kw"].to_dict() == pytest.approx(wide.max().to_dict())
    assert (folder / "figures" / "loading.pdf").is_file()
    assert (folder / "kpis.csv").is_file()


def test_the_results_folder_is_as_described(readme_example: tuple[Path, str]) -> None:
    folder, _ = readme_example
    described = set(
        re.findall(r"[\w]+\.(?:html|json|toml|parquet)", blocks(ROOT / "docs/results.md", "text")[0])
    )
    there = {path.name for path in (folder / "runs" / "area_12").rglob("*") if path.is_file()}
    assert there == described


def console_script(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> object:
    """Exit code of `grid-cosim` with these arguments, in the current folder."""
    monkeypatch.setattr(sys, "argv", ["grid-cosim", *arguments])
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(Path.cwd()))])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def with_pool_pump(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device of the page about devices of one's own, in a folder; not as another test has imported it."""
    text = the_block(ROOT / "docs" / "own_device.md", "python", "class PoolPump")
    (folder / "pool_pump.py").write_text(text, encoding="utf-8")
    monkeypatch.delitem(sys.modules, "pool_pump", raising=False)


def test_the_device_of_ones_own_can_be_trained_and_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, scenario = blocks(ROOT / "docs" / "own_device.md", "toml")
    assert "updates = 400" in recipe
    shorter = recipe.replace("updates = 400", "updates = 2\ndevices_per_update = 8\nhours = 6.0")
    with_pool_pump(tmp_path, monkeypatch)
    (tmp_path / "pool_pump.toml").write_text(shorter, encoding="utf-8")
    (tmp_path / "pools.toml").write_text(scenario, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for arguments in (["train", "pool_pump.toml"], ["run", "pools.toml", "--set", "time.hours=0.5"]):
        assert console_script(arguments, monkeypatch) == 0
    for name, run in Results.load(tmp_path / "runs" / "pools").runs.items():
        devices = run.table("devices")
        assert set(devices["kind"]) == {"pool_pump:PoolPumpPopulation"}, name
        assert devices["household"].nunique() == 6, name  # 0.4 of 15
        assert devices["requested_kwh"].sum() > 0.0, name


def test_the_example_of_a_net_that_is_handed_over_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "village.toml").write_text("[time]\nhours = 0.5\n", encoding="utf-8")
    code = the_block(ROOT / "docs" / "scenario.md", "python", "load_feeder(net")
    names: dict[str, Any] = {"net": street()}
    with redirect_stdout(io.StringIO()):
        exec(compile(code, "scenario.md", "exec"), names)
    assert names["results"].complete
    assert names["feeder"].limits.limit_percent == pytest.approx(90.0)
    kept = json.loads((tmp_path / "runs" / "village" / "feeder.json").read_text("utf-8"))
    assert kept["source"] == names["feeder"].source


FRAGMENTS = [
    (page.name, block)
    for page in PAGES
    for block in blocks(page, "toml")
    if "device" not in tomllib.loads(block)  # recipes
]  # fmt: skip


@pytest.mark.parametrize(("name", "fragment"), FRAGMENTS)
def test_scenario_fragments_are_valid(
    name: str, fragment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_pool_pump(tmp_path, monkeypatch)
    monkeypatch.syspath_prepend(str(tmp_path))
    parse_scenario(tomllib.loads(fragment), source=name, folder=tmp_path)


@every_page
def test_names_that_examples_import_exist(page: Path) -> None:
    for code in blocks(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("grid_cosim"):
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)
        for where, name in re.findall(r'"python": "([\w.]+):(\w+)"', code):
            assert hasattr(importlib.import_module(where), name), name


# links, commands, names


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).strip().replace(" ", "-")


@every_page
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.is_file(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)", there.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, target


@every_page
def test_commands_and_options_exist(page: Path) -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    used = r"(?:grid-cosim|-m grid_cosim\.cli) ([a-z]+)([^\n`#]*)"
    for command, rest in re.findall(used, page.read_text(encoding="utf-8")):
        assert command in commands, command
        known = {option for parameter in commands[command].params for option in parameter.opts} | {"--help"}
        assert set(re.findall(r"--[a-z-]+", rest)) <= known, f"{command}{rest}"


@every_page
def test_times_in_commands_are_in_the_run(page: Path) -> None:
    time = load_scenario(ROOT / "scenarios" / "cold_evening.toml").time
    for text in re.findall(r"export runs/cold_evening [^\n`]*--time (\S+)", page.read_text(encoding="utf-8")):
        assert time.start <= datetime.fromisoformat(text) < time.start + timedelta(hours=time.hours), text


def test_the_readme_shows_every_command() -> None:
    shown = set(re.findall(r"^grid-cosim ([a-z]+)", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE))
    assert shown == set(get_command(app).commands)  # type: ignore[attr-defined]


@every_page
def test_modules_that_are_run_exist(page: Path) -> None:
    for module in re.findall(r"-m (grid_cosim[\w.]*)", page.read_text(encoding="utf-8")):
        runs = hasattr(importlib.import_module(module), "main")
        assert runs or importlib.util.find_spec(f"{module}.__main__"), module


@every_page
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make (\w+)", page.read_text(encoding="utf-8"), re.MULTILINE)) <= targets


def test_the_checks_without_make_are_those_of_make() -> None:
    _, _, rest = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ncheck:")
    of_make = re.findall(r"^\t\$\(BIN\)/(.*)", rest.partition("\n\n")[0], re.MULTILINE)
    assert of_make
    assert the_block(ROOT / "CONTRIBUTING.md", "sh", "pytest").splitlines() == of_make


def test_the_cpu_build_of_torch_is_the_pinned_version() -> None:
    (pinned,) = re.findall(r"^torch==(\S+)", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    assert re.findall(r"torch==(\S+)", (ROOT / "README.md").read_text("utf-8")) == [pinned]


def test_the_citation_is_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_the_nomenclature_is_that_of_the_code() -> None:
    _, _, table = (ROOT / "README.md").read_text("utf-8").partition("## Nomenclature")
    rows = re.findall(r"^\| [^|`]+ \| ([^|]+) \|", table.partition("\n## ")[0], re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert len(names) >= 16
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "grid_cosim").rglob("*.py"))
    assert [name for name in names if not re.search(rf"\b{name}\b", code)] == []
