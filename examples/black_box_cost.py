"""Learning to spell from the marks of a grader that shows no answers.

A network looks at a handwritten digit and writes its English name, letter by
letter: five slots, each one of sixteen characters (a blank among them), so
that there are 16^5, a million, words to choose from. Nobody tells it the
letters. All it gets for a word is a mark: the edit distance to the right one,
the number of letters to insert, delete or replace, by a plain Python function.

    E_{z~q(.|x)}[distance(word(z), right word)]

is smooth in the logits of q, while the distance has no derivative: it enters
the graph by `tf.numpy_function`, and might as well be a compiler, a game or a
person. Estimators which go *through* the sample (`st`, `gumbel_softmax`, and
control variates made of them, as in `rebar`) need that derivative; the
package refuses them, by name, rather than train on a zero. Those which need
the *value* alone, the score function (`reinforce`, and with baselines `nvil`
and `rloo`), learn. `ExpectedCost` makes it a matter of one word.

An early success makes a policy repeat itself, and what it never writes it
cannot learn. A `CategoricalKL` to the uniform distribution keeps it guessing,
with a weight that falls to nothing in the course of the run.

Beside them stands a network that is shown the letters and trained by
cross-entropy: what a teacher is worth.

    python examples/black_box_cost.py --out spelling-out

Reference:
    Williams. Simple statistical gradient-following algorithms for
    connectionist reinforcement learning. Machine Learning 1992.
"""

from __future__ import annotations

import argparse
import functools
import os
import pathlib
import re
import time
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from _arguments import Parser, integer, number, positive
from sklearn.datasets import load_digits

import tfgumbel as tg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

WORDS = "zero one two three four five six seven eight nine".split()
BLANK = " "
LETTERS = BLANK + "".join(sorted(set("".join(WORDS))))
SLOTS = max(map(len, WORDS))

# With their options.
ESTIMATORS: dict[str, dict] = {
    "st": {},
    "gumbel_softmax": {},
    "rebar": {},
    "reinforce": {},
    "nvil": {},
    "rloo": {"samples": 4},
}
GRADIENTS = (*ESTIMATORS, "taught")


class Digits(NamedTuple):
    """Pixels `[N, 64]`, grey levels in [0, 1], and their digits `[N]`."""

    pixels: np.ndarray
    labels: np.ndarray


class Score(NamedTuple):
    """On the test digits, of the most likely letters."""

    distance: float
    right: float


def main(argv: list[str] | None = None) -> dict[str, Score | None]:
    """Trains with every estimator that can; returns the test scores."""
    args = parse(argv)
    train, test = load_data()
    args.out.mkdir(parents=True, exist_ok=True)
    scores: dict[str, Score | None] = {}
    diaries: dict[str, Diary] = {}
    print(f"{'gradient':16}{'distance':>10}{'right words':>13}{'seconds':>9}")
    for name in args.gradients:
        keras.utils.set_random_seed(args.seed)
        speller = make_speller(args.hidden)
        diary = Diary(speller, test)
        start = time.process_time()
        try:
            fit(name, speller, train, args, diary)
        except ValueError as error:
            scores[name] = None
            print(f"{name:16}{reason(error)}")
            continue
        seconds = time.process_time() - start
        scores[name], diaries[name] = diary.scores[-1], diary
        distance, right = diary.scores[-1]
        print(f"{name:16}{distance:>10.2f}{right:>13.1%}{seconds:>9.0f}")
    if diaries:
        plot(args.out / "spelling.png", diaries)
        print(f"Wrote {args.out / 'spelling.png'}")
    return scores


def load_data() -> tuple[Digits, Digits]:
    """Training digits, and 300 for the test."""
    digits = load_digits()
    pixels = digits.data.astype("float32") / 16.0
    order = np.random.default_rng(0).permutation(len(pixels))
    data = Digits(pixels, digits.target.astype("int32"))
    train, test = (
        Digits(*(part[rows] for part in data))
        for rows in (order[300:], order[:300])
    )
    return train, test


# The black box ------------------------------------------------------------


@functools.cache
def edit_distance(word: str, other: str) -> int:
    """Fewest insertions, deletions and replacements between two words."""
    row = list(range(len(other) + 1))
    for i, letter in enumerate(word, start=1):
        previous, row = row, [i]
        for j, another in enumerate(other, start=1):
            replace = previous[j - 1] + (letter != another)
            row.append(min(replace, previous[j] + 1, row[-1] + 1))
    return row[-1]


def read(letters: np.ndarray) -> list[str]:
    """Words from letter numbers `[N, 5]`; blanks are left out."""
    return [
        "".join(LETTERS[i] for i in row).replace(BLANK, "") for row in letters
    ]


def grade(letters: np.ndarray, digits: np.ndarray) -> np.ndarray:
    """The edit distances `[N]` of what was written to what is right."""
    words = zip(read(letters), digits, strict=True)
    return np.array(
        [edit_distance(word, WORDS[digit]) for word, digit in words], "float32"
    )


def cost(z: tf.Tensor, pixels: tf.Tensor, digits: tf.Tensor) -> tf.Tensor:
    """Marks of the one-hot letters `[N, 5, 16]`; no gradient comes back.

    Nothing is made of the pixels: `ExpectedCost` shows its first context to
    the learned baseline of `nvil`, and this one is for it.
    """
    letters = tf.argmax(z, axis=-1)
    marks = tf.numpy_function(grade, [letters, digits], tf.float32)
    return tf.ensure_shape(marks, z.shape[:1])


# Training -----------------------------------------------------------------


def make_speller(hidden: int) -> keras.Model:
    """From pixels to the logits of five letters, `[B, 5, 16]`."""
    return keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(hidden, activation="relu"),
            keras.layers.Dense(SLOTS * len(LETTERS)),
            keras.layers.Reshape((SLOTS, len(LETTERS))),
        ],
        name="speller",
    )


def fit(
    name: str,
    speller: keras.Model,
    train: Digits,
    args: argparse.Namespace,
    diary: Diary,
) -> None:
    """Trains the speller on marks, or `"taught"`, on the letters."""
    x: Any
    if name == "taught":
        model, x, y = speller, train.pixels, spelled(train.labels)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    else:
        model, x = make_graded(speller, name), tuple(train)
        y, loss = np.zeros(len(train.labels)), tg.losses.MeanCost()
    steps = args.epochs * -(-len(train.labels) // 50)
    explore = tg.TemperatureScheduler(
        lambda step: args.exploration * (1.0 - step / steps),
        attribute="weight",
    )
    callbacks = [diary] if name == "taught" else [explore, diary]
    # XLA cannot compile a call of Python.
    model.compile(
        keras.optimizers.Adam(args.learning_rate), loss, jit_compile=False
    )
    model.fit(
        x,
        y,
        batch_size=50,
        epochs=args.epochs,
        callbacks=callbacks,
        verbose=args.verbose,
    )


def make_graded(speller: keras.Model, name: str) -> keras.Model:
    """From pixels and digit to the mark; the digit goes to the grader only."""
    pixels, digit = keras.Input((64,)), keras.Input((), dtype="int32")
    logits = tg.CategoricalKL()(speller(pixels))
    estimator = tg.estimators.get(name, **ESTIMATORS[name])
    marks = tg.ExpectedCost(cost, estimator)(logits, pixels, digit)
    return keras.Model((pixels, digit), marks)


def spelled(labels: np.ndarray) -> np.ndarray:
    """The letters of the right words, `[N, 5]`."""
    table = [[LETTERS.index(c) for c in word.ljust(SLOTS)] for word in WORDS]
    return np.array(table)[labels]


class Diary(keras.callbacks.Callback):
    """Keeps, for every epoch, the test score and one word of each digit."""

    def __init__(self, speller: keras.Model, test: Digits) -> None:
        super().__init__()
        self.speller, self.test = speller, test
        self.scores: list[Score] = []
        self.words: list[list[str]] = []

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        letters = np.argmax(self.speller(self.test.pixels), axis=-1)
        marks = grade(letters, self.test.labels)
        self.scores.append(
            Score(float(marks.mean()), float(np.mean(marks == 0)))
        )
        firsts = [np.flatnonzero(self.test.labels == d)[0] for d in range(10)]
        self.words.append(read(letters[firsts]))


def reason(error: ValueError) -> str:
    """Why an estimator was refused, from a longer message."""
    found = re.search(r"needs the gradient of the cost", str(error))
    if found is None:
        raise error
    return f"refused: it {found[0]}"


# Picture ------------------------------------------------------------------


def plot(path: pathlib.Path, diaries: dict[str, Diary]) -> None:
    """Edit distance by epoch; beside it the words, as the best learned them."""
    figure, (curves, table) = plt.subplots(
        1, 2, figsize=(10, 4), width_ratios=(1.1, 1), layout="constrained"
    )
    for name, diary in diaries.items():
        epochs = np.arange(len(diary.scores)) + 1
        distances = [score.distance for score in diary.scores]
        style = "--" if name == "taught" else "-"
        curves.plot(epochs, distances, style, label=name)
    curves.set(xlabel="epoch", ylabel="edit distance, test digits")
    curves.set(ylim=(0, None), xscale="log")
    curves.legend()

    graded = [name for name in diaries if name != "taught"] or ["taught"]
    best = min(graded, key=lambda name: diaries[name].scores[-1].distance)
    words = diaries[best].words
    last = len(words)
    shown = sorted(
        {max(1, round(last**share)) for share in (0, 0.4, 0.6, 0.8, 1)}
    )
    cells = [
        [words[epoch - 1][digit] for epoch in shown] for digit in range(10)
    ]
    table.axis("off")
    drawn = table.table(
        cells,
        rowLabels=[f" {digit} " for digit in range(10)],
        colLabels=[f"epoch {epoch}" for epoch in shown],
        cellLoc="center",
        loc="center",
    )
    drawn.scale(1, 1.4)
    table.set_title(f"what `{best}` writes for one test image of each digit")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "Spelling digits by the marks of a black box.",
        out="spelling-out",
        verbose=0,
    )
    add = parser.add_argument
    add(
        "--gradients",
        nargs="+",
        choices=GRADIENTS,
        default=list(GRADIENTS),
        help="gradients to train with; the words shown are those of the best",
    )
    add("--epochs", type=integer(), default=100, help="passes over the data")
    help = "weight at the start of the divergence from guessing"
    add("--exploration", type=number(), default=0.1, help=help)
    help = "units of the hidden layer"
    add("--hidden", type=integer(), default=128, help=help)
    help = "learning rate of Adam"
    add("--learning-rate", type=positive, default=3e-3, help=help)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
