"""Learning what numbers are worth from nothing but their order.

An example is n images of numbers, each of four digits side by side, and what
is told is which is the largest, the second, and so on: no number, no digit. A
network gives a score to every image, and a sampler draws an order from the
scores, as a matrix P whose row t says which image stands at place t:

- `soft_sort` and `neural_sort`: a `PermutationSampler(hard=False)`. Its P is
  relaxed, a softmax for each place, and the cost is the cross-entropy of the
  right order, -Σ log P[t, right image of t] / n. (This is the MNIST-sort task
  of NeuralSort, by default with digits of 8x8 pixels.)
- `reinforce`: a `ReinforceSampler("permutation")` in a `StochasticModel`. Its
  P is a permutation of the Plackett-Luce distribution of the scores, and the
  cost the share of places that are wrong, which has no derivative.

The network is trained with n = 5 and then sorts 3, 5 and 9 numbers that are
new to it. The table has the share of examples that are in order without a
mistake; guesses have 1/n!. The picture has the scores of new numbers over the
numbers themselves, of which the network was never told.

    python examples/sort_digits.py --out sort-out
    python examples/sort_digits.py --mnist mnist.npz --out sort-mnist

References:
    Grover, Wang, Zweig, Ermon. Stochastic optimization of sorting networks via
    continuous relaxations. ICLR 2019.
    Prillo, Eisenschlos. SoftSort: a continuous relaxation for the argsort
    operator. ICML 2020.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib
import numpy as np
from _arguments import Parser, integer, positive
from _digits import Digits, load_digits
from keras import ops

import tfgumbel as tg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

DIGITS = 4  # Of a number.
SORTED = (3, 5, 9)  # Numbers in an example of the test.


def cross_entropy(right, order):
    """Of the relaxed order, in nats a place, `[B]`."""
    log_p = ops.log(order + 1e-8)
    return -ops.mean(ops.sum(right * log_p, axis=-1), axis=-1)


def misplaced(right, order):
    """The share of places with the wrong image, `[B]`."""
    return 1.0 - ops.mean(ops.sum(right * order, axis=-1), axis=-1)


# The sampler, and what is descended.
WAYS: dict[str, Any] = {
    "soft_sort": (
        lambda tau: tg.PermutationSampler("soft_sort", tau, hard=False),
        cross_entropy,
    ),
    "neural_sort": (
        lambda tau: tg.PermutationSampler("neural_sort", tau, hard=False),
        cross_entropy,
    ),
    "reinforce": (
        lambda tau: tg.ReinforceSampler("permutation", "leave_one_out"),
        misplaced,
    ),
}


def main(argv: list[str] | None = None) -> dict[str, list[float]]:
    """Trains in every way; returns the shares of `SORTED`."""
    args = parse(argv)
    train, test = load_digits(args.mnist)
    args.out.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(args.seed)
    x, values = draw_numbers(test, args.test, random)
    found, scores = {}, {}
    heads = "".join(f"{f'n = {n}':>9}" for n in SORTED)
    print(f"{'in order':14}{heads}{'seconds':>9}")
    for way in args.ways:
        keras.utils.set_random_seed(args.seed)
        start = time.process_time()
        scorer = make_scorer(x.shape[1:], args.hidden)
        fit(scorer, way, train, args)
        seconds = time.process_time() - start
        scores[way] = scorer.predict(x, batch_size=500, verbose=0)[:, 0]
        found[way] = [in_order(scores[way], values, n) for n in SORTED]
        shares = "".join(f"{share:>9.3f}" for share in found[way])
        print(f"{way:14}{shares}{seconds:>9.0f}", flush=True)
    plot(args.out / "sorted.png", scores, values, x)
    print(f"Wrote {args.out / 'sorted.png'}")
    return found


# Data ---------------------------------------------------------------------


def draw_numbers(
    digits: Digits, count: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Images of numbers `[count, side, 4 side, 1]`, and their values."""
    chosen = random.integers(len(digits.labels), size=(count, DIGITS))
    pixels = np.concatenate(list(digits.images[chosen.T]), axis=2)
    values = digits.labels[chosen].astype(int) @ 10 ** np.arange(DIGITS)[::-1]
    return pixels[..., None], values


def matrix(values: np.ndarray) -> np.ndarray:
    """The descending order of values `[B, n]`, as `[B, n, n]`."""
    order = np.argsort(-values, axis=-1, kind="stable")
    return np.eye(values.shape[1], dtype="float32")[order]


def in_order(scores: np.ndarray, values: np.ndarray, n: int) -> float:
    """The share of groups of n whose scores put their values in order."""
    count = len(values) // n
    scores, values = (
        each[: count * n].reshape(-1, n) for each in (scores, values)
    )
    order = np.argsort(-scores, axis=-1)
    found = np.take_along_axis(values, order, axis=-1)
    return float(np.mean(np.all(np.diff(found) <= 0, axis=-1)))


# Model --------------------------------------------------------------------


def make_scorer(shape: tuple[int, ...], hidden: int) -> keras.Model:
    """From the image of a number to one score."""
    stack = [keras.Input(shape)]
    for filters in (16, 32):
        stack.append(
            keras.layers.Conv2D(filters, 3, padding="same", activation="relu")
        )
        stack.append(keras.layers.MaxPooling2D())
    return keras.Sequential(
        [
            *stack,
            keras.layers.Flatten(),
            keras.layers.Dense(hidden, activation="relu"),
            keras.layers.Dense(1),
        ]
    )


class Examples(keras.utils.PyDataset):
    """Batches of n numbers and their order, new ones each time."""

    def __init__(self, digits: Digits, args: argparse.Namespace) -> None:
        super().__init__()
        self.digits, self.args = digits, args
        self.random = np.random.default_rng(args.seed)

    def __len__(self):
        return self.args.steps

    def __getitem__(self, index):
        shape = (self.args.batch_size, self.args.n)
        x, values = draw_numbers(self.digits, np.prod(shape), self.random)
        return x.reshape(*shape, *x.shape[1:]), matrix(values.reshape(shape))


def fit(
    scorer: keras.Model, way: str, digits: Digits, args: argparse.Namespace
) -> None:
    """Trains the scorer on orders, with a falling rate."""
    sampler, cost = WAYS[way]
    shape = scorer.input_shape[1:]
    x = keras.Input((args.n, *shape))
    scores = scorer(ops.reshape(x, (-1, *shape)))
    order = sampler(args.temperature)(ops.reshape(scores, (-1, args.n)))
    model = tg.StochasticModel(x, order)
    rate = keras.optimizers.schedules.CosineDecay(
        args.learning_rate, args.steps
    )
    model.compile(keras.optimizers.Adam(rate), cost, jit_compile=False)
    model.fit(Examples(digits, args), verbose=args.verbose)


# Picture ------------------------------------------------------------------


def plot(
    path: pathlib.Path,
    scores: dict[str, np.ndarray],
    values: np.ndarray,
    x: np.ndarray,
) -> None:
    """Scores over numbers; below, five images in the order of the first."""
    figure = plt.figure(figsize=(10, 4.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(3.4, 1))
    axes = above.subplots(1, len(scores), squeeze=False)[0]
    for axis, (way, found) in zip(axes, scores.items(), strict=True):
        axis.plot(values, found, ".", ms=2, alpha=0.4)
        axis.set(xlabel="number", title=way)
    axes[0].set_ylabel("score")
    first = next(iter(scores.values()))[:5]
    for axis, i in zip(below.subplots(1, 5), np.argsort(-first), strict=True):
        axis.imshow(x[i, ..., 0], "gray", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[], xlabel=f"score {first[i]:.1f}")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "Sorting images of numbers by a learned score.",
        out="sort-out",
        verbose=0,
    )
    add = parser.add_argument
    add(
        "--ways",
        nargs="+",
        choices=WAYS,
        default=list(WAYS),
        help="to draw an order",
    )
    parser.add_mnist("sort")
    help = "numbers in an example of the training"
    add("--n", type=integer(2, 50), default=5, help=help)
    add("--steps", type=integer(), default=1500, help="of the optimizer")
    add("--batch-size", type=integer(2), default=50, help="examples in a step")
    add("--hidden", type=integer(), default=64, help="units of the last layer")
    add("--learning-rate", type=positive, default=2e-3, help="of Adam")
    help = "τ of the relaxed orders"
    add("--temperature", type=positive, default=1.0, help=help)
    help = "numbers in the test"
    add("--test", type=integer(max(SORTED)), default=4500, help=help)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
