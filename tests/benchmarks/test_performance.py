import json

import numpy as np
import pytest

from benchmarks import __main__ as everything
from benchmarks import epoch, performance, scaling
from tests.benchmarks.runs import run


@pytest.mark.full
def test_figure_is_drawn_from_the_results(tmp_path, monkeypatch, capsys):
    path = tmp_path / "performance.png"
    everything.main(["--draw", "--figure", str(path)])
    assert path.read_bytes().startswith(b"\x89PNG")
    assert str(path) in capsys.readouterr().out


def test_the_list_says_what_each_measures_and_how_long(
    tmp_path, monkeypatch, capsys
):
    durations = tmp_path / "durations.json"
    durations.write_text('{"layers": 61.4}')
    monkeypatch.setattr(everything, "DURATIONS", durations)
    everything.main(["--list"])
    lines = {
        row.split()[0]: row for row in capsys.readouterr().out.split("\n")[:-1]
    }
    assert set(lines) == set(everything.titles())
    assert "1.0 min  Times forward and backward" in lines["layers"]
    assert " h  Table 1 of" in lines["jang_table1"]  # of its runs
    assert "not timed  " in lines["scaling"]
    assert set(everything.TIMINGS) <= set(lines)


def test_what_ran_to_its_end_is_timed(tmp_path, monkeypatch):
    durations = tmp_path / "durations.json"
    durations.write_text('{"layers": 61.4}')
    monkeypatch.setattr(everything, "DURATIONS", durations)
    monkeypatch.setattr(everything.subprocess, "run", lambda *a, **k: None)
    everything.run("subsets")
    found = json.loads(durations.read_text())
    assert found["layers"] == 61.4 and 0 <= found["subsets"] < 10


def test_layers_are_relative_to_the_softmax():
    rows = [
        {"shape": [4096, 1000], "name": name, "mode": mode, "median_ms": time}
        for name, mode, time in [
            ("tf.nn.softmax", "graph", 2.0),
            ("GumbelSoftmax", "graph", 6.0),
            ("torch F.gumbel_softmax", "eager", 9.0),
        ]
    ]
    found = performance.layers({"results": rows}, "graph", "median_ms")
    assert found == {"GumbelSoftmax": 3.0, "torch (eager)": 4.5}


@pytest.mark.full
def test_the_figure_shows_times_and_memory(tmp_path, monkeypatch):
    report = performance.load("layers")
    for row in report["results"]:
        row["peak_mib"] = 40.0
    load = performance.load
    monkeypatch.setattr(
        performance, "load", lambda n: report if n == "layers" else load(n)
    )
    shown = []
    monkeypatch.setattr(
        performance, "bars", lambda axes, values, *_, **__: shown.append(values)
    )
    performance.draw(tmp_path / "performance.png")
    assert len(shown) == 6
    assert shown[3] == dict.fromkeys(performance.LAYERS.values(), 40.0)


def test_epoch_targets():
    rows = {
        name: dict.fromkeys(["median_ms", "min_ms", "cpu_ms"], time)
        for name, time in [
            (epoch.OURS, 10.0),
            (epoch.TFP, 8.0),
            (epoch.HAND, 10.0),
            (epoch.FLOOR, 9.0),
            (epoch.STOCHASTIC, 11.0),
            (epoch.ST, 10.0),
            (epoch.REINFORCE, 12.0),
        ]
    }
    reached = {t["target"]: t["reached"] for t in epoch.targets(rows)}
    assert reached == {
        "epoch / TFP": False,
        "epoch / hand-written": True,
        "epoch / no noise": False,
        "StochasticModel / keras.Model": True,
        "REINFORCE / straight-through": False,
    }


@pytest.mark.exhaustive
def test_epoch_runs(tmp_path):
    report = run(epoch, tmp_path, "--images", "200", "--repeats", "1")
    names = {row["name"] for row in report["results"]}
    assert {epoch.OURS, epoch.TFP, epoch.HAND, epoch.REINFORCE} <= names


def test_slope_of_a_power():
    sizes = np.array([1, 2, 4, 8])
    assert scaling.slope(sizes, 3.0 * sizes**1.5) == pytest.approx(1.5)


@pytest.mark.full
def test_slopes_are_reported(tmp_path, capsys):
    arguments = ["--layers", "GumbelSoftmax", "--factors", "1", "2"]
    report = run(scaling, tmp_path, *arguments, "--repeats", "1")
    assert [row["grows"] for row in report["results"]] == ["B", "D", "K"]
    assert "GumbelSoftmax" in capsys.readouterr().out
