"""The documentation says all that it should, and its code runs.

Building it with warnings as errors is a step of `.ci/run`; here is what that
cannot see.
"""

import ast
import json
import pathlib
import re

import numpy as np
import pytest

import tfgumbel
from docs.scripts import (
    checks,
    draw,
    examples,
    facts,
    gallery,
    measure,
    rooms,
    tables,
)
from docs.scripts import pages as written
from tests.docs import pages
from tests.helpers import registers

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
PACKAGE = pathlib.Path(tfgumbel.__file__).parent
ROOMS = sorted(name for name in tfgumbel.__all__ if name.islower())
ESTIMATORS = sorted(facts.of_estimators())
DATA = json.loads(measure.OUT.read_text(encoding="utf-8"))
FACTS = json.loads(facts.OUT.read_text(encoding="utf-8"))
# What trains takes seconds.
SLOW = {
    "getting-started.md",
    "which-estimator.md",
    "estimators/dreg.md",
    "guides/annealing.md",
    "guides/bias.md",
    "guides/costs.md",
    "guides/codes.md",
    "guides/bounds.md",
    "guides/distributed.md",
    "guides/loops.md",
    "guides/own-distribution.md",
    "guides/own-layer.md",
    "guides/routing.md",
    "guides/saving.md",
    "guides/structured.md",
    "guides/training-loop.md",
    "migration/concrete-autoencoder.md",
    "migration/hand-written.md",
    "migration/stochastic-gates.md",
    "migration/tfp.md",
    "migration/torch-imle.md",
}


def public_names(path, room):
    """The names in `__all__`, or else what a module defines in public."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for node in body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__":
            return [f"{room}.{name}" for name in ast.literal_eval(node.value)]
    kinds = (ast.ClassDef, ast.FunctionDef)
    found = [node.name for node in body if isinstance(node, kinds)]
    return [f"{room}.{name}" for name in found if not name.startswith("_")]


def every_public_name():
    for room in ROOMS:
        if room in (*tfgumbel.ops.__all__, *tfgumbel.layers.__all__):
            # A function at the top.
            continue
        path = PACKAGE / room / "__init__.py"
        path = path if path.exists() else PACKAGE / f"{room}.py"
        yield from public_names(path, f"tfgumbel.{room}")


def referenced():
    found = []
    for page in (DOCS / "reference").glob("*.md"):
        text = page.read_text(encoding="utf-8")
        found += [name for name, _ in written.ENTRY.findall(text)]
    return found


def test_the_reference_has_every_public_name():
    names = set(every_public_name())
    assert len(names) > 100
    missing = sorted(names - set(referenced()))
    assert not missing, (
        "Add to a page in docs/reference, each as a line `::: NAME`: "
        + ", ".join(missing)
    )


def test_what_is_at_the_top_is_in_a_room_of_the_reference():
    rooms = {name.rsplit(".")[-1] for name in every_public_name()}
    assert set(tfgumbel.__all__) <= rooms | set(ROOMS)


def test_the_reference_has_every_name_once_and_no_other():
    names = referenced()
    assert len(names) == len(set(names))
    rooms = {f"tfgumbel.{room}" for room in ROOMS}
    assert set(names) <= set(every_public_name()) | rooms


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_has_a_page_with_a_figure(name):
    page = DOCS / "estimators" / f"{name}.md"
    text = page.read_text(encoding="utf-8")
    assert "<!-- table: facts -->" in text
    assert f"(../images/estimators/{name}.svg)" in text
    assert "$$" in text and "```python" in text
    assert f"estimators/{name}.md" in (ROOT / "mkdocs.yml").read_text()


def test_every_estimator_has_a_figure_of_its_own():
    assert set(ESTIMATORS) <= set(tfgumbel.estimators.available())
    assert set(draw.AXES) == set(DATA["series"]) == set(ESTIMATORS)
    for name in ESTIMATORS:
        assert (draw.FOLDER / f"{name}.svg").stat().st_size <= 30 * 1024


def test_the_facts_in_the_pages_are_those_of_the_classes():
    assert facts.facts() == FACTS, "Run `python -m docs.scripts.facts`"


def test_every_distribution_is_in_the_table_of_its_module():
    rows = re.findall(
        r'^\| `"(\w+)"` \| (.+) \| (.+) \| (.+) \|$',
        tfgumbel.distributions.__doc__,
        flags=re.MULTILINE,
    )
    assert sorted(name for name, *_ in rows) == sorted(FACTS["distributions"])
    for name, _, inference, kl in rows:
        fact = FACTS["distributions"][name]
        assert inference == ", ".join(fact["inference"]), name
        assert kl == fact["kl"], name


def test_the_matrix_says_who_is_refused():
    lines = tables.matrix("which-estimator").splitlines()
    columns = [re.findall(r"\[`(\w+)`\]", c) for c in lines[0].split("|")[2:-1]]
    assert sorted(sum(columns, [])) == ESTIMATORS
    rows = [line.split(" | ") for line in lines[2:]]
    assert len(rows) == len(FACTS["distributions"])
    for head, *cells in rows:
        (name,) = re.findall(r"\[`(\w+)`\]", head)
        made = tfgumbel.distributions.get(name, **facts.NEEDED.get(name, {}))
        served = tfgumbel.estimators.available(made)
        for names, cell in zip(columns, cells, strict=True):
            for estimator in names:
                assert (cell.rstrip(" |") == "yes") == (estimator in served)


@pytest.mark.parametrize(
    ("figure", "name"),
    [
        ("reinforce", "reinforce"),
        ("measure_valued", "measure_valued"),
        ("measure_valued", "reinforce, b*"),
    ],
)
def test_measured_variances_lie_on_the_exact_line(figure, name):
    points = np.array(
        [point[:2] for point in DATA["series"][figure][name]], float
    )
    line = np.array(DATA["series"][figure][f"{name}, exact"], float)
    expected = np.interp(points[:, 0], *line.T)
    np.testing.assert_allclose(points[:, 1], expected, rtol=0.06)


def test_no_bias_was_found_where_there_is_none():
    facts_of = FACTS["estimators"].items()
    biased = {name for name, fact in facts_of if not fact["unbiased"]}
    assert biased
    for curves in DATA["series"].values():
        for label, points in curves.items():
            if re.split("[, ]", label)[0] not in biased:
                assert all(len(p) < 3 or p[2] is None for p in points), label


def pages_with_code():
    for page in sorted(DOCS.rglob("*.md")):
        if pages.blocks(page):
            name = page.relative_to(DOCS).as_posix()
            marks = pytest.mark.slow if name in SLOW else ()
            yield pytest.param(page, id=name, marks=marks)


@pytest.mark.parametrize("page", list(pages_with_code()))
def test_the_code_of_a_page_runs(page):
    with registers.unchanged():
        pages.run(page)


def outcomes(text):
    """Tables as they are; of reports, which checks pass and fail."""
    reports = re.findall(r"^(pass|FAIL|n/a) +([\w ]+?)  ", text, re.MULTILINE)
    return re.findall(r"^\| .*$", text, re.MULTILINE), reports


@pytest.mark.slow
@pytest.mark.parametrize("name", checks.PAGES)
def test_tables_and_reports_of_checks_are_written(name):
    path = checks.GUIDES / name
    with registers.unchanged():
        expected = outcomes(checks.written(path))
    found = outcomes(path.read_text(encoding="utf-8"))
    assert found == expected, "run `python -m docs.scripts.checks`"
    assert name != "own-layer.md" or len(found[1]) > 40


@pytest.mark.parametrize(
    "path", written.pages(), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_what_is_made_from_data_stands_in_the_page(path):
    """Tables, cells, entries of the reference, links: none is unfilled."""
    text = path.read_text(encoding="utf-8")
    hint = "Run `python -m docs.scripts.pages`"
    assert written.filled(path) == text, hint
    assert text.count("<!-- table:") == text.count("<!-- end of table -->")
    assert not re.search("^::: ", text, re.MULTILINE), hint


def test_an_old_figure_or_an_empty_place_is_filled(tmp_path):
    page = tmp_path / "rloo.md"
    page.write_text("a\n\n<!-- table: facts -->\n\nb <!-- vae: zgr -->\n")
    text = written.filled(page)
    page.write_text(text)
    assert "evaluations of f" in text and text == written.filled(page)
    page.write_text(re.sub(r"\d", "8", text))
    assert text == written.filled(page)


def test_every_table_is_asked_for_and_has_rows():
    asked = [
        (page.stem, name)
        for page in DOCS.rglob("*.md")
        for name in re.findall(
            r"<!-- table: (\w+) -->", page.read_text(encoding="utf-8")
        )
    ]
    assert {name for _, name in asked} == set(tables.TABLES)
    for stem, name in asked:
        lines = tables.TABLES[name](stem).splitlines()
        assert len(lines) > 3
        assert len({line.count("|") for line in lines if "|" in line}) <= 1


def test_rows_of_measured_cells_are_complete():
    text = (DOCS / "which-estimator.md").read_text(encoding="utf-8")
    asked = [match.groups()[1:] for match in written.CELLS.finditer(text)]
    assert {source for source, _ in asked} == {"vae", "gaussian"}
    table = re.search(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)[0]
    assert len({line.count("|") for line in table.splitlines()}) == 1
    # A pathwise gradient of x² under N(1, 1) has variance 4, its mean is 2.
    assert tables.cells("gaussian", "pathwise") == "1.0"
    with pytest.raises(KeyError):
        tables.cells("gaussian", "no such row")


def test_the_picture_of_the_rooms_is_that_of_the_imports():
    text = rooms.OUT.read_text(encoding="utf-8")
    assert text == rooms.drawn(), "Run `python -m docs.scripts.pages`"
    assert ("ops", "distributions") in rooms.arrows()
    assert ("ops", "layers") not in rooms.arrows()  # By way of estimators.
    assert rooms.rank("_checks") == 0 < rooms.rank("ops")


@pytest.mark.parametrize("name", gallery.names())
def test_every_example_is_in_the_gallery_with_a_picture(name):
    title, text = gallery.head(name)
    assert title and len(gallery.sentences(text)) > 80
    assert name in gallery.command(name)
    made = (DOCS / "images" / f"{name}.png").exists()
    assert made != (name in examples.WITHOUT_PICTURE), (
        f"Run `python -m docs.scripts.examples {name}`, or say in that script "
        "why the example has no picture"
    )


def test_two_sentences_are_two_sentences():
    text = "What Mohamed et al. did (2020). Is it `here`? It is: a + b. So,"
    assert (
        gallery.sentences(text)
        == "What Mohamed et al. did (2020). Is it `here`?"
    )
    assert gallery.sentences("It is. Then, in nats,") == "It is."


def test_a_long_output_is_cut_in_the_middle():
    lines = [f"  line {i}" for i in range(examples.LINES + 1)]
    text = "\n".join(lines)
    cut = examples.shortened(text)
    assert len(cut) == examples.LINES + 1
    assert cut[0] == lines[0] and cut[-1] == lines[-1] and "..." in cut
    assert examples.shortened("\n".join(lines[1:])) == lines[1:]


@pytest.mark.parametrize("name", examples.names())
def test_what_an_example_prints_is_on_its_page(name):
    hint = f"Run `python -m docs.scripts.examples {name}`"
    assert examples.output(name), hint


@pytest.mark.slow
def test_figures_are_measured_and_drawn(tmp_path):
    out = tmp_path / "data.json"
    figures = ["muprop", "pathwise"]
    report = measure.main(
        ["--only", *figures, "--draws", "100", "--out", str(out)]
    )
    assert report["series"] == json.loads(out.read_text())["series"]
    for name in figures:
        draw.draw(name, report["series"][name], tmp_path / f"{name}.svg")
        assert "</svg>" in (tmp_path / f"{name}.svg").read_text()
