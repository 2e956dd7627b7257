"""What all benchmarks share: commands, files, tables, targets."""

import pytest

from benchmarks import _runner, _training


@pytest.fixture
def parser():
    return _training.parser("example", "Text.", ["a", "b"], 10, 5)


def test_a_command_says_what_differs_from_the_defaults(parser):
    given = ["--estimators", "b", "--no-xla", "--seeds", "0", "1"]
    here = ["--mnist", "/here/mnist.npz", "--out", "/here/out.json"]
    options = _runner.parse(parser, [*given, *here, "--steps", "10"])
    expected = "--estimators b --seeds 0 1 --no-xla"
    assert options.command == f"python -m benchmarks.example {expected}"
    again = _runner.parse(parser, given)
    assert again.command == options.command


@pytest.mark.parametrize(
    ("arguments", "name"),
    [([], "layers.json"), (["--device", "GPU:0"], "layers_gpu.json")],
)
def test_a_gpu_has_a_file_of_its_own(arguments, name):
    parser = _runner.parser("layers", "Text.", device=True)
    assert _runner.parse(parser, arguments).out == _runner.RESULTS / name


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "results" / "out.json"
    assert _runner.read(path, {"rows": []}) == {"rows": []}
    _runner.write(path, {"rows": [1]})
    assert _runner.read(path, {}) == {"rows": [1]}
    assert list(path.parent.iterdir()) == [path]


def test_a_target_is_an_upper_or_a_lower_limit():
    low = _runner.target("speed", 1.4, 1.5, at_least=True, mode="xla")
    assert not low["reached"] and low["mode"] == "xla"
    assert _runner.verdict(low) == (
        "NOT REACHED: speed, 1.4, limit 1.5, mode xla"
    )
    assert _runner.target("memory", 0.7, 0.7)["reached"]


def test_numbers_stand_on_the_right_and_reasons_at_the_end():
    rows = [
        {"name": "one", "ms": 12.34567, "calls": 3},
        {"name": "other", "ms": None, "failed": "more than 1 s"},
    ]
    assert _runner.table(["name", "ms", "calls"], rows).splitlines() == [
        "name      ms  calls",
        "one    12.35      3",
        "other      -      -  more than 1 s",
    ]
