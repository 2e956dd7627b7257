import pytest

from benchmarks import tied_noise
from tests.benchmarks.runs import run


@pytest.mark.slow
def test_variances_and_times_of_both_kinds_of_noise(tmp_path, capsys):
    arguments = ["--problems", "bernoulli", "--seeds", "0", "--draws", "200"]
    arguments += ["--batches", "5", "--repeats", "2"]
    report = run(tied_noise, tmp_path, *arguments)
    found = report["variances"]["bernoulli"]["seed 0"]
    assert found["rebar/tied"] == pytest.approx(
        found["rebar/independent"], rel=0.5
    )
    assert report["times"]["bernoulli"]["5"].keys() == found.keys()
    assert "bernoulli, rebar" in capsys.readouterr().out
