"""Python's own riddle, solved by gradient descent on a discrete key.

The standard library holds a text in cipher: `this.s`, each letter of which
stands for another one. A key is 26 categorical variables of 26 classes: what
each letter of the cipher means. Nothing is known of it but that the text is
English, and English is learned from another text that comes with Python,
`pydoc_data.topics`: how often each letter follows each other one.

A key z, one-hot rows, turns the counts C of pairs of letters in the cipher into
those of the clear text, zᵀ C z, and

    f(z) = -Σ (zᵀ C z) ∘ log P / N  +  λ Σ_j (Σ_i z_ij - 1)²,

is the cost of a letter in nats under the model of English, with a penalty for
keys that give one meaning to two letters. Descending E_{z~q}[f(z)] in the
logits of q is a search over keys: wide at first, since q is, and ever narrower.
Many searches run side by side, as a batch; the cheapest key wins. The solution
is used for nothing but to count the letters that came out right, and the
searches that solve the riddle, with 19 letters in 20.

With the default settings Gumbel-softmax and its straight-through form solve it
in some of the searches. ReinMax, which is not annealed, commits itself too
soon. The score function (`rloo`) needs no derivative of f, but many values of
it a step, and gets stuck. It must be said that no gradient is needed here:
swapping two letters of a key at random, and keeping what is cheaper, solves
more, if with many times the evaluations of f for a search. The cheapest key of
Gumbel-softmax takes z for j: "the jen of
python" is likelier than the truth, in the English of a manual.

This is the estimators' plain contract, without Keras: `estimator(cost, logits,
seed)` is the cost per example, and its gradient is the estimate.

    python examples/cipher.py --out cipher-out
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import pathlib
import pydoc_data.topics
import re
import time
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from _arguments import Parser, integer, number, positive

import tfgumbel as tg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SPACE = 26
ALPHABET = "abcdefghijklmnopqrstuvwxyz "
# Evaluations of f for one step of one search.
EVALUATIONS = {
    "gumbel_softmax": 1,
    "st_gumbel": 1,
    "reinmax": 1,
    "rloo": 16,
    "swaps": 1,
}

ANNEALED = ("gumbel_softmax", "st_gumbel")


class Search(NamedTuple):
    """Keys `[B, 26]` in the end, their costs `[B]`; the way of the cheapest.

    The way is made of steps, the costs of the best keys, and those keys.
    """

    keys: np.ndarray
    costs: np.ndarray
    way: list[tuple[int, float, np.ndarray]]


class Score(NamedTuple):
    """Of the cheapest key; and how many of the searches read the riddle."""

    cost: float
    right: float
    solved: int


def main(argv: list[str] | None = None) -> dict[str, Score]:
    """Searches in every way; returns the scores."""
    args = parse(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    cipher = numbers(riddle())
    cost = make_cost(cipher, numbers(english()), args.penalty)
    truth = float(cost(one_hot(solution()))[0])
    print(f"The right key costs {truth:.3f} nats a letter.")
    print(
        f"{'search':16}{'evaluations':>12}{'best key':>10}"
        f"{'right letters':>15}{'solved':>10}{'seconds':>9}"
    )
    found, scores = {}, {}
    for name in args.searches:
        start = time.process_time()
        search = climb if name == "swaps" else descend
        found[name] = search(name, cost, args)
        seconds = time.process_time() - start
        scores[name] = score(found[name], cipher)
        best, right, solved = scores[name]
        calls = EVALUATIONS[name] * found[name].way[-1][0]
        print(
            f"{name:16}{calls:>12}{best:>10.3f}{right:>15.1%}"
            f"{solved:>5} of {args.keys}{seconds:>9.0f}"
        )
    lines = story(found[args.searches[0]], cipher)
    print(*lines, sep="\n")
    plot(args.out / "cipher.png", found, truth, lines)
    print(f"Wrote {args.out / 'cipher.png'}")
    return scores


# Text ---------------------------------------------------------------------


def riddle() -> str:
    """The text in cipher. The module prints its solution: not here."""
    with contextlib.redirect_stdout(io.StringIO()):
        import this
    return this.s


def english() -> str:
    """What `help()` knows of the language: half a million letters."""
    return "\n".join(pydoc_data.topics.topics.values())


def numbers(text: str) -> np.ndarray:
    """Letters as 0 to 25; whatever lies between words as one space, 26."""
    words = re.sub(r"[^a-z]+", " ", text.lower().replace("'", ""))
    return np.array([ALPHABET.index(c) for c in words.strip()])


def pairs(text: np.ndarray) -> np.ndarray:
    """How often each letter follows each, `[27, 27]`."""
    counts = np.zeros((27, 27))
    np.add.at(counts, (text[:-1], text[1:]), 1.0)
    return counts


def decode(key: np.ndarray, cipher: np.ndarray) -> np.ndarray:
    """The text that a key `[26]` makes of the cipher."""
    return np.append(key, SPACE)[cipher]


def written(text: np.ndarray) -> str:
    return "".join(ALPHABET[i] for i in text)


def solution() -> np.ndarray:
    """The right key, to compare with: each letter 13 places on."""
    return (np.arange(26) + 13) % 26


# Search -------------------------------------------------------------------


def one_hot(keys: np.ndarray) -> tf.Tensor:
    """Keys `[26]` or `[B, 26]` as `[B, 26, 26]`."""
    return tf.one_hot(np.reshape(keys, (-1, 26)), 26)


def make_cost(cipher: np.ndarray, english: np.ndarray, penalty: float):
    """f of one-hot keys `[B, 26, 26]`, in nats a letter, `[B]`."""
    counts = pairs(cipher)
    counts = tf.constant(counts / counts.sum(), tf.float32)
    table = pairs(english) + 1.0
    table = np.log(table / table.sum(axis=1, keepdims=True))
    table = tf.constant(table, tf.float32)

    @tf.function
    def cost(z):
        # The space is known, and stands for itself.
        padded = tf.pad(z, [[0, 0], [0, 1], [0, 1]])
        padded += tf.linalg.diag(tf.one_hot(SPACE, 27))
        clear = tf.matmul(padded, counts @ padded, transpose_a=True)
        likelihood = tf.reduce_sum(clear * table, axis=[1, 2])
        uses = tf.reduce_sum(z, axis=1)
        return penalty * tf.reduce_sum((uses - 1.0) ** 2, axis=1) - likelihood

    return cost


def descend(name: str, cost, args: argparse.Namespace) -> Search:
    """Descends E f, from many starts at once."""
    keras.utils.set_random_seed(args.seed)
    samples = EVALUATIONS[name]
    estimator = tg.estimators.get(name, samples=samples)
    shape = (args.keys, 26, 26)
    start = np.random.default_rng(args.seed).normal(scale=0.1, size=shape)
    logits = tf.Variable(start, dtype=tf.float32)
    optimizer = keras.optimizers.Adam(args.learning_rate)
    optimizer.build([logits])

    @tf.function
    def update(step):
        with tf.GradientTape() as tape:
            costs = estimator(cost, logits, tf.stack([args.seed, step]))
            total = tf.reduce_sum(costs)
        optimizer.apply([tape.gradient(total, logits)], [logits])

    way = []
    for step in range(args.steps + 1):
        if step % args.every == 0 or step == args.steps:
            keys = np.argmax(logits, axis=-1)
            costs = np.array(cost(one_hot(keys)))
            way.append((step, costs.min(), keys[np.argmin(costs)]))
        if name in ANNEALED:
            share = step / args.steps
            estimator.temperature = args.minimum_temperature**share
        update(tf.constant(step))
    return Search(keys, costs, way)


def climb(name: str, cost, args: argparse.Namespace) -> Search:
    """Swaps two letters of a key, and keeps the new one if it is cheaper."""
    random = np.random.default_rng(args.seed)
    keys = random.permuted(np.tile(np.arange(26), (args.keys, 1)), axis=1)
    costs = np.array(cost(one_hot(keys)))
    rows, way = np.arange(args.keys), []
    for step in range(args.swaps + 1):
        if step % args.every == 0 or step == args.swaps:
            way.append((step, costs.min(), keys[np.argmin(costs)]))
        one, other = random.integers(26, size=(2, args.keys))
        swapped = keys.copy()
        swapped[rows, one], swapped[rows, other] = (
            keys[rows, other],
            keys[rows, one],
        )
        new = np.array(cost(one_hot(swapped)))
        keys = np.where((new < costs)[:, None], swapped, keys)
        costs = np.minimum(new, costs)
    return Search(keys, costs, way)


# Results ------------------------------------------------------------------


def score(found: Search, cipher: np.ndarray) -> Score:
    """A riddle of which 19 letters in 20 are right is read."""
    clear = decode(solution(), cipher)
    right = [np.mean(decode(key, cipher) == clear) for key in found.keys]
    best = np.argmin(found.costs)
    solved = np.sum(np.array(right) > 0.95)
    return Score(float(found.costs[best]), float(right[best]), int(solved))


def story(found: Search, cipher: np.ndarray) -> list[str]:
    """What the best key makes of the first line, step by step."""
    shown = [way for way in found.way if way[0] <= 600]
    return [
        f"step {step:>5}  {written(decode(key, cipher))[:60]}"
        for step, _, key in shown[:: max(1, len(shown) // 8)]
    ]


# Picture ------------------------------------------------------------------


def plot(
    path: pathlib.Path,
    found: dict[str, Search],
    truth: float,
    lines: list[str],
) -> None:
    """Cost of the best key by evaluations; below, what it reads."""
    figure, (curves, page) = plt.subplots(
        2, 1, figsize=(7.5, 5.4), height_ratios=(1.9, 1), layout="constrained"
    )
    for name, search in found.items():
        calls = [EVALUATIONS[name] * step for step, *_ in search.way]
        costs = [cost for _, cost, _ in search.way]
        curves.plot(calls[1:], costs[1:], label=name)
    curves.axhline(truth, color="0.5", ls="--", label="the right key")
    curves.set(xscale="log", xlabel="evaluations of f, each search")
    curves.set(ylabel="best key, nats a letter")
    curves.legend()
    page.text(0, 1, "\n".join(lines), family="monospace", fontsize=9, va="top")
    page.axis("off")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "A substitution cipher, broken by gradient descent.", out="cipher-out"
    )
    add = parser.add_argument
    add(
        "--searches",
        nargs="+",
        choices=EVALUATIONS,
        default=list(EVALUATIONS),
        help="ways to search; the first one tells its story",
    )
    add("--keys", type=integer(), default=64, help="keys searched side by side")
    add("--steps", type=integer(), default=1000, help="steps of descent")
    add(
        "--swaps",
        type=integer(),
        default=8000,
        help="swaps tried in a search by swaps",
    )
    add("--every", type=integer(), default=25, help="steps between records")
    help = "learning rate of Adam"
    add("--learning-rate", type=positive, default=0.05, help=help)
    help = "λ, what two letters of one meaning cost"
    add("--penalty", type=number(), default=0.05, help=help)
    help = "temperature at the end of an annealed search, from 1"
    add("--minimum-temperature", type=positive, default=0.2, help=help)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
