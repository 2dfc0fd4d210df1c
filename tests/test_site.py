"""What makes the documentation site: formulas, docstrings, and the check that it needs no network."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import grid_cosim

ROOT = Path(__file__).resolve().parent.parent


def extension(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "site" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# pages without a network


PAGE = '<html><head>{head}</head><body><h1 id="top">A</h1>{body}</body></html>'


def pages(folder: Path, *, head: str = "", body: str = "") -> list[str]:
    """Problems of a folder with one such page, a second one with an anchor, and a script."""
    (folder / "a.html").write_text(PAGE.format(head=head, body=body), encoding="utf-8")
    (folder / "b.html").write_text(PAGE.format(head="", body='<p id="there">B</p>'), encoding="utf-8")
    (folder / "c.js").write_text("", encoding="utf-8")
    return [str(problem) for problem in extension("offline").problems(folder)]


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ('<script src="c.js"></script>', '<a href="b.html#there">b</a> <a href="#top">up</a>'),
        ('<link rel="canonical" href="https://example.org/a.html">', '<a href="https://example.org">out</a>'),
        ("", '<img src="data:image/png;base64,AA=="> <a href="mailto:a@example.org">write</a>'),
    ],
)
def test_what_lies_beside_and_links_that_lead_out_are_fine(head: str, body: str, tmp_path: Path) -> None:
    assert pages(tmp_path, head=head, body=body) == []


@pytest.mark.parametrize(
    ("head", "body", "problem"),
    [
        (
            '<script src="https://cdn.example.org/x.js"></script>',
            "",
            "a.html loads https://cdn.example.org/x.js from elsewhere",
        ),
        (
            '<link rel="stylesheet" href="//fonts.example.org/css">',
            "",
            "a.html loads //fonts.example.org/css from elsewhere",
        ),
        (
            "",
            '<img src="http://example.org/a.png">',
            "a.html loads http://example.org/a.png from elsewhere",
        ),
        ("", '<img src="missing.svg">', "a.html: missing.svg leads nowhere"),
        ("", '<a href="d.html">d</a>', "a.html: d.html leads nowhere"),
        ("", '<a href="b.html#here">b</a>', "a.html: b.html#here leads nowhere"),
        ("", '<a href="#below">b</a>', "a.html: #below leads nowhere"),
    ],
)
def test_what_comes_from_elsewhere_and_dead_links_are_told(
    head: str, body: str, problem: str, tmp_path: Path
) -> None:
    assert pages(tmp_path, head=head, body=body) == [problem]


def test_a_style_sheet_may_not_load_a_font_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("@font-face { src: url(https://example.org/f.woff2) }", encoding="utf-8")
    assert pages(tmp_path) == ["a.css loads from elsewhere"]


# formulas


def test_aligned_equations_become_rows_of_a_table() -> None:
    made = extension("mathml").mathml(r"\begin{aligned} a &\le b \\ c &= d \end{aligned}", display="block")
    assert made.count("<mtr>") == 2
    assert 'display="block"' in made


@pytest.mark.parametrize("tex", [r"\notacommand x", r"\begin{gathered} a &= b \end{gathered}", r"a \\ b"])
def test_a_formula_that_is_not_understood_is_refused(tex: str) -> None:
    with pytest.raises(ValueError, match="not understood"):
        extension("mathml").mathml(tex, display="block")


def test_every_formula_of_the_documentation_is_understood() -> None:
    convert, n = extension("mathml").mathml, 0
    for page in ROOT.glob("docs/**/*.md"):
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"^ *```math\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
        inline = re.findall(r"\$([^$`]+)\$", re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.M))
        for tex in blocks + inline:
            convert(tex, display="block")
        n += len(blocks)
    assert n > 15


# docstrings


@pytest.mark.parametrize(
    ("line", "made"),
    [
        ("Gives `p_kw` back.", "Gives ``p_kw`` back."),
        ("max |Δ| of x* and y_", "max \\|Δ\\| of x\\* and y\\_"),
        ("many `limit`s", "many ``limit``\\ s"),
        ("``as it is``", "``as it is``"),
    ],
)
def test_docstrings_mean_what_they_say(line: str, made: str) -> None:
    assert extension("docstrings").as_rst([line])[0] == made


def test_indented_parts_of_a_docstring_are_code() -> None:
    assert extension("docstrings").as_rst(["Like", "", "    x = y_ * 2"])[2:5] == ["::", "", "    x = y_ * 2"]


# completeness


def test_the_reference_has_every_public_name() -> None:
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"auto(?:class|function):: (\w+)", page))
    in_errors = {"GridCosimError"}  # all of that module are shown
    assert set(grid_cosim.__all__) == (shown | in_errors) & set(grid_cosim.__all__)
