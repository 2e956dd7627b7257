import pytest

from benchmarks import rebar_toy
from tests.benchmarks.runs import run


@pytest.mark.full
def test_a_second_run_repeats_nothing(tmp_path, capsys):
    arguments = ["--targets", "0.45", "--estimators", "disarm"]
    arguments += ["--steps", "4"]
    first = run(rebar_toy, tmp_path, *arguments)
    entry = first["runs"]["0.45/disarm/4 steps/seed 0"]
    assert entry["curve"]["cost"][0] == pytest.approx(0.2525)
    assert abs(entry["results"]["minimum"] - 0.2025) < 1e-12
    capsys.readouterr()
    assert run(rebar_toy, tmp_path, *arguments) == first
    assert capsys.readouterr().out == ""
