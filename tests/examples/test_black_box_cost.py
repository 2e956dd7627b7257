"""The score function learns to spell; what needs a derivative is refused."""

import numpy as np
import pytest

from tests.examples.loading import load

black_box_cost = load("black_box_cost")
pytestmark = pytest.mark.usefixtures("without_xla")


@pytest.mark.parametrize(
    ("word", "other", "distance"),
    [
        ("seven", "seven", 0),
        ("", "nine", 4),
        ("sevn", "seven", 1),
        ("oen", "one", 2),
        ("kitten", "sitting", 3),
    ],
)
def test_edit_distance(word, other, distance):
    assert black_box_cost.edit_distance(word, other) == distance
    assert black_box_cost.edit_distance(other, word) == distance


def test_right_letters_are_graded_zero():
    labels = np.arange(10)
    letters = black_box_cost.spelled(labels)
    assert black_box_cost.read(letters) == list(black_box_cost.WORDS)
    assert not black_box_cost.grade(letters, labels).any()
    assert black_box_cost.grade(letters, np.roll(labels, 1)).all()


def test_cost_is_the_grade_of_the_letters_drawn():
    letters = np.random.default_rng(0).integers(16, size=(10, 5))
    z = np.eye(16, dtype="float32")[letters]
    digits = np.arange(10, dtype="int32")
    marks = black_box_cost.cost(z, None, digits)
    np.testing.assert_array_equal(marks, black_box_cost.grade(letters, digits))


@pytest.mark.slow
def test_only_the_score_function_learns(tmp_path, capsys):
    scores = black_box_cost.main(
        [
            f"--out={tmp_path}",
            "--gradients",
            "st",
            "rloo",
            "taught",
            "--epochs=5",
            "--hidden=64",
        ]
    )
    assert list(scores) == ["st", "rloo", "taught"]
    assert scores["st"] is None
    assert "refused: it needs the gradient" in capsys.readouterr().out
    # The empty word is 4 letters from a word on the average.
    assert scores["rloo"].distance < 3.0
    assert scores["taught"].distance < scores["rloo"].distance
    assert (tmp_path / "spelling.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", ["st", "gumbel_softmax", "rebar"])
def test_what_needs_a_derivative_is_refused(name):
    model = black_box_cost.make_graded(black_box_cost.make_speller(4), name)
    pixels, digits = np.zeros((2, 64), "float32"), np.zeros(2, "int32")
    with pytest.raises(ValueError) as refusal:
        model((pixels, digits), training=True)
    assert black_box_cost.reason(refusal.value).startswith("refused: it needs")


def test_other_errors_pass():
    with pytest.raises(ValueError, match="another"):
        black_box_cost.reason(ValueError("another"))
