"""`python -m tfgumbel check`."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tfgumbel.__main__ import main
from tfgumbel._commands import check
from tfgumbel.testing import Report

FEW = ["--only", "calls", "gradient", "--quiet"]


def test_a_right_layer(tmp_path, capsys):
    out = tmp_path / "report.json"
    arguments = ["--args", "hard=True", "temperature=0.5", "--out", str(out)]
    assert main(["check", "tfgumbel:GumbelSoftmax", *FEW, *arguments]) == 0
    printed = capsys.readouterr().out
    assert "2 passed, 0 failed" in printed and f"Wrote {out}" in printed
    report = json.loads(out.read_text())
    assert report["passed"] and report["checks"][0]["figure"] < 5


def test_a_faulty_layer(capsys):
    target = "tests.testing.faulty:StraightThroughBackwards"
    assert main(["check", target, *FEW, "--args", "hard=True"]) == 1
    printed = capsys.readouterr().out
    assert "FAIL  gradient" in printed and "no gradient" in printed
    assert "Do: hard samples need a gradient" in printed


def test_several_inputs(capsys):
    shapes = ["--shape", "2,3", "--shape", "2,3"]
    assert main(["check", "tfgumbel:ReparamGaussian", *FEW, *shapes]) == 0
    assert "2 passed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"full": False, "seed": 0, "per_example": True}),
        (["--full", "--seed", "3"], {"full": True, "seed": 3}),
        (["--shared-noise"], {"per_example": False, "surrogate": False}),
        (["--surrogate", "--quiet"], {"surrogate": True, "progress": False}),
    ],
)
def test_options_reach_the_checks(options, expected, monkeypatch):
    reached = []

    def checked(make, inputs, **kwargs):
        reached.append((inputs, kwargs))
        return Report("GumbelSoftmax", (), 0)

    monkeypatch.setattr(check, "check_layer", checked)
    command = ["check", "tfgumbel:GumbelSoftmax", "--shape", "3"]
    assert main([*command, *options]) == 0
    assert main([*command, "--seed", "7"]) == 0
    (one, found), (other, _) = reached
    assert found | expected == found
    assert one.shape == other.shape == (4, 3) and np.any(one != other)


def test_a_distribution_without_a_name():
    few = ["--only", "frequencies", "--quiet"]
    command = ["check", "tests.testing.faulty:LogisticNormal", *few]
    assert main(command) == 1
    assert main([*command, "--distribution", "none"]) == 0


def test_a_constant_parameter_is_one():
    sizes = ["--shape", "1", "--shape", "1,4", "--only", "seeds", "--quiet"]
    assert main(["check", "tfgumbel.distributions:Subset", *sizes]) == 0


@pytest.mark.parametrize(
    ("target", "check"),
    [
        ("tfgumbel.distributions:Gamma", "mean"),
        ("tfgumbel.estimators:RLOO", "gradient"),
    ],
)
def test_distributions_and_estimators(target, check, capsys):
    assert main(["check", target, "--only", check, "--quiet"]) == 0
    assert f"pass  {check}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["keras.layers:Dense", "--args", "units=3"], "is not random"),
        (["tf_keras.layers:Dropout", "--args", "rate=.5"], "of tf_keras"),
        (["tfgumbel:ReparamGaussian", "--shape", "3"], "`inputs=`"),
        (["tfgumbel.estimators:RLOO", "--surrogate"], "is for layers"),
        (["tfgumbel:Nothing"], "has no attribute 'Nothing'"),
        (["nothing:Nothing"], "No module named 'nothing'"),
        (["tfgumbel"], "must be MODULE:NAME, not tfgumbel"),
        (["tfgumbel:__version__"], "must be a class"),
        (["tfgumbel:GumbelSoftmax", "--args", "x"], "must be NAME=VALUE"),
        (["tfgumbel:GumbelSoftmax", "--shape", "0"], "positive whole"),
        (["tfgumbel:GumbelSoftmax", "--only", "x"], "names of checks: train"),
        (["tfgumbel:GumbelSoftmax", "--args", "x=1"], "Unrecognized keyword"),
    ],
)
def test_bad_input_is_a_sentence(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["check", *arguments, "--quiet"])
    assert message in capsys.readouterr().err


@pytest.mark.full
def test_replicas_in_a_fresh_process(tmp_path):
    def status(target):
        command = ["-m", "tfgumbel", "check", target, "--only", "replicas"]
        return subprocess.run(
            [sys.executable, *command, "--replicas", "--quiet"],
            capture_output=True,
            text=True,
            timeout=120,
        )

    right = status("tfgumbel:GumbelSoftmax")
    assert right.returncode == 0, right.stdout + right.stderr
    repeats = status("tests.testing.faulty:Right")
    assert repeats.returncode == 1
    assert "two replicas gave the same values" in repeats.stdout
