"""The cost counts faults, and a writer is trained to make fewer."""

import keras
import numpy as np
import pytest

from tests.examples.loading import load

decoding = load("decoding")
pytestmark = pytest.mark.usefixtures("without_xla")

TINY = ["--hidden=16", "--length=8", "--prompts=64", "--batch-size=32"]


def letters(text):
    return np.array([decoding.ALPHABET.index(c) for c in text])


def one_hot(text):
    return np.eye(27, dtype="float32")[letters(text)][None]


@pytest.fixture(scope="module")
def cost():
    text = letters("the cat sat on the mat and that was that")
    return decoding.Cost(text, curiosity=0.5)


@pytest.fixture
def writer():
    keras.utils.set_random_seed(0)
    return decoding.Writer(16)


def test_four_letters_that_do_not_occur_are_faults(cost):
    found = cost.faults(one_hot("the"), one_hot(" catxsat o"))
    np.testing.assert_allclose(
        found, [[0, 0, 0, 0, 1, 1, 1, 1, 0, 0]], atol=1e-6
    )


def test_four_letters_that_occur_too_rarely_are_faults():
    cost = decoding.Cost(letters("that and that"), 0.0, often=2)
    found = cost.faults(one_hot("tha"), one_hot("t and"))
    np.testing.assert_allclose(found, [[0, 1, 1, 1, 1]], atol=1e-6)


def test_six_letters_that_were_written_before_are_faults(cost):
    found = cost.faults(one_hot("the"), one_hot(" cat sat the cat"))
    known = cost.known(one_hot("the cat sat the cat"))
    again = np.zeros(16)
    again[-2:] = 1  # "the ca" and "he cat"
    np.testing.assert_allclose(found, 1 - known + again, atol=1e-6)


def test_certainty_is_a_cost_with_a_weight(cost):
    written = np.concatenate(
        [one_hot(" cat"), [[[-1.0], [-2.0], [0.0], [0.0]]]], axis=-1
    )
    found = cost.call(one_hot("the"), written.astype("float32"))
    np.testing.assert_allclose(found, [[-0.5, -1.0, 0, 0]], atol=1e-6)


@pytest.mark.parametrize(
    ("credit", "expected"),
    [("to_go", [2.5, 3, 3.5, 4]), ("example", [2.5] * 4)],
)
def test_what_greedy_letters_cost_per_step(credit, expected):
    class Told:
        def faults(self, before, letters):
            return before

    known = decoding.Known(Told(), credit)
    costs = np.array([[1.0, 2.0, 3.0, 4.0]], "float32")
    np.testing.assert_allclose(known(costs, costs), [expected])


@pytest.mark.exhaustive
@pytest.mark.parametrize("way", ["scst", "gumbel_softmax"])
def test_a_writer_learns_to_write_what_is_known(way, writer):
    """Of a text of one letter alone, from untrained weights."""
    options = ["--passes=12", "--learning-rate=0.02", "--curiosity=0"]
    args = decoding.parse([*TINY, *options])
    cost = decoding.Cost(letters("a" * 20), args.curiosity)
    cost.again = lambda letters: 0.0
    prompts = np.zeros((64, decoding.READ), int)
    model = decoding.continuation(writer, way, cost, args)
    costs = decoding.fit(model, cost, prompts, prompts, args)
    assert costs[0] > 0.9 and costs[-1] < 0.5
    assert decoding.write(model, prompts).shape == (64, 3 + 8)


@pytest.mark.exhaustive
def test_a_short_run(tmp_path, capsys):
    scores = decoding.main(
        [
            f"--out={tmp_path}",
            *TINY,
            "--epochs=1",
            "--passes=1",
            "--gradients=2",
            "--ways",
            "scst",
        ]
    )
    assert list(scores) == ["the text", "before", "scst"]
    assert scores["the text"].cost < 0.2 < scores["before"].cost
    printed = capsys.readouterr().out
    assert "to_go" in printed and f"{scores['scst'].cost:.3f}" in printed
    assert (tmp_path / "decoding.png").stat().st_size > 10_000
