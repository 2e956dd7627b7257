"""The command line, end to end at a small size."""

import argparse
import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest

import tfgumbel as tg
from tfgumbel import _startup
from tfgumbel.__main__ import main
from tfgumbel._commands import compare as command
from tfgumbel.diagnostics import problems, training

pytest.importorskip("matplotlib")

SMALL = ["--steps", "6", "--every", "3", "--train-steps", "2"]
SMALL += ["--draws", "40", "--max-draws", "40"]
FILES = {"tables.txt", "results.json", "comparison.png", "training.png"}


def run(folder, *options, problem="toy", small=SMALL):
    out = ["--out", str(folder), "--quiet"]
    assert main(["compare", problem, *small, *out, *options]) == 0
    assert {path.name for path in folder.iterdir()} == FILES
    return json.loads((folder / "results.json").read_text())


def untimed(report, name):
    """The numbers of an estimator that the seed decides."""
    (row,) = (r for r in report["comparison"]["rows"] if r["name"] == name)
    # Times are not, and what is said of a bias depends on the whole table.
    kept = ("draws", "bias", "variance", "variance_error", "snr")
    curve = report["training"][name]
    return (
        {key: row[key] for key in kept},
        curve["cost"],
        curve["variance"],
    )


def test_problems_are_made_from_the_seed(tmp_path, monkeypatch):
    """Such as the first weights of networks, in each training anew."""
    made = []

    def make():
        made.append(random.random())
        raise ZeroDivisionError

    monkeypatch.setattr(command, "_problem", lambda *_: make)
    with pytest.raises(ZeroDivisionError):
        main(["compare", "toy", "--seed", "5", "--out", str(tmp_path)])
    with pytest.raises(ZeroDivisionError):
        command._train(make, "rloo", argparse.Namespace(seed=5))
    assert made == [random.Random(5).random()] * 2


@pytest.mark.full
def test_files_tables_and_every_option(tmp_path, capsys):
    names = ["--estimators", "nvil", "gumbel_softmax"]
    report = run(tmp_path / "a", *names, "--target", "0.3", "--seed", "5")
    printed = capsys.readouterr().out
    text = (tmp_path / "a" / "tables.txt").read_text()
    assert text in printed
    for part in ("nvil", "gumbel_softmax", "Recommended", "After 6 steps"):
        assert part in text
    assert "0.3" in report["title"]
    assert report["options"]["seed"] == 5
    assert report["comparison"]["settings"]["draws"] == 40
    assert report["comparison"]["settings"]["train_steps"] == 2
    assert [r["name"] for r in report["comparison"]["rows"]] == names[1:]
    curve = report["training"]["nvil"]
    assert curve["step"] == [0, 3, 6]
    assert curve["cost"][0] == pytest.approx((0.7**2 + 0.3**2) / 2)
    assert curve["variance"][0] > 0
    assert curve["milliseconds"] > 0
    assert not report["training"]["gumbel_softmax"]["unbiased"]
    for picture in ("training.png", "comparison.png"):
        assert_drawn(tmp_path / "a" / picture)
    # What is beside an estimator does not matter to its numbers.
    for name, seed in (("nvil", 5), ("gumbel_softmax", 6)):
        options = ("--estimators", name, "--target", "0.3", "--seed", str(seed))
        again = run(tmp_path / "a", *options)
        same = untimed(again, name) == untimed(report, name)
        assert same == (seed == 5)


def assert_drawn(path):
    image = pytest.importorskip("matplotlib.image")
    pixels = image.imread(path)
    assert min(pixels.shape[:2]) > 300
    assert len(np.unique(pixels.reshape(-1, 4), axis=0)) > 50


@pytest.mark.full
def test_training_lowers_the_cost_and_a_zero_variance_is_drawn(tmp_path):
    small = ["--steps", "300", "--every", "100", "--draws", "40"]
    small += ["--max-draws", "40"]
    report = run(tmp_path, "--estimators", "exact", "arm", "vimco", small=small)
    exact = report["training"]["exact"]
    assert exact["cost"][-1] < exact["cost"][0] - 0.02
    assert max(exact["variance"]) < 1e-12
    assert report["training"]["arm"]["cost"][-1] < exact["cost"][0] - 0.02


@pytest.mark.full
def test_quadratic_has_its_number_of_variables(tmp_path):
    report = run(
        tmp_path,
        *("--variables", "30", "--estimators", "rloo"),
        problem="quadratic",
    )
    assert report["comparison"]["settings"]["shape"] == [1, 30]
    (row,) = report["comparison"]["rows"]
    assert row["bias_detected"] is False and row["variance"] > 0
    assert report["comparison"]["reference"].endswith("draws of rloo")
    assert report["training"]["rloo"]["cost"][0] == pytest.approx(
        (0.499**2 + 0.501**2) / 2
    )


@pytest.mark.full
def test_vae(tmp_path):
    pytest.importorskip("sklearn")
    report = run(tmp_path, "--estimators", "rebar", problem="vae")
    cost = report["training"]["rebar"]["cost"]
    assert 40 < cost[0] < 50 and cost[-1] < cost[0]
    assert report["comparison"]["settings"]["shape"] == [20, 20]


@pytest.mark.full
def test_an_estimator_that_fails_is_reported(tmp_path, monkeypatch, capsys):
    def fail(*args, **kwargs):
        raise ValueError("no such luck")

    monkeypatch.setattr(tg.estimators.RLOO, "estimate", fail)
    report = run(tmp_path, "--estimators", "rloo", "arm")
    assert "no such luck" in report["training"]["rloo"]["note"]
    assert report["comparison"]["rows"][0]["failed"]
    assert "rloo: no such luck" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["toys"], "invalid choice: 'toys'"),
        (["toy", "--estimators", "reinforced"], "invalid choice: 'reinforced'"),
        (["toy", "--variables", "3"], "--variables is an option of quadratic"),
        (["vae", "--target", "0.3"], "--target is an option of toy"),
        (["toy", "--steps", "0"], "at least 1, not 0"),
        (["toy", "--draws", "1"], "at least 2, not 1"),
        (["toy", "--draws", "many"], "at least 2, not many"),
        (["toy", "--target", "nan"], "must be a finite number, not nan"),
        (["toy", "--train-steps", "-1"], "at least 0, not -1"),
        (["toy", "--max-draws", "9"], "at least --draws, which is 10000"),
        (
            ["toy", "--estimators", "rloo", "arm", "rloo"],
            "--estimators names rloo more than once",
        ),
        ([], "PROBLEM"),
    ],
)
def test_bad_arguments(arguments, message, capsys, monkeypatch):
    monkeypatch.setattr(command, "_compare", None)  # No work is begun.
    with pytest.raises(SystemExit, match="2"):
        main(["compare", *arguments])
    assert message in capsys.readouterr().err


def refused(arguments, capsys, monkeypatch):
    monkeypatch.setattr(command, "_compare", None)
    with pytest.raises(SystemExit, match="2"):
        main(["compare", "toy", *arguments])
    return capsys.readouterr().err


def test_a_folder_that_cannot_be_written(tmp_path, capsys, monkeypatch):
    taken = tmp_path / "file"
    taken.write_text("")
    for out in (taken, taken / "below"):
        error = refused(["--out", str(out)], capsys, monkeypatch)
        assert f"--out {out} cannot be written" in error


def test_without_matplotlib_nothing_is_begun(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "_installed", lambda name: name == "sklearn")
    out = tmp_path / "out"
    error = refused(["--out", str(out)], capsys, monkeypatch)
    assert "pip install matplotlib" in error and not out.exists()


def test_without_its_data_the_vae_is_not_begun(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "_compare", None)
    monkeypatch.setattr(command, "_installed", lambda name: name != "sklearn")
    with pytest.raises(SystemExit, match="2"):
        main(["compare", "vae", "--out", str(tmp_path)])
    assert "pip install scikit-learn" in capsys.readouterr().err


def interrupt_after(monkeypatch, count):
    """Ctrl-C in the training run after so many."""
    train, done = training.train, []

    def interrupted(*arguments, **options):
        if len(done) == count:
            raise KeyboardInterrupt
        done.append(train(*arguments, **options))
        return done[-1]

    monkeypatch.setattr(training, "train", interrupted)


@pytest.mark.full
@pytest.mark.parametrize("count", [0, 1])
def test_ctrl_c_keeps_what_is_finished(tmp_path, monkeypatch, capsys, count):
    interrupt_after(monkeypatch, count)
    names = ["--estimators", "rloo", "arm"]
    out = ["--out", str(tmp_path), "--quiet"]
    assert main(["compare", "toy", *SMALL, *out, *names]) == 130
    report = json.loads((tmp_path / "results.json").read_text())
    assert list(report["training"]) == ["rloo"][:count]
    assert len(report["comparison"]["rows"]) == 2
    assert (tmp_path / "training.png").exists() == bool(count)
    assert "what is finished is written" in capsys.readouterr().out


def test_ctrl_c_before_anything_is_finished(tmp_path, monkeypatch, capsys):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_compare", interrupted)
    out = ["--out", str(tmp_path), "--quiet"]
    assert main(["compare", "toy", *SMALL, *out]) == 130
    assert "nothing is written" in capsys.readouterr().out


@pytest.mark.full
def test_the_time_left_is_said(tmp_path, capsys):
    out = ["--out", str(tmp_path), "--estimators", "rloo", "arm"]
    assert main(["compare", "toy", *SMALL, *out]) == 0
    printed = capsys.readouterr().out
    assert "Training with rloo (1 of 2)" in printed
    assert "Training with arm (2 of 2; a minute or less left for all" in printed
    assert "Measuring rloo, arm" in printed
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    assert "vae\nten" in capsys.readouterr().out


def test_the_time_left_is_that_of_the_ones_to_come(monkeypatch):
    times = iter([0.0, 0.0, 600.0, 1200.0])
    monkeypatch.setattr(command.time, "monotonic", lambda: next(times))
    left = [text for _, text in command._with_time_left(["a", "b", "c"])]
    assert left == ["", "; 20 min left for all", "; 10 min left for all"]


@pytest.mark.parametrize(
    ("problem", "variables"), [("toy", 1), ("quadratic", 200)]
)
def test_what_a_problem_says_reaches_the_comparison(
    problem, variables, monkeypatch, tmp_path
):
    given = []

    def compared(*arguments, **options):
        given.extend([arguments, options])
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "compare", compared)
    main(["compare", problem, "--out", str(tmp_path)])
    (_, logits, *_), options = given
    made = problems.Quadratic(variables, 0.499)
    assert logits.shape[-1] == variables
    assert options["learning_rate"] == made.frozen_rate
    assert options["train_steps"] == made.train_steps


def test_help_explains_everything(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["compare", "--help"])
    text = capsys.readouterr().out
    for word in (
        *("toy", "quadratic", "vae", "training.png", "results.json"),
        *("--estimators", "--target", "--variables", "--steps", "--every"),
        *("--draws", "--train-steps", "--seed", "--out", "--quiet"),
        *tg.estimators.available("bernoulli"),
    ):
        assert word in text
    assert main([]) == 0
    assert "compare" in capsys.readouterr().out


@pytest.mark.full
def test_python_m_tfgumbel(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "tfgumbel", "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert "python -m tfgumbel compare --help" in result.stdout
    assert not result.stderr  # No line of TensorFlow's start.


@pytest.mark.parametrize(
    ("first", "command", "expected"),
    [
        ("-m", "-m tfgumbel compare", True),
        ("-m", "-m other", False),  # a package that imports this one
        ("pytest", "-m pytest -m tfgumbel", False),
    ],
)
def test_only_the_own_command_line_hides_the_start(
    first, command, expected, monkeypatch
):
    monkeypatch.setattr(sys, "argv", [first])
    monkeypatch.setattr(sys, "orig_argv", ["python", *command.split()])
    assert _startup._is_command_line() == expected


def test_without_a_standard_error_there_is_nothing_to_hide(monkeypatch):
    def missing(number):
        raise OSError

    monkeypatch.setattr(os, "dup", missing)
    with pytest.raises(ImportError), _startup._without_standard_error():
        raise ImportError


def test_lines_of_the_start_are_shown_after_an_error(capfd):
    with _startup._without_standard_error():
        os.write(2, b"hidden")
    with (
        pytest.raises(ImportError),
        _startup._without_standard_error(),
    ):
        os.write(2, b"shown")
        raise ImportError
    assert capfd.readouterr().err == "shown"
