"""The cipher's cost agrees with a plain count, and a short search lowers it."""

import numpy as np
import pytest

from tests.examples.loading import load

cipher = load("cipher")
CLEAR = cipher.numbers("The cat's hat -- and that")


@pytest.fixture(scope="module")
def cost():
    text = cipher.numbers("gur pngf ung naq gung")
    english = cipher.numbers("the cat sat on the mat and that was that")
    return cipher.make_cost(text, english, penalty=0.5)


@pytest.fixture(scope="module")
def plain():
    """The cost of the right key, pair by pair."""
    table = np.ones((27, 27))
    english = cipher.numbers("the cat sat on the mat and that was that")
    for one, next_one in zip(english, english[1:], strict=False):
        table[one, next_one] += 1
    table /= table.sum(axis=1, keepdims=True)
    return -np.mean(np.log(table[CLEAR[:-1], CLEAR[1:]]))


def test_riddle_is_read_with_the_solution(capsys):
    text = cipher.numbers(cipher.riddle())
    read = cipher.written(cipher.decode(cipher.solution(), text))
    assert read.startswith("the zen of python by tim peters beautiful is")
    assert capsys.readouterr().out == ""


def test_cost_is_that_of_the_text_letter_by_letter(cost, plain):
    found = cost(cipher.one_hot(cipher.solution()))
    np.testing.assert_allclose(found, [plain], rtol=1e-5)


def test_two_letters_with_one_meaning_are_fined(cost, plain):
    twice = cipher.solution()
    twice[cipher.ALPHABET.index("z")] = twice[cipher.ALPHABET.index("x")]
    found = cost(cipher.one_hot(np.stack([cipher.solution(), twice])))
    np.testing.assert_allclose(found, [plain, plain + 2 * 0.5], rtol=1e-5)


@pytest.mark.full
@pytest.mark.parametrize(
    "name", ["rloo", pytest.param("swaps", marks=pytest.mark.exhaustive)]
)
def test_searches_lower_the_cost(name, cost):
    options = ["--keys=16", "--steps=60", "--swaps=200", "--every=40"]
    args = cipher.parse([*options, "--learning-rate=0.3"])
    search = cipher.climb if name == "swaps" else cipher.descend
    found = search(name, cost, args)
    np.testing.assert_allclose(
        found.costs, cost(cipher.one_hot(found.keys)), rtol=1e-5
    )
    step, best, key = found.way[-1]
    assert step == (200 if name == "swaps" else 60)
    assert best == found.costs.min()
    random = np.random.default_rng(1)
    keys = random.integers(26, size=(1000, 26))
    if name == "swaps":  # It starts from permutations.
        keys = random.permuted(np.tile(range(26), (1000, 1)), axis=1)
    start = np.array(cost(cipher.one_hot(keys)))
    error = start.std() / np.sqrt(len(found.costs))
    assert found.costs.mean() < start.mean() - 5 * error
    np.testing.assert_array_equal(key, found.keys[np.argmin(found.costs)])
    if name == "swaps":
        np.testing.assert_array_equal(
            np.sort(found.keys), np.tile(range(26), (16, 1))
        )


def test_a_riddle_is_solved_if_nearly_all_letters_are_right():
    text = cipher.numbers(cipher.riddle())
    keys = np.stack([np.arange(26), cipher.solution(), cipher.solution()])
    keys[2][[0, 13]] = keys[2][[13, 0]]  # A and N, which are frequent.
    found = cipher.Search(keys, np.array([3.0, 2.0, 2.5]), [])
    assert cipher.score(found, text) == (2.0, 1.0, 1)


@pytest.mark.slow
def test_a_short_descent_reads_most_of_the_riddle(tmp_path, capsys):
    scores = cipher.main(
        [
            f"--out={tmp_path}",
            "--searches",
            "gumbel_softmax",
            "--keys=32",
            "--steps=600",
        ]
    )
    printed = capsys.readouterr().out
    score = scores["gumbel_softmax"]
    assert score.right > 0.8 and 0 <= score.solved <= 32
    assert f"{score.right:.1%}" in printed
    assert "step   600  " in printed
    assert (tmp_path / "cipher.png").stat().st_size > 10_000
