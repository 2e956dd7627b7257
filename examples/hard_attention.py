"""Reading a digit through four keyholes: where should one look?

The reader sees nothing of an 8x8 digit but what it looks at: a few windows of
2x2 pixels, one after the other, 16 of the 64 pixels at the most. A policy,
given what was seen so far (pixels and mask), gives logits over the 49 places
of a window; a sampler draws the next one; in the end a classifier names the
digit. Where to look is a discrete choice (hard attention, Mnih, Heess, Graves
and Kavukcuoglu 2014), and nothing tells the policy which was a good one but
the loss of the classifier, which learns at the same time. Two samplers bring
it there:

- `ReinforceSampler`: the score function. Inside a `StochasticModel` each of
  the four samplers is fed the example's own cross-entropy by `fit`; a learned
  baseline predicts it from what was seen. What lies elsewhere is never used.
- `StraightThroughCategorical`: the value is a window as before; the gradient
  is that of ReinMax, which asks, to first order, what the windows not chosen
  would have changed. It is biased and uses pixels the reader never saw (in
  training only).

A policy that is sure too soon explores nothing more, so that its entropy enters
the loss with a small weight. Beside the learned readers stand windows that are
learned alike, but whose policy is not shown what they show, so that they are
the same for all digits; windows at random places, with a classifier of their
own; and a classifier that sees all 64 pixels.

The picture shows the four windows over test digits, in their order. The first
is the same for all, for nothing was seen yet; the others may depend on what the
first ones showed. The table counts the different routes by which 300 test
digits are read. They turn out to be few: on digits so small and so well centred
the reader finds four places that serve for all, and varies little but the order
in which it visits them. Windows that are the same for all digits do as well
with the default settings, and random ones far worse.

    python examples/hard_attention.py --out attention-out

Reference:
    Mnih, Heess, Graves, Kavukcuoglu. Recurrent models of visual attention.
    NeurIPS 2014.
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
from _arguments import Parser, integer, number, positive
from _digits import Digits, load_digits

import tfgumbel as tg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SIDE = 8  # Pixels of an image in a row.


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Trains every reader; returns the test accuracy of each."""
    args = parse(argv)
    train, test = load_digits()
    args.out.mkdir(parents=True, exist_ok=True)
    accuracies, shown = {}, None
    print(
        f"{'windows':18}{'test accuracy':>14}{'pixels':>9}{'routes':>9}"
        f"{'seconds':>9}"
    )
    for look in args.readers:
        keras.utils.set_random_seed(args.seed)
        start = time.process_time()
        reader, glances = make_reader(look, args)
        fit(reader, train, args)
        seconds = time.process_time() - start
        accuracies[look] = accuracy(reader, test, args.passes)
        places = glances.predict(test.images, verbose=0)
        pixels = np.mean(seen_pixels(places, args.size))
        print(
            f"{look:18}{accuracies[look]:>14.3f}{pixels:>9.1f}"
            f"{routes(places):>9}{seconds:>9.0f}"
        )
        if shown is None and places.shape[1]:
            shown = places
    if shown is not None:
        path = args.out / "attention.png"
        plot(path, shown, test, args.size)
        print(f"Wrote {path}")
    return accuracies


# Model --------------------------------------------------------------------


def make_windows(size: int) -> np.ndarray:
    """The mask of a window at each place, `[places, 64]`, ones inside."""
    places = range(SIDE - size + 1)
    masks = np.zeros((len(places), len(places), SIDE, SIDE), "float32")
    for row in places:
        for column in places:
            masks[row, column, row : row + size, column : column + size] = 1.0
    return masks.reshape(-1, SIDE * SIDE)


def look_by_reinforce(logits, state):
    # The baseline predicts the loss from the state: pixels and mask.
    return tg.ReinforceSampler()(logits, context=state)


def look_straight_through(logits, state):
    return tg.StraightThroughCategorical("reinmax")(logits)


def look_anywhere(logits, state):
    # Whatever the policy says: all places are equally likely.
    return tg.GumbelSoftmax(hard=True, inference="sample")(0.0 * logits)


READERS: dict[str, Any] = {
    "reinforce": look_by_reinforce,
    "straight-through": look_straight_through,
    "fixed": look_straight_through,
    "random": look_anywhere,
    "all pixels": None,
}


def make_reader(
    look: str, args: argparse.Namespace
) -> tuple[keras.Model, keras.Model]:
    """Two models of images: one that reads, one that shows where it looks.

    The first gives the logits of the digit, and the negative entropy of the
    policy, summed over the windows; the second the windows, as one-hot places
    `[B, T, places]`; there are none, T = 0, where all pixels are seen.
    """
    windows = make_windows(args.size)
    policy = perceptron("policy", args.hidden, len(windows))
    classifier = perceptron("classifier", args.hidden, 10)

    images = keras.Input((SIDE, SIDE))
    pixels = keras.layers.Flatten()(images)
    seen = keras.ops.zeros_like(pixels)
    certainty = seen[:, 0]
    places = [keras.ops.zeros_like(policy(with_mask(pixels, seen)))[:, None]]
    if READERS[look] is None:
        seen = keras.ops.ones_like(pixels)
    for _ in range(args.glimpses if READERS[look] else 0):
        state = with_mask(pixels, seen)
        # The fixed windows know of the others, but not what they show.
        known = with_mask(0.0 * pixels, seen) if look == "fixed" else state
        logits = policy(known)
        place = READERS[look](logits, state)
        places.append(place[:, None])
        certainty += negative_entropy(logits)
        window = keras.ops.matmul(place, windows)
        # The union of two masks, with a gradient in both.
        seen = 1.0 - (1.0 - seen) * (1.0 - window)
    outputs = {
        "digit": classifier(with_mask(pixels, seen)),
        "certainty": certainty,
    }
    reader = tg.StochasticModel(images, outputs, name="reader")
    glances = keras.ops.concatenate(places, axis=1)[:, 1:]
    return reader, keras.Model(images, glances)


def with_mask(pixels, seen):
    """What was seen, and where it was."""
    return keras.ops.concatenate([pixels * seen, seen], axis=-1)


def negative_entropy(logits):
    log_p = keras.ops.log_softmax(logits)
    return keras.ops.sum(keras.ops.exp(log_p) * log_p, axis=-1)


def perceptron(name: str, hidden: int, outputs: int) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((2 * SIDE * SIDE,)),
            keras.layers.Dense(hidden, activation="relu"),
            keras.layers.Dense(hidden, activation="relu"),
            keras.layers.Dense(outputs),
        ],
        name=name,
    )


# Training and evaluation --------------------------------------------------


def fit(reader: keras.Model, train: Digits, args: argparse.Namespace) -> None:
    """Descends cross-entropy and, with a small weight, certainty.

    Both are costs of each example, so that the samplers are credited with
    both: a window also answers for how undecided the next ones can be.
    """
    reader.compile(
        keras.optimizers.Adam(args.learning_rate),
        loss={
            "digit": keras.losses.SparseCategoricalCrossentropy(
                from_logits=True
            ),
            "certainty": tg.losses.MeanCost(),
        },
        loss_weights={"digit": 1.0, "certainty": args.curiosity},
        metrics={"digit": ["accuracy"]},
    )
    reader.fit(
        train.images,
        targets(train),
        batch_size=50,
        epochs=args.epochs,
        verbose=args.verbose,
    )


def targets(digits: Digits) -> dict[str, np.ndarray]:
    """`MeanCost` looks at no target, but Keras wants one."""
    zeros = np.zeros(len(digits.labels), "float32")
    return {"digit": digits.labels, "certainty": zeros}


def accuracy(reader: keras.Model, test: Digits, passes: int) -> float:
    """Mean over passes, which differ for random windows alone.

    The learned policies look at the most likely place: the samplers'
    `inference="mode"`.
    """
    logs = [
        reader.evaluate(
            test.images,
            targets(test),
            batch_size=300,
            return_dict=True,
            verbose=0,
        )
        for _ in range(passes)
    ]
    return float(np.mean([log["digit_accuracy"] for log in logs]))


def seen_pixels(places: np.ndarray, size: int) -> np.ndarray:
    """How many pixels were looked at, `[N]`; windows may overlap."""
    if places.shape[1] == 0:
        return np.full(len(places), SIDE * SIDE)
    return np.max(places @ make_windows(size), axis=1).sum(axis=-1)


def routes(places: np.ndarray) -> int:
    """How many different sequences of windows there are."""
    return len(np.unique(np.argmax(places, axis=-1), axis=0))


# Picture ------------------------------------------------------------------


def plot(
    path: pathlib.Path, places: np.ndarray, test: Digits, size: int
) -> None:
    """Windows over one digit of each class; what they show; where they are."""
    examples = [np.flatnonzero(test.labels == digit)[0] for digit in range(10)]
    figure = plt.figure(figsize=(9, 4), layout="constrained")
    titles = (
        "the windows, in order",
        "what the reader sees",
        "share of the test digits in which a pixel is looked at",
    )
    axes = []
    for part, title in zip(figure.subfigures(3, 1), titles, strict=True):
        part.suptitle(title, x=0.01, ha="left", fontsize=9)
        axes.append(part.subplots(1, 10))
        for axis in axes[-1]:
            axis.set(xticks=[], yticks=[])
    for over, through, example in zip(*axes[:2], examples, strict=True):
        over.imshow(test.images[example], "gray", vmin=0, vmax=1)
        mask = places[example] @ make_windows(size)
        draw_windows(over, places[example], size)
        seen = np.max(mask, axis=0).reshape(SIDE, SIDE)
        shown = np.ma.masked_where(seen == 0, test.images[example])
        through.set_facecolor("tab:blue")
        through.imshow(shown, "gray", vmin=0, vmax=1)
    plot_places(axes[2], places, size)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_windows(axis, places: np.ndarray, size: int) -> None:
    """A numbered frame for every window."""
    for step, place in enumerate(np.argmax(places, axis=-1)):
        row, column = divmod(place, SIDE - size + 1)
        corner = (column - 0.5, row - 0.5)
        colour = f"C{step + 1}"
        axis.add_patch(
            plt.Rectangle(corner, size, size, fill=False, lw=1.6, ec=colour)
        )
        # A corner of the window for each number, for windows overlap.
        down, right = divmod(step % 4, 2)
        axis.text(
            column - 0.25 + (size - 1) * right / 1.6,
            row - 0.2 + (size - 1) * down / 1.6,
            step + 1,
            color=colour,
            fontsize=8,
            fontweight="bold",
            va="center",
        )


def plot_places(axes, places: np.ndarray, size: int) -> None:
    """For each step, how often each pixel was looked at over all digits."""
    windows = make_windows(size)
    steps = min(places.shape[1], len(axes))
    for step in range(steps):
        share = np.mean(places[:, step] @ windows, axis=0)
        axes[step].imshow(share.reshape(SIDE, SIDE), "magma", vmin=0, vmax=1)
        axes[step].set_xlabel(f"window {step + 1}", fontsize=8)
    for axis in axes[steps:]:
        axis.axis("off")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "Hard attention on 8x8 digits: learning where to look.",
        out="attention-out",
        verbose=0,
    )
    add = parser.add_argument
    add(
        "--readers",
        nargs="+",
        choices=READERS,
        default=list(READERS),
        help="how windows are chosen; the picture is of the first that are",
    )
    add("--glimpses", type=integer(), default=4, help="T, number of windows")
    help = "side of a window in pixels"
    add("--size", type=integer(1, SIDE - 1), default=2, help=help)
    add("--hidden", type=integer(), default=128, help="units of a layer")
    help = "weight of the policy's entropy in the loss"
    add("--curiosity", type=number(), default=0.02, help=help)
    add("--epochs", type=integer(), default=100, help="passes over the data")
    help = "learning rate of Adam"
    add("--learning-rate", type=positive, default=1e-3, help=help)
    help = "passes over the test data"
    add("--passes", type=integer(), default=10, help=help)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
