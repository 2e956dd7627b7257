"""Pictures: what is in a panel, in which order, and that it is drawn."""

import numpy as np
import pytest

from tfgumbel.diagnostics import Comparison, Row, plots
from tfgumbel.diagnostics.training import Curve


def curve(end, unbiased=True, variance=1.0):
    cost = np.linspace(1.0, end, 11)
    return Curve(
        list(range(11)), cost.tolist(), [variance] * 11, unbiased=unbiased
    )


def test_legends_are_ordered_by_the_final_cost():
    curves = {"a": curve(0.5), "b": curve(0.2), "c": curve(0.9, False)}
    (unbiased, first), (biased, second) = plots.panels(curves)
    assert (unbiased, biased) == ("unbiased", "biased")
    assert [line.names for line in first] == [["b"], ["a"]]
    assert first[0].label == "0.2000  b"
    assert [line.names for line in second] == [["c"]]


def test_lines_that_coincide_are_one_and_say_so():
    curves = {
        "zgr": curve(0.3, False),
        "reinmax": curve(0.3 + 1e-4, False),
        "noisier": curve(0.3, False, variance=2.0),
        "other": curve(0.4, False),
    }
    ((_, lines),) = plots.panels(curves)
    names = sorted(line.names for line in lines)
    assert names == [["noisier"], ["other"], ["zgr", "reinmax"]]
    (both,) = (line for line in lines if len(line.names) == 2)
    assert both.label.endswith("zgr = reinmax")


@pytest.mark.parametrize("end", [np.inf, np.nan])
def test_a_run_that_diverges_leaves_the_others_as_they_are(end):
    diverged = curve(0.9)
    diverged.cost[-1] = end
    curves = {"a": curve(0.5), "diverged": diverged, "b": curve(0.2)}
    ((_, lines),) = plots.panels(curves)
    assert [line.names for line in lines] == [["b"], ["a"], ["diverged"]]


@pytest.mark.parametrize("count", [1, 8, 9, 20])
def test_no_panel_has_more_than_eight_lines(count):
    curves = {str(i): curve(0.01 * i) for i in range(count)}
    panels = plots.panels(curves)
    assert max(len(lines) for _, lines in panels) <= 8
    names = [line.names[0] for _, lines in panels for line in lines]
    assert names == [str(i) for i in range(count)]
    if count == 9:
        assert [heading for heading, _ in panels] == [
            "unbiased (1 of 2)",
            "unbiased (2 of 2)",
        ]


def test_lines_of_a_panel_differ_in_grey_and_without_colour():
    styles = [plots.style(index, 11) for index in range(8)]
    without = {(s["linestyle"], s["marker"]) for s in styles}
    assert len(without) == 8
    # Neighbours differ in luminance or in their dashes.
    for one, other in zip(styles, styles[1:], strict=False):
        assert one["linestyle"] != other["linestyle"]


@pytest.mark.full
@pytest.mark.parametrize(
    "count", [0, 3, pytest.param(20, marks=pytest.mark.slow)]
)
def test_the_picture_is_drawn(count, tmp_path):
    image = pytest.importorskip("matplotlib.image")
    curves = {
        str(i): curve(0.01 * i, unbiased=i % 2 == 0) for i in range(count)
    }
    curves["failed"] = Curve(note="no such luck")
    plots.plot_training(curves, "title", tmp_path / "picture.png")
    pixels = image.imread(tmp_path / "picture.png")
    assert min(pixels.shape[:2]) > 300
    assert len(np.unique(pixels.reshape(-1, 4), axis=0)) > 50


def panels_of(rows, monkeypatch, tmp_path):
    """The axes of a picture of a comparison, by Matplotlib."""
    pytest.importorskip("matplotlib")
    make, pictures = plots.figure, []

    def figure(**options):
        pictures.append(make(**options))
        return pictures[-1]

    monkeypatch.setattr(plots, "figure", figure)
    found = Comparison(rows, {"tolerance": 0.1}, rows[0].name, "", 1.0)
    plots.plot_comparison(found, tmp_path / "picture.png")
    return pictures[0].axes


@pytest.mark.full
def test_panels_of_a_comparison(monkeypatch, tmp_path):
    costs = {"variance": 1.0, "milliseconds": 2.0, "variance_time": 2.0}
    small = Row(
        "small",
        variance_evaluations=1.0,
        bias=0.0,
        bias_lower=0.0,
        bias_upper=0.01,
        acceptable=True,
        **costs,
    )
    seen = Row(
        "seen",
        unbiased=False,
        variance_evaluations=4.0,
        bias=0.3,
        relative_bias=0.3,
        bias_lower=0.2,
        bias_upper=0.4,
        bias_detected=True,
        acceptable=False,
        **costs,
    )
    bias, cost, _ = panels_of((small, seen), monkeypatch, tmp_path)
    names = [label.get_text() for label in bias.get_yticklabels()]
    assert names == ["seen", "small"]
    marks = {
        line.get_marker(): (line.get_xdata()[0], line.get_ydata()[0])
        for line in bias.lines
        if line.get_marker() in ("D", "<")
    }
    assert marks == {"D": (0.3, 0), "<": (pytest.approx(0.003), 1)}
    assert bias.get_xlim()[0] == pytest.approx(0.3 * 0.01)
    assert cost.get_xscale() == "log"
    none = Row("none", variance=0.0, variance_evaluations=0.0)
    cost, _ = panels_of((none,), monkeypatch, tmp_path)
    assert cost.get_xscale() == "linear"
    assert [text.get_text() for text in cost.texts] == ["\u25c2 0 \u2605"]
